package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// bulkWreck is a bulk operation whose driver dies at a trip to Redis, and another one that lives on.
type bulkWreck struct {
	ask    engine.BulkRequest
	live   bool // its executions have not failed
	event  string
	status workflow.ExecutionStatus // that each ends in
}

var bulkWrecks = map[string]bulkWreck{
	"retry":                      {ask: retryAll(func(r *engine.BulkRequest) { r.Canary = 2 }), event: "execution.redriven", status: workflow.ExecutionSucceeded},
	"a rerun as a new execution": {ask: retryAll(func(r *engine.BulkRequest) { r.Operation, r.Redrive.Identity = engine.BulkRerun, workflow.NewExecution }), status: workflow.ExecutionFailed},
	"pause":                      {ask: retryAll(func(r *engine.BulkRequest) { r.Operation = engine.BulkPause }), live: true, event: "execution.paused", status: workflow.ExecutionPaused},
	"cancel":                     {ask: retryAll(func(r *engine.BulkRequest) { r.Operation = engine.BulkCancel }), live: true, event: "execution.canceling", status: workflow.ExecutionCanceled},
}

func (w bulkWreck) run(t *testing.T) {
	const many = 4
	url := queuetest.URL(t)
	dies, goes := newStageOn(t, url), newStageOn(t, url)
	faults := &queuetest.Faults{}
	dies.store.Client().AddHook(faults)
	var all []*engine.Execution
	if w.live {
		for range many {
			all = append(all, goes.start(bulky, `{"n": 1}`))
		}
	} else {
		all = goes.fails(bulky, many)
	}
	goes.lists()
	was, _, err := goes.Executions(t.Context(), "default", engine.ExecutionFilter{}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, was, many)
	b := goes.bulk(w.ask)
	start, offset := goes.save(), goes.offset
	rounds := 0
	for trips, broke := 0, true; broke; trips++ {
		for _, after := range []bool{false, true} {
			if !soak && trips > 1 && (after != (trips%2 == 0) || trips%3 != 0) { // all of them with REDRIVE_SOAK=1
				continue
			}
			rounds++
			goes.load(start)
			goes.offset, dies.offset = offset, offset
			goes.Forget()
			dies.Forget()
			faults.Arm(trips, after)
			driver := dies.NewBulkDriver()
			for range 4 {
				if driver.Sweep(t.Context()) == nil && !w.live {
					goes.settle()
				}
			}
			broke = faults.Disarm()
			what := fmt.Sprintf("trip %d, after %v", trips, after)
			living := goes.NewBulkDriver()
			for tries := 0; !goes.bulkNow(b).State.Over(); tries++ {
				require.Less(t, tries, 50, what)
				require.NoError(t, living.Sweep(t.Context()), what)
				if !w.live {
					goes.settle()
				}
				goes.offset += time.Second
				goes.lists()
			}
			require.NoError(t, driver.Sweep(t.Context()), "the first one comes back: %s", what)
			require.Equal(t, engine.BulkCounts{Total: many, Succeeded: many}, goes.bulkNow(b).Counts, what)
			w.each(goes, all, what)
			for _, item := range goes.items(b) {
				require.Equal(t, engine.OutcomeSucceeded, item.Outcome, what)
			}
		}
	}
	t.Logf("it died %d times", rounds-1)
	require.Greater(t, rounds, 15)
}

// each expects the operation to have been done to every execution, once.
func (w bulkWreck) each(s *stage, all []*engine.Execution, what string) {
	s.t.Helper()
	for _, x := range all {
		require.Equal(s.t, w.status, s.at(x).Status, what)
		s.audit(x)
		if w.event == "" {
			continue
		}
		events, _, err := s.History(s.ctx(), x.ID, engine.Page{Limit: 1000})
		require.NoError(s.t, err)
		done := 0
		for _, e := range events {
			if e.Type == w.event {
				done++
			}
		}
		require.Equal(s.t, 1, done, "%s of %s: %s", w.event, x.ID, what)
	}
	if w.ask.Redrive.Identity == workflow.NewExecution {
		s.offset += 2 * time.Second
		s.lists()
		now, _, err := s.Executions(s.ctx(), "default", engine.ExecutionFilter{}, engine.Page{})
		require.NoError(s.t, err)
		of := map[string]int{}
		for _, x := range now {
			if x.Origin != nil {
				require.Equal(s.t, workflow.ExecutionSucceeded, x.Status, what)
				of[x.Origin.Execution]++
			}
		}
		for _, x := range all {
			require.Equal(s.t, 1, of[x.ID], "executions made of %s: %s", x.ID, what)
		}
	}
}

// TestABulkOperationDoesEachOnceWhereverItsDriverDies breaks a driver at trips to Redis, before and after Redis did what
// it was asked, and expects another one to bring the operation to its end, with each execution touched once.
func TestABulkOperationDoesEachOnceWhereverItsDriverDies(t *testing.T) {
	t.Parallel()
	for what, w := range bulkWrecks {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w.run(t)
		})
	}
}
