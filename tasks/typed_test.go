package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

type addInput struct {
	A    int64   `json:"a"`
	B    *int64  `json:"b,omitempty"`
	List []int   `json:"list"`
	Sub  subject `json:"sub"`
	Any  any     `json:"any"`
}

type subject struct {
	Name string `json:"name"`
}

func (s addInput) Validate() error {
	if s.A < 0 {
		return errors.New("a: is negative; allowed: 0 or more")
	}
	return nil
}

func TestNewDecodesStrictly(t *testing.T) {
	echo := New("echo", func(_ context.Context, _ *Job, in addInput) (addInput, error) { return in, nil })
	for _, c := range []struct{ name, with, output, message string }{
		{"all", `{"a":1,"b":2,"list":[3],"sub":{"name":"<x>"},"any":12345678901234567890}`,
			`{"a":1,"b":2,"list":[3],"sub":{"name":"<x>"},"any":12345678901234567890}`, ""},
		{"absent", ``, `{"a":0,"list":null,"sub":{"name":""},"any":null}`, ""},
		{"unknown field", `{"c":1}`, "", `with: unknown field "c"; allowed: a, any, b, list, sub`},
		{"unknown field inside", `{"sub":{"nam":1}}`, "", `unknown field "nam"`},
		{"wrong type", `{"a":"1"}`, "", "with.a: is a string; allowed: an integer (int64)"},
		{"fraction", `{"a":1.5}`, "", "with.a: is a number; allowed: an integer (int64)"},
		{"too large", `{"a":9223372036854775808}`, "", "with.a: is a number"},
		{"wrong type inside", `{"sub":{"name":[]}}`, "", "with.sub.name: is an array; allowed: a string"},
		{"no object", `7`, "", "with: is a number; allowed: an object"},
		{"broken", `{"a":`, "", "with: unexpected EOF"},
		{"two values", `{} {}`, "", "behind the JSON value"},
		{"own check", `{"a":-1}`, "", "with: a: is negative; allowed: 0 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, failure := run(t, echo, c.with)
			if c.message == "" {
				require.Nil(t, failure)
				require.Equal(t, c.output, output)
				return
			}
			require.NotNil(t, failure, "answered %s", output)
			require.Equal(t, "input_invalid", failure.Code)
			require.False(t, failure.Retryable)
			require.Contains(t, failure.Message, c.message)
		})
	}
}

func TestNewRefusesAnOutputThatIsNoJSON(t *testing.T) {
	nan := New("nan", func(context.Context, *Job, struct{}) (float64, error) { return math.NaN(), nil })
	_, failure := run(t, nan, `{}`)
	require.Equal(t, "output_invalid", failure.Code)
}

type embedding struct{ subject }

type tree struct {
	Children []tree `json:"children"`
}

func TestSchemaOf(t *testing.T) {
	type all struct {
		Text    string            `json:"text"`
		Flag    bool              `json:"flag,omitempty"`
		Count   uint8             `json:"count"`
		Ratio   *float64          `json:"ratio,omitempty"`
		Map     map[string]int    `json:"map"`
		At      time.Time         `json:"at"`
		Raw     json.RawMessage   `json:"raw"`
		Quoted  int               `json:"quoted,string"`
		Bytes   []byte            `json:"bytes"`
		Pair    [2]string         `json:"pair"`
		Number  json.Number       `json:"number"`
		Hidden  string            `json:"-"`
		Default string            // its Go name
		private map[string]string //nolint:unused // JSON does not see it
	}
	const properties = `{"text":{"type":"string"},"flag":{"type":"boolean"},"count":{"type":"integer","minimum":0},
		"ratio":{"type":["number","null"]},"map":{"type":["object","null"],"additionalProperties":{"type":"integer"}},
		"at":{"type":"string","format":"date-time"},"raw":{},"quoted":{},"bytes":{"type":["string","null"],"contentEncoding":"base64"},
		"pair":{"type":"array","items":{"type":"string"}},"number":{"type":"number"},"Default":{"type":"string"}}`
	typ := New("all", func(_ context.Context, _ *Job, in all) (all, error) { return in, nil })
	sameJSON(t, `{"type":"object","additionalProperties":false,"properties":`+properties+`}`, typ.Input)
	sameJSON(t, `{"type":"object","additionalProperties":false,"properties":`+properties+`,
		"required":["text","count","map","at","raw","quoted","bytes","pair","number","Default"]}`, typ.Output)
	require.NoError(t, checkSchema(typ.Input))

	open := New("open", func(context.Context, *Job, any) (json.RawMessage, error) { return nil, nil })
	require.Nil(t, open.Input)
	require.Nil(t, open.Output)
	hard := New("hard", func(context.Context, *Job, embedding) (tree, error) { return tree{}, nil })
	require.Nil(t, hard.Input)
	sameJSON(t, `{"type":"object","additionalProperties":false,"required":["children"],
		"properties":{"children":{"type":["array","null"],"items":{}}}}`, hard.Output)
}

func sameJSON(t *testing.T, want string, got json.RawMessage) {
	t.Helper()
	var a, b any
	require.NoError(t, json.Unmarshal([]byte(want), &a))
	require.NoError(t, json.Unmarshal(got, &b))
	require.Empty(t, cmp.Diff(a, b))
}

func TestRegistry(t *testing.T) {
	h := HandlerFunc(func(context.Context, *Job) (json.RawMessage, error) { return nil, nil })
	for _, c := range []struct {
		name, message string
		typ           Type
	}{
		{"upper case", "bad name", Type{Name: "Load", Handler: h}},
		{"empty", "bad name", Type{Handler: h}},
		{"too long", "bad name", Type{Name: strings.Repeat("a", 129), Handler: h}},
		{"slash", "bad name", Type{Name: "a/b", Handler: h}},
		{"newline", "bad name", Type{Name: "a\n", Handler: h}},
		{"control node", "belongs to the engine", Type{Name: "wait", Handler: h}},
		{"no handler", "no handler", Type{Name: "x"}},
		{"taken", "registered twice", Type{Name: "noop", Handler: h}},
		{"broken schema", "Input is no JSON Schema", Type{Name: "x", Handler: h, Input: json.RawMessage(`{"type":"strin"}`)}},
		{"remote schema", "Output is no JSON Schema", Type{Name: "x", Handler: h, Output: json.RawMessage(`{"$ref":"http://127.0.0.1/x.json"}`)}},
		{"file schema", "Input is no JSON Schema", Type{Name: "x", Handler: h, Input: json.RawMessage(`{"$ref":"file:///etc/passwd"}`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewRegistry(noopType(), c.typ)
			require.ErrorContains(t, err, c.message)
		})
	}
	r, err := NewRegistry(Builtin(DefaultOptions())...)
	require.NoError(t, err)
	require.NoError(t, r.Add(Type{Name: strings.Repeat("a", 128), Handler: h}))
	require.Equal(t, []string{strings.Repeat("a", 128), "exec", "fail", "http", "log", "noop", "script", "transform"}, r.Names())
	require.Len(t, r.Catalog(), 8)
	require.Nil(t, r.Catalog()["noop"])
	require.NotNil(t, r.Catalog()["http"])
	_, ok := r.Get("nope")
	require.False(t, ok)

	_, err = NewRegistry(Type{Name: "A"}, Type{Name: "B"})
	require.ErrorContains(t, err, `"A"`)
	require.ErrorContains(t, err, `"B"`, "all reasons at once")
}
