package workflow

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Large sources whose parsing must not take more than linear
// time; a quadratic step makes this test run for minutes.
func TestLargeSourcesAreReadQuickly(t *testing.T) {
	fill := func(unit string) string { return strings.Repeat(unit, (128<<10)/len(unit)) }
	for name, source := range map[string]string{
		"list on one line":  "a: [" + fill("1,") + "1]",
		"list of lines":     "a:\n" + fill("- 1\n"),
		"JSON on one line":  `{"a":[` + fill("1,") + "1]}",
		"keys":              fill("a:\n"),
		"comments":          "# a\n" + fill("# b\n") + "name: w",
		"quoted":            `a: "` + fill(`\n`) + `"`,
		"plain, many lines": "a: b" + fill("\n  c"),
		"literal":           "a: |\n" + fill("  b\n"),
		"folded":            "a: >\n" + fill("  b\n\n"),
		"colons":            fill(": "),
		"braces":            "a: '" + fill("${") + "'",
		"brackets":          fill("[]"),
		"objects":           "a: [" + fill("{},") + "]",
		"spaces":            "a: b" + fill(" ") + "\n",
		"quotes":            fill("'"),
		"documents":         fill("---\n"),
		"dashes":            fill("-\n"),
		"percents":          fill("%a\n"),
		"keys and values":   fill("a: b\n"),
		"flow keys":         "{" + fill("a: b,") + "}",
		"flow without end":  fill("{a: "),
		"nested keys":       "x:\n" + fill("  a:\n    b: c\n"),
		"wide":              "a: '" + fill("é") + "' : b",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Load([]byte(source), nil, DefaultLimits())
			require.Error(t, err)
		})
	}
}
