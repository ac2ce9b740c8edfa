package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// door answers as a server would, and keeps what it was asked.
type door struct {
	*httptest.Server
	answers map[string]any // by "METHOD /path?query", each a value, or a problem with its status
	asked   []string
	bodies  []string
}

func newDoor(t *testing.T, answers map[string]any) *door {
	t.Helper()
	d := &door{answers: answers}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := r.Method + " " + r.URL.RequestURI()
		d.asked, d.bodies = append(d.asked, name), append(d.bodies, string(body))
		answer, known := d.answers[name]
		if p, is := answer.(client.Problem); is || !known {
			if !known {
				p = client.Problem{Title: "Not Found", Status: 404, Code: "route_not_found", Detail: name}
			}
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(p.Status)
			answer = p
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(d.Close)
	return d
}

// run is one command line against the door.
func (d *door) run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	line := append([]string{"redrive", "--server", d.URL}, args...)
	code = Run(t.Context(), "dev", line, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func anExecution(id string, number int64) client.Execution {
	return client.Execution{ID: id, Number: number, Workflow: "weather", Version: 1, Status: client.ExecutionStatusFailed, Redrives: 1}
}

func aPlan(kept int) client.Plan {
	p := client.Plan{
		Operation: client.OperationRetry, Execution: "0190-a", Revision: 41, Identity: client.InPlace, PlanHash: "41-9f2c",
		Tasks: []client.PlanRow{
			{Ref: "year[2013]", Action: client.ActionRun, Reason: "it failed", Status: "failed", Attempt: 2, Effects: "unsafe", InputDiff: json.RawMessage(`[{"op":"replace","path":"/csv","value":"fixed.csv"}]`)},
			{Ref: "report", Action: client.ActionUndecided, Reason: "its condition is evaluated again", Effects: "idempotent"},
		},
		InputDiff:      json.RawMessage(`[{"op":"remove","path":"/old"},{"op":"add","path":"/n","value":9007199254740993}]`),
		DefinitionDiff: &client.DefinitionDiff{From: 1, To: 3, Added: []string{"extra"}, Removed: []string{"gone"}, Changed: []string{"report"}},
		Warnings:       []string{"year[2013] reads what is not kept"}, Acknowledge: []string{"year[2013]"},
	}
	for i := range kept {
		p.Tasks = append(p.Tasks, client.PlanRow{Ref: fmt.Sprintf("year[%d]", i), Action: client.ActionKeep, Reason: "it succeeded", Status: "succeeded", Attempt: 1})
	}
	return p
}

func TestRetryHandsEverythingOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"big": 9007199254740993}`), 0o600))
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, `{}`},
		{"refs", []string{"--from", "a,b[3].c", "--from", "x/y", "--acknowledge", "pay,mail"}, `{"from":["a","b[3].c","x/y"],"acknowledge":["pay","mail"]}`},
		{"words", []string{"--scope", "changed", "--definition", "3", "--budget=one", "--subworkflows", "restart", "--new", "--attempt-name", "n", "--correlation-id", "", "--reason", "r", "--plan-hash", "h", "--idempotency-key", "k"},
			`{"scope":"changed","definition":"3","budget":"one","subworkflows":"restart","identity":"new_execution","attempt_name":"n","correlation_id":"","reason":"r","plan_hash":"h","idempotency_key":"k"}`},
		{"an input", []string{"--input", "@" + file}, `{"workflow_input":{"big":9007199254740993}}`},
		{"an input with fields", []string{"--input", "@" + file, "--set", "a.b=x"}, `{"workflow_input":{"a":{"b":"x"},"big":9007199254740993}}`},
		{"fields of the former input", []string{"--set", "region=eu", "--set", "old=null"}, `{"input_mode":"merge","workflow_input":{"old":null,"region":"eu"}}`},
		{"fields that are all", []string{"--set", "region=eu", "--input-mode", "replace"}, `{"input_mode":"replace","workflow_input":{"region":"eu"}}`},
		{"inputs of tasks", []string{"--task-input", "each[eu]=null", "--task-input", "load=@" + file, "--pin", `x/y="a=b"`},
			`{"task_input":{"each[eu]":null,"load":{"big":9007199254740993}},"outputs":{"x/y":"a=b"}}`},
	} {
		for _, verb := range []string{"retry", "rerun"} {
			t.Run(verb+" with "+c.name, func(t *testing.T) {
				d := newDoor(t, map[string]any{"POST /v1/executions/12/" + verb: anExecution("0190-a", 12)})
				code, out, errOut := d.run(t, append([]string{verb, "12"}, c.args...)...)
				require.Equal(t, exitOK, code, errOut)
				require.Contains(t, out, "weather v1")
				require.JSONEq(t, c.want, d.bodies[0])
				require.NotContains(t, d.bodies[0], "9007199254740992")
			})
		}
	}
}

func TestRetryRefusesUsage(t *testing.T) {
	d := newDoor(t, nil)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"retry"}, "takes ID..."},
		{[]string{"retry", "1", "--scope", "all"}, "--scope all: want downstream, only or changed"},
		{[]string{"retry", "1", "--input-mode", "patch"}, "want replace or merge"},
		{[]string{"retry", "1", "--budget", "2"}, "want full or one"},
		{[]string{"retry", "1", "--subworkflows", "keep"}, "want resume or restart"},
		{[]string{"retry", "1", "--definition", "0"}, "want same, latest, or the number"},
		{[]string{"retry", "1", "--input", "{"}, "--input is not JSON"},
		{[]string{"retry", "1", "--task-input", "load"}, "want REF=JSON"},
		{[]string{"retry", "1", "--task-input", "load=x"}, "--task-input load: that is not JSON"},
		{[]string{"retry", "1", "--task-input", "load=@/does/not/exist"}, "no such file"},
		{[]string{"retry", "1", "--pin", "=1"}, "want REF=JSON"},
		{[]string{"retry", "1", "--pin", "a=1", "--pin", "a=2"}, "gives a two values"},
		{[]string{"retry", "1", "--set", "a=1", "--task-input", "b=1"}, "say --input-mode merge"},
		{[]string{"retry", "1", "2", "--wait"}, "--wait is of one execution, and 2 are named"},
		{[]string{"retry", "1", "2", "--plan-hash", "h"}, "--plan-hash is of one execution"},
		{[]string{"rerun", "1", "2", "--idempotency-key", "k"}, "--idempotency-key is of one execution"},
		{[]string{"rerun", "1", "--timeout", "3s"}, "--timeout bounds --wait"},
		{[]string{"execution", "diff", "1"}, "takes ID [ID]"},
		{[]string{"execution", "diff", "1", "2", "--task", "a"}, "takes ID [ID]"},
		{[]string{"execution", "diff", "1", "2", "--attempts", "1,2"}, "name it with --task"},
		{[]string{"execution", "diff", "1", "--task", "a", "--attempts", "1"}, "want two numbers"},
		{[]string{"execution", "diff", "1", "--task", "a", "--attempts", "0,1"}, "want two numbers"},
	} {
		code, _, errOut := d.run(t, c.args...)
		require.Contains(t, errOut, c.want, "%v", c.args)
		require.Contains(t, []int{exitUsage, exitFailed}, code, "%v", c.args)
	}
	require.Empty(t, d.asked, "a wrong command line asked the server")
}

func TestPlanIsShown(t *testing.T) {
	d := newDoor(t, map[string]any{
		"POST /v1/executions/12/retry?dry_run=true": aPlan(9_998),
		"GET /v1/executions/0190-a":                 anExecution("0190-a", 12),
	})
	code, out, errOut := d.run(t, "retry", "--dry-run", "12", "--task-input", `year[2013]={"csv": "it's"}`, "-o", "table", "--api-key", "rdr_secret", "--wait")
	require.Equal(t, exitOK, code, errOut)
	for _, want := range []string{
		"retry of weather #12, in place\n", "revision   41, ✘ failed\n", "tasks      1 run, 1 undecided, 9,998 keep\n",
		"year[2013]   ▶ run         ✘ failed      unsafe       it failed\n",
		"report       ? undecided                 idempotent   its condition is evaluated again\n",
		"\n… and 9,988 more are kept; -o wide shows them\n",
		"\ninput\n  remove   /old\n  add      /n  9007199254740993\n", "\ninput of year[2013]\n  replace  /csv  \"fixed.csv\"\n",
		"\ndefinition  version 1 → 3\n  added    extra\n  removed  gone\n  changed  report\n",
		"\n! year[2013] reads what is not kept\n", "must be acknowledged: year[2013]\n",
		"Nothing was changed. To execute this plan:\n  redrive retry 12 --server " + d.URL + ` --task-input 'year[2013]={"csv": "it'\''s"}' --wait --acknowledge 'year[2013]' --plan-hash 41-9f2c` + "\n",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "rdr_secret")
	require.NotContains(t, out, "9007199254740992")
	require.Less(t, strings.Count(out, "\n"), 45)

	_, out, _ = d.run(t, "retry", "--dry-run", "12", "-o", "wide")
	require.Equal(t, 9_998, strings.Count(out, "✔ keep"))
	require.NotContains(t, out, "more are kept")
}

func TestPlanInOtherFormats(t *testing.T) {
	d := newDoor(t, map[string]any{
		"POST /v1/executions/12/rerun?dry_run=true": aPlan(3),
		"POST /v1/executions/13/rerun?dry_run=true": aPlan(0),
		"POST /v1/executions/14/rerun?dry_run=true": client.Problem{Status: 409, Code: "execution_canceling", Title: "Conflict", Detail: "it is being canceled"},
		"GET /v1/executions/0190-a":                 anExecution("0190-a", 12),
	})
	want, err := json.Marshal(aPlan(3))
	require.NoError(t, err)
	code, out, _ := d.run(t, "rerun", "12", "--dry-run", "-o", "json")
	require.Equal(t, exitOK, code)
	require.JSONEq(t, string(want), out, "the same object as the API's")
	_, out, _ = d.run(t, "rerun", "12", "--dry-run", "-o", "name")
	require.Equal(t, "41-9f2c\n", out)
	code, out, errOut := d.run(t, "rerun", "12", "14", "13", "--dry-run", "-o", "jsonl")
	require.Equal(t, exitPartial, code)
	require.Equal(t, 2, strings.Count(out, "\n"))
	require.Contains(t, errOut, "14: ")
	code, out, errOut = d.run(t, "rerun", "12", "14", "13", "--dry-run")
	require.Equal(t, exitPartial, code, errOut)
	require.Contains(t, out, "redrive rerun 12 --server")
	require.Contains(t, out, "redrive rerun 13 --server")
	require.Contains(t, errOut, "it is being canceled")
}

func TestRefusedRedrives(t *testing.T) {
	refuse := func(status int, code string, fields ...client.FieldError) map[string]any {
		p := client.Problem{Status: status, Code: code, Title: "refused", Detail: "it cannot be", Errors: fields}
		return map[string]any{"POST /v1/executions/12/retry": p, "POST /v1/executions/12/retry?dry_run=true": p}
	}
	for _, c := range []struct {
		answers map[string]any
		code    int
		text    []string
	}{
		{refuse(409, "plan_changed", client.FieldError{Field: "load", Code: "task.succeeded", Message: "at 2026-01-31T08:00:00Z"}), exitConflict, []string{"--dry-run", "it cannot be (plan_changed)\nLook"}},
		{refuse(409, "acknowledge_required"), exitConflict, []string{"--acknowledge REF"}},
		{refuse(409, "nothing_to_retry"), exitConflict, []string{"redrive rerun ID"}},
		{refuse(409, "not_retryable"), exitConflict, []string{"redrive rerun ID"}},
		{refuse(422, "request_invalid", client.FieldError{Field: "from[0]", Code: "unknown_ref", Message: "there is no task lod", Allowed: "load"}), exitUsage, []string{"from[0]: there is no task lod; allowed: load"}},
		{nil, exitNotFound, []string{"route_not_found"}},
	} {
		for _, flag := range []string{"--dry-run", "--wait", "--reason=r"} {
			d := newDoor(t, c.answers)
			code, out, errOut := d.run(t, "retry", "12", flag)
			require.Equal(t, c.code, code, errOut)
			require.Empty(t, out)
			for _, text := range c.text {
				require.Contains(t, errOut, text, flag)
			}
		}
	}
}

func TestPlanByHand(t *testing.T) {
	p := aPlan(1)
	p.Operation = client.OperationComplete
	d := newDoor(t, map[string]any{
		"POST /v1/executions/12/tasks/child%2Fload/complete?dry_run=true": p,
		"POST /v1/executions/12/tasks/load/skip?dry_run=true":             p,
		"GET /v1/executions/0190-a":                                       anExecution("0190-a", 12),
	})
	code, out, errOut := d.run(t, "task", "complete", "12", "child/load", "--result", `{"rows": 1}`, "--dry-run", "--reason", "by hand")
	require.Equal(t, exitOK, code, errOut)
	require.JSONEq(t, `{"output":{"rows":1},"reason":"by hand"}`, d.bodies[0])
	require.Contains(t, out, "complete of weather #12")
	require.Contains(t, out, "redrive task complete 12 child/load --server "+d.URL+` --result '{"rows": 1}' --reason 'by hand' --acknowledge 'year[2013]' --plan-hash 41-9f2c`+"\n")
	code, out, errOut = d.run(t, "task", "skip", "12", "load", "--dry-run", "-o", "json")
	require.Equal(t, exitOK, code, errOut)
	require.Contains(t, out, `"plan_hash": "41-9f2c"`)
}

func TestLineageIsATree(t *testing.T) {
	sub, retry := client.RelationSubWorkflow, client.RelationRetry
	a, b, gone := "0190-a", "0190-b", "0190-z"
	node := func(id string, number int64, parent *string, relation *client.LineageRelation, task string) client.LineageNode {
		return client.LineageNode{Execution: id, Number: number, Workflow: "w", Version: 1, Status: "failed", Parent: parent, Relation: relation, Task: task}
	}
	d := newDoor(t, map[string]any{"GET /v1/executions/13/lineage": client.LineageTree{Root: a, Truncated: true, Nodes: []client.LineageNode{
		node(a, 12, nil, nil, ""), node("0190-c", 14, &a, &sub, "load"), node(b, 13, &a, &retry, ""), node("0190-d", 15, &b, &sub, "load"), node("0190-e", 16, &gone, &retry, ""),
	}}})
	code, out, errOut := d.run(t, "execution", "lineage", "13")
	require.Equal(t, exitOK, code, errOut)
	var lines []string
	for line := range strings.Lines(out) {
		lines = append(lines, strings.TrimSpace(line))
	}
	require.Equal(t, []string{
		"w v1 #12  ✘ failed", "├─ load:  w v1 #14  ✘ failed", "└─ retry  w v1 #13 ←  ✘ failed", "└─ load:  w v1 #15  ✘ failed", "retry  w v1 #16  ✘ failed",
	}, lines)
	require.Contains(t, errOut, "5 are shown")
	_, out, _ = d.run(t, "execution", "lineage", "13", "-o", "name")
	require.Equal(t, "0190-a\n0190-c\n0190-b\n0190-d\n0190-e\n", out)
	_, out, _ = d.run(t, "execution", "lineage", "13", "-o", "json")
	require.Contains(t, out, `"root": "0190-a"`)
}

func TestDiffIsShown(t *testing.T) {
	long := 1.5
	found := client.Comparison{
		A:     client.Side{Execution: "0190-a", Version: 1, Status: "failed", DurationSeconds: &long, Error: &client.TaskError{Code: "exit_1", Message: "it broke"}},
		B:     client.Side{Execution: "0190-b", Version: 2, Status: "succeeded", Redrive: 1},
		Input: json.RawMessage(`[{"op":"replace","path":"","value":null},{"op":"move","from":"/a","path":"/b"}]`),
		Tasks: []client.TaskPair{{Ref: "load", A: &client.TaskSide{Status: "failed", DurationSeconds: &long}, Error: true, Output: true}},
	}
	same := client.Comparison{A: client.Side{Execution: "0190-a", Ref: "load", Attempt: 2, Status: "failed"}, B: client.Side{Execution: "0190-a", Ref: "load", Attempt: 3, Status: "failed"}, Tasks: []client.TaskPair{}}
	d := newDoor(t, map[string]any{
		"GET /v1/executions/12/diff?with=13":                                found,
		"GET /v1/executions/12/tasks/load":                                  client.Task{Ref: "load", Attempt: 3},
		"GET /v1/executions/12/tasks/once":                                  client.Task{Ref: "once", Attempt: 1},
		"GET /v1/executions/12/tasks/load/diff?from=2&to=3":                 same,
		"GET /v1/executions/12/tasks/child%2Feach%5Beu%5D/diff?from=1&to=3": same,
	})
	code, out, errOut := d.run(t, "execution", "diff", "12", "13")
	require.Equal(t, exitOK, code, errOut)
	for _, want := range []string{
		"execution   0190-a             0190-b\n", "status      ✘ failed           ✔ succeeded\n", "took        1.5s\n", "error       exit_1: it broke\n",
		"\ninput\n  becomes  null\n  move     /b  from /a\n", "load   ✘ failed   not there   output, error   1.5s\n",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "are the same")
	_, out, _ = d.run(t, "execution", "diff", "12", "13", "-o", "json")
	require.Contains(t, out, `"duration_seconds": 1.5`)
	code, out, errOut = d.run(t, "execution", "diff", "12", "--task", "load")
	require.Equal(t, exitOK, code, errOut)
	require.Contains(t, out, "are the same in both")
	code, _, errOut = d.run(t, "execution", "diff", "12", "--task", "child/each[eu]", "--attempts", "1, 3")
	require.Equal(t, exitOK, code, errOut)
	code, _, errOut = d.run(t, "execution", "diff", "12", "--task", "once")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errOut, "fewer than two attempts")
	require.Contains(t, errOut, "redrive task attempts 12 once")
}

func TestRedrivesAreListed(t *testing.T) {
	p := aPlan(0)
	d := newDoor(t, map[string]any{"GET /v1/executions/12/redrives": client.RedrivenList{Items: []client.Redriven{
		{Number: 1, Operation: client.OperationRetry, By: "ann", Reason: "mended", Plan: &p, Kept: 9_998, Version: 3, Request: json.RawMessage(`{"from": ["load"]}`)},
	}}})
	code, out, errOut := d.run(t, "execution", "redrives", "12")
	require.Equal(t, exitOK, code, errOut)
	require.Regexp(t, `1 +retry .* 1 run, 1 undecided, 9,998 keep +ann +mended\n`, out)
	_, out, _ = d.run(t, "execution", "redrives", "12", "-o", "wide")
	require.Contains(t, out, `{"from":["load"]}`)
}
