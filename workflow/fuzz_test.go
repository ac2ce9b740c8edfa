package workflow

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func seeds(f *testing.F) {
	data, err := os.ReadFile("testdata/malformed.txt")
	require.NoError(f, err)
	for _, c := range strings.Split(string(data), "=== ")[1:] {
		_, rest, _ := strings.Cut(c, "\n")
		source, _, _ := cutLast(rest, "---\n")
		f.Add([]byte(source))
	}
	f.Add([]byte(weather))
	f.Add([]byte("name: w\ntasks:\n  - &a {name: a, type: noop}\n  - {<<: *a, name: b, with: |\n"))
}

// Whatever is loaded, it is a program or it is problems, and a program can be
// stored, opened and resolved.
func FuzzLoad(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, source []byte) {
		p, _, err := Load(source, Catalog{"noop": nil}, DefaultLimits())
		if err != nil {
			require.NotEmpty(t, AsProblems(err))
			require.Nil(t, p)
			return
		}
		require.Len(t, p.Nodes, len(p.Definition.Tasks))
		again, err := Open(p.Definition.Canonical(), DefaultLimits())
		require.NoError(t, err)
		require.Equal(t, p.Hash, again.Hash)
		for _, n := range p.Nodes {
			if input, failed := n.Input(scopeOf(sample)); failed == nil {
				require.True(t, json.Valid(input), string(input))
			}
			_, _ = n.Condition(scopeOf(sample))
		}
	})
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"a${workflow.input.l[0]}b", "${{'a': '}'}}", "$${x}${1}", "${r'\\'}", "${'''}'''}", "${tasks.load.output.?a}", "${1 // }\n}", "${has(tasks.load.output.a)}", "${secrets.a}"} {
		f.Add(s, sample)
	}
	f.Fuzz(func(t *testing.T, text, data string) {
		raw, err := json.Marshal(text)
		require.NoError(t, err)
		if !json.Valid([]byte(data)) {
			data = sample
		}
		p, _, err := Load([]byte(`{"name":"w","tasks":[{"name":"load","type":"noop"},{"name":"b","type":"noop","needs":["load"],"with":`+string(raw)+`}]}`), nil, DefaultLimits())
		if err != nil {
			return
		}
		input, failed := p.Node("b").Input(scopeOf(data))
		if failed != nil {
			require.Contains(t, []string{CodeExpressionFailed, CodeInputTooLarge}, failed.Code)
			return
		}
		require.True(t, json.Valid(input), string(input))
		recorded, failed := p.Node("b").Recorded(scopeOf(data))
		require.Nil(t, failed)
		require.True(t, json.Valid(recorded))
		if len(p.Node("b").InputReads.Secrets) == 0 {
			require.Equal(t, string(input), string(recorded))
		}
	})
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":[1,2.50,1e5,-0],"a":{"\u0041":"\u2028<&>"}}`))
	f.Add([]byte(`12345678901234567890123`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if !json.Valid(value) {
			return
		}
		once := canonicalValue(value)
		if bytes.Equal(once, value) && len(once) == 0 {
			return
		}
		require.True(t, json.Valid(once), string(once))
		require.Equal(t, string(once), string(canonicalValue(once)))
		d := &Definition{Name: "w", Tasks: []Task{{Name: "a", Type: "noop", With: value}}}
		p, err := Open(d.Canonical(), DefaultLimits())
		if err != nil {
			return // duplicate keys, numbers that are too large, expressions that do not parse
		}
		require.Equal(t, string(d.Canonical()), string(p.Definition.Canonical()))
	})
}
