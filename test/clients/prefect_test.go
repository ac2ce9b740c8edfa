package clients

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

const prefectWorkflows = `
name: expenses
input_schema: { type: object, properties: { amount: { type: integer } } }
tasks:
  - { name: ask, type: log, with: { message: somebody asks } }
  - name: decide
    type: approval
    needs: [ask]
    with: { message: "pay?", input_schema: { type: object, additionalProperties: false, required: [approved], properties: { approved: { type: boolean } } } }
output: "${tasks.decide.output.approved}"
---
name: held
tasks: [{ name: hold, type: wait, with: { external: true } }]
---
name: reading
tasks: [{ name: read, type: exec, with: { command: [cat, "${workflow.input.file}"] } }]
`

// prefectClient is Prefect's client, its interpreter and what it has to know of the server.
type prefectClient struct {
	*fleet.Fleet
	t      *testing.T
	python string
	env    []string
}

func startPrefect(t *testing.T) *prefectClient {
	t.Helper()
	f := start(t, "--allow-exec", "cat")
	for source := range strings.SplitSeq(prefectWorkflows, "---\n") {
		f.Publish(source)
	}
	return &prefectClient{f, t, python(t, "prefect"), []string{
		"PREFECT_API_URL=" + f.URL + "/api", "PREFECT_API_KEY=" + f.Key, "PREFECT_HOME=" + t.TempDir(), "DO_NOT_TRACK=1", "COLUMNS=200", "NO_COLOR=1",
	}}
}

// cli runs a command of Prefect's.
func (p *prefectClient) cli(args ...string) string {
	p.t.Helper()
	return command(p.t, p.env, filepath.Join(filepath.Dir(p.python), "prefect"), args...)
}

func (p *prefectClient) start(name string, more ...string) string {
	p.t.Helper()
	return strings.TrimSpace(p.Must(append([]string{"run", name, "-o", "name"}, more...)...))
}

func (p *prefectClient) status(id string) client.ExecutionStatus {
	p.t.Helper()
	x, err := p.API.Execution(p.t.Context(), id)
	require.NoError(p.t, err)
	return x.Status
}

func (p *prefectClient) await(id string, status client.ExecutionStatus) {
	p.t.Helper()
	fleet.Await(p.t, patience, id+" is "+string(status), func() bool { return p.status(id) == status })
}

func TestPrefectCommandLine(t *testing.T) {
	p := startPrefect(t)
	missing := filepath.Join(t.TempDir(), "claim.txt")
	expenses, held, reading := p.start("expenses"), p.start("held"), p.start("reading", "--set", "file="+missing)
	p.await(reading, "failed")
	fleet.Await(t, patience, "the approval is open", func() bool { return strings.Contains(p.cli("flow-run", "ls"), "PAUSED") })
	listed := p.cli("flow-run", "ls")
	for _, word := range []string{expenses, held, reading, "expenses-", "RUNNING", "FAILED"} {
		require.Contains(t, listed, word)
	}
	require.Contains(t, p.cli("flow-run", "ls", "--state-type", "FAILED"), reading)
	inspected := p.cli("flow-run", "inspect", reading)
	require.Contains(t, inspected, "exit_1")
	require.Contains(t, p.cli("flow-run", "logs", expenses), "somebody asks")
	p.cli("flow-run", "cancel", held)
	p.await(held, "canceled")
	p.cli("flow-run", "delete", held)
	require.NotContains(t, p.cli("flow-run", "ls"), held)
	require.NoError(t, os.WriteFile(missing, []byte("CLM-1"), 0o600))
	p.cli("flow-run", "retry", reading)
	p.await(reading, "succeeded")
	require.Contains(t, p.Must("execution", "history", reading), "prefect:")
}

func TestPrefectClient(t *testing.T) {
	p := startPrefect(t)
	id := p.start("expenses", "--set", "amount=5")
	fleet.Await(t, patience, "the approval is open", func() bool { return strings.Contains(p.Must("task", "get", id, "decide"), "waiting") })
	var said [][]any
	lines := bufio.NewScanner(strings.NewReader(command(t, p.env, p.python, "prefect/client.py", id)))
	for lines.Scan() {
		var line []any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		said = append(said, line)
	}
	const failure = "Reason: Validation failed"
	require.Equal(t, [][]any{
		{"read", "PAUSED", "Paused", said[0][3], map[string]any{"amount": 5.0}},
		{"resume", "REJECT", "abort_details", failure + ". Failure reason: 'approved' is a required property"},
		{"resume", "REJECT", "abort_details", failure + " for field 'approved'. Failure reason: 'not a bool!' is not of type 'boolean'"},
		{"resume", "ACCEPT", "accept_details", nil},
		{"resume", "ABORT", "abort_details", "Cannot resume a flow run that is not paused."},
		{"created", "mine", []any{"red"}, map[string]any{"amount": 7.0}, true},
		{"found", []any{"mine"}, true},
		{"pause", "ACCEPT", "Suspended"}, {"pause", "ACCEPT", "Paused"}, {"cancel", "ACCEPT"},
		{"states", []any{"RUNNING", "PAUSED", "SCHEDULED", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED"}},
	}, said)
	p.await(id, "succeeded")
}

// TestPrefectFlow runs a flow with Prefect's own engine, with a flow inside it and tasks that have tags: it pauses for an input, which is answered through the API.
func TestPrefectFlow(t *testing.T) {
	p := startPrefect(t)
	process := fleet.Launch(t, "flow", p.python, p.env, "prefect/flow.py")
	resume := func(input string) string {
		for x, err := range p.API.Executions(t.Context(), "default", client.ListExecutionsParams{}) {
			require.NoError(t, err)
			if x.Status == "paused" {
				return command(t, p.env, p.python, "-c", `
import asyncio, json, sys
from prefect import get_client
async def main():
    async with get_client() as client:
        result = await client.resume_flow_run(sys.argv[1], run_input=json.loads(sys.argv[2]))
        print(result.status.value, getattr(result.details, "reason", ""))
asyncio.run(main())`, x.ID, input)
			}
		}
		return ""
	}
	fleet.Await(t, patience, "the flow is paused and asks", func() bool { return strings.Contains(resume(`{"approved": "maybe"}`), "is not of type 'boolean'") })
	require.Contains(t, resume(`{"approved": true, "note": "fine"}`), "ACCEPT")
	<-process.Done()
	require.Contains(t, process.Log(), "RESULT {'approved': True, 'note': 'fine', 'total': 6}")
	flows := map[string]string{}
	for x, err := range p.API.Executions(t.Context(), "default", client.ListExecutionsParams{}) {
		require.NoError(t, err)
		require.EqualValues(t, "succeeded", x.Status)
		flows[x.Workflow] = x.ID
	}
	require.Len(t, flows, 2, "a flow inside the flow is one of its own")
	require.Contains(t, flows, "inner")
	delete(flows, "inner")
	for _, id := range flows {
		require.Contains(t, p.cli("flow-run", "logs", id), "asking about 6")
	}
}
