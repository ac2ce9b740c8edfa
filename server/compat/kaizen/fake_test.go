package kaizen_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)

const (
	idFailed    = "0190a1b2-0000-7000-8000-000000000001"
	idRunning   = "0190a1b2-0000-7000-8000-000000000002"
	idCompleted = "0190a1b2-0000-7000-8000-000000000003"
	idQueued    = "0190a1b2-0000-7000-8000-000000000004"
	idPaused    = "0190a1b2-0000-7000-8000-000000000005"
	idElsewhere = "0190a1b2-0000-7000-8000-000000000006"
	idTimedOut  = "0190a1b2-0000-7000-8000-000000000007"
	idCanceled  = "0190a1b2-0000-7000-8000-000000000008" // in its queue
	idCanceling = "0190a1b2-0000-7000-8000-00000000000a"
	idNew       = "0190a1b2-0000-7000-8000-000000000009"
	idNone      = "0190a1b2-0000-7000-8000-00000000dead"
)

// fake is an engine in memory with a handful of executions. What Kaizen does not ask for is not there.
type fake struct {
	server.Engine
	mu      sync.Mutex
	all     []engine.Execution
	started []engine.StartRequest
	redrove []engine.RedriveRequest
	refuse  error         // what Start and Redrive answer
	hold    chan struct{} // Watch waits for it; nil = it does not wait
	reads   int           // of definitions
	page    int           // most executions of one; 0 = 2
}

func newFake() *fake {
	at := func(minutes int) *time.Time { t := epoch.Add(time.Duration(minutes) * time.Minute); return &t }
	return &fake{all: []engine.Execution{
		{
			ID: idFailed, Number: 1, Project: "default", Workflow: "claims", Version: 2, DefinitionHash: "claims-2", Status: workflow.ExecutionFailed, Root: idFailed,
			Input: json.RawMessage(`{"claim":"CLM-1","n":12345678901234567890}`), CreatedAt: *at(0), StartedAt: at(0), EndedAt: at(2),
			Error:    &workflow.Error{Code: "http_500", Message: "the portal said no"},
			Metadata: map[string]string{"team": "billing"},
			Labels:   map[string]string{"kaizen.batch": "june", "kaizen.login": "portal", "kaizen.name": "first <claim>", "kaizen.test": "true", "tier": "gold"},
		},
		{
			ID: idRunning, Number: 2, Project: "default", Workflow: "claims", Version: 2, DefinitionHash: "claims-2", Status: workflow.ExecutionRunning, Root: idFailed,
			Origin: &engine.Origin{Execution: idFailed, Relation: engine.RelationRerun}, Input: json.RawMessage(`{"claim":"CLM-2"}`),
			CreatedAt: *at(3), StartedAt: at(3), Labels: map[string]string{"kaizen.batch": "june", "tier": "silver"},
		},
		{
			ID: idCompleted, Number: 3, Project: "default", Workflow: "claims", Version: 1, DefinitionHash: "claims-1", Status: workflow.ExecutionSucceeded, Root: idCompleted,
			Input: json.RawMessage(`{}`), Output: json.RawMessage(`{"ok":true}`), CreatedAt: *at(4), StartedAt: at(4), EndedAt: at(5),
			Labels: map[string]string{"kaizen.batch": "june", "kaizen.login": "portal"},
		},
		{ID: idQueued, Number: 4, Project: "default", Workflow: "fanned", Version: 1, DefinitionHash: "fanned-1", Status: workflow.ExecutionQueued, Root: idQueued, CreatedAt: *at(6)},
		{ID: idPaused, Number: 5, Project: "default", Workflow: "fanned", Version: 1, DefinitionHash: "fanned-1", Status: workflow.ExecutionPaused, Root: idPaused, CreatedAt: *at(7), StartedAt: at(7)},
		{ID: idElsewhere, Number: 6, Project: "other", Workflow: "claims", Version: 1, DefinitionHash: "claims-1", Status: workflow.ExecutionFailed, Root: idElsewhere, CreatedAt: *at(8)},
		{
			ID: idTimedOut, Number: 7, Project: "default", Workflow: "claims", Version: 2, DefinitionHash: "claims-2", Status: workflow.ExecutionTimedOut, Root: idTimedOut,
			Error: &workflow.Error{Code: "timed_out", Message: "the execution did not end within its timeout of 1m0s"}, CreatedAt: *at(9), StartedAt: at(9), EndedAt: at(10),
		},
		{
			ID: idCanceled, Number: 8, Project: "default", Workflow: "claims", Version: 2, DefinitionHash: "claims-2", Status: workflow.ExecutionCanceled, Root: idCanceled,
			Reason: "no longer wanted", CreatedAt: *at(10), EndedAt: at(12),
		},
		{
			ID: idCanceling, Number: 10, Project: "default", Workflow: "claims", Version: 2, DefinitionHash: "claims-2", Status: workflow.ExecutionCanceling, Root: idCanceling,
			CreatedAt: *at(13), StartedAt: at(14),
		},
	}}
}

// Audit keeps nothing: what the audit has is tested with the server.
func (f *fake) Audit(context.Context, engine.AuditEntry, string) error { return nil }

// reset takes back what was done.
func (f *fake) reset() {
	defer f.lock()()
	f.all, f.started, f.redrove, f.refuse = newFake().all, nil, nil, nil
}

func (f *fake) lock() func() { f.mu.Lock(); return f.mu.Unlock }

func (f *fake) Authenticate(_ context.Context, secret string) (*engine.Key, error) {
	keys := map[string]engine.Key{
		"rdr_read": {ID: "k1", Name: "reader", Scope: engine.ScopeRead}, "rdr_write": {ID: "k2", Name: "writer", Scope: engine.ScopeWrite},
		"rdr_other": {ID: "k3", Name: "stranger", Scope: engine.ScopeWrite, Projects: []string{"other"}},
	}
	if k, ok := keys[secret]; ok {
		return &k, nil
	}
	return nil, &engine.Error{Kind: engine.KindDenied, Code: "key_invalid", Message: "no"}
}

func (f *fake) Execution(_ context.Context, id string) (*engine.Execution, error) {
	defer f.lock()()
	for _, x := range f.all {
		if x.ID == id || strconv.FormatInt(x.Number, 10) == id {
			return &x, nil
		}
	}
	return nil, engine.NotFound("execution", id)
}

// Executions answers a page at most, newest first; the cursor is the last id.
func (f *fake) Executions(_ context.Context, project string, q engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error) {
	defer f.lock()()
	if page.Cursor == "bad" {
		return nil, "", engine.Invalid("cursor_invalid", "the list cannot be read from there", workflow.Problem{Field: "cursor", Code: "cursor_invalid", Message: "is none"})
	}
	var found []engine.Execution
	before := slices.IndexFunc(f.all, func(x engine.Execution) bool { return x.ID == page.Cursor })
	if before < 0 {
		before = len(f.all)
	}
	for _, x := range slices.Backward(f.all[:before]) {
		if x.Project != project || q.Workflow != "" && x.Workflow != q.Workflow ||
			len(q.Status) > 0 && !slices.Contains(q.Status, x.Status) || q.LabelKey != "" && x.Labels[q.LabelKey] != q.LabelValue {
			continue
		}
		if len(found) == min(page.Limit, cmp.Or(f.page, 2)) {
			return found, found[len(found)-1].ID, nil
		}
		found = append(found, x)
	}
	return found, "", nil
}

func (f *fake) Workflow(_ context.Context, project, name string, version int) (*engine.Workflow, error) {
	defer f.lock()()
	f.reads++
	tasks := map[string]string{
		"claims": `[{"name":"after","type":"log","needs":["open"]},{"name":"open","type":"http","needs":[]}]`,
		"fanned": `[{"name":"a","type":"noop"},{"name":"b","type":"noop"}]`,
	}[name]
	if tasks == "" || project != "default" && project != "other" {
		return nil, engine.NotFound("workflow", name)
	}
	return &engine.Workflow{Project: project, Name: name, Version: max(version, 7), Definition: json.RawMessage(`{"tasks":` + tasks + `}`)}, nil
}

func (f *fake) ExecutionDefinition(ctx context.Context, x *engine.Execution) (*workflow.Definition, error) {
	w, err := f.Workflow(ctx, x.Project, x.Workflow, x.Version)
	if err != nil {
		return nil, err
	}
	var d workflow.Definition
	return &d, json.Unmarshal(w.Definition, &d)
}

func (f *fake) Start(_ context.Context, project string, r engine.StartRequest) (*engine.Execution, bool, error) {
	defer f.lock()()
	if f.refuse != nil {
		return nil, false, f.refuse
	}
	if r.Workflow == "nothing" {
		return nil, false, engine.NotFound("workflow", r.Workflow)
	}
	f.started = append(f.started, r)
	begin := epoch.Add(time.Hour)
	x := engine.Execution{
		ID: idNew, Number: 9, Project: project, Workflow: r.Workflow, Version: 7, Status: workflow.ExecutionRunning, Root: idNew,
		Input: r.Input, Labels: r.Labels, CreatedAt: begin, StartedAt: &begin,
	}
	if r.Workflow == "fanned" {
		x.Status, x.StartedAt = workflow.ExecutionQueued, nil
	}
	f.all = append(f.all, x)
	return &x, true, nil
}

func (f *fake) Redrive(_ context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error) {
	defer f.lock()()
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.redrove = append(f.redrove, r)
	i := slices.IndexFunc(f.all, func(x engine.Execution) bool { return x.ID == id })
	x, begin := f.all[i], epoch.Add(time.Hour)
	x.ID, x.Number, x.Status, x.StartedAt, x.EndedAt, x.Error, x.Output = idNew, 9, workflow.ExecutionRunning, &begin, nil, nil, nil
	x.Origin = &engine.Origin{Execution: id, Relation: engine.RelationRerun}
	f.all = append(f.all, x)
	return &x, nil
}

func (f *fake) Chain(_ context.Context, x *engine.Execution) (engine.Chain, error) {
	switch x.ID {
	case idFailed:
		return engine.Chain{Attempt: 1, Total: 2}, nil
	case idRunning, idNew:
		return engine.Chain{Attempt: 2, Total: 2, Last: true}, nil
	}
	return engine.Chain{Attempt: 1, Total: 1, Last: true}, nil
}

// Watch has one event, and behind it the end, once it is let go.
func (f *fake) Watch(ctx context.Context, id, after string) ([]engine.Event, bool, error) {
	if after == "" {
		return []engine.Event{{Seq: "1", Type: "execution.started"}}, false, nil
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	defer f.lock()()
	for i := range f.all {
		if x := &f.all[i]; x.ID == id {
			end := x.CreatedAt.Add(1500 * time.Millisecond)
			x.Status, x.StartedAt, x.EndedAt, x.Output = workflow.ExecutionSucceeded, &x.CreatedAt, &end, json.RawMessage(`{"paid":12.50}`)
		}
	}
	return nil, true, nil
}

// rig is a server that speaks Kaizen over the fake.
type rig struct {
	t      testing.TB
	fake   *fake
	server *server.Server
}

func newRig(t testing.TB, change ...func(*server.Options)) *rig {
	t.Helper()
	f := newFake()
	o := server.DefaultOptions()
	o.Engine, o.Registry, o.Listen, o.Dialects = f, prometheus.NewRegistry(), "127.0.0.1:0", []string{"kaizen"}
	o.Logger = discard
	for _, c := range change {
		c(&o)
	}
	s, err := server.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return &rig{t, f, s}
}

func (r *rig) ask(method, path, key, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	return w
}

func (r *rig) post(path, body string) (int, map[string]any) {
	r.t.Helper()
	w := r.ask("POST", path, "rdr_write", body)
	var v map[string]any
	require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &v), w.Body.String())
	return w.Code, v
}
