package conductor

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

var update = flag.Bool("update", false, "write what definitions compile to again")

func sourceOf(t testing.TB, text string) *source {
	t.Helper()
	var full map[string]any
	require.NoError(t, decode([]byte(text), &full))
	s, err := readDef(full)
	require.NoError(t, err)
	return s
}

// TestCompile holds what each definition in testdata compiles to against what was looked at before, and
// publishes it as the engine does.
func TestCompile(t *testing.T) {
	files, err := filepath.Glob("testdata/compile/*.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	three := 3
	defs := map[string]*taskDef{"flaky": {Name: "flaky", RetryCount: &three, RetryLogic: "EXPONENTIAL_BACKOFF", Timeout: 120, TimeoutPolicy: "RETRY"}}
	for _, file := range files {
		if strings.HasSuffix(file, ".native.json") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			d, err := compile(sourceOf(t, string(text)), defs)
			require.NoError(t, err)
			_, _, err = workflow.LoadForeign(d.Canonical(), nil, workflow.DefaultLimits())
			require.NoError(t, err, string(d.Canonical()))
			d.Annotations = map[string]string{annotationTasks: d.Annotations[annotationTasks]}
			var got bytes.Buffer
			require.NoError(t, json.Indent(&got, d.Canonical(), "", "  "))
			got.WriteByte('\n')
			golden := strings.TrimSuffix(file, ".json") + ".native.json"
			if *update {
				require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	of := func(tasks string) string { return `{"name": "w", "tasks": [` + tasks + `]}` }
	simple := func(more string) string {
		return of(`{"name": "a", "taskReferenceName": "a", "type": "SIMPLE"` + more + `}`)
	}
	for text, want := range map[string]string{
		`{"tasks": []}`:    "name: WorkflowDef name cannot be null or empty; tasks: WorkflowTask list cannot be empty",
		`{"name": "a/b"}`:  "no slash",
		of(`{"name":"a"}`): "taskReferenceName",
		of(`{"name":"a","taskReferenceName":"r"},{"name":"b","taskReferenceName":"r"}`):                                           "taskReferenceName: r should be unique across tasks for a given workflowDefinition: w",
		simple(`, "inputParameters": {"x": "${nope.output.y}"}`):                                                                  `inputParameters.x: ${nope.output.y}: there is no task with the reference name "nope"`,
		simple(`, "inputParameters": {"x": "${workflow.input.a[*].b}"}`):                                                          "cannot be translated",
		simple(`, "inputParameters": {"x": "${workflow.input.a..b}"}`):                                                            "cannot be translated",
		simple(`, "inputParameters": {"x": "${workflow.correlationId}"}`):                                                         "can be read here",
		simple(`, "inputParameters": {"x": "${workflow.input.a"}`):                                                                "has no closing brace",
		simple(`, "inputParameters": {"${x}": 1}`):                                                                                "name of a field",
		of(`{"name":"k","taskReferenceName":"k","type":"KAFKA_PUBLISH"}`):                                                         `"KAFKA_PUBLISH" cannot be translated`,
		of(`{"name":"p","taskReferenceName":"p","type":"PULL_WORKFLOW_MESSAGES"}`):                                                `tasks[0].type: tasks of type "PULL_WORKFLOW_MESSAGES" cannot be translated here`,
		of(`{"name":"l","taskReferenceName":"l","type":"LLM_TEXT_COMPLETE"}`):                                                     `tasks[0].type: tasks of type "LLM_TEXT_COMPLETE" cannot be translated here`,
		of(`{"name":"s","taskReferenceName":"s","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"x","taskToDomain":{"a":"b"}}}`): "tasks[0].subWorkflowParam.taskToDomain: domains cannot be given to a sub-workflow here",
		of(`{"name":"f","taskReferenceName":"f","type":"FORK_JOIN_DYNAMIC","inputParameters":{"forkTaskName":"x"}},{"name":"e","taskReferenceName":"e","type":"EXCLUSIVE_JOIN"}`):            "a FORK_JOIN_DYNAMIC must be followed by a JOIN",
		of(`{"name":"e","taskReferenceName":"e","type":"EXCLUSIVE_JOIN","joinOn":[],"defaultExclusiveJoinTask":["x"]}`):                                                                      `tasks[0].defaultExclusiveJoinTask[0]: e waits for "x"`,
		of(`{"name":"f","taskReferenceName":"f","type":"FORK_JOIN","forkTasks":[]}`):                                                                                                         "must be followed by a JOIN",
		of(`{"name":"h","taskReferenceName":"h","type":"HTTP"}`):                                                                                                                             "Missing HTTP URI",
		of(`{"name":"h","taskReferenceName":"h","type":"HTTP","asyncComplete":true,"inputParameters":{"uri":"http://x"}}`):                                                                   "completed from outside",
		of(`{"name":"i","taskReferenceName":"i","type":"INLINE","inputParameters":{"evaluatorType":"python","expression":"1"}}`):                                                             `"python" cannot be evaluated`,
		of(`{"name":"j","taskReferenceName":"j","type":"JOIN","joinOn":["x"]}`):                                                                                                              `waits for "x"`,
		of(`{"name":"w","taskReferenceName":"w","type":"WAIT","inputParameters":{"duration":"soon"}}`):                                                                                       "is no duration",
		of(`{"name":"w","taskReferenceName":"w","type":"WAIT","inputParameters":{"duration":"1 s","until":"2030-01-01"}}`):                                                                   "only one input",
		of(`{"name":"w","taskReferenceName":"w","type":"WAIT","inputParameters":{"duration":"31 days"}}`):                                                                                    "longer than 30 days",
		of(`{"name":"t","taskReferenceName":"t","type":"TERMINATE","inputParameters":{"terminationStatus":"DONE"}}`):                                                                         "terminationStatus",
		of(`{"name":"s","taskReferenceName":"s","type":"SUB_WORKFLOW"}`):                                                                                                                     "name cannot be null",
		of(`{"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"value-param"}`):                                                                                             "needs an expression",
		of(`{"name":"d","taskReferenceName":"d","type":"DO_WHILE","loopOver":[]}`):                                                                                                           "needs loopOver and loopCondition",
		of(`{"name":"d","taskReferenceName":"d","type":"DO_WHILE","loopCondition":"false","inputParameters":{"items":[1]},"loopOver":[{"name":"n","taskReferenceName":"n","type":"NOOP"}]}`): "over items cannot be translated",
		of(`{"name":"d","taskReferenceName":"d","type":"DYNAMIC"}`):                                                                                                                          "dynamicTaskNameParam",
		of(`{"name":"q","taskReferenceName":"q","type":"JSON_JQ_TRANSFORM"}`):                                                                                                                "jq expression is required",
	} {
		_, err := compile(sourceOf(t, text), nil)
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzCompile(f *testing.F) {
	files, _ := filepath.Glob("testdata/compile/*.json")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		f.Add(string(text))
	}
	f.Add(`{"name":"w","tasks":[{"name":"a","taskReferenceName":"${","type":"DO_WHILE","loopCondition":"x","loopOver":[{"name":"b","taskReferenceName":"b","inputParameters":{"x":"a ${b.output['}']} $${"}}]}]}`)
	f.Add(`null`)
	f.Add(`{"name":"w","tasks":[null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var full map[string]any
		if decode([]byte(text), &full) != nil {
			return
		}
		s, err := readDef(full)
		if err != nil {
			return
		}
		d, err := compile(s, nil)
		if err != nil {
			return
		}
		if !json.Valid(d.Canonical()) {
			t.Fatalf("what it compiles to is no JSON")
		}
	})
}

func TestTaskIDs(t *testing.T) {
	id := taskID("0190a1b2-0000-7000-8000-000000000001", "loop[3].a b", 12)
	f, ok := parseTaskID(id)
	require.True(t, ok)
	require.Equal(t, []any{"0190a1b2-0000-7000-8000-000000000001", "loop[3].a b", 12}, []any{f.Execution, f.Ref, f.Attempt})
	for _, bad := range []string{"", "x", "a.b.c", "a.0.eA", "a.1.", ".1.eA", "a.1.!", "a.1.eA.x"} {
		_, ok := parseTaskID(bad)
		require.False(t, ok, bad)
	}
}

func TestNativeTypes(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"encode", "http", "Encode Video", "a/b", "ä", "x:y", "x_y", "x-y", "x:3a:y"} {
		own, ok := nativeType(name)
		require.True(t, ok, name)
		require.Regexp(t, `^conductor\.[A-Za-z0-9_.:-]+$`, own)
		require.False(t, seen[own], own)
		seen[own] = true
	}
	for _, name := range []string{"", strings.Repeat("x", 119)} {
		_, ok := nativeType(name)
		require.False(t, ok)
	}
}

func TestWaitTimes(t *testing.T) {
	for text, want := range map[string]string{"2 days 3 hours 4 minutes": "51h4m0s", "5 seconds": "5s", "1m": "1m0s", "1 hr 10 secs": "1h0m10s", "90s": "1m30s"} {
		_, got, err := waitTime(text, false)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{"2024-01-01 10:00 GMT": "2024-01-01T10:00:00Z", "2024-01-01 10:00": "2024-01-01T10:00:00Z", "2024-01-01": "2024-01-01T00:00:00Z"} {
		_, got, err := waitTime(text, true)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}
