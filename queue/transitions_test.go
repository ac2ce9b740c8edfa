package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// bench is a store with a clock that the test moves.
type bench struct {
	*queue.Redis
	t       testing.TB
	options queue.Options
	offset  time.Duration
	kept    string // the execution that an event was driven in, where it needed one of its own
}

func (b *bench) url() string { return b.options.URL }

func newBench(t testing.TB, url string, change ...func(*queue.Options)) *bench {
	t.Helper()
	b := &bench{t: t}
	o := queue.DefaultOptions()
	o.URL, o.Logger = url, quiet()
	o.ClockOffset = func() time.Duration { return b.offset }
	for _, f := range change {
		f(&o)
	}
	b.options = o
	store, err := queue.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	b.Redis = store
	return b
}

const lease = time.Minute

// create makes an execution of two roots: keep, which keeps it going, and t,
// which waits for a decision where decide is set.
func (b *bench) create(decide bool) string {
	b.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(b.t, err)
	_, created, err := b.Create(b.t.Context(), engine.NewExecution{
		Execution: engine.Execution{ID: id.String(), Project: "default", Workflow: "w", Version: 1, DefinitionHash: "h", Input: json.RawMessage(`{}`), Root: id.String()},
		Tasks:     []engine.NewTask{{Ref: "keep"}, {Ref: "t"}},
		Roots:     []engine.Successor{{Ref: "keep"}, {Ref: "t", Decide: decide}},
	})
	require.NoError(b.t, err)
	require.True(b.t, created)
	return id.String()
}

func fenceOf(id, ref string) engine.Fence {
	return engine.Fence{Execution: id, Ref: ref, Attempt: 1, Dispatch: 1}
}

func resultOf(f engine.Fence) engine.Result {
	return engine.Result{Fence: f, Output: json.RawMessage(`1`), OnFailure: engine.OnwardStop, Error: &workflow.Error{Code: "boom", Message: "it broke"}}
}

func (b *bench) claim(f engine.Fence) error {
	_, err := b.Claim(b.t.Context(), f, "w", lease, 0, nil)
	return err
}

// reach brings task t of a new execution into a status, by real transitions
// except for waiting, which nothing reaches yet.
func (b *bench) reach(s workflow.TaskStatus) string {
	b.t.Helper()
	ctx := b.t.Context()
	id := b.create(s == workflow.TaskPending || s == workflow.TaskSkipped || s == workflow.TaskWaiting)
	f := fenceOf(id, "t")
	if !slices.Contains([]workflow.TaskStatus{workflow.TaskPending, workflow.TaskQueued, workflow.TaskSkipped, workflow.TaskCanceled, workflow.TaskWaiting}, s) {
		require.NoError(b.t, b.claim(f))
	}
	var err error
	switch s {
	case workflow.TaskRetrying:
		_, err = b.BackOff(ctx, resultOf(f), 0)
	case workflow.TaskSucceeded:
		_, err = b.Complete(ctx, resultOf(f))
	case workflow.TaskFailed:
		_, err = b.Fail(ctx, resultOf(f))
	case workflow.TaskTimedOut:
		r := resultOf(f)
		r.TimedOut = true
		_, err = b.Fail(ctx, r)
	case workflow.TaskCanceled:
		_, err = b.Drop(ctx, id, engine.Drop{To: workflow.TaskCanceled, Reason: "test", Refs: []string{"t"}})
	case workflow.TaskSkipped:
		_, err = b.Verdict(ctx, id, "t", 0, workflow.Verdict{Action: workflow.ActionSkip}, engine.Result{})
	case workflow.TaskWaiting:
		_, err = b.BeginTask(ctx, id, engine.Begin{Ref: "t", Waiting: true})
	}
	require.NoError(b.t, err)
	require.Equal(b.t, s, b.statusOf(id), "the test could not bring the task there")
	return id
}

func (b *bench) statusOf(id string) workflow.TaskStatus {
	b.t.Helper()
	recs, err := b.Records(b.t.Context(), id, []string{"t"})
	require.NoError(b.t, err)
	return recs["t"].Status
}

// dump is everything in the database, to see that a refusal wrote nothing.
func (b *bench) dump() map[string]string {
	b.t.Helper()
	ctx := b.t.Context()
	keys, err := queuetest.Keys(ctx, b.Client(), "")
	require.NoError(b.t, err)
	all := map[string]string{}
	for _, key := range keys {
		s, err := b.Client().Dump(ctx, key).Result()
		require.NoError(b.t, err)
		all[key] = s
	}
	return all
}

// end brings the execution of t to its end, whatever t is.
func (b *bench) end(id string) {
	b.t.Helper()
	ctx := b.t.Context()
	_, err := b.Drop(ctx, id, engine.Drop{To: workflow.TaskCanceled, Reason: "test", Refs: []string{"keep"}})
	require.NoError(b.t, err)
	require.NoError(b.t, b.Finish(ctx, id, 0, workflow.ExecutionFailed, nil, nil, nil))
}

// closeAs ends t as something else than a worker's result does.
func (b *bench) closeAs(ctx context.Context, id string, to workflow.TaskStatus, by string, from ...workflow.TaskStatus) error {
	_, err := b.CloseTask(ctx, id, engine.Close{Ref: "t", Epoch: -1, From: from, To: to, By: by, OnFailure: engine.OnwardStop, Error: &workflow.Error{Code: "boom"}})
	if _, other := errors.AsType[*engine.TaskStatusError](err); other {
		return engine.ErrStale
	}
	return err
}

func byHand(to workflow.TaskStatus) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, id string) error {
		return b.closeAs(ctx, id, to, "ann", workflow.TaskPending, workflow.TaskQueued, workflow.TaskRunning, workflow.TaskRetrying, workflow.TaskWaiting)
	}
}

// control makes t a task that no worker runs.
func (b *bench) control(id string) {
	b.t.Helper()
	key := queuetest.ShardKey(id, "t:"+id)
	raw, err := b.Client().HGet(b.t.Context(), key, "t").Result()
	require.NoError(b.t, err)
	require.NoError(b.t, b.Client().HSet(b.t.Context(), key, "t", strings.Replace(raw, "{", `{"control":"1",`, 1)).Err())
}

// taskEvents are the transitions of the store behind each event.
var taskEvents = map[workflow.Event]func(ctx context.Context, b *bench, id string) error{
	workflow.EventReady: func(ctx context.Context, b *bench, id string) error {
		_, err := b.Verdict(ctx, id, "t", 0, workflow.Verdict{Action: workflow.ActionRun}, engine.Result{})
		return err
	},
	workflow.EventClaim: func(_ context.Context, b *bench, id string) error { return b.claim(fenceOf(id, "t")) },
	workflow.EventRelease: func(ctx context.Context, b *bench, id string) error {
		_, _, err := b.Redispatch(ctx, fenceOf(id, "t"), engine.WhyRelease, 0)
		return err
	},
	workflow.EventLose: func(ctx context.Context, b *bench, id string) error {
		b.offset += 2 * lease
		_, _, err := b.Redispatch(ctx, fenceOf(id, "t"), engine.WhyExpire, 0)
		if errors.Is(err, engine.ErrStale) {
			_, _, err = b.Redispatch(ctx, fenceOf(id, "t"), engine.WhyVanish, 0)
		}
		return err
	},
	workflow.EventComplete: func(ctx context.Context, b *bench, id string) error {
		_, err := b.Complete(ctx, resultOf(fenceOf(id, "t")))
		return err
	},
	workflow.EventFail: func(ctx context.Context, b *bench, id string) error {
		_, err := b.Fail(ctx, resultOf(fenceOf(id, "t")))
		if errors.Is(err, engine.ErrStale) {
			_, err = b.Verdict(ctx, id, "t", 0, workflow.Verdict{Action: workflow.ActionFail, Error: &workflow.Error{Code: "boom"}}, engine.Result{OnFailure: engine.OnwardStop})
		}
		return err
	},
	workflow.EventTimeOut: func(ctx context.Context, b *bench, id string) error {
		r := resultOf(fenceOf(id, "t"))
		r.TimedOut = true
		_, err := b.Fail(ctx, r)
		if errors.Is(err, engine.ErrStale) {
			err = b.closeAs(ctx, id, workflow.TaskTimedOut, "", workflow.TaskWaiting)
		}
		return err
	},
	workflow.EventBegin: func(ctx context.Context, b *bench, id string) error {
		_, err := b.BeginTask(ctx, id, engine.Begin{Ref: "t"})
		return err
	},
	workflow.EventArm: func(ctx context.Context, b *bench, id string) error {
		_, err := b.BeginTask(ctx, id, engine.Begin{Ref: "t", Waiting: true})
		return err
	},
	workflow.EventAnswer: func(ctx context.Context, b *bench, id string) error {
		return b.closeAs(ctx, id, workflow.TaskSucceeded, "", workflow.TaskWaiting)
	},
	workflow.EventRearm: func(ctx context.Context, b *bench, id string) error {
		_, _, err := b.Retry(ctx, fenceOf(id, "t"))
		return err
	},
	workflow.EventHandComplete: byHand(workflow.TaskSucceeded),
	workflow.EventHandFail:     byHand(workflow.TaskFailed),
	workflow.EventHandSkip:     byHand(workflow.TaskSkipped),
	workflow.EventBackOff: func(ctx context.Context, b *bench, id string) error {
		_, err := b.BackOff(ctx, resultOf(fenceOf(id, "t")), time.Hour)
		return err
	},
	workflow.EventRetry: func(ctx context.Context, b *bench, id string) error {
		_, _, err := b.Retry(ctx, fenceOf(id, "t"))
		return err
	},
	workflow.EventSkip: func(ctx context.Context, b *bench, id string) error {
		_, err := b.Verdict(ctx, id, "t", 0, workflow.Verdict{Action: workflow.ActionSkip}, engine.Result{})
		return err
	},
	workflow.EventCancel: func(ctx context.Context, b *bench, id string) error {
		before := b.statusOf(id)
		out, err := b.Drop(ctx, id, engine.Drop{To: workflow.TaskCanceled, Reason: "test", Refs: []string{"t"}})
		if err == nil && len(out) == 0 && b.statusOf(id) == before {
			return engine.ErrStale // Drop leaves alone what has ended
		}
		return err
	},
	workflow.EventReset: func(ctx context.Context, b *bench, id string) error {
		if b.statusOf(id).Ended() {
			b.end(id)
		}
		return b.stepped(ctx, id, workflow.Step{Do: workflow.StepReset, Wait: true, Needs: []string{"keep"}}, b.statusOf(id).Ended())
	},
	workflow.EventSupersede: func(ctx context.Context, b *bench, id string) error {
		return b.stepped(ctx, id, workflow.Step{Do: workflow.StepReset, Wait: true, Needs: []string{"keep"}}, b.statusOf(id).Active())
	},
	workflow.EventPin: func(ctx context.Context, b *bench, id string) error {
		return b.stepped(ctx, id, workflow.Step{Do: workflow.StepPin, Output: "7"}, true)
	},
	workflow.EventPass: func(ctx context.Context, b *bench, id string) error {
		return b.stepped(ctx, id, workflow.Step{Do: workflow.StepSkip, Reason: workflow.ReasonByHand}, true)
	},
	workflow.EventKeep: func(ctx context.Context, b *bench, id string) error {
		epoch := 0
		if b.statusOf(id) == workflow.TaskPending { // as a redrive of what changed leaves one that had succeeded
			id, epoch = b.reach(workflow.TaskSucceeded), 1
			require.NoError(b.t, b.stepped(ctx, id, workflow.Step{Do: workflow.StepReset, Wait: true, Mode: "decide", Maybe: true}, true))
			b.kept = id
		}
		_, err := b.Verdict(ctx, id, "t", epoch, workflow.Verdict{Action: workflow.ActionKeep}, engine.Result{})
		return err
	},
}

// stepped applies a step to t, if the plan would have it.
func (b *bench) stepped(ctx context.Context, id string, s workflow.Step, planned bool) error {
	x, err := b.Execution(ctx, id, false)
	require.NoError(b.t, err)
	recs, err := b.Records(ctx, id, []string{"t"})
	require.NoError(b.t, err)
	s.Ref, s.Attempt, s.Status = "t", recs["t"].Attempt, recs["t"].Status
	if !planned {
		return errNotPlanned
	}
	_, _, err = b.Commit(ctx, engine.Commit{Token: uuid.NewString(), Parts: []engine.CommitPart{{
		Execution: id, Epoch: x.Redrives, Revision: -1, Live: !x.Status.Ended(), Steps: []workflow.Step{s},
	}}})
	return err
}

// errNotPlanned says that no plan has such a step.
var errNotPlanned = errors.New("no plan has this")

// notMade are entries of the tables that no script makes, because nothing asks for them yet.
var notMade = []string{"fail queued", "expire queued"}

// TestTaskTransitionsAgree drives every event from every status against Redis:
// what the table allows ends where it says, all else is refused and writes nothing.
func TestTaskTransitionsAgree(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	require.Len(t, taskEvents, len(workflow.TaskTransitions))
	for event, do := range taskEvents {
		for _, from := range workflow.TaskStatuses {
			require.NoError(t, b.Client().FlushDB(t.Context()).Err())
			id := b.reach(from)
			if event == workflow.EventRearm {
				b.control(id)
			}
			before := b.dump()
			err := do(t.Context(), b, id)
			to, allowed := workflow.TaskTransitions[event][from]
			pair := fmt.Sprintf("%s %s", event, from)
			switch {
			case slices.Contains(notMade, pair), !allowed:
				require.Error(t, err, pair)
				if event != workflow.EventCancel { // an empty Drop counts as a revision
					require.Equal(t, before, b.dump(), "%s was refused and wrote", pair)
				}
				require.Equal(t, from, b.statusOf(id), pair)
			default:
				require.NoError(t, err, pair)
				if b.kept != "" {
					id, b.kept = b.kept, ""
				}
				require.Equal(t, to, b.statusOf(id), pair)
			}
		}
	}
}

// attain brings an execution, whose tasks have all ended, into a status; by hand
// where nothing reaches it yet.
func (b *bench) attain(s workflow.ExecutionStatus) string {
	b.t.Helper()
	ctx := b.t.Context()
	id := b.reach(workflow.TaskFailed)
	_, err := b.Drop(ctx, id, engine.Drop{To: workflow.TaskCanceled, Reason: "test", Refs: []string{"keep"}})
	require.NoError(b.t, err)
	switch s {
	case workflow.ExecutionPaused:
		_, err = b.Control(ctx, id, engine.OperationPause, engine.Request{})
	case workflow.ExecutionCanceling:
		_, err = b.Control(ctx, id, engine.OperationCancel, engine.Request{})
	case workflow.ExecutionCanceled:
		if _, err = b.Control(ctx, id, engine.OperationCancel, engine.Request{}); err == nil {
			err = b.Finish(ctx, id, 0, s, nil, nil, nil)
		}
	case workflow.ExecutionSucceeded, workflow.ExecutionFailed, workflow.ExecutionTimedOut:
		err = b.Finish(ctx, id, 0, s, nil, nil, nil)
	case workflow.ExecutionQueued:
		err = b.Client().HSet(ctx, queuetest.ShardKey(id, "x:"+id), "status", "queued", "waits", 0).Err()
	}
	require.NoError(b.t, err)
	return id
}

var executionEvents = map[workflow.Event]func(ctx context.Context, b *bench, id string) error{
	workflow.EventPause:        controlled(engine.OperationPause),
	workflow.EventResume:       controlled(engine.OperationResume),
	workflow.EventAskCancel:    controlled(engine.OperationCancel),
	workflow.EventSucceed:      finished(workflow.ExecutionSucceeded),
	workflow.EventEndFailed:    finished(workflow.ExecutionFailed),
	workflow.EventEndCancel:    finished(workflow.ExecutionCanceled),
	workflow.EventExpire:       finished(workflow.ExecutionTimedOut),
	workflow.EventRedrive:      redriven(false),
	workflow.EventQueueRedrive: redriven(true),
	workflow.EventLiveRedrive: func(ctx context.Context, b *bench, id string) error {
		_, _, err := b.Commit(ctx, engine.Commit{Token: uuid.NewString(), Parts: []engine.CommitPart{{Execution: id, Revision: -1, Live: true}}})
		return err
	},
	workflow.EventAdmit: func(ctx context.Context, b *bench, id string) error {
		_, err := b.Begin(ctx, id, 0)
		return err
	},
	workflow.EventResumeQueued: func(ctx context.Context, b *bench, id string) error {
		x, err := b.Execution(ctx, id, false)
		require.NoError(b.t, err)
		if x.Status == workflow.ExecutionPaused { // before its turn
			require.NoError(b.t, b.Client().HSet(ctx, queuetest.ShardKey(id, "x:"+id), "waits", 0).Err())
		}
		_, err = b.Control(ctx, id, engine.OperationResume, engine.Request{})
		return err
	},
}

func redriven(waits bool) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, id string) error {
		_, _, err := b.Commit(ctx, engine.Commit{Token: uuid.NewString(), Parts: []engine.CommitPart{{Execution: id, Revision: -1, Waits: waits}}})
		return err
	}
}

func controlled(op engine.Operation) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, id string) error {
		_, err := b.Control(ctx, id, op, engine.Request{})
		return err
	}
}

func finished(s workflow.ExecutionStatus) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, id string) error { return b.Finish(ctx, id, 0, s, nil, nil, nil) }
}

// madeToo are transitions that the scripts make beyond the table: an execution
// that was canceled, and of which a part was retried, is canceled again at its end.
var madeToo = map[string]workflow.ExecutionStatus{
	"end_canceled running": workflow.ExecutionCanceled,
	"end_canceled paused":  workflow.ExecutionCanceled,
}

func TestExecutionTransitionsAgree(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	require.Len(t, executionEvents, len(workflow.ExecutionTransitions))
	for event, do := range executionEvents {
		for _, from := range workflow.ExecutionStatuses {
			require.NoError(t, b.Client().FlushDB(t.Context()).Err())
			id := b.attain(from)
			before := b.dump()
			err := do(t.Context(), b, id)
			pair := fmt.Sprintf("%s %s", event, from)
			to, allowed := workflow.ExecutionTransitions[event][from]
			if more, ok := madeToo[pair]; ok && !allowed {
				to, allowed = more, true
			}
			x, readErr := b.Execution(t.Context(), id, false)
			require.NoError(t, readErr)
			if !allowed || slices.Contains(notMade, pair) {
				require.Error(t, err, pair)
				require.Equal(t, before, b.dump(), "%s was refused and wrote", pair)
				require.Equal(t, from, x.Status, pair)
				continue
			}
			require.NoError(t, err, pair)
			require.Equal(t, to, x.Status, pair)
		}
	}
}

// A claimed record is the same JSON whichever way it was written, whatever the worker's name.
func TestAClaimedRecordCanBeRead(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	for _, worker := range []string{"host-1.example_a:7:zz", `a "name" \ with {"all"}`, "é", ""} {
		id := b.create(false)
		_, err := b.Claim(t.Context(), fenceOf(id, "t"), worker, lease, 0, nil)
		require.NoError(t, err)
		recs, err := b.Records(t.Context(), id, []string{"t"})
		require.NoError(t, err)
		rec := recs["t"]
		require.Equal(t, workflow.TaskRunning, rec.Status)
		require.Equal(t, worker, rec.Worker)
		require.Equal(t, []int{1, 1, 1}, []int{rec.Attempt, rec.Dispatch, rec.Try})
		require.NotZero(t, rec.Started)
		require.NotZero(t, rec.Queued)
	}
}
