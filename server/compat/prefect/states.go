package prefect

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// entry is a state of a history; said by a client of Prefect, or following from an event.
type entry struct {
	*state
	said bool
}

// past is every state that a flow run was in, oldest first.
func (h *handlers) past(ctx context.Context, r *run) ([]state, error) {
	var said, all []entry
	if !r.driven() {
		derived, err := h.fromEvents(ctx, r)
		if err != nil {
			return nil, err
		}
		all = derived
	}
	for i := range r.said.States {
		s := entry{&r.said.States[i], true}
		if i == len(r.said.States)-1 {
			s.state = r.lastSaid()
		}
		// Its event knows its place among all that happened in that millisecond.
		if n := slices.IndexFunc(all, func(e entry) bool { return !e.said && e.Type == s.Type && e.Timestamp.Equal(s.Timestamp.Time) }); n >= 0 {
			all[n] = s
		} else {
			said = append(said, s)
		}
	}
	all = append(said, all...)
	now := r.state()
	if now != nil {
		all = slices.DeleteFunc(all, func(e entry) bool { return e.ID == now.ID })
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.Timestamp.Compare(b.Timestamp.Time) })
	if now != nil {
		all = append(all, entry{now, true})
	}
	return merged(all), nil
}

// merged leaves out what follows from an event that a client's own state tells, and what changed nothing.
func merged(all []entry) []state {
	states := []state{}
	for i, e := range all {
		beside := func(j int) bool { return j >= 0 && j < len(all) && all[j].said && all[j].Type == e.Type }
		if !e.said && (beside(i-1) || beside(i+1)) {
			continue
		}
		if n := len(states); n > 0 && !e.said && e.Type == running && states[n-1].Type == running {
			continue
		}
		states = append(states, *e.state)
	}
	return states
}

// maxEvents is how far a history is read for states.
const maxEvents = 20_000

// fromEvents reads the states that the history of an execution tells of.
func (h *handlers) fromEvents(ctx context.Context, r *run) ([]entry, error) {
	f := follower{h: h, run: r, approvals: map[string]bool{}}
	for cursor, read := "", 0; read < maxEvents; {
		events, next, err := h.engine.History(ctx, r.x.ID, engine.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if err := f.follow(ctx, e); err != nil {
				return nil, err
			}
		}
		if next == "" {
			break
		}
		cursor, read = next, read+len(events)
	}
	return f.all, nil
}

// follower goes along a history.
type follower struct {
	h         *handlers
	run       *run
	all       []entry
	approvals map[string]bool // by ref: whether it is one
	open      []engine.Gate   // the approvals that wait, the one that waits longest first
}

func (f *follower) add(s *state) { f.all = append(f.all, entry{s, false}) }

func (f *follower) follow(ctx context.Context, e engine.Event) error {
	if kind := byEvent[e.Type]; kind != "" {
		s := f.run.made(kind, nameByEvent[e.Type], e.At)
		s.Message = textOf(e.Reason)
		f.add(s)
		if kind == running && len(f.open) > 0 {
			f.add(f.run.asked(pauseKey(&f.open[0]), e.At))
		}
		return nil
	}
	if e.Type == "task.waiting" {
		is, known := f.approvals[e.Ref]
		if !known {
			t, err := f.h.engine.Task(ctx, f.run.x.ID, e.Ref)
			if err != nil && !compat.IsMissing(err) {
				return err
			}
			is = err == nil && t.Type == workflow.TypeApproval
			f.approvals[e.Ref] = is
		}
		if is {
			f.open = append(f.open, engine.Gate{Ref: e.Ref, Attempt: e.Attempt})
			f.add(f.run.asked(pauseKey(&f.open[len(f.open)-1]), e.At))
		}
		return nil
	}
	if i := slices.IndexFunc(f.open, func(g engine.Gate) bool { return g.Ref == e.Ref }); i >= 0 {
		if f.open = slices.Delete(f.open, i, i+1); len(f.open) == 0 {
			f.add(f.run.made(running, "", e.At))
		}
	}
	return nil
}

var byEvent = map[string]string{
	"execution.queued": scheduled, "execution.started": running, "execution.paused": paused, "execution.resumed": running,
	"execution.admitted": running, "execution.redriven": running, "execution.canceling": cancelling, "execution.succeeded": completed,
	"execution.failed": failed, "execution.timed_out": failed, "execution.canceled": cancelled,
}

var nameByEvent = map[string]string{"execution.timed_out": "TimedOut"}

// states lists what a flow run was in; of one that is not there, nothing.
func (h *handlers) states(c *gin.Context) error {
	asked := c.Query("flow_run_id")
	id, ok := parseID(asked)
	if !ok {
		at := []any{"query", "flow_run_id"}
		if asked == "" {
			return unprocessable(nil, fault{Type: "missing", Loc: at, Msg: "Field required"})
		}
		return unprocessable(nil, checkUUID(asked, at)...)
	}
	r, err := h.load(c.Request.Context(), id)
	if compat.IsMissing(err) {
		return answer(c, http.StatusOK, []state{})
	}
	if err != nil {
		return err
	}
	all, err := h.past(c.Request.Context(), r)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, all)
}

const (
	around    = 10 * time.Second // how far the clock that named an execution and Redis' may differ
	mostPages = 10               // that are looked through for what was made in that time
)

// getState finds a state by its id, which tells when its execution was made.
func (h *handlers) getState(c *gin.Context) error {
	none := refused{http.StatusNotFound, detail{"Flow run state not found"}}
	text, ok := parseID(c.Param("id"))
	if !ok {
		return notThere
	}
	id, ctx := uuid.MustParse(text), c.Request.Context()
	made := timeOf(id)
	f := engine.ExecutionFilter{Since: made.Add(-around), Until: made.Add(around)}
	for cursor, pages := "", 0; pages < mostPages; pages++ {
		found, next, err := h.engine.Executions(ctx, compat.Project(ctx), f, engine.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return err
		}
		for i := range found {
			if !stateOf(found[i].ID, id) {
				continue
			}
			r, err := h.complete(ctx, &found[i])
			if err != nil {
				return err
			}
			all, err := h.past(ctx, r)
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(all, func(s state) bool { return s.ID == text }); i >= 0 {
				return answer(c, http.StatusOK, all[i])
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	return none
}
