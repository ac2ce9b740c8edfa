package docs

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages are the documents that show examples, with those that they show.
var pages = map[string][]string{
	"for-each.md":         {"for-each.yaml"},
	"groups-and-loops.md": {"nested.yaml", "group-retry.yaml", "loop.yaml"},
	"waiting.md":          {"wait.yaml", "approval.yaml"},
	"sub-workflows.md":    {"sub-workflow.yaml", "sub-workflow-billing.yaml"},
	"failure-handling.md": {"retry-continue.yaml", "failure-handlers.yaml", "timeout.yaml", "concurrency.yaml"},
}

var shown = regexp.MustCompile("(?ms)^\\[examples/(\\S+)\\]\\(\\.\\./examples/(\\S+)\\):\n\n```yaml\n(.*?)^```$")

// TestPagesShowTheExamples: what a page shows is what the example says, and every example has its picture.
func TestPagesShowTheExamples(t *testing.T) {
	for page, names := range pages {
		text := read(t, "docs", page)
		var found []string
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			require.Equal(t, m[1], m[2], page)
			require.Equal(t, read(t, "examples", m[1]), m[3], "docs/%s does not show examples/%s as it is", page, m[1])
			found = append(found, m[1])
		}
		require.Equal(t, names, found, page)
		for section := range strings.SplitSeq(text, "\n## ") {
			if title, _, _ := strings.Cut(section, "\n"); strings.Contains(section, "```yaml\n") {
				require.Contains(t, section, "```mermaid\nflowchart ", "docs/%s has no picture under %q", page, title)
			}
		}
		require.Contains(t, read(t, "docs", "README.md"), "("+page+")", "docs/README.md does not lead to it")
		require.Contains(t, read(t, "docs", "language.md"), "("+page, "docs/language.md does not lead to it")
	}
}

// TestTheListOfExamplesIsWhole: examples/README.md names what lies there, and nothing else.
func TestTheListOfExamplesIsWhole(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		found, err := filepath.Glob(filepath.Join(root, "examples", pattern))
		require.NoError(t, err)
		for _, f := range found {
			name, err := filepath.Rel(filepath.Join(root, "examples"), f)
			require.NoError(t, err)
			if filepath.Dir(name) == "schedules" && filepath.Base(name) != "workflow.yaml" {
				continue // a schedule; the list has its workflow
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| \[(\S+\.yaml)\]`).FindAllStringSubmatch(read(t, "examples", "README.md"), -1) {
		listed[m[1]] = true
	}
	slices.Sort(files)
	require.Equal(t, files, slices.Sorted(maps.Keys(listed)))
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}
