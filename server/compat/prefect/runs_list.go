package prefect

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

const (
	scanned  = 10_000 // executions that are looked at for one list, the newest ones
	mostRuns = 200    // in one answer
)

var sorts = []string{
	"ID_DESC", "START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC",
	"NAME_ASC", "NAME_DESC", "NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC",
}

// selectionFields are those of every request for some flow runs.
func selectionFields(more ...any) *shape {
	return shapeOf(append([]any{
		"flows", flowFilterKind, "flow_runs", runFilterKind, "task_runs", anything, "deployments", deploymentFilterKind,
		"work_pools", anything, "work_pool_queues", anything, "work_queues", anything,
	}, more...)...).embedded()
}

var (
	filterShape   = selectionFields("sort", oneOf(sorts...).orNull(), "limit", anInt.orNull(), "offset", anInt.from(0).orNull())
	paginateShape = selectionFields("sort", oneOf(sorts...).orNull(), "limit", anInt.orNull(), "page", anInt.from(1))
	countShape    = selectionFields()
	historyShape  = selectionFields("history_start", aTime.must(), "history_end", aTime.must(), "history_interval_seconds", aNumber.must())
)

// selection is a request for some flow runs.
type selection struct {
	Flows       *flowFilter       `json:"flows"`
	Runs        *runFilter        `json:"flow_runs"`
	Deployments *deploymentFilter `json:"deployments"`
	TaskRuns    json.RawMessage   `json:"task_runs"`
	WorkPools   json.RawMessage   `json:"work_pools"`
	PoolQueues  json.RawMessage   `json:"work_pool_queues"`
	WorkQueues  json.RawMessage   `json:"work_queues"`
	Sort        string            `json:"sort"`
	Limit       *int              `json:"limit"`
	Offset      int               `json:"offset"`
	Page        *int              `json:"page"`

	Start    moment  `json:"history_start"`
	End      moment  `json:"history_end"`
	Interval float64 `json:"history_interval_seconds"`
}

// check refuses what cannot be looked for here.
func (q *selection) check() error {
	for name, given := range map[string]json.RawMessage{"task_runs": q.TaskRuns, "work_pools": q.WorkPools, "work_pool_queues": q.PoolQueues, "work_queues": q.WorkQueues} {
		if text := string(given); text != "" && text != "null" && text != "{}" {
			return refused{http.StatusNotImplemented, detail{"flow runs cannot be narrowed by " + name + " here: use flows, flow_runs and deployments"}}
		}
	}
	limit := q.limit()
	switch {
	case limit > mostRuns:
		return refused{http.StatusUnprocessableEntity, detail{"Invalid limit: must be less than or equal to 200."}}
	case limit < 0:
		return refused{http.StatusUnprocessableEntity, detail{"Invalid limit: must be greater than or equal to 0."}}
	}
	return nil
}

func (q *selection) limit() int {
	if q.Limit == nil {
		return mostRuns
	}
	return *q.Limit
}

// picked are the flow runs that are wanted, newest first, as the scan finds them.
func (h *handlers) picked(ctx context.Context, q *selection) ([]flowRun, error) {
	found, now := []flowRun{}, time.Now()
	add := func(x *engine.Execution) error {
		r, err := h.complete(ctx, x)
		if err != nil {
			return err
		}
		w := r.wire(now)
		if q.Runs.matches(r, &w) && q.Flows.matches(w.FlowID, x.Workflow, w.DeploymentID) && q.Deployments.matches(w.DeploymentID) {
			found = append(found, w)
		}
		return nil
	}
	if ids, known := q.Runs.ids(); known {
		slices.Sort(ids)
		for _, id := range slices.Backward(slices.Compact(ids)) {
			x, err := compat.Execution(ctx, h.engine, id)
			if compat.IsMissing(err) {
				continue
			}
			if err == nil {
				err = add(x)
			}
			if err != nil {
				return nil, err
			}
		}
		return found, nil
	}
	enough := scanned // in the order of the list, a page needs no more
	if q.Sort == "" || q.Sort == "ID_DESC" {
		enough = q.Offset + q.limit()
	}
	filter := q.Runs.narrowed()
	for cursor, seen := "", 0; seen < scanned && len(found) < enough; {
		page, next, err := h.engine.Executions(ctx, compat.Project(ctx), filter, engine.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for i := range page {
			if err := add(&page[i]); err != nil {
				return nil, err
			}
		}
		if next == "" {
			break
		}
		cursor, seen = next, seen+max(len(page), 1)
	}
	return found, nil
}

func sortRuns(all []flowRun, by string) {
	at := func(t *moment, last time.Time) time.Time {
		if t == nil {
			return last
		}
		return t.Time
	}
	end := time.Unix(1<<40, 0)
	orders := map[string]func(a, b *flowRun) int{
		"START_TIME_ASC":           func(a, b *flowRun) int { return at(a.StartTime, end).Compare(at(b.StartTime, end)) },
		"START_TIME_DESC":          func(a, b *flowRun) int { return at(b.StartTime, time.Time{}).Compare(at(a.StartTime, time.Time{})) },
		"EXPECTED_START_TIME_ASC":  func(a, b *flowRun) int { return a.ExpectedStartTime.Compare(b.ExpectedStartTime.Time) },
		"EXPECTED_START_TIME_DESC": func(a, b *flowRun) int { return b.ExpectedStartTime.Compare(a.ExpectedStartTime.Time) },
		"NAME_ASC":                 func(a, b *flowRun) int { return cmp.Compare(a.Name, b.Name) },
		"NAME_DESC":                func(a, b *flowRun) int { return cmp.Compare(b.Name, a.Name) },
		"NEXT_SCHEDULED_START_TIME_ASC": func(a, b *flowRun) int {
			return at(a.NextScheduledStartTime, end).Compare(at(b.NextScheduledStartTime, end))
		},
		"END_TIME_DESC": func(a, b *flowRun) int { return at(b.EndTime, time.Time{}).Compare(at(a.EndTime, time.Time{})) },
	}
	if order := orders[by]; order != nil {
		slices.SortStableFunc(all, func(a, b flowRun) int { return order(&a, &b) })
	}
}

// selected reads a request, and the flow runs that it wants, in their order.
func (h *handlers) selected(c *gin.Context, s *shape, q *selection) ([]flowRun, error) {
	if err := read(c.Request, s, q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if q.Page != nil {
		q.Offset = (*q.Page - 1) * q.limit()
	}
	if s != filterShape { // the others count all
		q.Sort = cmp.Or(q.Sort, sorts[len(sorts)-1])
	}
	all, err := h.picked(c.Request.Context(), q)
	if err == nil {
		sortRuns(all, q.Sort)
	}
	return all, err
}

func cut(all []flowRun, offset, limit int) []flowRun {
	from := min(offset, len(all))
	return all[from:min(from+limit, len(all))]
}

func (h *handlers) filter(c *gin.Context) error {
	var q selection
	all, err := h.selected(c, filterShape, &q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, cut(all, q.Offset, q.limit()))
}

func (h *handlers) count(c *gin.Context) error {
	var q selection
	all, err := h.selected(c, countShape, &q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, len(all))
}

type pageOfRuns struct {
	Results []flowRun `json:"results"`
	Count   int       `json:"count"`
	Limit   int       `json:"limit"`
	Pages   int       `json:"pages"`
	Page    int       `json:"page"`
}

func (h *handlers) paginate(c *gin.Context) error {
	var q selection
	all, err := h.selected(c, paginateShape, &q)
	if err != nil {
		return err
	}
	page := pageOfRuns{Results: cut(all, q.Offset, q.limit()), Count: len(all), Limit: q.limit(), Page: 1}
	if q.Page != nil {
		page.Page = *q.Page
	}
	if page.Limit > 0 {
		page.Pages = (len(all) + page.Limit - 1) / page.Limit
	}
	return answer(c, http.StatusOK, page)
}

type bucket struct {
	Start  moment    `json:"interval_start"`
	End    moment    `json:"interval_end"`
	States []tallied `json:"states"`
}

type tallied struct {
	Type     string  `json:"state_type"`
	Name     string  `json:"state_name"`
	Runs     int     `json:"count_runs"`
	RunTime  float64 `json:"sum_estimated_run_time"`
	Lateness float64 `json:"sum_estimated_lateness"`
}

// mostBuckets is how many intervals one history has.
const mostBuckets = 500

// history counts flow runs by state and by when they were to start.
func (h *handlers) history(c *gin.Context) error {
	var q selection
	all, err := h.selected(c, historyShape, &q)
	if err != nil {
		return err
	}
	if q.Interval < 1 {
		return refused{http.StatusUnprocessableEntity, detail{"History interval must not be less than 1 second."}}
	}
	step := time.Duration(min(q.Interval, 1e9) * float64(time.Second))
	buckets := []bucket{}
	for at := q.Start.Time; at.Before(q.End.Time) && len(buckets) < mostBuckets; at = at.Add(step) {
		buckets = append(buckets, bucket{Start: moment{at}, End: moment{at.Add(step)}, States: []tallied{}})
	}
	for _, w := range all {
		i := int(w.ExpectedStartTime.Sub(q.Start.Time) / step)
		if w.StateType == nil || w.ExpectedStartTime.Before(q.Start.Time) || i >= len(buckets) {
			continue
		}
		of := &buckets[i].States
		n := slices.IndexFunc(*of, func(t tallied) bool { return t.Type == *w.StateType && t.Name == *w.StateName })
		if n < 0 {
			n = len(*of)
			*of = append(*of, tallied{Type: *w.StateType, Name: *w.StateName})
		}
		t := &(*of)[n]
		t.Runs, t.RunTime, t.Lateness = t.Runs+1, t.RunTime+w.EstimatedRunTime, t.Lateness+w.EstimatedStartTimeDelta
	}
	return answer(c, http.StatusOK, buckets)
}
