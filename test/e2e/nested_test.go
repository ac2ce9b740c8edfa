package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

const examples = "../../examples/"

// A for_each of groups, with a for_each inside, on several workers.
func TestNestedExample(t *testing.T) {
	f := start(t)
	f.Must("workflow", "publish", examples+"nested.yaml")
	out, errOut, code := f.CLI("run", "nested", "--input", "@"+examples+"nested.json", "--wait", "-o", "json")
	require.Zero(t, code, errOut)
	x := decode[client.Execution](t, out)
	require.JSONEq(t, `{"regions": 3, "total": 34.5}`, string(x.Output))

	x = decode[client.Execution](t, f.Must("execution", "get", x.ID, "-o", "json"))
	require.Equal(t, map[string]int{"succeeded": 17, "skipped": 1}, present(x.TasksSummary))
	list := decode[client.TaskList](t, f.Must("execution", "tasks", x.ID, "-o", "json")).Items
	var refs []string
	for _, task := range list {
		refs = append(refs, task.Ref)
		require.Equal(t, task.Ref == "region[moon].sum", task.Status == client.TaskStatusSkipped, task.Ref)
	}
	require.Len(t, refs, 18)
	place := func(ref string) int {
		i := slices.Index(refs, ref)
		require.NotEqual(t, -1, i, "%s is not in %v", ref, refs)
		return i
	}
	require.Less(t, place("region"), place("region[eu]"))
	require.Less(t, place("region[eu].city"), place("region[eu].city[rome]"))
	require.Less(t, place("region[eu].city[rome]"), place("region[us]"), "what is inside stands below what holds it")
	require.Contains(t, f.Must("task", "get", x.ID, "region[eu].city[rome]"), "20.5")
	require.Contains(t, f.Must("execution", "history", x.ID), "region[us].city[austin]")
}

// A person answers over the command line, and a wait ends early by hand.
func TestApprovalExample(t *testing.T) {
	f := start(t)
	f.Must("workflow", "publish", examples+"approval.yaml")
	id := f.Start("approval", map[string]any{"who": "Ada", "amount": 1200})
	awaitTask(t, f, id, "decide", client.TaskStatusWaiting)
	_, errOut, code := f.CLI("resume", id, "--input", `{"decision": "maybe"}`)
	require.Equal(t, 2, code, errOut)
	require.Contains(t, errOut, "input.decision")
	f.Must("resume", id, "--input", `{"decision": "approve"}`, "--answered-by", "ann")
	x := await(t, f, id)
	require.JSONEq(t, `{"paid": true, "by": "ann"}`, string(x.Output))
	_, _, code = f.CLI("resume", id, "--input", `{"decision": "approve"}`)
	require.Equal(t, 4, code)
}

// The shell's quotes in the comments of the examples are right: their commands run as they stand there.
func TestCommentsOfExamplesRun(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	for name, wanted := range map[string]string{"for-each": "43.5", "loop": "6", "group-retry": "token-2"} {
		f.Must("workflow", "publish", examples+name+".yaml")
		source, err := os.ReadFile(examples + name + ".yaml")
		require.NoError(t, err)
		_, line, found := strings.Cut(string(source), "#   redrive ")
		require.True(t, found)
		line, _, _ = strings.Cut(line, "\n")
		out := f.Must(strings.Fields(strings.ReplaceAll(line, "@examples/", "@"+examples))...)
		require.Contains(t, out, wanted)
	}
}
