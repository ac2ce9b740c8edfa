package conductor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func TestWhatFollowsATask(t *testing.T) {
	needs := func(name string, needs ...string) workflow.Task { return workflow.Task{Name: name, Needs: needs} }
	loop := needs("l", "a")
	loop.Tasks = []workflow.Task{needs("x"), needs("y", "x"), needs("z")}
	tasks := []workflow.Task{needs("a"), needs("b", "a"), needs("c", "b"), needs("d"), loop, needs("end", "l", "d")}
	for _, c := range []struct {
		target, ref string
		want        bool
	}{
		{"a", "a", true}, {"a", "c", true}, {"a", "l", true}, {"a", "l[1].x", true}, {"b", "a", false}, {"b", "d", false}, {"b", "l[2].x", false},
		{"l[2].x", "l", true}, {"l[2].x", "l[2]", true}, {"l[2].x", "l[2].y", true}, {"l[2].x", "l[2].z", false}, {"l[2].x", "l[1].z", true},
		{"l[2].x", "end", true}, {"l[2].x", "d", false}, {"", "a", false}, {"gone", "a", false},
	} {
		require.Equal(t, c.want, follows(tasks, c.target, c.ref), "%s after %s", c.ref, c.target)
	}
}
