package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTransform(t *testing.T) {
	t.Setenv("REDRIVE_TEST_CANARY", "canary")
	typ := builtin(t, "transform", DefaultOptions())
	for _, c := range []struct{ name, jq, value, output, code, message string }{
		{"identity keeps large integers", `.`, `[9007199254740993,12345678901234567890123]`, `[9007199254740993,12345678901234567890123]`, "", ""},
		{"adds large integers", `.a + 1`, `{"a":12345678901234567890123}`, `12345678901234567890124`, "", ""},
		{"maps", `map({year, mean})`, `[{"year":2012,"mean":11.28,"x":1}]`, `[{"mean":11.28,"year":2012}]`, "", ""},
		{"no value is null", `.`, ``, `null`, "", ""},
		{"empty list survives", `.a`, `{"a":[]}`, `[]`, "", ""},
		{"no environment", `[env, $ENV]`, `null`, `[{},{}]`, "", ""},
		{"nan", `nan`, `null`, `null`, "", ""},
		{"several", `.[]`, `[1,2]`, "", "transform_many", "wrap it in [...]"},
		{"none", `empty`, `1`, "", "transform_empty", "// null"},
		{"syntax", ".a\n| map(", `1`, "", "jq_invalid", "line 2"},
		{"unknown function", `nosuch`, `1`, "", "jq_invalid", "nosuch/0"},
		{"modules", `import "a" as a; .`, `1`, "", "jq_invalid", "modules"},
		{"input", `input`, `1`, "", "jq_invalid", "input"},
		{"type error", `.a`, `[1]`, "", "transform_failed", "expected an object"},
		{"error()", `error("own words")`, `1`, "", "transform_failed", "own words"},
		{"halt", `halt_error`, `"bye"`, "", "transform_failed", "halted"},
		{"endless", `[repeat(1)] | length`, `1`, "", "transform_too_long", "steps"},
		{"blank", ` `, `1`, "", "input_invalid", "with.jq"},
		{"too long", strings.Repeat(" ", maxProgram) + ".", `1`, "", "input_invalid", "16384"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultOptions()
			o.TransformSteps = 100_000
			in, err := json.Marshal(transformInput{JQ: c.jq, Value: json.RawMessage(or(c.value, "null"))})
			require.NoError(t, err)
			output, failure := run(t, builtin(t, "transform", o), string(in))
			if c.code == "" {
				require.Nil(t, failure)
				require.Equal(t, c.output, output)
				return
			}
			require.NotNil(t, failure, "answered %s", output)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.False(t, failure.Retryable)
		})
	}
	for range 2 { // the second one comes from the cache
		output, failure := run(t, typ, `{"jq":".a","value":{"a":1}}`)
		require.Nil(t, failure)
		require.Equal(t, `1`, output)
	}
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func TestTransformEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCanceled)
	_, failure := runJob(ctx, builtin(t, "transform", DefaultOptions()), &Job{Input: json.RawMessage(`{"jq":"last(repeat(1))"}`)})
	require.Equal(t, "canceled", failure.Code)
}

func TestTransformCacheIsBounded(t *testing.T) {
	p := newPrograms()
	for i := range 3 * maxPrograms {
		_, err := p.compile(fmt.Sprintf(". + %d", i))
		require.NoError(t, err)
		require.LessOrEqual(t, len(p.byText), maxPrograms)
	}
}

func FuzzTransform(f *testing.F) {
	for _, seed := range []string{`.`, `.a.b`, `map(.x)`, `[.[]|select(.>1)]`, `reduce .[] as $x (0; . + $x)`, `"\(.)"`, `limit(3; repeat(1))`, `. as [$a] ?// $a | $a`} {
		f.Add(seed, `[1,2,{"a":{"b":null}}]`)
	}
	o := DefaultOptions()
	o.TransformSteps = 1000
	typ := builtin(f, "transform", o)
	f.Fuzz(func(t *testing.T, jq, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		in, err := json.Marshal(transformInput{JQ: jq, Value: json.RawMessage(value)})
		require.NoError(t, err)
		output, failure := run(t, typ, string(in))
		if failure != nil {
			require.NotEqual(t, CodePanic, failure.Code, failure.Message)
			require.NotEqual(t, CodeOutputInvalid, failure.Code, failure.Message)
			return
		}
		require.True(t, json.Valid([]byte(output)))
	})
}

// FuzzWith feeds every built-in type with any `with`: no panic, and only JSON comes out.
func FuzzWith(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"url":"http://[::1]/"}`, `{"command":["a"]}`, `{"message":"x","code":"y"}`, `{"jq":".","value":1}`, `{"url":"http://x","query":{"a":[1,"b"]},"accept_status":["200-299",404]}`} {
		f.Add(seed)
	}
	o := DefaultOptions()
	o.TransformSteps = 1000
	types := Builtin(o)
	f.Fuzz(func(t *testing.T, with string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nothing may be sent or started
		for _, typ := range types {
			output, failure := runJob(ctx, typ, &Job{Input: json.RawMessage(with)})
			if failure != nil {
				require.NotEqual(t, CodePanic, failure.Code, "%s: %s", typ.Name, failure.Message)
				continue
			}
			require.True(t, json.Valid([]byte(output)), typ.Name)
		}
	})
}
