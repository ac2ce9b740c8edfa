package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

const deciding = `
name: deciding
tasks:
  - { name: decide, type: approval, with: { message: "pay?", input_schema: { type: object, required: [approved], properties: { approved: { type: boolean } } } } }
  - { name: pay, type: transform, needs: [decide], with: { jq: .approved, value: "${tasks.decide.output}" } }
output: "${tasks.pay.output}"
`

// prefect calls Prefect's API and expects a status.
func prefect(t *testing.T, f *fleet.Fleet, method, path, body string, status int) map[string]any {
	t.Helper()
	code, answer := call(t, f, method, path, "application/json", body)
	require.Equal(t, status, code, answer)
	return decode[map[string]any](t, answer)
}

func TestPrefectAndNativeSeeTheSameExecutions(t *testing.T) {
	f := start(t, "--allow-exec", "cat")
	f.Publish(deciding)
	f.Publish(reading)

	// Begun natively, answered through Prefect.
	id := decode[client.Execution](t, f.Must("run", "deciding", "-o", "json")).ID
	awaitTask(t, f, id, "decide", "waiting")
	run := prefect(t, f, "GET", "/api/flow_runs/"+id, "", 200)
	require.Equal(t, []any{"PAUSED", "pay?"}, []any{run["state_type"], run["state"].(map[string]any)["message"]})
	require.Equal(t, "REJECT", prefect(t, f, "POST", "/api/flow_runs/"+id+"/resume", `{"run_input":{"approved":"x"}}`, 200)["status"])
	require.Equal(t, "ACCEPT", prefect(t, f, "POST", "/prefect/api/flow_runs/"+id+"/resume", `{"run_input":{"approved":true}}`, 201)["status"])
	require.JSONEq(t, `true`, string(await(t, f, id).Output))
	require.Equal(t, "COMPLETED", prefect(t, f, "GET", "/api/flow_runs/"+id, "", 200)["state_type"])
	require.Contains(t, f.Must("execution", "history", id), "prefect:test")

	// Begun through Prefect, answered natively.
	deployment := prefect(t, f, "GET", "/api/deployments/name/deciding/redrive", "", 200)["id"].(string)
	id = prefect(t, f, "POST", "/api/deployments/"+deployment+"/create_flow_run", `{"parameters":{},"tags":["red"]}`, 201)["id"].(string)
	awaitTask(t, f, id, "decide", "waiting")
	f.Must("resume", id, "--input", `{"approved": false}`)
	require.Equal(t, map[string]string{"prefect.tag.red": "true"}, await(t, f, id).Labels)
	require.Equal(t, "ABORT", prefect(t, f, "POST", "/api/flow_runs/"+id+"/resume", `{"run_input":{"approved":true}}`, 200)["status"])

	// Failed natively, retried through Prefect; the other way round, paused through Prefect and resumed natively.
	missing := filepath.Join(t.TempDir(), "claim.txt")
	failed := strings.TrimSpace(f.Must("run", "reading", "--set", "file="+missing, "-o", "name"))
	require.EqualValues(t, "failed", await(t, f, failed).Status)
	require.NoError(t, os.WriteFile(missing, []byte("CLM-1"), 0o600))
	result := prefect(t, f, "POST", "/api/flow_runs/"+failed+"/set_state", `{"force":true,"state":{"type":"SCHEDULED","name":"AwaitingRetry","message":"Retried via CLI"}}`, 201)
	require.Equal(t, "ACCEPT", result["status"])
	x := await(t, f, failed)
	require.EqualValues(t, "succeeded", x.Status)
	require.Equal(t, 1, x.Redrives)

	held := prefect(t, f, "POST", "/api/deployments/"+deployment+"/create_flow_run", `{}`, 201)["id"].(string)
	awaitTask(t, f, held, "decide", "waiting")
	f.Must("pause", held, "--reason", "month end")
	run = prefect(t, f, "GET", "/api/flow_runs/"+held, "", 200)
	require.Equal(t, "month end", run["state"].(map[string]any)["message"])
	require.Equal(t, "ACCEPT", prefect(t, f, "POST", "/api/flow_runs/"+held+"/resume", ``, 201)["status"])
	require.Equal(t, "ACCEPT", prefect(t, f, "POST", "/api/flow_runs/"+held+"/set_state", `{"state":{"type":"CANCELLING"}}`, 201)["status"])
	require.EqualValues(t, "canceled", await(t, f, held).Status)
}
