package prefect

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/server/compat"
)

const mostRuns = 200 // in one answer

var sorts = []string{
	"ID_DESC", "START_TIME_ASC", "START_TIME_DESC", "EXPECTED_START_TIME_ASC", "EXPECTED_START_TIME_DESC",
	"NAME_ASC", "NAME_DESC", "NEXT_SCHEDULED_START_TIME_ASC", "END_TIME_DESC",
}

type fields = []any // of a shape: names and kinds

// selectionShape is of a request for some flow runs, with fields before and behind those that say which.
func selectionShape(before fields, behind ...any) *shape {
	which := fields{
		"flows", flowFilterKind, "flow_runs", runFilterKind, "task_runs", anything, "deployments", deploymentFilterKind, "work_pools", anything,
	}
	return shapeOf(slices.Concat(before, which, behind)...).embedded()
}

var (
	filterShape   = selectionShape(fields{"limit", anInt, "sort", oneOf(sorts...), "offset", anInt.from(0)}, "work_pool_queues", anything)
	paginateShape = selectionShape(fields{"limit", anInt, "sort", oneOf(sorts...), "page", anInt.from(1)}, "work_pool_queues", anything)
	countShape    = selectionShape(nil, "work_pool_queues", anything)
	historyShape  = selectionShape(fields{"history_start", aTime.must(), "history_end", aTime.must(), "history_interval_seconds", aNumber.must()}, "work_queues", anything)
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

// start is when it started, or is to.
func (w *flowRun) start() *moment {
	if w.StartTime != nil {
		return w.StartTime
	}
	return w.ExpectedStartTime
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
		"START_TIME_ASC":           func(a, b *flowRun) int { return a.start().Compare(b.start().Time) },
		"START_TIME_DESC":          func(a, b *flowRun) int { return b.start().Compare(a.start().Time) },
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

// asked reads a request for some flow runs.
func asked(c *gin.Context, s *shape) (*selection, error) {
	var q selection
	if err := read(c.Request, s, &q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if q.Page != nil {
		q.Offset = min(*q.Page-1, scanned+1) * q.limit()
	}
	if q.Offset > scanned {
		return nil, errTooFar
	}
	return &q, nil
}

func cut(all []flowRun, offset, limit int) []flowRun {
	from := min(offset, len(all))
	return all[from:min(from+limit, len(all))]
}

func (h *handlers) filter(c *gin.Context) error {
	q, err := asked(c, filterShape)
	if err != nil {
		return err
	}
	found, err := h.first(c.Request.Context(), q, q.Offset+q.limit())
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, cut(found, q.Offset, q.limit()))
}

// count counts what is wanted. Where the engine has the number, nothing is read for it.
func (h *handlers) count(c *gin.Context) error {
	q, err := asked(c, countShape)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if statuses, exactly := q.countable(); exactly {
		counts, err := h.engine.StatusCounts(ctx, compat.Project(ctx))
		if err != nil {
			return err
		}
		n := int64(0)
		for _, s := range statuses {
			n += counts[s]
		}
		return answer(c, http.StatusOK, n)
	}
	n := 0
	if err := h.all(ctx, q, func(flowRun) { n++ }); err != nil {
		return err
	}
	return answer(c, http.StatusOK, n)
}

type pageOfRuns struct {
	Results []flowRun `json:"results"`
	Count   int       `json:"count"`
	Limit   int       `json:"limit"`
	Pages   int       `json:"pages"`
	Page    int       `json:"page"`
}

func (h *handlers) paginate(c *gin.Context) error {
	q, err := asked(c, paginateShape)
	if err != nil {
		return err
	}
	page := pageOfRuns{Limit: q.limit(), Page: 1}
	best := newest{q: q, most: q.Offset + q.limit()}
	if err := h.all(c.Request.Context(), q, func(w flowRun) {
		page.Count++
		best.add(w)
	}); err != nil {
		return err
	}
	page.Results = cut(best.sorted(), q.Offset, q.limit())
	if q.Page != nil {
		page.Page = *q.Page
	}
	if page.Limit > 0 {
		page.Pages = (page.Count + page.Limit - 1) / page.Limit
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
	q, err := asked(c, historyShape)
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
	err = h.all(c.Request.Context(), q, func(w flowRun) {
		i := int(w.ExpectedStartTime.Sub(q.Start.Time) / step)
		if w.StateType == nil || w.ExpectedStartTime.Before(q.Start.Time) || i >= len(buckets) {
			return
		}
		of := &buckets[i].States
		n := slices.IndexFunc(*of, func(t tallied) bool { return t.Type == *w.StateType && t.Name == *w.StateName })
		if n < 0 {
			n = len(*of)
			*of = append(*of, tallied{Type: *w.StateType, Name: *w.StateName})
		}
		t := &(*of)[n]
		t.Runs, t.RunTime, t.Lateness = t.Runs+1, t.RunTime+w.EstimatedRunTime, t.Lateness+w.EstimatedStartTimeDelta
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, buckets)
}
