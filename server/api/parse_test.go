package api

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/server/problem"
)

// FuzzParseJSON holds the strict parser against encoding/json: what it takes
// means the same there, and what it refuses is refused with a reason.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, `[[[[]]]]`, `{"a":1e400}`, `{`, ``, `"\ud800"`, `1 2`, `{"a":1,}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseJSON(body)
		if err != nil {
			var p *problem.Problem
			require.ErrorAs(t, err, &p)
			require.NotEmpty(t, p.Errors)
			require.Positive(t, p.Errors[0].Line+len(p.Errors[0].Code))
			return
		}
		require.True(t, json.Valid(body))
		text, err := json.Marshal(got)
		require.NoError(t, err)
		again, err := parseJSON(text)
		require.NoError(t, err)
		require.True(t, reflect.DeepEqual(got, again))
	})
}

func TestSyntaxErrorsHaveAPlace(t *testing.T) {
	_, err := parseJSON([]byte("{\n  \"a\": x\n}"))
	var p *problem.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, 2, p.Errors[0].Line)
	require.Equal(t, 8, p.Errors[0].Column)
}

func TestEveryOperationHasARule(t *testing.T) {
	spec, err := LoadSpec()
	require.NoError(t, err)
	require.NoError(t, spec.Document.Validate(t.Context()))
	for name, rule := range spec.Rules() {
		require.NotEmpty(t, rule.Scope, name)
		require.False(t, rule.Open, name)
	}
}
