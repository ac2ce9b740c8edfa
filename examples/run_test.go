package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

// execution runs one example in this process, task after task, without retries:
// what the definition says and what the types do, without Redis and workers.
type execution struct {
	program *workflow.Program
	types   *tasks.Registry
	scope   workflow.Scope
	states  map[string]workflow.TaskState
	failed  *workflow.Error
}

func start(t *testing.T, path string, input any) *execution {
	t.Helper()
	types, err := tasks.NewRegistry(append(tasks.Builtin(tasks.DevOptions()), weather.Types()...)...)
	require.NoError(t, err)
	source, err := Files.ReadFile(path)
	require.NoError(t, err)
	program, _, err := workflow.Load(source, types.Catalog(), workflow.DefaultLimits())
	require.NoError(t, err)
	raw, err := json.Marshal(input)
	require.NoError(t, err)
	require.Empty(t, program.CheckInput(raw))
	x := &execution{program: program, types: types, states: map[string]workflow.TaskState{}}
	x.scope.Workflow = workflow.WorkflowScope{ID: "x", Name: program.Definition.Name, Input: raw}
	x.scope.Tasks = map[string]workflow.TaskScope{}
	for _, n := range program.Nodes {
		x.step(t.Context(), n)
	}
	return x
}

func (x *execution) step(ctx context.Context, n *workflow.Node) {
	for _, need := range n.Needs {
		if !x.states[need].EndedWell() {
			return
		}
	}
	verdict := placed(x.program, n).Decide(func(ref string) workflow.TaskState { return x.states[ref] }, x.scope)
	if verdict.Action == workflow.ActionSkip {
		x.end(n, workflow.TaskScope{Status: workflow.TaskSkipped})
		return
	}
	output, failure := json.RawMessage(nil), verdict.Error
	if failure == nil {
		output, failure = x.run(ctx, n)
	}
	if failure != nil {
		x.end(n, workflow.TaskScope{Status: workflow.TaskFailed, Error: failure, Attempt: 1})
		return
	}
	x.end(n, workflow.TaskScope{Status: workflow.TaskSucceeded, Output: output, Attempt: 1})
}

func (x *execution) run(ctx context.Context, n *workflow.Node) (json.RawMessage, *workflow.Error) {
	input, failure := n.Input(x.scope)
	if failure != nil {
		return nil, failure
	}
	typ, _ := x.types.Get(n.Type)
	output, failure := tasks.Run(ctx, typ.Handler, &tasks.Job{Ref: n.Path, Attempt: 1, Input: input, IdempotencyKey: "x/" + n.Path})
	if failure == nil {
		failure = n.CheckOutput(output)
	}
	return output, failure
}

func (x *execution) end(n *workflow.Node, s workflow.TaskScope) {
	continued := s.Error != nil && n.OnFailure == workflow.OnFailureContinue
	if s.Error != nil && !continued && x.failed == nil {
		x.failed = s.Error
	}
	x.scope.Tasks[n.Path] = s
	x.states[n.Path] = workflow.TaskState{Status: s.Status, Attempt: s.Attempt, Continued: continued}
}

func (x *execution) output(t *testing.T) string {
	t.Helper()
	require.Nil(t, x.failed, "%v", x.failed)
	out, failure := x.program.Output(x.scope)
	require.Nil(t, failure)
	return string(out)
}

func TestWeatherRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.md")
	out := start(t, "weather/workflow.yaml", map[string]string{"csv": weather.Sample, "report": path}).output(t)
	var got struct {
		Report, Chart string
		Comparison    json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, path, got.Report)
	require.Contains(t, got.Chart, "2015")
	require.JSONEq(t, `{"years":[2012,2013,2014,2015],"warmest_year":2015,"wettest_year":2014,"driest_year":2013,
		"mean_change":1.85,"rain_days":623}`, string(got.Comparison))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "- warmest year: 2015\n")
}

func TestExecPipelineRuns(t *testing.T) {
	out := start(t, "exec-pipeline.yaml", map[string]string{"csv": "weather/data/seattle-weather.csv"}).output(t)
	require.JSONEq(t, `{"ranking":"641 rain\n640 sun\n101 fog\n53 drizzle\n26 snow\n"}`, ranking(t, out))
	require.Contains(t, out, `"wettest":{"mm":1232.8,"year":"2014"}`)
}

func ranking(t *testing.T, out string) string {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &m))
	delete(m, "wettest")
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return string(b)
}

func TestHTTPConditionRuns(t *testing.T) {
	for _, c := range []struct {
		name, stock string
		status      int
		ordered     string // body of the order, or ""
	}{
		{"low", `{"stock":3}`, 200, `{"count":7,"item":"tea"}`},
		{"enough", `{"stock":10}`, 200, ""},
		{"unknown item", ``, 404, `{"count":10,"item":"tea"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			orders := make(chan string, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					var body any
					_ = json.NewDecoder(r.Body).Decode(&body)
					text, _ := json.Marshal(body)
					orders <- fmt.Sprint(r.Header.Get("Idempotency-Key"), " ", string(text))
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.stock)
			}))
			defer s.Close()
			x := start(t, "http-condition.yaml", map[string]string{"url": s.URL, "item": "tea"})
			require.JSONEq(t, fmt.Sprintf(`{"item":"tea","ordered":%t}`, c.ordered != ""), x.output(t))
			if c.ordered == "" {
				require.Empty(t, orders)
				require.Equal(t, workflow.TaskSucceeded, x.states["enough"].Status)
				return
			}
			require.Equal(t, "x/order "+c.ordered, <-orders)
			require.Equal(t, workflow.TaskSkipped, x.states["enough"].Status)
		})
	}
}

func TestRetryContinueRuns(t *testing.T) {
	x := start(t, "retry-continue.yaml", map[string]string{"flaky": "true"})
	require.JSONEq(t, `{"went_on_without":"no_cache","flaky_attempts":1}`, x.output(t))

	x = start(t, "retry-continue.yaml", map[string]string{"flaky": "exit 64"})
	require.Equal(t, "exit_64", x.failed.Code)
	require.Equal(t, []string{"summary"}, x.program.Unreached(x.states))
	_, again := x.program.Node("flaky").Retry.Next(1, x.failed, 0)
	require.False(t, again, "wrong usage is not tried again")
	_, again = x.program.Node("flaky").Retry.Next(1, &workflow.Error{Code: "exit_1", Retryable: true}, 0)
	require.True(t, again)
}

func placed(p *workflow.Program, n *workflow.Node) workflow.Place {
	at, _ := p.Place(n.Path)
	return at
}
