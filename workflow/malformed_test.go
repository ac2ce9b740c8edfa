package workflow

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each case of testdata/malformed.txt is a definition, and behind "---" where
// its problems are, which code they have and which field they name.
func TestMalformedDefinitions(t *testing.T) {
	data, err := os.ReadFile("testdata/malformed.txt")
	require.NoError(t, err)
	cases := strings.Split(string(data), "=== ")[1:]
	require.GreaterOrEqual(t, len(cases), 60)
	for _, c := range cases {
		name, rest, _ := strings.Cut(c, "\n")
		source, want, found := cutLast(rest, "---\n")
		require.True(t, found, name)
		t.Run(name, func(t *testing.T) {
			p, warnings, err := Load([]byte(source), nil, DefaultLimits())
			require.Nil(t, p)
			require.Empty(t, warnings)
			var got strings.Builder
			for _, p := range AsProblems(err) {
				fmt.Fprintf(&got, "%d:%d %s %s\n", p.Line, p.Column, p.Code, p.Field)
				require.NotEmpty(t, p.Message)
			}
			require.Equal(t, want, got.String())
		})
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func TestProblemsSayWhatIsAllowed(t *testing.T) {
	for source, want := range map[string]string{
		"name: w\ntasks:\n  - {name: a, typ: noop}":                                                                                            `tasks[0].typ: a task has no field "typ"; did you mean "type"?; allowed: name, description, type, needs`,
		"name: w\ntasks:\n  - {name: load, type: noop}\n  - {name: b, type: noop, needs: [laod]}":                                              `there is no task "laod"; did you mean "load"?; allowed: load`,
		"name: w\ntasks:\n  - {name: a, type: noop, needs: [b]}\n  - {name: b, type: noop, needs: [c]}\n  - {name: c, type: noop, needs: [a]}": "a -> b -> c -> a",
		"name: w\ntasks:\n  - {name: x-y, type: noop}\n  - {name: b, type: noop, needs: [x-y], with: '${tasks.x-y.output}'}":                   `allowed: tasks["x-y"].output`,
		"name: w\ntasks:\n  - {name: a, type: noop, timeout: 5}":                                                                               "written as 500ms, 30s, 5m or 1h30m",
		"name: 7\ntasks:\n  - {name: a, type: noop}":                                                                                           "put it in quotes",
	} {
		_, _, err := Load([]byte(source), nil, DefaultLimits())
		require.ErrorContains(t, err, want)
	}
}

func TestSourceIsBounded(t *testing.T) {
	limits := DefaultLimits()
	deep := func(open, end string, n int) string {
		return `{"name":"w","tasks":[{"name":"a","type":"noop","with":` + strings.Repeat(open, n) + "1" + strings.Repeat(end, n) + `}]}`
	}
	laughs := "name: w\nx0: &x0 [a, a, a, a, a, a, a, a, a, a]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("x%d: &x%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", i-1), 10), ", "))
	}
	long := "name: w\nx0: &x0 " + strings.Repeat("a", 300_000) + "\nx1: [*x0, *x0, *x0, *x0, *x0]\n"
	many := "name: w\ntasks:\n" + strings.Repeat("  - {type: noop}\n", 1001)
	for name, c := range map[string]struct{ source, code string }{
		"too many bytes":      {strings.Repeat("# comment\n", 200_000), CodeTooLarge},
		"deep JSON":           {deep("[", "]", 40), CodeTooDeep},
		"very deep JSON":      {deep(`{"a":`, "}", 5_000), CodeTooDeep},
		"deeper than JSON":    {deep("[", "]", 20_000), CodeTooDeep},
		"deep YAML":           {"a: " + strings.Repeat("[", 50_000), CodeTooDeep},
		"deep YAML in lines":  {strings.Repeat("- ", 50_000) + "a", CodeTooDeep},
		"deep keys":           {strings.Repeat("? ", 30_000) + "a", CodeTooDeep},
		"many anchors":        {strings.Repeat("&a ", 30_000) + "a", CodeTooDeep},
		"many tags":           {strings.Repeat("!a ", 100_000) + "a", CodeTooDeep},
		"many values":         {`{"name":"w","tasks":[{"name":"a","type":"noop","with":[0` + strings.Repeat(",0", 101_000) + `]}]}`, CodeTooLarge},
		"billion laughs":      {laughs, CodeTooLarge},
		"long text, repeated": {long, CodeTooLarge},
		"alias of itself":     {"name: &a [*a]\n", CodeBadYAML},
		"many tasks":          {many, CodeTooLarge},
		"NUL":                 {"name: \"w\x00\"\n", CodeEncoding},
		"invalid UTF-8":       {"name: w\ndescription: \xff\n", CodeEncoding},
		"UTF-16":              {"\xff\xfen\x00", CodeEncoding},
		"empty":               {"", CodeSyntax},
		"spaces":              {" \n\t\n", CodeSyntax},
		"only a mark":         {"\ufeff", CodeSyntax},
		"many expressions":    {`{"name":"w","tasks":[{"name":"a","type":"noop","with":["${1}"` + strings.Repeat(`,"${1}"`, 10_000) + `]}]}`, CodeTooLarge},
		"long expression":     {`{"name":"w","tasks":[{"name":"a","type":"noop","with":"${1` + strings.Repeat(`+1`, 5_000) + `}"}]}`, CodeTooLarge},
		"deep expression":     {`{"name":"w","tasks":[{"name":"a","type":"noop","with":"${` + strings.Repeat(`(`, 4_000) + `1}"}]}`, CodeBadExpression},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Load([]byte(c.source), nil, limits)
			problems := AsProblems(err)
			require.NotEmpty(t, problems)
			codes := make([]string, len(problems))
			for i, p := range problems {
				codes[i] = p.Code
			}
			require.Contains(t, codes, c.code, problems[0].String())
			require.LessOrEqual(t, len(problems), maxProblems+1)
		})
	}
}

func TestWhatIsAllowedLoads(t *testing.T) {
	for name, source := range map[string]string{
		"byte order mark":    "\ufeffname: w\ntasks: [{name: a, type: noop}]\n",
		"windows lines":      "name: w\r\ntasks:\r\n  - name: a\r\n    type: noop\r\n",
		"empty document":     "---\nname: w\ntasks: [{name: a, type: noop}]\n...\n",
		"anchors and merges": "name: w\ntasks:\n  - &a {name: a, type: noop, with: {x: 1}}\n  - {<<: *a, name: b}\n",
		"booleans as if":     "name: w\ntasks:\n  - {name: a, type: noop, if: true}\n  - {name: b, type: noop, if: false}\n",
		"null means nothing": "name: w\noutput:\ntasks:\n  - {name: a, type: noop, with: , needs: , retry: ~}\n",
		"longest workflow":   "name: " + strings.Repeat("a", 128) + "\ntasks: [{name: a, type: noop}]\n",
		"reserved in CEL":    "name: w\ntasks:\n  - {name: loop, type: noop}\n  - {name: b, type: noop, needs: [loop], with: '${tasks.loop.output}'}\n",
		"a thousand tasks":   "name: w\ntasks:\n" + thousandTasks(),
		"local names":        "name: w\ntasks:\n  - {name: a, type: noop, with: '${[1, 2].map(item, item + 1).filter(tasks, tasks > 1)}'}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Load([]byte(source), nil, DefaultLimits())
			require.NoError(t, err)
		})
	}
}

func thousandTasks() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "- name: t%d\n  type: noop\n  timeout: 5s\n  retry:\n    max_attempts: 3\n    delay: 1s\n  with:\n    a: ${workflow.input.x}\n    b: [1, 2, 3]\n", i)
	}
	return b.String()
}
