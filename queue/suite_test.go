package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// house is an engine over a store, as a server and a worker have them.
type house struct {
	*engine.Engine
	*bench
}

// Execution answers what the engine does; the store's is bench's.
func (h *house) Execution(ctx context.Context, id string) (*engine.Execution, error) {
	return h.Engine.Execution(ctx, id)
}

func newHouse(t testing.TB, url string) *house {
	t.Helper()
	b := newBench(t, url, func(o *queue.Options) {
		o.Retention = time.Hour
		o.Embedded = strings.HasSuffix(t.Name(), "/embedded")
	})
	eo := engine.DefaultOptions()
	eo.Store, eo.Logger = b.Redis, quiet()
	eo.Catalog = workflow.Catalog{"noop": nil}
	e, err := engine.New(eo)
	require.NoError(t, err)
	require.NoError(t, e.Announce(t.Context(), engine.Worker{ID: "w", Queues: map[string]int{"default": 1}, Types: []string{"noop"}}))
	require.NoError(t, b.KeepQueues(t.Context(), engine.Lanes("default")))
	return &house{Engine: e, bench: b}
}

func (h *house) publish(d *workflow.Definition) {
	h.t.Helper()
	_, err := h.Publish(h.t.Context(), "default", d.Canonical(), false)
	require.NoError(h.t, err)
}

func (h *house) start(d *workflow.Definition, change ...func(*engine.StartRequest)) *engine.Execution {
	h.t.Helper()
	h.publish(d)
	r := engine.StartRequest{Workflow: d.Name}
	for _, f := range change {
		f(&r)
	}
	x, created, err := h.Start(h.t.Context(), "default", r)
	require.NoError(h.t, err)
	require.True(h.t, created)
	return x
}

func (h *house) now(id string) *engine.Execution {
	h.t.Helper()
	x, err := h.Execution(h.t.Context(), id)
	require.NoError(h.t, err)
	return x
}

// take claims the present delivery of a task.
func (h *house) take(id, ref string) *engine.Run {
	h.t.Helper()
	recs, err := h.Records(h.t.Context(), id, []string{ref})
	require.NoError(h.t, err)
	f := engine.Fence{Execution: id, Ref: ref, Attempt: recs[ref].Attempt, Dispatch: recs[ref].Dispatch}
	r, err := h.Claim(h.t.Context(), f, "w")
	require.NoError(h.t, err)
	_ = h.DeleteJob(h.t.Context(), engine.Job{Fence: f, Queue: "default"})
	return r
}

func (h *house) complete(id, ref string) {
	h.t.Helper()
	require.NoError(h.t, h.Complete(h.t.Context(), h.take(id, ref), json.RawMessage(`{}`)))
}

func (h *house) audit(id string, d *workflow.Definition) {
	h.t.Helper()
	needs := map[string][]string{}
	for _, task := range d.Tasks {
		needs[task.Name] = task.Needs
	}
	problems, err := queuetest.Audit(h.t.Context(), h.Client(), id, needs)
	require.NoError(h.t, err)
	require.Empty(h.t, problems)
}

// jobs are what waits in asynq.
func (h *house) jobs() []string {
	h.t.Helper()
	var ids []string
	for page := 1; ; page++ {
		tasks, err := asynq.NewInspectorFromRedisClient(h.Client()).ListPendingTasks("default", asynq.PageSize(500), asynq.Page(page))
		require.NoError(h.t, err)
		for _, task := range tasks {
			ids = append(ids, task.ID)
		}
		if len(tasks) < 500 {
			return ids
		}
	}
}

func tasksOf(names ...string) []workflow.Task {
	var tasks []workflow.Task
	for _, n := range names {
		name, needs, _ := strings.Cut(n, " ")
		tasks = append(tasks, workflow.Task{Name: name, Type: "noop", Needs: strings.Fields(needs)})
	}
	return tasks
}

// behaviours are what every Redis must show: a real one, a Cluster, the embedded one.
var behaviours = map[string]func(*testing.T, *house){
	"a thousand tasks, 900 of them roots":                  manyRoots,
	"one task with 900 successors":                         manySuccessors,
	"900 held tasks are let go":                            manyHeld,
	"cancel in the middle of a fan-out":                    cancelDuringSpread,
	"a life with a retry and a redrive":                    aLife,
	"large values":                                         largeValues,
	"large items":                                          largeItems,
	"values are limited":                                   valuesAreLimited,
	"a line and a session":                                 aLine,
	"bulk operations":                                      bulkOperations,
	"a lineage":                                            aLineage,
	"groups of failures":                                   failureGroups,
	"groups of failures are judged":                        judgedFailures,
	"an audit":                                             anAudit,
	"executions with their sub-executions":                 branches,
	"lines of a log":                                       aLog,
	"a log is cut":                                         aLogIsCut,
	"the logs of an execution are cut":                     logsOfAnExecutionAreCut,
	"a log ends with its execution":                        aLogEndsWithItsExecution,
	"one execution per idempotency key":                    oneKey,
	"numbers are unique over processes":                    uniqueNumbers,
	"lists, filters and pages":                             lists,
	"announcements expire":                                 announcements,
	"queues are paused":                                    queues,
	"versions":                                             versions,
	"schedules fire, and are found":                        schedules,
	"a remote worker runs an execution":                    remoteWork,
	"600 jobs wait for remote workers":                     manyOffers,
	"1,100 items, 600 at once":                             manyItems,
	"items, groups, loops and sub-workflows in each other": nested,
	"what is in a group ends with it":                      groupIsCutOff,
	"waits and approvals":                                  gates,
	"a redrive":                                            aRedrive,
	"a redrive of what runs":                               aRedriveOfWhatRuns,
	"a redrive that is out of date":                        aRedriveOutOfDate,
	"a redrive twice":                                      aRedriveTwice,
	"a hold":                                               aHold,
	"a long redrive":                                       aLongRedrive,
	"a long redrive is not overtaken":                      aLongRedriveIsNotOvertaken,
	"a long redrive is cut":                                aLongRedriveIsCut,
	"a new execution":                                      aNewExecution,
	"a new execution is lost":                              aNewExecutionIsLost,
	"a sub-execution goes on":                              aSubExecutionGoesOn,
	"a sub-execution never goes on":                        aSubExecutionNeverGoesOn,
}

func TestBehaviour(t *testing.T) {
	urls := map[string]func(t *testing.T) string{
		"standalone": func(t *testing.T) string { return queuetest.URL(t) },
		"embedded":   embedded,
		"cluster":    sharedCluster(t),
	}
	for what, behave := range behaviours {
		t.Run(what, func(t *testing.T) {
			for name, url := range urls {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					behave(t, newHouse(t, url(t)))
				})
			}
		})
	}
}

func embedded(t *testing.T) string {
	e, err := queue.StartEmbedded("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Stop(context.Background())) })
	return e.URL()
}

// sharedCluster is one Cluster for all behaviours, emptied before each.
func sharedCluster(t *testing.T) func(*testing.T) string {
	url := queuetest.Cluster(t)
	return func(t *testing.T) string {
		b := newBench(t, url)
		keys, err := queuetest.Keys(t.Context(), b.Client(), "")
		require.NoError(t, err)
		for _, key := range keys {
			require.NoError(t, b.Client().Del(t.Context(), key).Err())
		}
		return url
	}
}

func manyRoots(t *testing.T, h *house) {
	d := &workflow.Definition{Name: "roots"}
	for i := range 900 {
		d.Tasks = append(d.Tasks, tasksOf(fmt.Sprintf("r%d", i))...)
	}
	for i := range 100 {
		d.Tasks = append(d.Tasks, tasksOf(fmt.Sprintf("s%d r%d r%d", i, i, i+1))...)
	}
	x := h.start(d)
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskQueued: 900, workflow.TaskPending: 100}, h.now(x.ID).TasksSummary)
	require.Len(t, h.jobs(), 900)
	h.audit(x.ID, d)
	h.complete(x.ID, "r0")
	h.complete(x.ID, "r1")
	require.Equal(t, 899, h.now(x.ID).TasksSummary[workflow.TaskQueued], "s0 is reached")
	_, err := h.Cancel(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionCanceled, h.now(x.ID).Status)
	require.Equal(t, 998, h.now(x.ID).TasksSummary[workflow.TaskCanceled])
	require.Empty(t, h.jobs(), "canceled jobs leave asynq")
	h.audit(x.ID, d)
	_, err = h.Redrive(t.Context(), x.ID, retrying())
	require.NoError(t, err)
	require.Equal(t, 899, h.now(x.ID).TasksSummary[workflow.TaskQueued])
	h.audit(x.ID, d)
}

func fanOut(width int) *workflow.Definition {
	d := &workflow.Definition{Name: "fan", Tasks: tasksOf("first", "other")}
	for i := range width {
		d.Tasks = append(d.Tasks, tasksOf(fmt.Sprintf("m%d first", i))...)
	}
	d.Tasks = append(d.Tasks, tasksOf("join first other")...)
	return d
}

func manySuccessors(t *testing.T, h *house) {
	d := fanOut(900)
	x := h.start(d)
	h.complete(x.ID, "first")
	require.Equal(t, map[workflow.TaskStatus]int{workflow.TaskSucceeded: 1, workflow.TaskQueued: 901, workflow.TaskPending: 1}, h.now(x.ID).TasksSummary)
	h.audit(x.ID, d)
	h.complete(x.ID, "other")
	require.Equal(t, 901, h.now(x.ID).TasksSummary[workflow.TaskQueued], "the join is reached")
	require.Len(t, h.jobs(), 901)
	h.audit(x.ID, d)
}

func manyHeld(t *testing.T, h *house) {
	d := fanOut(900)
	x := h.start(d)
	run := h.take(x.ID, "first")
	_, err := h.Pause(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.NoError(t, h.Complete(t.Context(), run, json.RawMessage(`1`)))
	require.Equal(t, 901, h.now(x.ID).TasksSummary[workflow.TaskQueued])
	require.Len(t, h.jobs(), 1, "only what was out before the pause")
	h.audit(x.ID, d)
	_, err = h.Resume(t.Context(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Len(t, h.jobs(), 901)
	h.audit(x.ID, d)
	require.Equal(t, 2, h.take(x.ID, "m899").Dispatch)
}

// cancelDuringSpread: the process that completed the task crashes before it
// released the successors, and a cancel comes first.
func cancelDuringSpread(t *testing.T, h *house) {
	for _, failFast := range []bool{false, true} {
		d := fanOut(900)
		d.FailFast = failFast
		x := h.start(d)
		first, other := h.take(x.ID, "first"), h.take(x.ID, "other")
		successors := make([]engine.Successor, 901)
		_, err := h.bench.Complete(t.Context(), engine.Result{Fence: first.Fence, Output: json.RawMessage(`1`), Successors: successors})
		require.NoError(t, err)
		h.audit(x.ID, d)
		if failFast {
			_, err = h.Fail(t.Context(), other, &workflow.Error{Code: "boom"}, false)
			require.NoError(t, err)
			require.Equal(t, workflow.ExecutionFailed, h.now(x.ID).Status)
		} else {
			_, err = h.Cancel(t.Context(), x.ID, engine.Request{})
			require.NoError(t, err)
			require.Equal(t, workflow.ExecutionCanceled, h.now(x.ID).Status)
		}
		h.audit(x.ID, d)
	}
}

// sweep does what is due everywhere.
func (h *house) sweep() engine.Due {
	h.t.Helper()
	all := make([]int, 256)
	for i := range all {
		all[i] = i
	}
	due, err := h.Due(h.t.Context(), all, 0, 100)
	require.NoError(h.t, err)
	var sum engine.Due
	for _, d := range due {
		sum.Now = d.Now
		sum.Jobs, sum.Timers = append(sum.Jobs, d.Jobs...), append(sum.Timers, d.Timers...)
		sum.Decide, sum.Index = append(sum.Decide, d.Decide...), append(sum.Index, d.Index...)
		sum.Expire, sum.Building = append(sum.Expire, d.Expire...), append(sum.Building, d.Building...)
	}
	return sum
}

func aLife(t *testing.T, h *house) {
	ctx, delay, jitter := t.Context(), workflow.Duration(time.Minute), 0.0
	d := &workflow.Definition{Name: "life", Tasks: tasksOf("a", "b a")}
	d.Tasks[0].Retry = &workflow.Retry{MaxAttempts: 2, Delay: &delay, Jitter: &jitter}
	x := h.start(d, func(r *engine.StartRequest) { r.Labels = map[string]string{"k": "v"} })
	boom := &workflow.Error{Code: "boom", Message: "it broke", Retryable: true}
	final, err := h.Fail(ctx, h.take(x.ID, "a"), boom, false)
	require.NoError(t, err)
	require.False(t, final)
	require.Empty(t, h.sweep().Timers)
	h.offset += time.Minute
	timers := h.sweep().Timers
	require.Len(t, timers, 1)
	next, relay, err := h.Retry(ctx, timers[0].Fence)
	require.NoError(t, err)
	require.Equal(t, engine.NextRelay, relay)
	require.Equal(t, 2, next.Attempt)
	h.audit(x.ID, d)
	final, err = h.Fail(ctx, h.take(x.ID, "a"), boom, true)
	require.NoError(t, err)
	require.True(t, final)
	require.Equal(t, workflow.ExecutionFailed, h.now(x.ID).Status)
	_, err = h.Redrive(ctx, x.ID, retrying())
	require.NoError(t, err)
	h.audit(x.ID, d)
	h.complete(x.ID, "a")
	h.complete(x.ID, "b")
	require.Equal(t, workflow.ExecutionSucceeded, h.now(x.ID).Status)
	h.audit(x.ID, d)
	_, err = h.Index(ctx, []string{x.ID})
	require.NoError(t, err)
	h.offset += time.Hour
	require.Equal(t, []string{x.ID}, h.sweep().Expire)
	require.NoError(t, h.Purge(ctx, x.ID, false))
	keys, err := queuetest.Keys(ctx, h.Client(), "redrive:")
	require.NoError(t, err)
	for _, key := range keys {
		require.NotContains(t, key, x.ID)
		require.NotContains(t, key, ":list:", "lists of nothing are no keys")
		require.NotContains(t, key, "{n:")
	}
	found, err := h.FindNumber(ctx, x.Number)
	require.NoError(t, err)
	require.Empty(t, found)
}

func oneKey(t *testing.T, h *house) {
	ctx := t.Context()
	h.publish(&workflow.Definition{Name: "once", Tasks: tasksOf("a", "b a")})
	const callers = 50
	key := uuid.NewString()
	ids, made := make([]string, callers), make([]bool, callers)
	errs := make([]error, callers)
	together(callers, func(i int) {
		var x *engine.Execution
		if x, made[i], errs[i] = h.Start(ctx, "default", engine.StartRequest{Workflow: "once", IdempotencyKey: key}); errs[i] == nil {
			ids[i] = x.ID
		}
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), 1)
	require.Len(t, slices.DeleteFunc(made, func(b bool) bool { return !b }), 1, "one caller made it")
	_, _, err := h.Start(ctx, "default", engine.StartRequest{Workflow: "once", IdempotencyKey: key, Input: json.RawMessage(`{"other":1}`)})
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "idempotency_key_reused", refused.Code)
	x := h.now(ids[0])
	numbers, err := h.Client().HGetAll(ctx, fmt.Sprintf("redrive:{n:%d}", x.Number/1000)).Result()
	require.NoError(t, err)
	require.Len(t, numbers, 1, "the numbers of the other callers lead nowhere")
}

// together runs f at once in many goroutines and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	barrier := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-barrier
			f(i)
		})
	}
	close(barrier)
	wg.Wait()
}

func uniqueNumbers(t *testing.T, h *house) {
	other := newBench(t, h.url())
	var mu sync.Mutex
	seen := map[int64]bool{}
	together(4, func(i int) {
		store := []*queue.Redis{h.Redis, other.Redis}[i%2]
		for range 150 { // more than one block each
			n, err := store.Number(context.Background())
			mu.Lock()
			if err != nil || seen[n] {
				t.Errorf("number %d: %v, seen before: %v", n, err, seen[n])
			}
			seen[n] = true
			mu.Unlock()
		}
	})
	require.Len(t, seen, 600)
}

func lists(t *testing.T, h *house) {
	ctx := t.Context()
	one, two := &workflow.Definition{Name: "one", Tasks: tasksOf("a")}, &workflow.Definition{Name: "two", Tasks: tasksOf("a")}
	var ids []string // newest first
	for i := range 12 {
		d := one
		if i%3 == 0 {
			d = two
		}
		x := h.start(d, func(r *engine.StartRequest) {
			r.Labels = map[string]string{"parity": []string{"even", "odd"}[i%2]}
			r.CorrelationID = fmt.Sprintf("c%d", i%4)
		})
		ids = slices.Insert(ids, 0, x.ID)
		if i%2 == 0 {
			h.complete(x.ID, "a")
			_, err := h.Index(ctx, []string{x.ID})
			require.NoError(t, err)
		}
	}
	odd := func(i int) bool { return (11-i)%2 == 1 }
	for what, c := range map[string]struct {
		f    engine.ExecutionFilter
		want func(i int) bool // i counts from the newest
	}{
		"all":         {engine.ExecutionFilter{}, func(int) bool { return true }},
		"status":      {engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionRunning}}, odd},
		"statuses":    {engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionRunning, workflow.ExecutionSucceeded}}, func(int) bool { return true }},
		"none":        {engine.ExecutionFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionFailed}}, func(int) bool { return false }},
		"workflow":    {engine.ExecutionFilter{Workflow: "two"}, func(i int) bool { return (11-i)%3 == 0 }},
		"correlation": {engine.ExecutionFilter{CorrelationID: "c1"}, func(i int) bool { return (11-i)%4 == 1 }},
		"label":       {engine.ExecutionFilter{LabelKey: "parity", LabelValue: "odd"}, odd},
		"both":        {engine.ExecutionFilter{Workflow: "two", LabelKey: "parity", LabelValue: "odd"}, func(i int) bool { return odd(i) && (11-i)%3 == 0 }},
		"since":       {engine.ExecutionFilter{Since: time.Now().Add(-time.Hour)}, func(int) bool { return true }},
		"until":       {engine.ExecutionFilter{Until: time.Now().Add(-time.Hour)}, func(int) bool { return false }},
	} {
		var want []string
		for i, id := range ids {
			if c.want(i) {
				want = append(want, id)
			}
		}
		for _, limit := range []int{1, 5, 100} {
			var got []string
			for cursor, pages := "", 0; ; pages++ {
				require.Less(t, pages, 50, "%s: the pages do not end", what)
				page, next, err := h.Executions(ctx, "default", c.f, engine.Page{Cursor: cursor, Limit: limit})
				require.NoError(t, err)
				require.LessOrEqual(t, len(page), limit)
				for _, x := range page {
					got = append(got, x.ID)
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			require.Equal(t, want, got, "%s, %d a page", what, limit)
		}
	}
	counts, err := h.StatusCounts(ctx, "default")
	require.NoError(t, err)
	require.EqualValues(t, 6, counts[workflow.ExecutionRunning])
	require.EqualValues(t, 6, counts[workflow.ExecutionSucceeded])
}

func announcements(t *testing.T, h *house) {
	ctx := t.Context()
	require.NoError(t, h.Announce(ctx, engine.Worker{ID: "v", Queues: map[string]int{"default": 1}}))
	h.offset += 9 * time.Second
	require.NoError(t, h.Announce(ctx, engine.Worker{ID: "v", Queues: map[string]int{"default": 1}}))
	workers, err := h.Workers(ctx)
	require.NoError(t, err)
	require.Len(t, workers, 2)
	h.offset += 2 * time.Second
	workers, err = h.Workers(ctx)
	require.NoError(t, err)
	require.Len(t, workers, 1, "w announced itself 11 s ago")
	require.Equal(t, "v", workers[0].ID)
	require.NoError(t, h.Retire(ctx, "v"))
	workers, err = h.Workers(ctx)
	require.NoError(t, err)
	require.Empty(t, workers)
}

func queues(t *testing.T, h *house) {
	ctx := t.Context()
	x := h.start(&workflow.Definition{Name: "q", Tasks: tasksOf("a")}, func(r *engine.StartRequest) { r.Priority = 9 })
	q, err := h.PauseQueue(ctx, "default")
	require.NoError(t, err)
	require.True(t, q.Paused)
	require.Equal(t, 1, q.Pending)
	require.Equal(t, 1, q.Workers)
	_, err = h.PauseQueue(ctx, "default")
	require.NoError(t, err, "it is paused, as asked")
	q, err = h.ResumeQueue(ctx, "default")
	require.NoError(t, err)
	require.False(t, q.Paused)
	var refused *engine.Error
	_, err = h.PauseQueue(ctx, "nowhere")
	require.ErrorAs(t, err, &refused)
	require.Equal(t, engine.KindNotFound, refused.Kind)
	job := engine.Job{Fence: fenceOf(x.ID, "a"), Queue: "default.high"}
	state, err := h.JobState(ctx, job)
	require.NoError(t, err)
	require.Equal(t, engine.JobWaiting, state)
	require.NoError(t, h.Client().SRem(ctx, "asynq:queues", "default.high").Err())
	state, err = h.JobState(ctx, job)
	require.NoError(t, err)
	require.Equal(t, engine.JobWaiting, state, "asynq's list of queues lost it, and it waits")
	require.NoError(t, h.DeleteJob(ctx, job))
	state, err = h.JobState(ctx, job)
	require.NoError(t, err)
	require.Equal(t, engine.JobGone, state)
}

func versions(t *testing.T, h *house) {
	ctx := t.Context()
	for i, name := range []string{"a", "b", "b", "c"} {
		r, err := h.Publish(ctx, "default", (&workflow.Definition{Name: "v", Tasks: tasksOf(name)}).Canonical(), false)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 2, 3}[i], r.Workflow.Version)
		require.Equal(t, i != 2, r.Created)
	}
	var got []int
	for cursor := ""; ; {
		page, next, err := h.Versions(ctx, "default", "v", engine.Page{Cursor: cursor, Limit: 2})
		require.NoError(t, err)
		for _, w := range page {
			got = append(got, w.Version)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Equal(t, []int{3, 2, 1}, got)

	// A change that rests on a version is refused when another is the newest, unless that is what it makes.
	source := func(name string) []byte { return (&workflow.Definition{Name: "v", Tasks: tasksOf(name)}).Canonical() }
	for _, stale := range []int{0, 2, 4} {
		_, err := h.PublishAfter(ctx, "default", source("d"), stale)
		require.ErrorIs(t, err, engine.ErrMoved)
	}
	r, err := h.PublishAfter(ctx, "default", source("c"), 2)
	require.NoError(t, err)
	require.Equal(t, []any{3, false}, []any{r.Workflow.Version, r.Created})
	r, err = h.PublishAfter(ctx, "default", source("d"), 3)
	require.NoError(t, err)
	require.Equal(t, []any{4, true}, []any{r.Workflow.Version, r.Created})
}
