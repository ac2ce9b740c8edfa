package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// crashed is two processes on one Redis: one that crashes at a trip, and one that lives on.
type crashed struct {
	t          *testing.T
	dies, goes *process
	clock      *clock
}

func (c *crashed) publish(p *process, source string) error {
	_, err := p.Publish(c.t.Context(), "default", []byte(source), false)
	return err
}

func (c *crashed) start(p *process, change ...func(*engine.StartRequest)) (*engine.Execution, error) {
	r := engine.StartRequest{Workflow: "w"}
	for _, f := range change {
		f(&r)
	}
	x, _, err := p.Start(c.t.Context(), "default", r)
	return x, err
}

func (c *crashed) must(x *engine.Execution, err error) *engine.Execution {
	c.t.Helper()
	require.NoError(c.t, err)
	return x
}

func (c *crashed) take(x *engine.Execution, ref string) *engine.Run {
	c.t.Helper()
	recs, err := c.goes.store.Records(c.t.Context(), x.ID, []string{ref})
	require.NoError(c.t, err)
	r, err := c.goes.Claim(c.t.Context(), engine.Fence{Execution: x.ID, Ref: ref, Attempt: recs[ref].Attempt, Dispatch: recs[ref].Dispatch}, "w")
	require.NoError(c.t, err)
	return r
}

func (c *crashed) end(x *engine.Execution) {
	c.t.Helper()
	for _, ref := range []string{"a", "b"} {
		require.NoError(c.t, c.goes.Complete(c.t.Context(), c.take(x, ref), json.RawMessage(`1`)))
	}
	require.Equal(c.t, workflow.ExecutionSucceeded, c.status(x))
}

func (c *crashed) fail(x *engine.Execution) {
	c.t.Helper()
	_, err := c.goes.Fail(c.t.Context(), c.take(x, "a"), &workflow.Error{Code: "boom", Message: "x"}, false)
	require.NoError(c.t, err)
	require.Equal(c.t, workflow.ExecutionFailed, c.status(x))
}

func (c *crashed) status(x *engine.Execution) workflow.ExecutionStatus {
	c.t.Helper()
	return c.must(c.goes.Execution(c.t.Context(), x.ID)).Status
}

// settle lets time pass until everything that is due has been looked at by the process that lives.
func (c *crashed) settle() {
	c.t.Helper()
	ctx := c.t.Context()
	for range 2 {
		c.clock.offset += 20 * time.Second
		all, err := c.goes.store.Due(ctx, everyShard(), 0, 100)
		require.NoError(c.t, err)
		for _, d := range all {
			require.NoError(c.t, c.goes.Repair(ctx, engine.Due{Now: d.Now, Decide: d.Decide, Index: d.Index}))
		}
		require.NoError(c.t, c.goes.LookAtLines(ctx, "default"))
	}
	problems, err := queuetest.AuditSlots(ctx, c.goes.store.Client(), "default")
	require.NoError(c.t, err)
	require.Empty(c.t, problems)
}

func everyShard() []int {
	list := make([]int, 256)
	for i := range list {
		list[i] = i
	}
	return list
}

func (c *crashed) all() []engine.Execution {
	c.t.Helper()
	list, _, err := c.goes.Executions(c.t.Context(), "default", engine.ExecutionFilter{}, engine.Page{})
	require.NoError(c.t, err)
	return list
}

func inSession(at time.Time, name string) func(*engine.StartRequest) {
	return func(r *engine.StartRequest) { r.SessionTime, r.AttemptName = at, name }
}

// crashes are what one process does until it crashes, and what must be so when the other one has swept up.
var crashes = map[string]func(c *crashed) (act func() error, check func()){
	"a start that takes a slot": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		return func() error { _, err := c.start(c.dies); return err }, func() {
			made := c.all()
			next := c.must(c.start(c.goes))
			if len(made) == 0 {
				require.Equal(c.t, workflow.ExecutionRunning, next.Status, "the slot of what was never created is free again")
				return
			}
			require.Equal(c.t, workflow.ExecutionRunning, made[0].Status)
			require.Equal(c.t, workflow.ExecutionQueued, next.Status)
			c.end(&made[0])
			require.Equal(c.t, workflow.ExecutionRunning, c.status(next))
		}
	},
	"a start that waits": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first := c.must(c.start(c.goes))
		return func() error { _, err := c.start(c.dies); return err }, func() {
			last := c.must(c.start(c.goes))
			c.end(first)
			made := c.all()
			if len(made) == 3 {
				require.Equal(c.t, workflow.ExecutionRunning, made[1].Status, "it came before")
				c.end(&made[1])
			}
			require.Equal(c.t, workflow.ExecutionRunning, c.status(last))
		}
	},
	"a start that waits while the slot is freed": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first := c.must(c.start(c.goes))
		return func() error {
				_, err := c.start(c.dies)
				if c.dies.faults.Disarm() && err == nil {
					err = queuetest.ErrCrashed // after the execution was made
				}
				c.end(first)
				return err
			}, func() {
				for _, x := range c.all() {
					if x.ID != first.ID {
						require.Equal(c.t, workflow.ExecutionRunning, x.Status)
					}
				}
			}
	},
	"an end that frees a slot": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first, second, third := c.must(c.start(c.goes)), c.must(c.start(c.goes)), c.must(c.start(c.goes))
		require.NoError(c.t, c.goes.Complete(c.t.Context(), c.take(first, "a"), json.RawMessage(`1`)))
		last := c.take(first, "b")
		return func() error { return c.dies.Complete(c.t.Context(), last, json.RawMessage(`1`)) }, func() {
			if c.status(first) == workflow.ExecutionRunning {
				require.NoError(c.t, c.goes.Complete(c.t.Context(), last, json.RawMessage(`1`)))
			}
			require.Equal(c.t, workflow.ExecutionRunning, c.status(second))
			require.Equal(c.t, workflow.ExecutionQueued, c.status(third))
			c.end(second)
			c.end(third)
		}
	},
	"a redrive that waits": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first := c.must(c.start(c.goes))
		c.fail(first)
		second := c.must(c.start(c.goes))
		return func() error {
				_, err := c.dies.Redrive(c.t.Context(), first.ID, retrying())
				return err
			}, func() {
				redriven := c.status(first) == workflow.ExecutionQueued
				c.end(second)
				if !redriven {
					require.Equal(c.t, workflow.ExecutionFailed, c.status(first))
					return
				}
				require.Equal(c.t, workflow.ExecutionRunning, c.status(first))
				c.end(first)
			}
	},
	"a redrive that takes a slot": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullReject)))
		first := c.must(c.start(c.goes))
		c.fail(first)
		return func() error {
				_, err := c.dies.Redrive(c.t.Context(), first.ID, retrying())
				return err
			}, func() {
				_, err := c.start(c.goes)
				if c.status(first) == workflow.ExecutionFailed {
					require.NoError(c.t, err)
					return
				}
				conflict(c.t, err, "concurrency_limit")
				c.end(first)
			}
	},
	"the cancellation of one that waits": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first, second, third := c.must(c.start(c.goes)), c.must(c.start(c.goes)), c.must(c.start(c.goes))
		return func() error { _, err := c.dies.Cancel(c.t.Context(), second.ID, engine.Request{}); return err }, func() {
			c.end(first)
			if c.status(second) != workflow.ExecutionCanceled {
				require.Equal(c.t, workflow.ExecutionRunning, c.status(second))
				c.end(second)
			}
			require.Equal(c.t, workflow.ExecutionRunning, c.status(third))
		}
	},
	"a pause that is lifted before its turn": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first, second := c.must(c.start(c.goes)), c.must(c.start(c.goes))
		c.must(c.goes.Pause(c.t.Context(), second.ID, engine.Request{}))
		return func() error { _, err := c.dies.Resume(c.t.Context(), second.ID, engine.Request{}); return err }, func() {
			resumed := c.status(second) == workflow.ExecutionQueued
			c.end(first)
			if !resumed {
				require.Equal(c.t, workflow.ExecutionPaused, c.status(second))
				c.must(c.goes.Resume(c.t.Context(), second.ID, engine.Request{}))
			}
			require.Equal(c.t, workflow.ExecutionRunning, c.status(second))
			c.end(second)
		}
	},
	"a limit that is raised": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		first, second := c.must(c.start(c.goes)), c.must(c.start(c.goes))
		return func() error { return c.publish(c.dies, limited(2, workflow.WhenFullQueue)) }, func() {
			newest, err := c.goes.Workflow(c.t.Context(), "default", "w", 0)
			require.NoError(c.t, err)
			require.Equal(c.t, newest.Version == 2, c.status(second) == workflow.ExecutionRunning)
			c.end(first)
			require.Equal(c.t, workflow.ExecutionRunning, c.status(second))
		}
	},
	"a start in a session": func(c *crashed) (func() error, func()) {
		require.NoError(c.t, c.publish(c.goes, limited(1, workflow.WhenFullQueue)))
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		first := c.must(c.start(c.goes, inSession(at, "")))
		return func() error { _, err := c.start(c.dies, inSession(at, "again")); return err }, func() {
			made := c.all()
			second, err := c.start(c.goes, inSession(at, "again"))
			if len(made) == 2 {
				require.Equal(c.t, made[0].ID, conflict(c.t, err, "session_exists").Existing.ID)
			} else {
				require.Equal(c.t, 2, c.must(second, err).Session.Attempt, "the attempt of what was never created is given again")
			}
			c.end(first)
		}
	},
}

// TestACrashDelaysATurnAndLosesNone breaks each of these at every trip to Redis, before and after Redis did what it was asked.
func TestACrashDelaysATurnAndLosesNone(t *testing.T) {
	for what, prepare := range crashes {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			url, at := queuetest.URL(t), &clock{}
			c := &crashed{t: t, dies: newProcess(t, url, at), goes: newProcess(t, url, at), clock: at}
			for trips, broke := 0, true; broke; trips++ {
				for _, after := range []bool{false, true} {
					require.NoError(t, c.goes.store.Client().FlushDB(t.Context()).Err())
					c.dies, c.goes = newProcess(t, url, at), newProcess(t, url, at)
					act, check := prepare(c)
					c.dies.faults.Arm(trips, after)
					err := act()
					broke = c.dies.faults.Disarm() || err != nil
					t.Logf("trip %d after %v: broke %v, %v", trips, after, broke, err)
					c.settle()
					check()
					c.settle()
				}
			}
		})
	}
}
