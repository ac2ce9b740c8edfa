package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// stage plays the workers and the sweeps of one Redis, with a clock that the test moves.
type stage struct {
	*engine.Engine
	t      *testing.T
	store  *queue.Redis
	offset time.Duration
	// run answers what a task gives; nil gives its input.
	run    func(r *engine.Run) (json.RawMessage, *workflow.Error)
	starts map[string]int // by ref
	order  []string
	shards []int // that are looked at; nil = all
}

func newStage(t *testing.T, change ...func(*engine.Options)) *stage {
	t.Helper()
	return newStageOn(t, queuetest.URL(t), change...)
}

func newStageOn(t *testing.T, url string, change ...func(*engine.Options)) *stage {
	t.Helper()
	s := &stage{t: t, starts: map[string]int{}}
	o := queue.DefaultOptions()
	o.URL, o.Logger, o.Retention = url, quiet(), time.Hour
	o.ClockOffset = func() time.Duration { return s.offset }
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	eo := engine.DefaultOptions()
	eo.Store, eo.Logger, eo.Catalog = store, quiet(), workflow.Catalog{"noop": nil}
	eo.Random = func() float64 { return 0 }
	for _, f := range change {
		f(&eo)
	}
	e, err := engine.New(eo)
	require.NoError(t, err)
	s.Engine, s.store = e, store
	require.NoError(t, e.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}}))
	return s
}

func (s *stage) publish(sources ...string) {
	s.t.Helper()
	for _, source := range sources {
		_, err := s.Publish(s.t.Context(), "default", []byte(source), false)
		require.NoError(s.t, err)
	}
}

func (s *stage) start(source, input string) *engine.Execution {
	s.t.Helper()
	s.publish(source)
	p, _, err := workflow.Load([]byte(source), nil, workflow.DefaultLimits())
	require.NoError(s.t, err)
	x, _, err := s.Start(s.t.Context(), "default", engine.StartRequest{Workflow: p.Definition.Name, Input: json.RawMessage(input)})
	require.NoError(s.t, err)
	return x
}

// queued are the deliveries that wait, of every execution, in a stable order.
func (s *stage) queued() []engine.Fence {
	s.t.Helper()
	due := s.due()
	var all []engine.Fence
	for _, d := range due {
		for _, f := range d.Jobs {
			recs, err := s.store.States(s.t.Context(), []engine.Fence{f})
			require.NoError(s.t, err)
			if recs[0].Status == workflow.TaskQueued {
				all = append(all, f)
			}
		}
	}
	slices.SortFunc(all, func(a, b engine.Fence) int { return strings.Compare(a.JobID(), b.JobID()) })
	return all
}

// due is what every shard has to do a while from now.
func (s *stage) due() []engine.Due {
	s.t.Helper()
	before := s.offset
	s.offset += 2 * time.Second
	defer func() { s.offset = before }()
	shards := s.shards
	if shards == nil {
		shards = everyShard()
	}
	all, err := s.store.Due(s.t.Context(), shards, 0, 1000)
	require.NoError(s.t, err)
	return all
}

// step runs every delivery that waits, once, and says whether there was one.
func (s *stage) step() bool {
	s.t.Helper()
	fences := s.queued()
	for _, f := range fences {
		s.deliver(f)
	}
	return len(fences) > 0
}

func (s *stage) deliver(f engine.Fence) {
	s.t.Helper()
	ctx := s.t.Context()
	r, err := s.Claim(ctx, f, "w")
	if err != nil {
		if !errors.Is(err, engine.ErrPaused) {
			require.ErrorIs(s.t, err, engine.ErrStale)
		}
		return
	}
	s.starts[f.Ref]++
	s.order = append(s.order, f.Ref)
	output, failure := r.Input, r.Err
	if failure == nil && s.run != nil {
		output, failure = s.run(r)
	}
	if failure != nil {
		_, err = s.Fail(ctx, r, failure, false)
	} else {
		err = s.Complete(ctx, r, output)
	}
	require.NoError(s.t, err)
}

// settle runs everything that can run without time passing.
func (s *stage) settle() {
	s.t.Helper()
	for s.step() {
	}
}

// pass lets time pass, fires what became due and runs what follows.
func (s *stage) pass(d time.Duration) {
	s.t.Helper()
	s.offset += d
	for _, due := range s.due() {
		for _, timer := range due.Timers {
			s.Fire(s.t.Context(), timer.Kind, timer.Fence)
		}
	}
	s.settle()
}

func (s *stage) at(x *engine.Execution) *engine.Execution {
	s.t.Helper()
	now, err := s.Execution(s.t.Context(), x.ID)
	require.NoError(s.t, err)
	return now
}

// ends expects the execution to have ended so, and nothing to be left of its agenda.
func (s *stage) ends(x *engine.Execution, status workflow.ExecutionStatus) *engine.Execution {
	s.t.Helper()
	now := s.at(x)
	require.Equal(s.t, status, now.Status, "error %v, tasks %v", now.Error, s.tasks(x))
	for st := range now.TasksSummary {
		require.True(s.t, st.Ended(), "%s is %s with tasks %v", x.ID, status, s.tasks(x))
	}
	s.audit(x)
	return now
}

func (s *stage) audit(x *engine.Execution) {
	s.t.Helper()
	problems, err := queuetest.Audit(s.t.Context(), s.store.Client(), x.ID, nil)
	require.NoError(s.t, err)
	require.Empty(s.t, problems)
}

// tasks are the statuses by ref.
func (s *stage) tasks(x *engine.Execution) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	page := engine.Page{Limit: 1000}
	for {
		tasks, next, err := s.Tasks(s.t.Context(), x.ID, page)
		require.NoError(s.t, err)
		for _, task := range tasks {
			all[task.Ref] = string(task.Status)
		}
		if next == "" {
			return all
		}
		page.Cursor = next
	}
}

func (s *stage) task(x *engine.Execution, ref string) *engine.Task {
	s.t.Helper()
	task, err := s.Task(s.t.Context(), x.ID, ref)
	require.NoError(s.t, err)
	return task
}

func (s *stage) ctx() context.Context { return s.t.Context() }

// together calls f at once from n goroutines.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

// retrying asks to retry tasks; none = all that did not succeed.
func retrying(from ...string) engine.RedriveRequest {
	return engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry, From: from}, By: "me"}
}
