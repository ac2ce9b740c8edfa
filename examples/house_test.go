package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/test/fleet"
	"github.com/redrive/redrive/worker"
	"github.com/redrive/redrive/workflow"
)

// patience bounds what a test waits for; it is no measure of speed.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	code := queuetest.Run(m)
	if err := fleet.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// house is an engine and a worker on a Redis database of their own, with a clock that the test moves.
type house struct {
	*engine.Engine
	t      *testing.T
	url    string
	store  *queue.Redis
	offset atomic.Int64
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, url: queuetest.URL(t)}
	log := slog.New(slog.DiscardHandler)
	types, err := tasks.NewRegistry(append(tasks.Builtin(tasks.DevOptions()), weather.Types()...)...)
	require.NoError(t, err)
	store, err := queue.Open(t.Context(), queue.Options{
		URL: h.url, Logger: log, ClockOffset: func() time.Duration { return time.Duration(h.offset.Load()) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	waker := queue.NewWaker(store.Client(), log)
	require.NoError(t, waker.Start(t.Context()))
	h.onStop(waker.Stop)
	store.UseWaker(waker)
	eo := engine.DefaultOptions()
	eo.Store, eo.Catalog, eo.Logger, eo.Sweep = store, types.Catalog(), log, 100*time.Millisecond
	eo.Secrets = func(name string) (string, error) { return map[string]string{"api_token": "s3cret"}[name], nil }
	h.Engine, err = engine.New(eo)
	require.NoError(t, err)
	h.store = store
	pump := engine.NewPump(h.Engine)
	require.NoError(t, pump.Start(t.Context()))
	h.onStop(pump.Stop)
	o := worker.DefaultOptions()
	o.Types, o.Engine, o.Client, o.NewClient, o.Waker, o.Logger = types, h.Engine, store.Client(), store.NewClient, waker, log
	o.Claims = store.Claims(o.ID, o.Lease)
	w, err := worker.New(o)
	require.NoError(t, err)
	require.NoError(t, w.Start(t.Context()))
	h.onStop(w.Stop)
	return h
}

// onStop stops a part at the end; the parts above it are stopped by then.
func (h *house) onStop(stop func(context.Context) error) {
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(h.t, stop(ctx))
	})
}

func (h *house) publish(paths ...string) (name string) {
	h.t.Helper()
	for _, path := range paths {
		source, err := Files.ReadFile(path)
		require.NoError(h.t, err)
		published, err := h.Publish(h.t.Context(), "default", source, false)
		require.NoError(h.t, err)
		name = published.Workflow.Name
	}
	return name
}

// start publishes an example and starts it. input is a value, or JSON.
func (h *house) start(path string, input any) *engine.Execution {
	h.t.Helper()
	raw, isText := input.(string)
	if !isText {
		text, err := json.Marshal(input)
		require.NoError(h.t, err)
		raw = string(text)
	}
	x, _, err := h.Start(h.t.Context(), "default", engine.StartRequest{Workflow: h.publish(path), Input: json.RawMessage(raw)})
	require.NoError(h.t, err)
	return x
}

// until follows an execution until something is true of it.
func (h *house) until(id, what string, done func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	after := ""
	for !done() {
		events, ended, err := h.Watch(ctx, id, after)
		require.NoError(h.t, err, "%s; tasks %v", what, h.statuses(id))
		if ended && len(events) == 0 {
			require.True(h.t, done(), "it ended before %s; tasks %v", what, h.statuses(id))
			return
		}
		if len(events) > 0 {
			after = events[len(events)-1].Seq
		}
	}
}

// ends waits for the end, expects it to be this one, and holds Redis to the rules of its records.
func (h *house) ends(x *engine.Execution, status workflow.ExecutionStatus) *engine.Execution {
	h.t.Helper()
	var now *engine.Execution
	h.until(x.ID, "its end", func() bool {
		var err error
		now, err = h.Execution(h.t.Context(), x.ID)
		require.NoError(h.t, err)
		return now.Status.Ended()
	})
	require.Equal(h.t, status, now.Status, "error %v, tasks %v", now.Error, h.statuses(x.ID))
	problems, err := queuetest.Audit(h.t.Context(), h.store.Client(), x.ID, nil)
	require.NoError(h.t, err)
	require.Empty(h.t, problems)
	return now
}

// succeeds expects the execution to succeed with this output.
func (h *house) succeeds(x *engine.Execution, output string) {
	h.t.Helper()
	require.JSONEq(h.t, output, string(h.ends(x, workflow.ExecutionSucceeded).Output))
}

// reaches waits until a task has a status.
func (h *house) reaches(x *engine.Execution, ref string, status workflow.TaskStatus) *engine.Task {
	h.t.Helper()
	var task *engine.Task
	h.until(x.ID, ref+" is "+string(status), func() bool {
		tasks, err := h.Task(h.t.Context(), x.ID, ref)
		if err != nil { // not there yet: what is inside others comes when they begin
			return false
		}
		task = tasks
		return task.Status == status
	})
	return task
}

// redrive runs a part of an execution again.
func (h *house) redrive(x *engine.Execution, r workflow.Redrive) *engine.Execution {
	h.t.Helper()
	now, err := h.Redrive(h.t.Context(), x.ID, engine.RedriveRequest{Redrive: r})
	require.NoError(h.t, err)
	return now
}

// attempts are how many each of the tasks has had.
func (h *house) attempts(x *engine.Execution, refs ...string) (numbers []int) {
	h.t.Helper()
	for _, ref := range refs {
		numbers = append(numbers, h.task(x, ref).Attempt)
	}
	return numbers
}

func (h *house) task(x *engine.Execution, ref string) *engine.Task {
	h.t.Helper()
	task, err := h.Task(h.t.Context(), x.ID, ref)
	require.NoError(h.t, err)
	return task
}

// statuses are those of all tasks, by ref.
func (h *house) statuses(id string) map[string]string {
	h.t.Helper()
	all, next, err := h.Tasks(context.WithoutCancel(h.t.Context()), id, engine.Page{Limit: 1000})
	require.NoError(h.t, err)
	require.Empty(h.t, next)
	by := map[string]string{}
	for _, task := range all {
		by[task.Ref] = string(task.Status)
	}
	return by
}

// pass moves the clock; what became due is found by the pump, as after a standstill.
func (h *house) pass(d time.Duration) { h.offset.Add(int64(d)) }

func (h *house) answer(x *engine.Execution, input string) error {
	_, err := h.AnswerGate(h.t.Context(), x.ID, engine.Answer{Input: json.RawMessage(input), AnsweredBy: "ann"})
	return err
}
