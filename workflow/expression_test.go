package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// one answers a node with this `with`, which needs the task load.
func one(t testing.TB, with string) *Node {
	t.Helper()
	raw, err := json.Marshal(with)
	require.NoError(t, err)
	p := mustLoad(t, `{"name":"w","tasks":[{"name":"load","type":"noop"},{"name":"my-task","type":"noop"},{"name":"b","type":"noop","needs":["load","my-task"],"with":{"x":`+string(raw)+`}}]}`)
	return p.Node("b")
}

func scopeOf(output string) Scope {
	return Scope{
		Workflow: WorkflowScope{ID: "id1", Number: 7, Name: "w", Version: 3, Input: json.RawMessage(output)},
		Tasks: map[string]TaskScope{
			"load":    {Status: TaskSucceeded, Attempt: 2, Output: json.RawMessage(output)},
			"my-task": {Status: TaskFailed, Attempt: 1, Error: &Error{Code: "boom", Message: "it broke"}},
		},
		Secret: func(name string) (string, error) {
			if name == "none" {
				return "", errors.New("no secret has this name")
			}
			return "s3cret", nil
		},
	}
}

const sample = `{"a":1,"f":1.10,"s":"x\"y","n":null,"l":[1,2,3],"o":{"k":"v"},"big":12345678901234567890123,"t":true,"é":"ü","e":""}`

func TestExpressionValues(t *testing.T) {
	for with, want := range map[string]string{
		"plain":                                  `"plain"`,
		"":                                       `""`,
		"$${x} $$ $":                             `"${x} $$ $"`,
		"${tasks.load.output.a}":                 `1`,
		"${tasks.load.output.f}":                 `1.10`,
		"${tasks.load.output.big}":               `12345678901234567890123`,
		"${ tasks.load.output.l }":               `[1,2,3]`,
		"${tasks.load.output.n}":                 `null`,
		"${tasks.load.output.o.k}":               `"v"`,
		"${tasks.load.output.l[2]}":              `3`,
		`${tasks.load.output["é"]}`:              `"ü"`,
		`${tasks["load"]["output"]["a"]}`:        `1`,
		"${workflow.input.a} ${workflow.number}": `"1 7"`,
		"a${tasks.load.output.s}b":               `"ax\"yb"`,
		"${tasks.load.output.o}!":                `"{\"k\":\"v\"}!"`,
		"${tasks.load.output.n}.":                `"null."`,
		"${workflow.session_time}":               `null`,
		"${workflow.error}":                      `null`,
		"${workflow.id}-${workflow.version}":     `"id1-3"`,
		"${tasks.load.status}":                   `"succeeded"`,
		"${tasks.load.attempt + 1}":              `3`,
		"${tasks.load.error}":                    `null`,
		`${tasks["my-task"].output}`:             `null`,
		`${tasks["my-task"].error.code}`:         `"boom"`,
		`${tasks["my-task"].error}`:              `{"code":"boom","message":"it broke","retryable":false}`,
		"${tasks.load.output.a + 1}":             `2`,
		"${tasks.load.output.a < 1.5}":           `true`,
		"${tasks.load.output.f * 2.0}":           `2.2`,
		"${4.0 / 2.0}":                           `2.0`,
		"${1e30}":                                `1e+30`,
		"${[tasks.load.output.big]}":             `[12345678901234567890123]`,
		"${size(tasks.load.output.l)}":           `3`,
		"${tasks.load.output.l.map(i, i * 2)}":   `[2,4,6]`,
		"${{'a': {'}': 1}, 'b': \"}\"}}":         `{"a":{"}":1},"b":"}"}`,
		`${r'\' + "}" + '''}"'''}`:               `"\\}}\""`,
		"${1 // } comment\n+ 1}":                 `2`,
		`${tasks.load.output.?zz.orValue("d")}`:  `"d"`,
		"${has(tasks.load.output.zz)}":           `false`,
		"${'a,b'.split(',')}":                    `["a","b"]`,
		"${base64.encode(b'hi')}":                `"aGk="`,
		"${json.encode(tasks.load.output.o)}":    `"{\"k\":\"v\"}"`,
		"${json.encode('a')}":                    `"\"a\""`,
		"${json.parse('[1, 2]').value()}":        `[1,2]`,
		"${json.parse('{}').value()}":            `{}`,
		"${json.parse('{').hasValue()}":          `false`,
		"${json.parse('1 2').hasValue()}":        `false`,
		// the order of keys and the digits of numbers are those of the value, each time
		`${json.encode({"z": 1, "a": [2.0, null], "m": "x", "b": true, "y": json.parse("12345678901234567890").value()})}`: `"{\"a\":[2.0,null],\"b\":true,\"m\":\"x\",\"y\":12345678901234567890,\"z\":1}"`,
		"${duration('90s')}":                                                                          `"1m30s"`,
		"${timestamp('2026-01-02T03:04:05Z')}":                                                        `"2026-01-02T03:04:05Z"`,
		"${time.next('0 0 * * *', 'Europe/Berlin', '2026-03-28T23:00:00Z')}":                          `"2026-03-29T22:00:00Z"`,
		"${time.last('0 0 * * *', 'Europe/Berlin', '2026-03-29T22:00:00Z')}":                          `"2026-03-28T23:00:00Z"`,
		"${time.last('0 12 29 2 *', 'UTC', '2104-02-29T12:00:00Z')}":                                  `"2096-02-29T12:00:00Z"`,
		"${[workflow.session, workflow.attempt_name]}":                                                `[null,null]`,
		"${time.format('2026-03-29T00:30:00Z', '%F %T %z %:z %s %%', 'Europe/Berlin')}":               `"2026-03-29 01:30:00 +0100 +01:00 1774744200 %"`,
		"${time.format(timestamp('2026-01-02T03:04:05Z') + duration('24h'), '%Y%m%d', 'Asia/Tokyo')}": `"20260103"`,
		"${secrets.token}":              `"s3cret"`,
		"${secrets.token.upperAscii()}": `"S3CRET"`,
		"${true ? 1 : 2}":               `1`,
		"<${'<&>'}>":                    `"<<&>>"`,
	} {
		t.Run(with, func(t *testing.T) {
			got, err := one(t, with).Input(scopeOf(sample))
			require.Nil(t, err)
			require.Equal(t, `{"x":`+want+`}`, string(got))
			require.True(t, json.Valid(got))
		})
	}
}

func TestExpressionsFailClearly(t *testing.T) {
	for with, want := range map[string]string{
		"${tasks.load.output.rows}":     `with.x: ${tasks.load.output.rows}: tasks.load.output has no key "rows"; there are: a, f, s, n, l, o, big, t, é, e`,
		"${tasks.load.output.bigg}":     `did you mean "big"?`,
		"${tasks.load.output.n.x}":      `tasks.load.output.n is null, so it has no "x"`,
		"${tasks.load.output.l.x}":      "tasks.load.output.l is a list; its items are read as tasks.load.output.l[0]",
		"${tasks.load.output.l[3]}":     "tasks.load.output.l has 3 items, so there is no [3]",
		"${tasks.load.output.l[-1]}":    "has 3 items",
		"${tasks.load.output.o[0]}":     "tasks.load.output.o is an object, not a list",
		"${tasks.load.output.rows + 1}": "no such key: rows",
		"${tasks.load.output.a + 'x'}":  "no such overload",
		"${tasks.load.output.big + 1}":  "no such overload",
		"${1 / 0}":                      "division by zero",
		"${0.0 / 0.0}":                  "NaN, which JSON cannot hold",
		"${1.0 / 0.0}":                  "Inf, which JSON cannot hold",
		"${b'abc'}":                     "use base64.encode",
		"${{1: 2}}":                     "keys that are not strings",
		"${type(1)}":                    "which JSON cannot hold",
		"${optional.none()}":            "orValue",
		"${time.next('0 0 * *', 'UTC', '2026-01-02T03:04:05Z')}": "expected exactly 5 fields",
		"${time.last('@daily', 'Mars', '2026-01-02T03:04:05Z')}": `"Mars" is no time zone`,
		"${time.last('@daily', 'UTC', 7)}":                       "time.last: a int is no time",
		"${time.next('@daily', 'UTC', '9999-12-31T12:00:00Z')}":  "there is no such time in the years 1 to 9999",
		"${lists.range(200).exists(i, time.next('0 0 30 2 *', 'UTC', '2026-01-02T03:04:05Z') == timestamp('2026-01-02T03:04:05Z'))}": "cost",
		"${lists.range(200).map(i, time.last('@daily', 'UTC', '2026-01-02T03:04:05Z'))}":                                             "cost",
		"${time.format('x', '%Y', 'UTC')}":                      `"x" is no time; allowed: RFC 3339`,
		"${time.format(tasks.load.output.n, '%Y', 'UTC')}":      "is no time",
		"${time.format('2026-01-02T03:04:05Z', '%Q', 'UTC')}":   "the layout has %Q; allowed: %Y",
		"${time.format('2026-01-02T03:04:05Z', '%', 'UTC')}":    "the layout ends with %",
		"${time.format('2026-01-02T03:04:05Z', '%Y', 'Local')}": `"Local" is no time zone`,
		"${secrets.none}": "no secret has this name",
		"${lists.range(9999).map(x, lists.range(9999).map(y, x))}": "costs more than",
	} {
		t.Run(with, func(t *testing.T) {
			got, err := one(t, with).Input(scopeOf(sample))
			require.Nil(t, got)
			require.NotNil(t, err)
			require.Equal(t, CodeExpressionFailed, err.Code)
			require.False(t, err.Retryable)
			require.Contains(t, err.Message, want)
		})
	}
}

// Each of these would take very long, or very much memory, if it were let.
func TestExpressionBombsStop(t *testing.T) {
	for _, with := range []string{
		"${lists.range(1000).map(a, lists.range(1000).map(b, lists.range(1000).map(c, 1)))}",
		"${lists.range(1000).all(a, lists.range(1000).all(b, true))}",
		"${lists.range(10000).map(x, tasks.load.output.text + tasks.load.output.text)}",
		"${lists.range(20).map(i, lists.range(1000).map(x, tasks.load.output.text))}",
		"${cel.bind(a, tasks.load.output.text + tasks.load.output.text, cel.bind(b, a + a + a + a, cel.bind(c, b + b + b + b, c + c + c + c)))}",
		"${lists.range(1000).map(x, 'a').join(tasks.load.output.text)}",
		"${lists.range(10000).map(x, [x]).distinct()}",
		"${cel.bind(a0, lists.range(1000) + lists.range(1000), cel.bind(a1, a0 + a0, cel.bind(a2, a1 + a1, cel.bind(a3, a2 + a2, cel.bind(a4, a3 + a3, cel.bind(a5, a4 + a4, cel.bind(a6, a5 + a5, cel.bind(a7, a6 + a6, cel.bind(a8, a7 + a7, cel.bind(a9, a8 + a8, cel.bind(a10, a9 + a9, cel.bind(a11, a10 + a10, cel.bind(a12, a11 + a11, cel.bind(a13, a12 + a12, cel.bind(a14, a13 + a13, cel.bind(a15, a14 + a14, cel.bind(a16, a15 + a15, cel.bind(a17, a16 + a16, cel.bind(a18, a17 + a17, cel.bind(a19, a18 + a18, cel.bind(a20, a19 + a19, cel.bind(a21, a20 + a20, cel.bind(a22, a21 + a21, cel.bind(a23, a22 + a22, cel.bind(a24, a23 + a23, a24 == a23 + a23)))))))))))))))))))))))))}",
		"${lists.range(10000).map(x, bytes(tasks.load.output.text))}",
		"${sets.contains(tasks.load.output.list, tasks.load.output.list.map(x, x + 1))}",
		"${tasks.load.output.text.indexOf(tasks.load.output.text.substring(0, 100000) + 'b')}",
		"${'%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s'.format(lists.range(100).map(x, tasks.load.output.text))}",
		"${regex.replace(tasks.load.output.text, '', tasks.load.output.text)}",
		"${cel.bind(i0, [0], cel.bind(i1, [i0, i0, i0, i0, i0, i0, i0, i0, i0, i0], cel.bind(i2, [i1, i1, i1, i1, i1, i1, i1, i1, i1, i1], cel.bind(i3, [i2, i2, i2, i2, i2, i2, i2, i2, i2, i2], cel.bind(i4, [i3, i3, i3, i3, i3, i3, i3, i3, i3, i3], cel.bind(i5, [i4, i4, i4, i4, i4, i4, i4, i4, i4, i4], cel.bind(i6, [i5, i5, i5, i5, i5, i5, i5, i5, i5, i5], cel.bind(i7, [i6, i6, i6, i6, i6, i6, i6, i6, i6, i6], cel.bind(i8, [i7, i7, i7, i7, i7, i7, i7, i7, i7, i7], cel.bind(i9, [i8, i8, i8, i8, i8, i8, i8, i8, i8, i8], json.encode(i9)))))))))))}",
		"${lists.range(1000).map(i, json.parse('[' + tasks.load.output.text.replace('a', '1,') + '1]'))}",
		"${tasks.load.output.text.replace('', tasks.load.output.text)}",
	} {
		t.Run(with, func(t *testing.T) {
			_, err := one(t, with).Input(scopeOf(`{"text":"` + strings.Repeat("a", 200_000) + `","list":[1` + strings.Repeat(",2", 20_000) + `]}`))
			require.NotNil(t, err)
			require.Contains(t, []string{CodeExpressionFailed, CodeInputTooLarge}, err.Code)
		})
	}
}

func TestADecodedInputIsDecodedOnce(t *testing.T) {
	n := one(t, "${workflow.input.list.size() + 1}")
	s := Scope{Workflow: WorkflowScope{Input: json.RawMessage(`{"list":[0` + strings.Repeat(",1", 5000) + `]}`)}}
	allocations := func() float64 {
		return testing.AllocsPerRun(10, func() {
			got, err := n.Input(s)
			require.Nil(t, err)
			require.Equal(t, `{"x":5002}`, string(got))
		})
	}
	alone := allocations()
	s.Workflow.Decoded = &DecodedInput{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := n.Input(s)
			require.Nil(t, err)
			require.Equal(t, `{"x":5002}`, string(got))
		})
	}
	group.Wait()
	require.Less(t, 10*allocations(), alone)
}

func TestInputLimitsAndSchemas(t *testing.T) {
	p := mustLoad(t, `
name: w
tasks:
  - name: a
    type: noop
    input_schema: {type: object, properties: {n: {type: integer}, token: {const: s3cret}}}
    output_schema: {type: object, required: [ok], properties: {rows: {type: array, items: {type: integer}}}}
    with: {n: "${workflow.input}", token: "${secrets.token}"}
  - {name: b, type: noop, with: "${workflow.input}"}
  - {name: c, type: noop}
`)
	a := p.Node("a")
	_, err := a.Input(scopeOf(`1`))
	require.Nil(t, err)
	_, err = a.Input(scopeOf(`"x"`))
	require.Equal(t, CodeInputInvalid, err.Code)
	require.Contains(t, err.Message, "input.n")
	recorded, err := a.Recorded(scopeOf(`1`))
	require.Nil(t, err)
	require.Equal(t, `{"n":1,"token":"${secrets.token}"}`, string(recorded))
	_, err = p.Node("b").Input(scopeOf(`"` + strings.Repeat("x", 300_000) + `"`))
	require.Equal(t, CodeInputTooLarge, err.Code)
	empty, err := p.Node("c").Input(Scope{})
	require.Nil(t, err)
	require.Equal(t, `{}`, string(empty))

	require.Nil(t, a.CheckOutput(json.RawMessage(`{"ok":1,"rows":[1]}`)))
	err = a.CheckOutput(json.RawMessage(`{"rows":[1,"x"]}`))
	require.Equal(t, CodeOutputInvalid, err.Code)
	require.Contains(t, err.Message, "output.rows[1]")
	require.Equal(t, CodeOutputInvalid, a.CheckOutput(json.RawMessage(`{`)).Code)
	require.Equal(t, CodeOutputTooLarge, p.Node("b").CheckOutput(make(json.RawMessage, 300_000)).Code)
	require.Equal(t, CodeInputTooLarge, p.CheckInput(make(json.RawMessage, 2<<20))[0].Code)
}

func TestConditions(t *testing.T) {
	load := func(cond string) *Node {
		return mustLoad(t, fmt.Sprintf("name: w\ntasks:\n  - {name: a, type: noop, if: %q}\n", cond)).Node("a")
	}
	for cond, want := range map[string]bool{"${workflow.input}": true, " ${!workflow.input} ": false, "${workflow.number == 7}": true} {
		got, err := load(cond).Condition(scopeOf(`true`))
		require.Nil(t, err)
		require.Equal(t, want, got)
	}
	for _, cond := range []string{"${workflow.input}", "${workflow.number + 1}", "${workflow.input.x}", "${workflow.input.x == 1}"} {
		_, err := load(cond).Condition(scopeOf(`{}`))
		require.NotNil(t, err)
		require.Equal(t, CodeExpressionFailed, err.Code)
		require.Contains(t, err.Message, "if: "+cond)
	}
}

func TestWorkflowOutputFails(t *testing.T) {
	p := mustLoad(t, "name: w\ntasks: [{name: a, type: noop}]\noutput: {x: '${tasks.a.output.x}'}\n")
	require.Equal(t, Reads{Tasks: []string{"a"}}, p.OutputReads())
	_, err := p.Output(Scope{Tasks: map[string]TaskScope{"a": {Status: TaskSucceeded, Output: json.RawMessage(`{}`)}}})
	require.Equal(t, CodeOutputFailed, err.Code)
	_, err = p.Output(Scope{})
	require.Contains(t, err.Message, `"a"`)
	none, err := mustLoad(t, "name: w\ntasks: [{name: a, type: noop}]\n").Output(Scope{})
	require.Nil(t, err)
	require.Nil(t, none)
}

func TestProgramsAreSharedByGoroutines(t *testing.T) {
	n := one(t, "${tasks.load.output.l.map(i, i + tasks.load.output.a)}")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := n.Input(scopeOf(sample))
				if err != nil || string(got) != `{"x":[2,3,4]}` {
					t.Errorf("got %s, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkInputConstant(b *testing.B) {
	n, s := one(b, "nothing to evaluate"), scopeOf(sample)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = n.Input(s)
	}
}

func BenchmarkInputPath(b *testing.B) {
	n, s := one(b, "${tasks.load.output.l}"), scopeOf(sample)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = n.Input(s)
	}
}

func BenchmarkInputExpression(b *testing.B) {
	n, s := one(b, "${size(tasks.load.output.l) + 1}"), scopeOf(sample)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = n.Input(s)
	}
}
