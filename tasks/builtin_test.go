package tasks

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

func TestOptionsValidate(t *testing.T) {
	require.NoError(t, DefaultOptions().Validate())
	require.NoError(t, DevOptions().Validate())
	for field, change := range map[string]func(*Options){
		"ExecAllow":      func(o *Options) { o.ExecAllow = []string{"./awk"} },
		"ExecOutput":     func(o *Options) { o.ExecOutput = 0 },
		"ExecGrace":      func(o *Options) { o.ExecGrace = -1 },
		"HTTPAllow":      func(o *Options) { o.HTTPAllow = []string{"http://x"} },
		"HTTPDeny":       func(o *Options) { o.HTTPDeny = []string{"*"} },
		"HTTPBody":       func(o *Options) { o.HTTPBody = 0 },
		"TransformSteps": func(o *Options) { o.TransformSteps = 0 },
		"ScriptTime":     func(o *Options) { o.ScriptTime = 2 * time.Minute },
		"ScriptMemory":   func(o *Options) { o.ScriptMemory = 0 },
	} {
		t.Run(field, func(t *testing.T) {
			o := DefaultOptions()
			change(&o)
			require.ErrorContains(t, o.Validate(), field)
		})
	}
}

// The schema that publishing uses must accept what the handler accepts and
// refuse what it refuses.
func TestSchemasAgreeWithHandlers(t *testing.T) {
	for _, c := range []struct {
		typ, with string
		ok        bool
	}{
		{"log", `{"message":"m"}`, true},
		{"log", `{"message":{"a":1},"level":"debug"}`, true},
		{"log", `{"level":"info"}`, false},
		{"log", `{"message":"m","level":"loud"}`, false},
		{"log", `{"message":"m","lvl":"info"}`, false},
		{"noop", `[1,2]`, true},
		{"noop", `null`, true},
		{"transform", `{"jq":"."}`, true},
		{"transform", `{"jq":".a","value":{"a":1}}`, true},
		{"transform", `{"value":1}`, false},
		{"transform", `{"jq":1}`, false},
		{"script", `{"script":"$"}`, true},
		{"script", `{"script":"$.a","input":{"a":1}}`, true},
		{"script", `{"input":1}`, false},
		{"script", `{"script":1}`, false},
		{"script", `{"script":"1","args":{}}`, false},
		{"exec", `{"command":["true"]}`, true},
		{"exec", `{"command":["echo",1,true],"env":{"A":1},"stdin":{"a":1},"dir":"/","parse":"json"}`, false}, // `1 true` is no JSON value
		{"exec", `{"command":["echo",1],"env":{"A":1},"stdin":{"a":1},"dir":"/","parse":"json"}`, true},
		{"exec", `{"command":"true"}`, false},
		{"exec", `{"command":[]}`, false},
		{"exec", `{"command":["true",null]}`, false},
		{"exec", `{"command":["true"],"env":{"A":null}}`, true},
		{"exec", `{"command":["true"],"env":{"A":[]}}`, false},
		{"exec", `{"command":["true"],"parse":"yaml"}`, false},
		{"exec", `{"command":["true"],"shell":true}`, false},
		{"http", `{"url":"ftp://x"}`, false},
		{"http", `{}`, false},
		{"http", `{"url":"http://x","method":"TRACE"}`, false},
		{"http", `{"url":"http://x","headers":{"A":["b"]}}`, false},
		{"http", `{"url":"http://x","accept_status":"2xx"}`, false},
		{"http", `{"url":"http://x","accept_status":99}`, false},
	} {
		t.Run(c.typ+c.with, func(t *testing.T) {
			typ := builtin(t, c.typ, DevOptions())
			output, failure := run(t, typ, c.with)
			require.Equal(t, c.ok, failure == nil, "%v", failure)
			if failure == nil || failure.Code == CodeInputInvalid {
				require.Equal(t, c.ok, matches(t, typ.Input, c.with), "the schema disagrees with the handler")
			}
			if failure == nil {
				require.True(t, matches(t, typ.Output, output), "the output does not match its schema: %s", output)
			}
		})
	}
}

func matches(t *testing.T, schema json.RawMessage, value string) bool {
	t.Helper()
	if schema == nil {
		return true
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("s.json", doc))
	compiled, err := c.Compile("s.json")
	require.NoError(t, err)
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
	require.NoError(t, err)
	return compiled.Validate(v) == nil
}

func TestNoopLogFail(t *testing.T) {
	output, failure := run(t, builtin(t, "noop", DefaultOptions()), `{"a":[1,12345678901234567890]}`)
	require.Nil(t, failure)
	require.Equal(t, `{"a":[1,12345678901234567890]}`, output)

	var lines []record
	logs := slog.New(recorder{func(r record) { lines = append(lines, r) }})
	log := builtin(t, "log", DefaultOptions())
	for _, with := range []string{`{"message":"hello"}`, `{"message":{"a":1},"level":"error"}`, `{"message":"` + strings.Repeat("x", maxLogMessage+5) + `","level":"debug"}`} {
		output, failure := runJob(t.Context(), log, &Job{Input: json.RawMessage(with), Log: logs})
		require.Nil(t, failure)
		require.Equal(t, `{}`, output)
	}
	require.Equal(t, []record{{slog.LevelInfo, "hello"}, {slog.LevelError, `{"a":1}`}}, lines[:2])
	require.True(t, strings.HasSuffix(lines[2].Message, "(5 bytes more)"))

	fail := builtin(t, "fail", DefaultOptions())
	for _, c := range []struct {
		with, code, message string
		retryable           bool
	}{
		{``, "failed", "failed on purpose", false},
		{`{"message":"m","code":"no_stock"}`, "no_stock", "m", false},
		{`{"message":{"n":1},"retryable":true}`, "failed", `{"n":1}`, true},
		{`{"message":"100 %s"}`, "failed", "100 %s", false},
		{`{"code":"No Stock"}`, "input_invalid", `with.code: is "No Stock"`, false},
	} {
		_, failure := run(t, fail, c.with)
		require.Equal(t, c.code, failure.Code)
		require.Contains(t, failure.Message, c.message)
		require.Equal(t, c.retryable, failure.Retryable)
	}
}
