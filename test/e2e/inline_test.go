package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// The script makes a definition with one task for each part of the input; those that are called bad fail while flag is bad.
const dynamic = `
name: dynamic
tasks:
  - name: make
    type: script
    with:
      input: "${workflow.input}"
      script: |
        ({
          name: "parts",
          tasks: $.parts.map(p => ({ name: p, type: "script", with: { input: p, script: "if ($ === '" + $.bad + "') throw new Error('bad part'); $ + '!'" } })),
          output: $.parts.map(p => "$${tasks." + p + ".output}"),
        })
  - { name: all, needs: [make], type: workflow, with: { definition: "${tasks.make.output}" } }
output: "${tasks.all.output}"
`

func TestADynamicFanOutIsRedriven(t *testing.T) {
	f := start(t)
	f.Publish(dynamic)
	out, errOut, code := f.CLI("run", "dynamic", "--input", `{"parts": ["a", "b", "c"]}`, "--wait", "-o", "json")
	require.Zero(t, code, errOut)
	x := decode[client.Execution](t, out)
	require.JSONEq(t, `["a!","b!","c!"]`, string(x.Output))

	out, _, _ = f.CLI("run", "dynamic", "--input", `{"parts": ["a", "b", "c"], "bad": "b"}`, "--wait", "-o", "json")
	x = decode[client.Execution](t, out)
	require.EqualValues(t, "failed", x.Status)
	require.Equal(t, "script_failed", x.Error.Code)
	require.Contains(t, x.Error.Message, "bad part")
	plan := f.Must("rerun", x.ID, "--from", "all/b", "--dry-run")
	require.Contains(t, plan, "all/b")

	f.Must("retry", x.ID, "--task-input", `all/b={"input":"B","script":"$"}`, "--wait")
	x = *await(t, f, x.ID)
	require.JSONEq(t, `["a!","B","c!"]`, string(x.Output))
	require.Equal(t, 1, x.Redrives)
	task := decode[client.Task](t, f.Must("task", "get", x.ID, "all/a", "-o", "json"))
	require.Equal(t, 1, task.Attempt, "what succeeded was kept")

	task = decode[client.Task](t, f.Must("task", "get", x.ID, "all", "-o", "json"))
	x = decode[client.Execution](t, f.Must("execution", "get", task.Child, "-o", "json"))
	require.Equal(t, "parts", x.Workflow)
	require.Zero(t, x.Version)
}
