package server

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat/conductor"
	"github.com/redrive/redrive/server/compat/digdag"
	"github.com/redrive/redrive/server/compat/prefect"
	"github.com/redrive/redrive/workflow"
)

var (
	_ Engine = (*engine.Engine)(nil)
	_ Engine = (*fake)(nil)
)

// others are the engines of dialects.
type others interface {
	conductor.Engine
	digdag.Revisions // nothing here asks for them
	prefect.Engine
}

// fake is an engine in memory: enough truth for the wire, and a count of what
// was written, so that a refused request can be shown to have stored nothing.
type fake struct {
	others // nil: what only dialects ask for is asked in their own tests, but for Notes

	mu         sync.Mutex
	writes     int
	keys       map[string]engine.Key // by secret
	projects   []engine.Project
	executions []engine.Execution
	events     map[string][]engine.Event
	ended      map[string]bool
	changed    chan struct{} // closed and replaced at each change
	calls      int           // of Authenticate
	err        error         // what every read answers, when set
	panics     bool
	retried    []engine.Fence
	retriedBy  []string
	polls      chan struct{} // one for each poll that waits
	givenBack  []engine.Fence
	audited    []engine.AuditEntry
	auditedOf  []string
	auditErr   error
	last       any // the last request that came through
	beats      int // of remote workers
}

const (
	idDefault = "0190a1b2-0000-7000-8000-000000000001"
	idOther   = "0190a1b2-0000-7000-8000-000000000002"
)

var epoch = time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)

func newFake() *fake {
	f := &fake{
		keys: map[string]engine.Key{
			"rdr_read":  {ID: "k1", Name: "reader", Scope: engine.ScopeRead},
			"rdr_write": {ID: "k2", Name: "writer", Scope: engine.ScopeWrite},
			"rdr_admin": {ID: "k3", Name: "chief", Scope: engine.ScopeAdmin},
			"rdr_other": {ID: "k4", Name: "stranger", Scope: engine.ScopeAdmin, Projects: []string{"other"}},
		},
		projects: []engine.Project{{Name: "default", CreatedAt: epoch}, {Name: "other", CreatedAt: epoch}},
		events:   map[string][]engine.Event{}, ended: map[string]bool{}, changed: make(chan struct{}), polls: make(chan struct{}, 100),
	}
	for i, p := range []string{"default", "other"} {
		f.executions = append(f.executions, engine.Execution{
			ID: []string{idDefault, idOther}[i], Number: int64(41 + i), Project: p, Workflow: "hello", Version: 1,
			Status: workflow.ExecutionRunning, Input: json.RawMessage(`{"n":12345678901234567890}`), CreatedAt: epoch,
			Root: idOther, Priority: 5, Revision: 1, TasksSummary: map[workflow.TaskStatus]int{workflow.TaskRunning: 1},
		})
	}
	f.executions[0].Parent = &engine.Parent{Execution: idOther, Task: "sub"}
	return f
}

func (f *fake) write(last any) {
	f.writes++
	f.last = last
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) lock() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fake) Projects(context.Context, engine.Page) ([]engine.Project, string, error) {
	defer f.lock()()
	return f.projects, "", f.err
}

func (f *fake) Project(_ context.Context, name string) (*engine.Project, error) {
	defer f.lock()()
	for _, p := range f.projects {
		if p.Name == name {
			return &p, f.err
		}
	}
	return nil, engine.NotFound("project", name)
}

func (f *fake) PutProject(_ context.Context, p engine.Project) (*engine.Project, bool, error) {
	defer f.lock()()
	f.write(p)
	p.CreatedAt = epoch
	return &p, true, nil
}

func (f *fake) workflow(project, name string, version int) engine.Workflow {
	return engine.Workflow{
		Project: project, Name: name, Version: max(version, 1), Hash: "abc", CreatedAt: epoch,
		Definition: json.RawMessage(`{"name":"hello","description":"says hello","tasks":[]}`), Source: "name: hello\n",
	}
}

func (f *fake) Publish(_ context.Context, project string, source []byte, dryRun bool) (engine.PublishResult, error) {
	defer f.lock()()
	if string(source) == "bad" {
		return engine.PublishResult{}, engine.Invalid("definition_invalid", "the definition has problems",
			workflow.Problem{Line: 3, Column: 7, Field: "tasks[0].type", Code: "unknown", Message: "is not known", Allowed: "http, exec"})
	}
	if !dryRun {
		f.write(string(source))
	}
	return engine.PublishResult{Workflow: f.workflow(project, "hello", 1), Created: true}, nil
}

func (f *fake) Workflows(_ context.Context, project string, page engine.Page) ([]engine.Workflow, string, error) {
	return []engine.Workflow{f.workflow(project, "hello", 1)}, "", nil
}

func (f *fake) Workflow(_ context.Context, project, name string, version int) (*engine.Workflow, error) {
	defer f.lock()()
	f.last = name
	w := f.workflow(project, name, version)
	return &w, nil
}

func (f *fake) Versions(_ context.Context, project, name string, _ engine.Page) ([]engine.Workflow, string, error) {
	return []engine.Workflow{f.workflow(project, name, 2), f.workflow(project, name, 1)}, "", nil
}

func (f *fake) Start(_ context.Context, project string, r engine.StartRequest) (*engine.Execution, bool, error) {
	defer f.lock()()
	f.write(r)
	x := f.executions[0]
	x.Project, x.Input, x.Labels = project, r.Input, r.Labels
	if r.AttemptName == "taken" {
		refused := engine.Conflict("session_exists", "it is there")
		refused.Existing = &engine.Existing{ID: idOther, Number: 42, Status: workflow.ExecutionFailed}
		return nil, false, refused
	}
	if !r.SessionTime.IsZero() {
		x.Session = &engine.SessionPlace{Number: 7, Time: r.SessionTime.UTC(), Attempt: 2, AttemptName: r.AttemptName}
	}
	return &x, r.IdempotencyKey != "known", nil
}

func (f *fake) session(number int64) engine.Session {
	s := engine.Session{Number: number, Workflow: "hello", Time: epoch, Attempts: 2}
	if number != 8 {
		s.Last = &f.executions[0]
	}
	return s
}

func (f *fake) Sessions(_ context.Context, _ string, filter engine.SessionFilter, _ engine.Page) ([]engine.Session, string, error) {
	defer f.lock()()
	f.last = filter
	return []engine.Session{f.session(8), f.session(7)}, "7", nil
}

func (f *fake) Session(_ context.Context, _ string, number int64) (*engine.Session, error) {
	s := f.session(number)
	return &s, nil
}

func (f *fake) AttemptNamed(_ context.Context, _, _, _ string, times []time.Time) ([]bool, error) {
	return make([]bool, len(times)), f.err
}

func (f *fake) SessionAttempts(context.Context, string, int64, engine.Page) ([]engine.Execution, string, error) {
	return f.executions[:1], "", nil
}

func (f *fake) find(id string) (*engine.Execution, error) {
	if f.err != nil {
		return nil, f.err
	}
	for _, x := range f.executions {
		if x.ID == id || strconv.FormatInt(x.Number, 10) == id {
			if f.ended[x.ID] {
				x.Status = workflow.ExecutionSucceeded
			}
			return &x, nil
		}
	}
	return nil, engine.NotFound("execution", id)
}

func (f *fake) ExecutionDefinition(context.Context, *engine.Execution) (*workflow.Definition, error) {
	return &workflow.Definition{}, nil
}

func (f *fake) Execution(_ context.Context, id string) (*engine.Execution, error) {
	defer f.lock()()
	if f.panics {
		panic("secret detail")
	}
	return f.find(id)
}

// Executions has five pages of one.
func (f *fake) Executions(_ context.Context, project string, filter engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error) {
	defer f.lock()()
	f.last = filter
	n, _ := strconv.Atoi(page.Cursor)
	x := f.executions[0]
	x.Project, x.Number = project, int64(n)
	if n == 4 {
		return []engine.Execution{x}, "", f.err
	}
	return []engine.Execution{x}, strconv.Itoa(n + 1), f.err
}

func (f *fake) task(ref string) engine.Task {
	return engine.Task{Ref: ref, Name: "load", Type: "noop", Status: workflow.TaskRunning, Queue: "default", Effects: workflow.Effects("idempotent")}
}

func (f *fake) Tasks(_ context.Context, id string, _ engine.Page) ([]engine.Task, string, error) {
	defer f.lock()()
	_, err := f.find(id)
	return []engine.Task{f.task("load")}, "", err
}

func (f *fake) Task(_ context.Context, id, ref string) (*engine.Task, error) {
	defer f.lock()()
	f.last = ref
	_, err := f.find(id)
	t := f.task(ref)
	return &t, err
}

func (f *fake) Attempts(_ context.Context, id, ref string, _ engine.Page) ([]engine.Attempt, string, error) {
	defer f.lock()()
	f.last = ref
	_, err := f.find(id)
	return []engine.Attempt{{
		Attempt: 1, Status: workflow.TaskFailed, Queue: "default",
		Error: &workflow.Error{Code: "exit_1", Message: "it broke", Retryable: true},
	}}, "", err
}

func (f *fake) happen(id string, ended bool, kinds ...string) {
	defer f.lock()()
	for _, kind := range kinds {
		n := len(f.events[id]) + 1
		f.events[id] = append(f.events[id], engine.Event{Seq: "1700000000000-" + strconv.Itoa(n), At: epoch, Type: kind})
	}
	f.ended[id] = ended
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) History(_ context.Context, id string, _ engine.Page) ([]engine.Event, string, error) {
	defer f.lock()()
	_, err := f.find(id)
	return f.events[id], "", err
}

func (f *fake) Watch(ctx context.Context, id, after string) ([]engine.Event, bool, error) {
	for {
		f.mu.Lock()
		events, ended, changed := f.events[id], f.ended[id], f.changed
		f.mu.Unlock()
		if at := slices.IndexFunc(events, func(e engine.Event) bool { return e.Seq == after }); at >= 0 {
			events = events[at+1:]
		} else if after != "" {
			return nil, false, engine.Invalid("event_unknown", "there is no such event")
		}
		if len(events) > 0 || ended {
			return events, ended, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

func (f *fake) Graph(_ context.Context, id string) (*engine.Graph, error) {
	defer f.lock()()
	_, err := f.find(id)
	return &engine.Graph{Nodes: []engine.GraphNode{{Ref: "load", Name: "load", Type: "noop", Status: workflow.TaskRunning}}}, err
}

func (f *fake) control(id string, r engine.Request) (*engine.Execution, error) {
	defer f.lock()()
	x, err := f.find(id)
	if err != nil {
		return nil, err
	}
	if r.Reason == "late" {
		return nil, engine.Conflict("execution_ended", "the execution has ended")
	}
	f.write(r)
	return x, nil
}

func (f *fake) Cancel(_ context.Context, id string, r engine.Request) (*engine.Execution, error) {
	return f.control(id, r)
}

func (f *fake) Pause(_ context.Context, id string, r engine.Request) (*engine.Execution, error) {
	return f.control(id, r)
}

func (f *fake) Resume(_ context.Context, id string, r engine.Request) (*engine.Execution, error) {
	return f.control(id, r)
}

func (f *fake) AnswerGate(_ context.Context, id string, a engine.Answer) (*engine.Execution, error) {
	defer f.lock()()
	x, err := f.find(id)
	switch {
	case err != nil:
		return nil, err
	case a.Task == "answered":
		return nil, engine.Conflict("gate_answered", "it was answered")
	case string(a.Input) == `"no"`:
		return nil, engine.Invalid("input_invalid", "the input does not fit", workflow.Problem{Field: "input", Code: "type", Message: "is a string", Allowed: "an object"})
	}
	f.write(a)
	return x, nil
}

// handed is what SettleByHand was asked.
type handed struct {
	ref string
	engine.HandRequest
}

func (f *fake) SettleByHand(_ context.Context, id, ref string, r engine.HandRequest) (*engine.Task, error) {
	defer f.lock()()
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	if ref == "ended" {
		return nil, engine.Conflict("task_ended", "task ended is succeeded")
	}
	f.write(handed{ref, r})
	t := f.task(ref)
	t.Status = r.To
	return &t, nil
}

func (f *fake) Queues(context.Context) ([]engine.Queue, error) {
	return []engine.Queue{{Name: "default", Pending: 3, Latency: 1500 * time.Millisecond}}, nil
}

func (f *fake) PauseQueue(_ context.Context, name string) (*engine.Queue, error) {
	defer f.lock()()
	f.write(name)
	return &engine.Queue{Name: name, Paused: true}, nil
}

func (f *fake) ResumeQueue(_ context.Context, name string) (*engine.Queue, error) {
	defer f.lock()()
	f.write(name)
	return &engine.Queue{Name: name}, nil
}

func (f *fake) Workers(context.Context) ([]engine.Worker, error) {
	return []engine.Worker{{ID: "w1", Host: "h", PID: 7, Running: 2, StartedAt: epoch, SeenAt: epoch}}, nil
}

func (f *fake) Diagnose(_ context.Context, version string) (*engine.Diagnosis, error) {
	return &engine.Diagnosis{Version: version, At: epoch, Findings: []engine.Finding{
		{Check: "redis", Status: engine.FindingOK, Message: "Redis at h:1 is version 7.2.4"},
		{Check: "workers", Status: engine.FindingError, Message: "no worker is there: nothing runs", Next: "redrive worker"},
	}}, nil
}

// Poll answers one run for the type "render", and waits where there is none.
func (f *fake) Poll(ctx context.Context, q engine.Poll) ([]engine.RemoteRun, error) {
	f.mu.Lock()
	f.last = q
	f.mu.Unlock()
	if slices.Contains(q.Types, "broken") {
		return nil, &engine.Error{Kind: engine.KindUnavailable, Code: "redis_unavailable", Message: "Redis is away"}
	}
	if !slices.Contains(q.Types, "render") {
		select {
		case f.polls <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
		case <-time.After(q.Wait):
		}
		if !slices.Contains(q.Types, "late") { // comes when the poller is gone
			return nil, nil
		}
	}
	defer f.lock()()
	f.write(q)
	return []engine.RemoteRun{{
		Run: &engine.Run{
			Fence: engine.Fence{Execution: idDefault, Ref: "a", Attempt: 1, Dispatch: 1}, At: workflow.Place{Ref: "a", Node: &workflow.Node{Type: "render", Timeout: time.Minute}},
			Project: "default", Workflow: "hello", Number: 41, Try: 1, Input: json.RawMessage(`{"n":1}`), StartedAt: epoch,
		},
		Token: "token", Lease: 30 * time.Second, Deadline: epoch.Add(time.Minute),
	}}, nil
}

func (f *fake) GiveBack(_ context.Context, runs []engine.RemoteRun) {
	defer f.lock()()
	for _, r := range runs {
		f.givenBack = append(f.givenBack, r.Fence)
	}
}

func (f *fake) RemoteProgress(_ context.Context, id, ref, token string, progress json.RawMessage) error {
	defer f.lock()()
	f.last = progress
	if token == "large" {
		return engine.Invalid("request_invalid", "the progress cannot be kept")
	}
	return f.report(id, ref, token)
}

func (f *fake) RemoteHeartbeat(_ context.Context, id, ref, token string) (engine.Beat, error) {
	defer f.lock()()
	f.beats++
	return engine.Beat{Canceled: token == "canceled", Lease: 30 * time.Second}, f.report(id, ref, token)
}

func (f *fake) RemoteComplete(_ context.Context, id, ref, token string, output json.RawMessage) (engine.RemoteResult, error) {
	defer f.lock()()
	if err := f.report(id, ref, token); err != nil {
		return engine.RemoteResult{}, err
	}
	f.write(output)
	return engine.RemoteResult{Status: workflow.TaskSucceeded}, nil
}

func (f *fake) RemoteFail(_ context.Context, id, ref, token string, failure workflow.Error) (engine.RemoteResult, error) {
	defer f.lock()()
	if err := f.report(id, ref, token); err != nil {
		return engine.RemoteResult{}, err
	}
	f.write(failure)
	return engine.RemoteResult{Status: workflow.TaskRetrying, Error: &failure}, nil
}

func (f *fake) RemoteLog(_ context.Context, id, ref, token string, lines []engine.LogLine) error {
	defer f.lock()()
	if err := f.report(id, ref, token); err != nil {
		return err
	}
	f.write(lines)
	return nil
}

func (f *fake) report(id, ref, token string) error {
	if token == "stale" {
		return engine.Conflict("stale", "this run is over")
	}
	return nil
}

func (f *fake) CreateKey(_ context.Context, k engine.Key) (engine.Key, string, error) {
	defer f.lock()()
	f.write(k)
	k.ID, k.CreatedAt = "k9", epoch
	return k, "rdr_new", nil
}

func (f *fake) Keys(context.Context, engine.Page) ([]engine.Key, string, error) {
	defer f.lock()()
	return []engine.Key{{ID: "k1", Name: "reader", Scope: engine.ScopeRead, CreatedAt: epoch}}, "", nil
}

func (f *fake) RevokeKey(_ context.Context, id string) error {
	defer f.lock()()
	f.write(id)
	return nil
}

func (f *fake) Authenticate(_ context.Context, secret string) (*engine.Key, error) {
	defer f.lock()()
	f.calls++
	if k, ok := f.keys[secret]; ok {
		return &k, nil
	}
	return nil, &engine.Error{Kind: engine.KindDenied, Code: "key_invalid", Message: "there is no such key"}
}

func (f *fake) HasKeys(context.Context) (bool, error) {
	defer f.lock()()
	return len(f.keys) > 0, nil
}

func (f *fake) RetryJob(_ context.Context, fence engine.Fence, by string) error {
	defer f.lock()()
	f.retried, f.retriedBy = append(f.retried, fence), append(f.retriedBy, by)
	if fence.Ref == "refused" {
		return engine.Conflict("nothing_to_retry", "the task succeeded meanwhile")
	}
	return nil
}

func (f *fake) Ready(context.Context) error {
	defer f.lock()()
	return f.err
}

func (f *fake) TaskCounts(context.Context, string) (map[workflow.TaskStatus]int64, error) {
	return map[workflow.TaskStatus]int64{workflow.TaskRunning: 4}, nil
}

func (f *fake) Recovery(context.Context, string) (engine.Recovery, error) {
	return engine.Recovery{
		Bulks: map[engine.BulkState]int{engine.BulkHeld: 3}, Outcomes: map[engine.BulkOutcome]int{engine.OutcomeFailed: 7}, Groups: map[engine.FailureState]int{engine.FailureOpen: 5},
	}, nil
}

func (f *fake) StatusCounts(context.Context, string) (map[workflow.ExecutionStatus]int64, error) {
	return map[workflow.ExecutionStatus]int64{workflow.ExecutionRunning: 2}, nil
}

func (f *fake) Chain(context.Context, *engine.Execution) (engine.Chain, error) {
	return engine.Chain{Attempt: 1, Total: 1, Last: true}, nil
}

func (f *fake) written() int {
	defer f.lock()()
	return f.writes
}

func (f *fake) seen() any {
	defer f.lock()()
	return f.last
}

func (f *fake) PublishAfter(ctx context.Context, project string, definition []byte, _ int) (engine.PublishResult, error) {
	return f.Publish(ctx, project, definition, false)
}

func (f *fake) PublishCompiled(ctx context.Context, project string, definition []byte, _ string, dryRun bool) (engine.PublishResult, error) {
	return f.Publish(ctx, project, definition, dryRun)
}

func (f *fake) ScheduleByNumber(context.Context, int64) (*engine.Schedule, error) {
	return nil, engine.NotFound("schedule", "0")
}

func (f *fake) Notes(context.Context, string, string) (map[string]json.RawMessage, error) {
	return nil, nil
}
