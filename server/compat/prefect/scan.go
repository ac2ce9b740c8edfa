package prefect

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

const (
	scanned   = 50_000           // executions that are looked at for one request
	scanTime  = 15 * time.Second // and how long
	scanPage  = 500
	fresh     = 10_000 // of these, the newest, the status is looked at itself: lists by status are a moment behind
	mostLists = 24     // of the engine that are read side by side
)

var errTooMany = refused{http.StatusUnprocessableEntity, detail{"more flow runs would have to be looked at than one request may: narrow by flows, deployments, state types or times"}}

var errTooFar = refused{http.StatusUnprocessableEntity, detail{fmt.Sprintf("only the first %d flow runs can be paged through: narrow by flows, deployments, state types or times", scanned)}}

// all goes through all flow runs that are wanted, or answers that those would be too many to look at.
func (h *handlers) all(ctx context.Context, q *selection, do func(w flowRun)) error {
	whole, err := h.each(ctx, q, func(w flowRun) bool {
		do(w)
		return true
	})
	if err == nil && !whole {
		return errTooMany
	}
	return err
}

// first are the first n flow runs that are wanted, of as many as are looked at.
func (h *handlers) first(ctx context.Context, q *selection, n int) ([]flowRun, error) {
	best := newest{q: q, most: n}
	_, err := h.each(ctx, q, func(w flowRun) bool {
		best.add(w)
		return q.sortedOtherwise() || len(best.found) < n // in the order of the lists, more change nothing
	})
	return best.sorted(), err
}

func (q *selection) sortedOtherwise() bool { return q.Sort != "" && q.Sort != "ID_DESC" }

// newest keeps the first flow runs in the order of a request.
type newest struct {
	q     *selection
	most  int
	found []flowRun
}

func (n *newest) add(w flowRun) {
	if n.found = append(n.found, w); len(n.found) >= 2*n.most+scanPage {
		n.found = n.sorted()
	}
}

func (n *newest) sorted() []flowRun {
	sortRuns(n.found, n.q.Sort)
	return cut(append([]flowRun{}, n.found...), 0, n.most)
}

// each goes through the flow runs that are wanted, the newest first, until do has enough. whole is false when there
// are more than are looked at.
func (h *handlers) each(ctx context.Context, q *selection, do func(w flowRun) bool) (whole bool, err error) {
	flows, names, narrowed, err := h.narrowed(ctx, q)
	if err != nil {
		return false, err
	}
	now := time.Now()
	take := func(x *engine.Execution) (more bool, err error) {
		r, err := h.complete(ctx, x)
		if err != nil {
			return false, err
		}
		w := r.wire(now)
		name := x.Workflow
		if k, there := flows[name]; there {
			name = k.flowName
		}
		if q.Runs.matches(r, &w) && q.Flows.matches(w.FlowID, name, w.DeploymentID) && q.Deployments.matches(w.DeploymentID) {
			return do(w), nil
		}
		return true, nil
	}
	if ids, known := q.Runs.ids(); known {
		return h.named(ctx, ids, now.Add(scanTime), take)
	}
	base := engine.ExecutionFilter{Until: q.until()}
	lists := crossed([]engine.ExecutionFilter{base}, names, narrowed, func(f *engine.ExecutionFilter, name string) { f.Workflow = name })
	statuses := q.Runs.statuses()
	s := &scan{engine: h.engine, project: compat.Project(ctx), deadline: now.Add(scanTime)}
	most := scanned
	if statuses != nil {
		most = fresh
	}
	if whole, err = s.through(ctx, lists, most, take); statuses == nil || whole || s.enough || err != nil {
		return whole || s.enough, err
	}
	lists = crossed(lists, statuses, true, func(f *engine.ExecutionFilter, status workflow.ExecutionStatus) {
		f.Status = []workflow.ExecutionStatus{status}
	})
	whole, err = s.through(ctx, lists, scanned, take)
	return whole || s.enough, err
}

// narrowed reads the workflows where a request narrows by them: all by native name, and the names that are wanted, where it names them.
func (h *handlers) narrowed(ctx context.Context, q *selection) (flows map[string]known, names []string, ok bool, err error) {
	if q.Flows == nil && q.Deployments == nil && (q.Runs == nil || q.Runs.DeploymentID == nil) {
		return nil, nil, false, nil
	}
	all, err := h.known(ctx, func(known) bool { return true })
	flows = map[string]known{}
	for _, k := range all {
		flows[k.Name] = k
	}
	names, ok = q.named(all)
	return flows, names, ok, err
}

// named goes through the flow runs that are named, those that are there. whole is false when it took too long.
func (h *handlers) named(ctx context.Context, ids []string, deadline time.Time, take func(x *engine.Execution) (bool, error)) (whole bool, err error) {
	if len(ids) > scanned {
		return false, errTooMany
	}
	ids = slices.Sorted(slices.Values(ids))
	for _, id := range slices.Backward(slices.Compact(ids)) {
		if time.Now().After(deadline) {
			return false, nil
		}
		x, err := compat.Execution(ctx, h.engine, id)
		if compat.IsMissing(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if more, err := take(x); err != nil || !more {
			return true, err
		}
	}
	return true, nil
}

// crossed are the lists once for each value, or as they are where that would be too many.
func crossed[T any](lists []engine.ExecutionFilter, values []T, narrow bool, set func(f *engine.ExecutionFilter, value T)) []engine.ExecutionFilter {
	if !narrow || len(lists)*len(values) > mostLists {
		return lists
	}
	all := []engine.ExecutionFilter{}
	for _, f := range lists {
		for _, v := range values {
			set(&f, v)
			all = append(all, f)
		}
	}
	return all
}

// scan reads lists of executions side by side, the newest first.
type scan struct {
	engine   Reader
	project  string
	deadline time.Time
	looked   int
	last     string // the id that was taken last
	enough   bool
}

// source is where one list is read.
type source struct {
	filter engine.ExecutionFilter
	ahead  []engine.Execution
	cursor string
	ended  bool
}

// through takes what the lists have below what was taken before, until as many were looked at. whole is false when there is more.
func (s *scan) through(ctx context.Context, lists []engine.ExecutionFilter, most int, take func(x *engine.Execution) (bool, error)) (whole bool, err error) {
	sources := make([]source, len(lists))
	for i := range lists {
		sources[i] = source{filter: lists[i], cursor: s.last}
	}
	for {
		var next *source
		for i := range sources {
			if err := s.fill(ctx, &sources[i]); err != nil {
				return false, err
			}
			if at := &sources[i]; len(at.ahead) > 0 && (next == nil || at.ahead[0].ID > next.ahead[0].ID) {
				next = at
			}
		}
		if time.Now().After(s.deadline) || next != nil && s.looked >= most {
			return false, nil
		}
		if next == nil {
			return true, nil
		}
		x := next.ahead[0]
		next.ahead = next.ahead[1:]
		if x.ID == s.last { // its status changed meanwhile: it is in two lists
			continue
		}
		s.looked, s.last = s.looked+1, x.ID
		more, err := take(&x)
		if err != nil || !more {
			s.enough = err == nil
			return false, err
		}
	}
}

// fill reads on where nothing is ahead. Pages may be empty and not the last.
func (s *scan) fill(ctx context.Context, from *source) (err error) {
	for len(from.ahead) == 0 && !from.ended && time.Now().Before(s.deadline) {
		from.ahead, from.cursor, err = s.engine.Executions(ctx, s.project, from.filter, engine.Page{Cursor: from.cursor, Limit: scanPage})
		if err != nil {
			return err
		}
		from.ended = from.cursor == ""
	}
	return nil
}
