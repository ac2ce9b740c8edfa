package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

func catalog(t *testing.T) workflow.Catalog {
	t.Helper()
	registry, err := tasks.NewRegistry(append(tasks.Builtin(tasks.DefaultOptions()), weather.Types()...)...)
	require.NoError(t, err)
	return registry.Catalog()
}

func TestEveryExampleCanBePublished(t *testing.T) {
	found := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		if filepath.Dir(path) == "schedules" && d.Name() != "workflow.yaml" {
			return nil // schedules: the tests of the command line apply them
		}
		found++
		t.Run(path, func(t *testing.T) {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(source), "# "), "begin with a comment that says what it shows")
			program, warnings, err := workflow.Load(source, catalog(t), workflow.DefaultLimits())
			require.NoError(t, err)
			require.Empty(t, warnings)
			require.NotEmpty(t, program.Nodes)
			embedded, err := Files.ReadFile(filepath.ToSlash(path))
			require.NoError(t, err, "embed it, too")
			require.Equal(t, source, embedded)
		})
		return nil
	}))
	require.GreaterOrEqual(t, found, 4)
}

// The schemas of the types find mistakes when a definition is published.
func TestMistakesAreFoundWhenPublished(t *testing.T) {
	source, err := Files.ReadFile("weather/workflow.yaml")
	require.NoError(t, err)
	for _, c := range []struct{ from, to, field string }{
		{"year: 2013 }", `year: "2013" }`, "tasks[2].with.year"},
		{"year: 2013 }", "yaer: 2013 }", "tasks[2].with"},
		{"type: weather.report", "type: weather.reprot", "tasks[6].type"},
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
	}
}
