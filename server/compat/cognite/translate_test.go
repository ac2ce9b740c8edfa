package cognite

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/dop251/goja"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// tasksOf translates the tasks of a definition, which must be one that can be published.
func tasksOf(t *testing.T, tasks string) map[string]workflow.Task {
	t.Helper()
	source, err := translate(json.RawMessage(`{"tasks":`+tasks+`}`), options{Name: "w", ExternalID: "W", Version: "1", Base: "https://cdf.example/api/v1/projects/p/"})
	require.NoError(t, err)
	p, _, err := workflow.Load(source, nil, workflow.DefaultLimits())
	require.NoError(t, err, "%s", source)
	all := map[string]workflow.Task{}
	for _, task := range p.Definition.Tasks {
		all[task.Name] = task
	}
	return all
}

func TestTasksAreTranslated(t *testing.T) {
	t.Parallel()
	all := tasksOf(t, `[
		{"externalId":"fn","type":"function","parameters":{"function":{"externalId":"detect","data":{"x":"${workflow.input.a.b[0]}","y":"n ${workflow.input.n}"}}}},
		{"externalId":"async","type":"function","retries":0,"timeout":200,"onFailure":"skipTask","dependsOn":[{"externalId":"fn"}],
			"parameters":{"isAsyncComplete":true,"function":{"externalId":"exec","data":{"was":"${fn.output.response.list}","given":"${fn.input.function.data.x}"}}}},
		{"externalId":"cdf","type":"cdf","dependsOn":[{"externalId":"async"}],"parameters":{"cdfRequest":{"method":"POST","resourcePath":"/timeseries","body":{"items":"${async.output.response}"}}}},
		{"externalId":"tr","type":"transformation","dependsOn":[{"externalId":"cdf"}],"parameters":{"transformation":{"externalId":"load","concurrencyPolicy":"fail"}}},
		{"externalId":"sim","type":"simulation","dependsOn":[{"externalId":"cdf"}],"parameters":{"simulation":{"routineExternalId":"Routine 1","inputs":[{"referenceId":"p","value":"${cdf.output.statusCode}"}]}}}]`)
	require.Equal(t, "detect", all["fn"].Type)
	require.JSONEq(t, `{"x":"${workflow.input[\"a\"][\"b\"][0]}","y":"n ${workflow.input[\"n\"]}"}`, string(all["fn"].With))
	require.Equal(t, 4, all["fn"].Retry.MaxAttempts)
	require.Equal(t, []string{"timed_out"}, all["fn"].Retry.NonRetryable)
	require.Equal(t, workflow.OnFailureContinue, all["async"].OnFailure)
	require.Equal(t, 1, all["async"].Retry.MaxAttempts)
	require.Nil(t, all["async"].Retry.NonRetryable)
	call := all["async"].Tasks[0]
	require.NotEqual(t, "exec", call.Type, "the external id of a function is no way to a built-in type")
	require.Contains(t, string(call.With), `"was":"${tasks[\"fn\"].output[\"list\"]}"`)
	require.Contains(t, string(call.With), `"given":"${workflow.input[\"a\"][\"b\"][0]}"`)
	require.Contains(t, string(call.With), `"cogniteOrchestrationTaskId":"00000001-0000-4000-8000-${`)
	require.JSONEq(t, `{"method":"POST","url":"https://cdf.example/api/v1/projects/p/timeseries","body":{"items":"${(\"response\" in tasks[\"async\"].output[\"done\"] ? tasks[\"async\"].output[\"done\"][\"response\"] : tasks[\"async\"].output[\"call\"])}"}}`, string(all["cdf"].With))
	require.JSONEq(t, `{"concurrencyPolicy":"fail"}`, string(all["tr"].With))
	require.Contains(t, string(all["sim"].With), `${tasks[\"cdf\"].output[\"status\"]}`)
}

// What a worker runs for a dynamic task is the translator itself, with its own ${ kept from the workflow's expressions.
func TestADynamicTaskTranslatesItself(t *testing.T) {
	t.Parallel()
	all := tasksOf(t, `[{"externalId":"d","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.tasks}"}}}]`)
	var with struct {
		Script string `json:"script"`
	}
	require.NoError(t, json.Unmarshal(all["d"].Tasks[0].With, &with))
	plain := strings.ReplaceAll(with.Script, "$${", "${")
	require.Contains(t, plain, strings.TrimSpace(translatorSource))
	vm := goja.New()
	require.NoError(t, vm.Set("$", []map[string]any{{"externalId": "in", "type": "function", "parameters": map[string]any{"function": map[string]any{"externalId": "f", "data": map[string]any{"x": "${workflow.input.x}"}}}}}))
	made, err := vm.RunString("JSON.stringify(" + plain + ")")
	require.NoError(t, err)
	p, _, err := workflow.Load([]byte(made.String()), nil, workflow.DefaultLimits())
	require.NoError(t, err)
	require.JSONEq(t, `{"x":"${workflow.input[\"x\"]}"}`, string(p.Definition.Tasks[0].With))
}

func TestWhatCannotBeTranslatedNamesItsField(t *testing.T) {
	t.Parallel()
	cdf := `"parameters":{"cdfRequest":{"method":"GET","resourcePath":"http://x/"}}`
	for tasks, want := range map[string]string{
		`[]`: "workflowDefinition.tasks:",
		`[{"externalId":"workflow","type":"cdf",` + cdf + `}]`:                                                                                            "tasks[0].externalId",
		`[{"externalId":"__a","type":"cdf",` + cdf + `}]`:                                                                                                 "tasks[0].externalId",
		`[{"externalId":"a","type":"cdf",` + cdf + `},{"externalId":"a","type":"cdf",` + cdf + `}]`:                                                       "tasks[1].externalId",
		`[{"externalId":"a","type":"shell","parameters":{}}]`:                                                                                             "tasks[0].type",
		`[{"externalId":"a","type":"cdf"}]`:                                                                                                               "tasks[0].parameters",
		`[{"externalId":"a","type":"cdf","retries":11,` + cdf + `}]`:                                                                                      "tasks[0].retries",
		`[{"externalId":"a","type":"cdf","timeout":99,` + cdf + `}]`:                                                                                      "tasks[0].timeout",
		`[{"externalId":"a","type":"cdf","onFailure":"retry",` + cdf + `}]`:                                                                               "tasks[0].onFailure",
		`[{"externalId":"a","type":"cdf","parameters":{"cdfRequest":{"method":"GET","resourcePath":"/x"}}}]`:                                              "--cognite-url",
		`[{"externalId":"a","type":"cdf","parameters":{"cdfRequest":{"method":"GET","resourcePath":"http://x/${b.output.response}"}}}]`:                   "names no task",
		`[{"externalId":"a","type":"function","parameters":{"function":{"externalId":"${workflow.input.f}"}}}]`:                                           "cannot be a reference",
		`[{"externalId":"a","type":"subworkflow","parameters":{"subworkflow":{"workflowExternalId":"none","version":"1"}}}]`:                              "there is no version",
		`[{"externalId":"a","type":"subworkflow","parameters":{"subworkflow":{"tasks":[{"externalId":"b","type":"dynamic","parameters":{}}]}}}]`:          "cannot be in another",
		`[{"externalId":"a","type":"cdf",` + cdf + `},{"externalId":"b","type":"function","parameters":{"function":{"externalId":"f","data":"${a.x}"}}}]`: "neither output nor input",
	} {
		_, err := translate(json.RawMessage(`{"tasks":`+tasks+`}`), options{Name: "w"})
		require.Error(t, err, tasks)
		require.Contains(t, compat.Sentence(problem.From(err), compat.Same), want, tasks)
	}
}

// TestLimitsOfDefinitions: each at what is allowed, and one beyond.
func TestLimitsOfDefinitions(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return `"` + strings.Repeat("é", n) + `"` }
	task := func(id, more string) string {
		return `{"externalId":` + id + `,"type":"function","parameters":{"function":{"externalId":"f"}}` + more + `}`
	}
	list := func(n int, more string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = task(`"t`+strconv.Itoa(i)+`"`, "")
		}
		return `{"tasks":[` + strings.Join(all, ",") + more + `]}`
	}
	needs := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = `{"externalId":"t` + strconv.Itoa(i%99) + `"}`
		}
		return list(99, `,`+task(`"last"`, `,"dependsOn":[`+strings.Join(all, ",")+`]`))
	}
	one := func(more string) string { return `{"tasks":[` + task(`"a"`, more) + `]}` }
	data := func(n int) string {
		return `{"tasks":[{"externalId":"a","type":"function","parameters":{"function":{"externalId":"f","data":{"x":"` + strings.Repeat("x", n-8) + `"}}}}]}`
	}
	cdf := func(more string) string {
		return `{"tasks":[{"externalId":"a","type":"cdf","parameters":{"cdfRequest":{"resourcePath":"http://x/"` + more + `}}}]}`
	}
	policy := func(text string) string {
		return `{"tasks":[{"externalId":"a","type":"transformation","parameters":{"transformation":{"externalId":"t","concurrencyPolicy":` + text + `}}}]}`
	}
	for _, c := range []struct{ fits, beyond, field, message string }{
		{`{"tasks":[` + task(long(255), "") + `]}`, `{"tasks":[` + task(long(256), "") + `]}`, "tasks[0].externalId", "must be a text of 1 to 255 characters"},
		{`{"tasks":[` + task(`"a b"`, "") + `]}`, `{"tasks":[` + task(`"a "`, "") + `]}`, "tasks[0].externalId", `"a " has white space around it, or null characters (allowed: a text without them)`},
		{one(`,"name":` + long(255)), one(`,"name":` + long(256)), "tasks[0].name", "has 256 characters (allowed: at most 255)"},
		{one(`,"name":""`), one(`,"name":7`), "tasks[0].name", "is no text (allowed: a text of at most 255 characters)"},
		{one(`,"description":` + long(500)), one(`,"description":` + long(501)), "tasks[0].description", "has 501 characters (allowed: at most 500)"},
		{one(`,"description":null`), one(`,"description":{}`), "tasks[0].description", "is no text (allowed: a text of at most 500 characters)"},
		{`{"description":` + long(500) + `,"tasks":[` + task(`"a"`, "") + `]}`, `{"description":` + long(501) + `,"tasks":[` + task(`"a"`, "") + `]}`, "description", "has 501 characters (allowed: at most 500)"},
		{one(`,"retries":0`), one(`,"retries":-1`), "tasks[0].retries", "must be 0 to 10"},
		{one(`,"retries":10`), one(`,"retries":11`), "tasks[0].retries", "must be 0 to 10"},
		{one(`,"timeout":100`), one(`,"timeout":99`), "tasks[0].timeout", "must be 100 to 43200 seconds"},
		{one(`,"timeout":43200`), one(`,"timeout":43201`), "tasks[0].timeout", "must be 100 to 43200 seconds"},
		{list(100, ""), list(101, ""), "tasks", "must be a list of 1 to 100 tasks"},
		{needs(99), needs(101), "tasks[99].dependsOn", "must be a list of at most 100 objects with externalId"},
		{data(100 << 10), data(100<<10 + 1), "tasks[0].parameters.function.data", "is too large (allowed: at most 100 KB)"},
		{cdf(`,"method":"PUT"`), cdf(`,"method":"DELETE"`), "tasks[0].parameters.cdfRequest.method", `is "DELETE" (allowed: POST, GET, PUT)`},
		{cdf(`,"method":"${workflow.input.m}"`), cdf(``), "tasks[0].parameters.cdfRequest.method", `is missing (allowed: POST, GET, PUT)`},
		{cdf(`,"method":"GET","requestTimeoutInMillis":100`), cdf(`,"method":"GET","requestTimeoutInMillis":99`), "tasks[0].parameters.cdfRequest.requestTimeoutInMillis", `is 99 (allowed: a number, 100 or more)`},
		{cdf(`,"method":"GET","requestTimeoutInMillis":"${workflow.input.ms}"`), cdf(`,"method":"GET","requestTimeoutInMillis":"soon"`), "tasks[0].parameters.cdfRequest.requestTimeoutInMillis", `is "soon" (allowed: a number, 100 or more)`},
		{policy(`"restartAfterCurrent"`), policy(`"queue"`), "tasks[0].parameters.transformation.concurrencyPolicy", `is "queue" (allowed: fail, waitForCurrent, restartAfterCurrent)`},
	} {
		_, err := translate(json.RawMessage(c.fits), options{Name: "w"})
		require.NoError(t, err, "%s, at its limit", c.field)
		_, err = translate(json.RawMessage(c.beyond), options{Name: "w"})
		require.Error(t, err, c.field)
		p := problem.From(err)
		require.Equal(t, 422, p.Status)
		require.Equal(t, "the version cannot be stored: workflowDefinition."+c.field+": "+c.message, compat.Sentence(p, compat.Same))
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range []string{"plant-a", "Plant-a", "plant/a", "plant a", "plant_a", strings.Repeat("x", 255), strings.Repeat("x", 254) + "y", "é"} {
		name, err := workflowName(id)
		require.NoError(t, err)
		require.Regexp(t, `^[a-z0-9][a-z0-9._-]{0,127}$`, name)
		require.NotContains(t, seen, name)
		seen[name] = id
	}
	require.Equal(t, "plant-a", seen["plant-a"])
}

func TestTaskIDs(t *testing.T) {
	t.Parallel()
	id := taskID(17, 123456)
	require.Equal(t, "00000011-0000-4000-8000-000000123456", id)
	require.Equal(t, []string{id, "00000011", "000000123456"}, taskIDs.FindStringSubmatch(id))
	require.True(t, uuid.MatchString(id))
}

func FuzzTranslate(f *testing.F) {
	f.Add(`{"tasks":[{"externalId":"a","type":"function","parameters":{"function":{"externalId":"f","data":"${workflow.input.x}"}}}]}`)
	f.Add(`{"tasks":[{"externalId":"a","type":"dynamic","parameters":{"dynamic":{"tasks":"${workflow.input.t}"}}}]}`)
	f.Add(`{"tasks":null}`)
	f.Add(`{"tasks":[{"externalId":"a","type":"subworkflow","parameters":{"subworkflow":{"tasks":[{}]}}}]}`)
	f.Fuzz(func(t *testing.T, definition string) {
		if !json.Valid([]byte(definition)) || !strings.HasPrefix(definition, "{") {
			return
		}
		source, err := translate(json.RawMessage(definition), options{Name: "w"})
		if err != nil {
			require.Less(t, problem.From(err).Status, 500, err)
			return
		}
		require.True(t, json.Valid(source))
	})
}
