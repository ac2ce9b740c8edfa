package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

// reading fails as long as its file is not there.
const reading = `
name: reading
tasks:
  - { name: read, type: exec, with: { command: [cat, "${workflow.input.file}"] } }
  - { name: done, type: noop, needs: [read], with: { read: "${tasks.read.output.stdout}" } }
output: { read: "${tasks.done.output.read}" }
`

// kaizen calls an operation of Kaizen's API.
func kaizen(t *testing.T, f *fleet.Fleet, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	status, answer := call(t, f, "POST", path, "application/json", string(text))
	require.Equal(t, 200, status, answer)
	return decode[map[string]any](t, answer)
}

// kaizenGet reads an execution through Kaizen's API.
func kaizenGet(t *testing.T, f *fleet.Fleet, id string) map[string]any {
	t.Helper()
	return kaizen(t, f, "/executions/get", map[string]any{"id": id})["execution"].(map[string]any)
}

// askers are who asked for what of an execution, by the type of the event.
func askers(t *testing.T, f *fleet.Fleet, id string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for e, err := range f.API.History(t.Context(), id) {
		require.NoError(t, err)
		if e.By != "" {
			all[e.Type] = e.By
		}
	}
	return all
}

func TestKaizenAndNativeSeeTheSameExecutions(t *testing.T) {
	f := start(t, "--allow-exec", "cat")
	f.Publish(reading)
	missing := filepath.Join(t.TempDir(), "claim.txt")
	params := map[string]any{"file": missing, "n": json.Number("12345678901234567890")}

	began := kaizen(t, f, "/workflows/execute", map[string]any{
		"workflowId": "reading", "params": params, "batchId": "june", "loginId": "portal", "name": 7, "timeout": 600, "isTest": true,
	})
	require.Equal(t, "Processing", began["status"])
	id := began["executionId"].(string)
	native := await(t, f, id)
	require.EqualValues(t, "failed", native.Status)
	require.Equal(t, map[string]string{"kaizen.batch": "june", "kaizen.login": "portal", "kaizen.name": "7", "kaizen.test": "true"}, native.Labels)
	require.Contains(t, string(native.Input), "12345678901234567890")
	require.Regexp(t, `^kaizen:test \(key_`, askers(t, f, id)["execution.started"])
	failed := kaizenGet(t, f, id)
	require.Equal(t, "Failed", failed["status"])
	require.Equal(t, "exit_1", failed["error"].(map[string]any)["code"])
	require.Equal(t, "read", failed["startBlock"].(map[string]any)["id"])
	require.Equal(t, []any{1.0, 1.0, true, ""}, []any{failed["attempts"], failed["totalAttempts"], failed["isLastAttempt"], failed["parentExecutionId"]})

	require.NoError(t, os.WriteFile(missing, []byte("CLM-1"), 0o600))
	answer := kaizen(t, f, "/kaizen/executions/retry", map[string]any{"id": id})
	require.Equal(t, true, answer["success"])
	retried := answer["execution"].(map[string]any)["execution"].(map[string]any)
	again := retried["id"].(string)
	require.NotEqual(t, id, again)
	require.Equal(t, []any{2.0, 2.0, true, id}, []any{retried["attempts"], retried["totalAttempts"], retried["isLastAttempt"], retried["parentExecutionId"]})
	require.Equal(t, "june", retried["batch"].(map[string]any)["name"])
	require.Equal(t, missing, retried["params"].(map[string]any)["file"])
	native = await(t, f, again)
	require.EqualValues(t, "succeeded", native.Status)
	require.JSONEq(t, `{"read":"CLM-1"}`, string(native.Output))
	require.Equal(t, &id, native.Lineage.Parent)
	require.NotNil(t, native.Lineage.Relation)
	require.EqualValues(t, "rerun", *native.Lineage.Relation)
	for _, by := range askers(t, f, again) {
		require.Regexp(t, `^kaizen:`, by)
	}
	require.NotEmpty(t, askers(t, f, again))

	require.Equal(t, []any{1.0, 2.0, false}, []any{kaizenGet(t, f, id)["attempts"], kaizenGet(t, f, id)["totalAttempts"], kaizenGet(t, f, id)["isLastAttempt"]})
	batch := kaizen(t, f, "/executions/batches/get", map[string]any{"batchId": "june"})["statistics"].(map[string]any)
	require.Equal(t, []any{2.0, 1.0, 1.0, 0.0}, []any{batch["total"], batch["completed"], batch["failed"], batch["inProgress"]})

	// The other way round: retried natively in place, it is one more attempt there.
	require.Contains(t, f.Must("retry", id, "--wait"), "succeeded")
	completed := kaizenGet(t, f, id)
	require.Equal(t, "Completed", completed["status"])
	require.Equal(t, map[string]any{"read": "CLM-1"}, completed["response"])
	require.Equal(t, []any{2.0, 3.0}, []any{completed["attempts"], completed["totalAttempts"]})
}

func TestKaizenRetriesWhatBeganNatively(t *testing.T) {
	f := start(t, "--allow-exec", "cat")
	f.Publish(reading)
	f.Publish("name: held\ntasks: [{ name: hold, type: wait, with: { external: true } }]")
	out, _, _ := f.CLI("run", "reading", "--set", "file=/nowhere/at/all", "--wait", "-o", "json")
	x := decode[client.Execution](t, out)
	answer := kaizen(t, f, "/executions/retry", map[string]any{"id": x.ID})
	require.Equal(t, true, answer["success"])
	made := answer["execution"].(map[string]any)["execution"].(map[string]any)["id"].(string)
	require.EqualValues(t, "failed", await(t, f, made).Status)
	require.Contains(t, f.Must("execution", "history", made), "kaizen:")

	held := decode[client.Execution](t, f.Must("run", "held", "-o", "json"))
	answer = kaizen(t, f, "/executions/retry", map[string]any{"id": held.ID})
	require.Equal(t, false, answer["success"])
	require.Contains(t, answer["message"], "is InProgress")
	list := kaizen(t, f, "/executions/list", map[string]any{"workflowId": "held"})["executions"].([]any)
	require.Len(t, list, 1, "nothing was made")
}

func TestKaizenExecuteSync(t *testing.T) {
	f := start(t)
	f.Publish(greeting)
	f.Publish("name: held\ntasks: [{ name: hold, type: wait, with: { external: true } }]")
	x := kaizen(t, f, "/workflows/executeSync", map[string]any{"workflowName": "greeting", "params": map[string]any{"name": "Ada"}})["execution"].(map[string]any)
	require.Equal(t, "Completed", x["status"])
	require.Equal(t, "HELLO, ADA!", x["response"])
	require.NotEmpty(t, x["endTime"])

	x = kaizen(t, f, "/workflows/executeSync", map[string]any{"workflowId": "held", "params": map[string]any{}, "timeout": 1})["execution"].(map[string]any)
	require.Equal(t, "Failed", x["status"], "its timeout ended it")
	require.EqualValues(t, "timed_out", await(t, f, x["id"].(string)).Status)

	status, body := call(t, f, "POST", "/workflows/execute", "application/json", `{"workflowId":"greeting","params":{"name":"A"}}`)
	require.Equal(t, 400, status)
	require.Contains(t, body, "params.name: ")
}
