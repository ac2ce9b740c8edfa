package server

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// planned is what Plan or PlanByHand was asked.
type planned struct {
	ref string
	any
}

func (f *fake) plan(operation workflow.Operation) *workflow.Plan {
	return &workflow.Plan{
		Operation: operation, Execution: idDefault, Revision: 7, Identity: workflow.InPlace, PlanHash: "7-abc",
		Tasks: []workflow.PlanRow{
			{Ref: "each[eu]", Action: workflow.PlanRun, Reason: "it failed", Status: workflow.TaskFailed, Attempt: 2, Effects: "unsafe", InputDiff: json.RawMessage(`[{"op":"add","path":"/n","value":12345678901234567890}]`)},
			{Ref: "child/new", Action: workflow.PlanUndecided, Reason: "its condition is evaluated again"},
		},
		InputDiff:      json.RawMessage(`[{"op":"replace","path":"/n","value":null}]`),
		DefinitionDiff: &workflow.DefinitionDiff{From: 1, To: 3, Added: []string{"new"}},
		Acknowledge:    []string{"each[eu]"},
	}
}

// refuse answers what the engine refuses, by the first ref of a request.
func (f *fake) refuse(r engine.RedriveRequest) error {
	switch strings.Join(r.From, ",") {
	case "succeeded":
		return engine.Conflict("nothing_to_retry", "all of it succeeded")
	case "nosuch":
		return engine.Invalid("request_invalid", "the execution cannot be redriven so",
			workflow.Problem{Field: "from[0]", Code: "unknown_ref", Message: "there is no task nosuch", Allowed: "load, each[eu]"})
	}
	return nil
}

func (f *fake) Plan(_ context.Context, id string, r engine.RedriveRequest) (*workflow.Plan, error) {
	defer f.lock()()
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	f.last = planned{any: r}
	return f.plan(r.Operation), f.refuse(r)
}

func (f *fake) Redrive(_ context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error) {
	defer f.lock()()
	x, err := f.find(id)
	if err != nil {
		return nil, err
	}
	if err := f.refuse(r); err != nil {
		return nil, err
	}
	f.write(r)
	x.Redrives, x.Parent = 1, nil
	if r.Identity == workflow.NewExecution {
		x.Redrives, x.Origin = 0, &engine.Origin{Execution: idOther, Relation: engine.Relation(r.Operation)}
	}
	return x, nil
}

func (f *fake) Redrives(_ context.Context, id string, page engine.Page) ([]engine.Redriven, string, error) {
	defer f.lock()()
	_, err := f.find(id)
	if page.Cursor == "1" {
		return []engine.Redriven{{Number: 2, Operation: workflow.OperationRerun, At: epoch, Definition: "abc", Version: 1}}, "", err
	}
	return []engine.Redriven{{
		Number: 1, Operation: workflow.OperationRetry, At: epoch, By: "ann", Reason: "mended", Request: json.RawMessage(`{"from":["each[eu]"]}`),
		Plan: f.plan(workflow.OperationRetry), Kept: 9998, Definition: "abc", Version: 1, Into: idOther, IntoNumber: 42,
	}}, "1", err
}

func (f *fake) PlanByHand(_ context.Context, id, ref string, r engine.HandRequest) (*workflow.Plan, error) {
	defer f.lock()()
	_, err := f.find(id)
	f.last = planned{ref, r}
	if r.To == workflow.TaskSkipped {
		return f.plan(workflow.OperationSkip), err
	}
	return f.plan(workflow.OperationComplete), err
}

func (f *fake) Lineage(_ context.Context, id string) (*engine.Lineage, error) {
	defer f.lock()()
	_, err := f.find(id)
	return &engine.Lineage{Root: idOther, Truncated: true, Nodes: []engine.LineageNode{
		{Execution: idOther, Number: 42, Workflow: "hello", Version: 1, Status: workflow.ExecutionFailed, CreatedAt: epoch, EndedAt: &epoch},
		{Execution: idDefault, Number: 41, Workflow: "sub", Version: 1, Status: workflow.ExecutionRunning, Parent: idOther, Relation: engine.RelationSubWorkflow, Task: "sub", Redrives: 2, CreatedAt: epoch},
	}}, err
}

func (f *fake) CompareExecutions(_ context.Context, a, b string) (*engine.Compared, error) {
	defer f.lock()()
	f.last = [2]string{a, b}
	if _, err := f.find(b); err != nil {
		return nil, err
	}
	return &engine.Compared{
		A:     engine.Side{Execution: idDefault, Version: 1, Status: "failed", Duration: 1.5, Error: &workflow.Error{Code: "c", Message: "m"}},
		B:     engine.Side{Execution: idOther, Redrive: 2, Version: 3, Status: "running"},
		Input: json.RawMessage(`[{"op":"replace","path":"/n","value":9007199254740993}]`),
		Tasks: []engine.TaskPair{{Ref: "load", A: workflow.TaskFailed, Error: true, DurationA: 0.25}}, Truncated: true,
	}, nil
}

func (f *fake) CompareAttempts(_ context.Context, id, ref string, a, b int) (*engine.Compared, error) {
	defer f.lock()()
	f.last = []any{id, ref, a, b}
	side := engine.Side{Execution: idDefault, Ref: ref, Attempt: a, Version: 1, Status: "succeeded"}
	return &engine.Compared{A: side, B: side}, nil
}

func TestRedriveAnswers(t *testing.T) {
	r := newRig(t)
	const x = "/v1/executions/" + idDefault
	for _, c := range []struct {
		method, path, body string
		status             int
		part               string
	}{
		{"POST", x + "/retry", "", 202, `"redrives":1`},
		{"POST", x + "/retry", `{}`, 202, `"lineage":{"parent":null,"relation":null,`},
		{"POST", x + "/rerun?dry_run=false", `{"identity":"new_execution"}`, 202, `"lineage":{"parent":"` + idOther + `","relation":"rerun",`},
		{"POST", x + "/retry", `{"identity":"new_execution"}`, 202, `"relation":"retry"`},
		{"POST", x + "/retry?dry_run=true", "", 200, `"plan_hash":"7-abc","revision":7,"tasks":[{"action":"run","attempt":2,"effects":"unsafe","input_diff":[{"op":"add","path":"/n","value":12345678901234567890}],"reason":"it failed","ref":"each[eu]","status":"failed"},`},
		{"POST", x + "/rerun?dry_run=true", `{}`, 200, `{"action":"undecided","attempt":0,"effects":"","reason":"its condition is evaluated again","ref":"child/new"}],"warnings":[]`},
		{"POST", x + "/rerun?dry_run=true", `{}`, 200, `"definition_diff":{"added":["new"],"changed":[],"from":1,"removed":[],"to":3},`},
		{"POST", x + "/retry", `{"from":["succeeded"]}`, 409, `"code":"nothing_to_retry"`},
		{"POST", x + "/retry?dry_run=true", `{"from":["nosuch"]}`, 422, `"errors":[{"field":"from[0]","code":"unknown_ref","message":"there is no task nosuch","allowed":"load, each[eu]"}]`},
		{"POST", "/v1/executions/999/retry", "", 404, `"code":"execution_not_found"`},
		{"GET", x + "/redrives", "", 200, `"into":"` + idOther + `","kept":9998,"number":1,"operation":"retry","plan":{`},
		{"GET", x + "/lineage", "", 200, `"parent":null,"redrives":0,"relation":null,`},
		{"GET", x + "/lineage", "", 200, `"parent":"` + idOther + `","redrives":2,"relation":"sub_workflow","status":"running","task":"sub"`},
		{"GET", x + "/lineage", "", 200, `"truncated":true`},
		{"GET", x + "/diff?with=42", "", 200, `"input":[{"op":"replace","path":"/n","value":9007199254740993}]`},
		{"GET", x + "/diff?with=42", "", 200, `"tasks":[{"a":{"duration_seconds":0.25,"status":"failed"},"b":null,"error":true,"ref":"load"}],"truncated":true`},
		{"GET", x + "/diff?with=999", "", 404, `"code":"execution_not_found"`},
		{"GET", x + "/tasks/load/diff?from=1&to=2", "", 200, `"input":null,`},
		{"POST", x + "/tasks/ended/complete?dry_run=true", `{"output":1}`, 200, `"operation":"complete"`},
		{"POST", x + "/tasks/ended/skip?dry_run=true", "", 200, `"operation":"skip"`},
		{"POST", x + "/tasks/load/skip?dry_run=false", "", 200, `"status":"skipped"`},
	} {
		w := r.do(call{method: c.method, path: c.path, key: "rdr_write", body: c.body})
		require.Equal(t, c.status, w.Code, "%s %s: %s", c.method, c.path, w.Body)
		require.Contains(t, w.Body.String(), c.part, "%s %s", c.method, c.path)
	}
}

func TestRedriveHandsEverythingOn(t *testing.T) {
	r := newRig(t)
	const x = "/v1/executions/" + idDefault
	const body = `{"from":["each[eu]","a/b[3].c"],"scope":"changed","workflow_input":{"big": 12345678901234567890},"input_mode":"merge",
		"task_input":{"a/b[3].c":null,"load":{"n":1}},"outputs":{"load": null},"definition":3,"identity":"new_execution","budget":"one",
		"subworkflows":"restart","acknowledge":["pay"],"correlation_id":"","attempt_name":"n","metadata":{},"reason":"r","plan_hash":"7-abc","idempotency_key":"k"}`
	empty := ""
	want := engine.RedriveRequest{
		Redrive: workflow.Redrive{
			Operation: workflow.OperationRerun, From: []string{"each[eu]", "a/b[3].c"}, Scope: workflow.ScopeChanged,
			WorkflowInput: json.RawMessage(`{"big": 12345678901234567890}`), InputMode: workflow.InputMerge,
			TaskInput: map[string]json.RawMessage{"a/b[3].c": json.RawMessage("null"), "load": json.RawMessage(`{"n":1}`)},
			Outputs:   map[string]json.RawMessage{"load": json.RawMessage("null")}, Definition: "3", Identity: workflow.NewExecution,
			Budget: workflow.BudgetOne, Subworkflows: workflow.SubworkflowsRestart, Acknowledge: []string{"pay"},
			CorrelationID: &empty, AttemptName: "n", Metadata: map[string]string{},
		},
		Reason: "r", By: "writer (k2)", PlanHash: "7-abc", IdempotencyKey: "k",
	}
	ask := func(path, body string, want any) {
		t.Helper()
		w := r.do(call{method: "POST", path: x + path, key: "rdr_write", body: body})
		require.Contains(t, []int{200, 202}, w.Code, w.Body)
		require.Empty(t, cmp.Diff(want, r.fake.seen(), cmp.AllowUnexported(planned{}, handed{})))
	}
	ask("/rerun", body, want)
	ask("/rerun?dry_run=true", body, planned{any: want})
	require.Equal(t, 1, r.fake.written(), "a dry run stored something")
	for _, version := range []string{"same", "latest", "12"} {
		ask("/retry", `{"definition":"`+version+`"}`, engine.RedriveRequest{
			Redrive: workflow.Redrive{Operation: workflow.OperationRetry, Definition: version}, By: "writer (k2)",
		})
	}
	ask("/retry", "", engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry}, By: "writer (k2)"})
	by := engine.HandRequest{To: workflow.TaskSucceeded, Output: json.RawMessage("[1e3]"), Reason: "r", By: "writer (k2)"}
	ask("/tasks/child%2Feach%5Beu%5D.load/complete?dry_run=true", `{"output":[1e3],"reason":"r"}`, planned{"child/each[eu].load", by})
	ask("/tasks/child%2Feach%5Beu%5D.load/complete", `{"output":[1e3],"reason":"r"}`, handed{"child/each[eu].load", by})
}

// TestNestedRefs: a ref with slashes is one escaped segment on every route that takes one.
func TestNestedRefs(t *testing.T) {
	r := newRig(t)
	const ref, x = "a/each[eu].b/c", "/v1/executions/" + idDefault + "/tasks/a%2Feach%5Beu%5D.b%2Fc"
	r.do(call{path: x + "/diff?from=1&to=2", key: "rdr_read"})
	require.Equal(t, []any{idDefault, ref, 1, 2}, r.fake.seen())
	for _, verb := range []string{"complete", "skip", "fail"} {
		r.do(call{method: "POST", path: x + "/" + verb, key: "rdr_write"})
		require.Equal(t, ref, r.fake.seen().(handed).ref, verb)
	}
	for _, path := range []string{x, x + "/attempts"} {
		r.do(call{path: path, key: "rdr_read"})
		require.Equal(t, ref, r.fake.seen(), path)
	}
	require.Equal(t, 404, r.do(call{method: "POST", path: "/v1/executions/" + idDefault + "/tasks/a/b/skip", key: "rdr_write"}).Code)
	long := strings.Repeat("r", 600)
	require.Equal(t, 200, r.do(call{method: "POST", path: "/v1/executions/" + idDefault + "/tasks/" + long + "/skip", key: "rdr_write"}).Code,
		"one inside sub-workflows may be longer than a ref of one execution")
}

func TestRedrivesArePaged(t *testing.T) {
	r := newRig(t)
	const list = "/v1/executions/" + idDefault + "/redrives"
	next := nextCursor(t, r.do(call{path: list, key: "rdr_read"}).Body.Bytes())
	w := r.do(call{path: list + "?cursor=" + next, key: "rdr_read"})
	require.Contains(t, w.Body.String(), `"next_cursor":null`)
	require.Contains(t, w.Body.String(), `"number":2,"operation":"rerun","plan":null,"request":null,"version":1`)
	require.Equal(t, 422, r.do(call{path: "/v1/executions/42/redrives?cursor=" + next, key: "rdr_read"}).Code)
}

// TestDiffStaysInTheProject: the other execution must be one that the key may see, too.
func TestDiffStaysInTheProject(t *testing.T) {
	r := newRig(t)
	for path, status := range map[string]int{
		"/v1/executions/" + idOther + "/diff?with=" + idOther:   200,
		"/v1/executions/" + idOther + "/diff?with=" + idDefault: 404,
		"/v1/executions/" + idDefault + "/diff?with=" + idOther: 404,
	} {
		require.Equal(t, status, r.do(call{path: path, key: "rdr_other"}).Code, path)
	}
}

func TestMalformedRedrives(t *testing.T) {
	const x = "/v1/executions/" + idDefault
	r := newRig(t)
	for _, c := range []struct{ name, path, body, field, code, allowed string }{
		{"an unknown field", "/retry", `{"tasks":["a"]}`, "tasks", "unknown_field", "acknowledge, attempt_name, budget, correlation_id, definition, from"},
		{"an operation of its own", "/retry", `{"operation":"rerun"}`, "operation", "unknown_field", "acknowledge, attempt_name"},
		{"somebody else", "/retry", `{"requested_by":"ann"}`, "requested_by", "unknown_field", "acknowledge, attempt_name"},
		{"from is one ref", "/rerun", `{"from":"load"}`, "from", "type", "an array"},
		{"from holds a number", "/rerun", `{"from":["load",3]}`, "from[1]", "type", "a string"},
		{"from holds nothing", "/rerun", `{"from":[""]}`, "from[0]", "length", "1 to 4616"},
		{"from is null", "/rerun", `{"from":null}`, "from", "type", "an array"},
		{"an odd scope", "/rerun", `{"scope":"all"}`, "scope", "enum", "downstream, only, changed"},
		{"no workflow input", "/retry", `{"workflow_input":null}`, "workflow_input", "type", "but null"},
		{"an input with a key twice", "/retry", `{"workflow_input":{"a":1,"a":2}}`, "workflow_input.a", "duplicate_key", "once"},
		{"an odd mode", "/retry", `{"input_mode":"patch"}`, "input_mode", "enum", "replace, merge"},
		{"inputs as a list", "/retry", `{"task_input":[]}`, "task_input", "type", "an object"},
		{"an input of no task", "/retry", `{"task_input":{"":1}}`, "task_input.", "length", "1 to 4616"},
		{"outputs as text", "/retry", `{"outputs":"x"}`, "outputs", "type", "an object"},
		{"an odd version", "/retry", `{"definition":"newest"}`, "definition", "type", "same, latest, or the number of a version"},
		{"version zero", "/retry", `{"definition":0}`, "definition", "type", "same, latest, or the number"},
		{"version zero as text", "/retry", `{"definition":"0"}`, "definition", "type", "same, latest, or the number"},
		{"half a version", "/retry", `{"definition":1.5}`, "definition", "type", "same, latest, or the number"},
		{"no version", "/retry", `{"definition":null}`, "definition", "type", "same, latest, or the number"},
		{"an odd identity", "/retry", `{"identity":"new"}`, "identity", "enum", "in_place, new_execution"},
		{"an odd budget", "/retry", `{"budget":"two"}`, "budget", "enum", "full, one"},
		{"odd sub-workflows", "/retry", `{"subworkflows":"keep"}`, "subworkflows", "enum", "resume, restart"},
		{"acknowledge all", "/retry", `{"acknowledge":true}`, "acknowledge", "type", "an array"},
		{"no attempt name", "/retry", `{"attempt_name":""}`, "attempt_name", "length", "1 to 255"},
		{"metadata of numbers", "/retry", `{"metadata":{"n":1}}`, "metadata.n", "type", "a string"},
		{"a long reason", "/retry", `{"reason":"` + strings.Repeat("r", 1025) + `"}`, "reason", "length", "0 to 1024"},
		{"an empty hash", "/retry", `{"plan_hash":""}`, "plan_hash", "length", "1 to 128"},
		{"an empty key", "/retry", `{"idempotency_key":""}`, "idempotency_key", "length", "1 to 255"},
		{"a list", "/retry", `[]`, "body", "type", "an object with acknowledge"},
		{"a dry run as 1", "/retry?dry_run=1", `{}`, "dry_run", "type", "true or false"},
		{"a dry run in the body", "/retry", `{"dry_run":true}`, "dry_run", "unknown_field", "acknowledge"},
		{"a dry run of a failure", "/tasks/load/fail?dry_run=true", `{}`, "dry_run", "unknown_parameter", "none"},
		{"a deep ref", "/tasks/" + strings.Repeat("r", 4617) + "/skip", `{}`, "ref", "length", "1 to 4616"},
		{"diff with nothing", "/diff", "", "with", "required", ""},
		{"diff with two", "/diff?with=1&with=2", "", "with", "repeated", "one value"},
		{"diff with no id", "/diff?with=a:b", "", "with", "pattern", "matches"},
		{"diff of one attempt", "/tasks/load/diff?from=1", "", "to", "required", ""},
		{"diff of attempt zero", "/tasks/load/diff?from=0&to=1", "", "from", "range", "1 to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			method := "POST"
			if c.body == "" {
				method = "GET"
			}
			w := r.do(call{method: method, path: x + c.path, key: "rdr_write", body: c.body})
			require.Equal(t, 422, w.Code, w.Body)
			p := problemOf(t, w)
			require.Len(t, p.Errors, 1, w.Body)
			require.Equal(t, c.field, p.Errors[0].Field)
			require.Equal(t, c.code, p.Errors[0].Code)
			require.Contains(t, p.Errors[0].Allowed, c.allowed)
			require.Zero(t, r.fake.written(), "a refused request stored something")
		})
	}
}

func TestClientRedrives(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_admin")
	ctx := t.Context()
	q := client.RedriveRequest{From: []string{"child/each[eu]"}, Definition: "latest", TaskInput: map[string]json.RawMessage{"load": nil}}
	x, err := c.Rerun(ctx, "41", q)
	require.NoError(t, err)
	require.Equal(t, 1, x.Redrives)
	got := r.fake.seen().(engine.RedriveRequest)
	require.Equal(t, []string{"child/each[eu]"}, got.From)
	require.Equal(t, "latest", got.Definition)
	require.JSONEq(t, "null", string(got.TaskInput["load"]))
	for operation, plan := range map[client.RedriveOperation]func() (*client.Plan, error){
		client.OperationRetry:    func() (*client.Plan, error) { return c.PlanRetry(ctx, "41", q) },
		client.OperationRerun:    func() (*client.Plan, error) { return c.PlanRerun(ctx, "41", q) },
		client.OperationComplete: func() (*client.Plan, error) { return c.PlanComplete(ctx, "41", "child/load", client.CompleteRequest{}) },
		client.OperationSkip: func() (*client.Plan, error) {
			return c.PlanSkip(ctx, "41", "child/load", client.SkipRequest{Reason: "r"})
		},
	} {
		p, err := plan()
		require.NoError(t, err)
		require.Equal(t, operation, p.Operation)
		require.JSONEq(t, `[{"op":"add","path":"/n","value":12345678901234567890}]`, string(p.Tasks[0].InputDiff))
	}
	_, err = c.SkipTask(ctx, "41", "child/load", client.SkipRequest{Reason: "r", Acknowledge: []string{"pay"}, PlanHash: "1-1xa"})
	require.NoError(t, err)
	require.Equal(t, handed{"child/load", engine.HandRequest{
		To: workflow.TaskSkipped, Reason: "r", By: "chief (k3)", Acknowledge: []string{"pay"}, PlanHash: "1-1xa",
	}}, r.fake.seen())
	_, err = c.Retry(ctx, "41", client.RedriveRequest{From: []string{"succeeded"}})
	var refusal *client.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "nothing_to_retry", refusal.Code)

	var numbers []int
	for d, err := range c.Redrives(ctx, "41") {
		require.NoError(t, err)
		numbers = append(numbers, d.Number)
	}
	require.Equal(t, []int{1, 2}, numbers, "all pages, each once")
	family, err := c.Lineage(ctx, "41")
	require.NoError(t, err)
	require.Equal(t, client.RelationSubWorkflow, *family.Nodes[1].Relation)
	d, err := c.Diff(ctx, "41", "42")
	require.NoError(t, err)
	require.Equal(t, client.TaskStatusFailed, d.Tasks[0].A.Status)
	require.Equal(t, [2]string{"41", "42"}, r.fake.seen())
	_, err = c.DiffAttempts(ctx, "41", "child/each[eu]", 1, 3)
	require.NoError(t, err)
	require.Equal(t, []any{"41", "child/each[eu]", 1, 3}, r.fake.seen())
}
