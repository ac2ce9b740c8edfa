package examples

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

// catalog is what workers of this repository can run: greet is the type of examples/worker.
func catalog(t *testing.T) workflow.Catalog {
	t.Helper()
	registry, err := tasks.NewRegistry(append(tasks.Builtin(tasks.DefaultOptions()), weather.Types()...)...)
	require.NoError(t, err)
	all := registry.Catalog()
	all["greet"] = nil
	all["word.count"] = nil // of remote/worker.py, which announces it when it polls
	return all
}

// paths are the workflows that lie in this folder. The schedules beside one are applied by the tests of the command line.
func paths(t *testing.T) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".yaml" && (filepath.Dir(path) != "schedules" || d.Name() == "workflow.yaml") {
			all = append(all, filepath.ToSlash(path))
		}
		return err
	}))
	return all
}

func TestEveryExampleCanBePublished(t *testing.T) {
	for _, path := range paths(t) {
		t.Run(path, func(t *testing.T) {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(source), "# "), "begin with a comment that says what it shows")
			program, warnings, err := workflow.Load(source, catalog(t), workflow.DefaultLimits())
			require.NoError(t, err)
			require.Empty(t, warnings)
			require.NotEmpty(t, program.Nodes)
			embedded, err := Files.ReadFile(path)
			require.NoError(t, err, "embed it, too")
			require.Equal(t, source, embedded)
		})
	}
}

// An example that no test runs shows what nobody knows to be true.
func TestEveryExampleIsRun(t *testing.T) {
	run := slices.Sorted(maps.Keys(scenarios))
	require.Equal(t, slices.Sorted(slices.Values(paths(t))), run, "every example has its scenario in run_test.go, and the other way round")
}

// The schemas of the types find mistakes when a definition is published.
func TestMistakesAreFoundWhenPublished(t *testing.T) {
	source, err := Files.ReadFile("weather/workflow.yaml")
	require.NoError(t, err)
	for _, c := range []struct{ from, to, field, allowed string }{
		{`year: "${int(item)}" }`, `year: soon }`, "tasks[0].with.year", "weather.year"},
		{"year: \"${int(item", "yaer: \"${int(item", "tasks[0].with", "csv, resamples, year"},
		{"tasks.year.output", "tasks.yaer.output", "tasks[1].with.value", "year"},
		{"type: weather.report", "type: weather.reprot", "tasks[2].type", ""},
	} {
		changed := strings.Replace(string(source), c.from, c.to, 1)
		require.NotEqual(t, string(source), changed)
		_, warnings, err := workflow.Load([]byte(changed), catalog(t), workflow.DefaultLimits())
		found := warnings
		if err != nil {
			require.ErrorAs(t, err, &found)
		}
		require.NotEmpty(t, found, c.to)
		require.Contains(t, found[0].Field, c.field)
		require.Contains(t, found[0].Allowed, c.allowed, found[0].Message)
	}
}
