package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScript(t *testing.T) {
	for _, c := range []struct{ name, script, input, output, code, message string }{
		{"the value of the last statement", `1; 2 + 3`, ``, `5`, "", ""},
		{"no value is null", `var a = 1;`, ``, `null`, "", ""},
		{"$ is the input", `$.a.b[1]`, `{"a":{"b":[1,"x"]}}`, `"x"`, "", ""},
		{"a function that is called", `(function () { return {r: $.a > 1 ? "big" : "small"}; })();`, `{"a":2}`, `{"r":"big"}`, "", ""},
		{"a function that is declared and called", `function e() { return $.n * 2 } e()`, `{"n":21}`, `42`, "", ""},
		{"a condition of a loop", `if ($.loop['iteration'] < $.value) { true; } else { false; }`, `{"loop":{"iteration":2},"value":3}`, `true`, "", ""},
		{"an integer stays one", `[$.a, $.a + 1, $.a / 2]`, `{"a":4}`, `[4,5,2]`, "", ""},
		{"no exponent in an integer", `[100000000000000000000, 9007199254740991, -0]`, ``, `[100000000000000000000,9007199254740991,0]`, "", ""},
		{"large integers are exact", `[$, $ + 1n]`, `9007199254740993`, `[9007199254740993,9007199254740994]`, "", ""},
		{"negative ones, too", `$`, `-12345678901234567890123`, `-12345678901234567890123`, "", ""},
		{"fractions", `[$, 0.1 + 0.2, 1e-7]`, `1.25`, `[1.25,0.30000000000000004,1e-7]`, "", ""},
		{"large numbers", `1e300 * 10`, ``, `1e+301`, "", ""},
		{"no number", `[NaN, 1/0]`, ``, `[null,null]`, "", ""},
		{"empty ones survive", `$`, `{"a":[],"b":{},"c":null,"d":""}`, `{"a":[],"b":{},"c":null,"d":""}`, "", ""},
		{"the order of fields", `$.z.c = 1; $`, `{"z":{"b":1,"a":2},"y":0}`, `{"z":{"b":1,"a":2,"c":1},"y":0}`, "", ""},
		{"__proto__ is a field", `[$.a, Object.keys($)]`, `{"__proto__":{"a":1}}`, `[null,["__proto__"]]`, "", ""},
		{"what JSON has not", `({a: undefined, b: function () {}, c: Symbol("x"), d: [undefined, function () {}]})`, ``, `{"d":[null,null]}`, "", ""},
		{"dates", `new Date(0)`, ``, `"1970-01-01T00:00:00.000Z"`, "", ""},
		{"toJSON", `({toJSON: function (k) { return "j" + k }})`, ``, `"j"`, "", ""},
		{"objects of primitives", `[new Number(1), new String("s"), new Boolean(false)]`, ``, `[1,"s",false]`, "", ""},
		{"text as it is", `"<b>&\u2028\""`, ``, "\"<b>&\\u2028\\\"\"", "", ""},
		{"unicode", `$.split("").length + $`, `"é€😀"`, `"4é€😀"`, "", ""},
		{"twice the same is no cycle", `var a = {n: 1}; [a, a]`, ``, `[{"n":1},{"n":1}]`, "", ""},
		{"a promise", `(async function () { return await Promise.resolve($) })()`, `7`, `7`, "", ""},
		{"modern syntax", `const {a, ...rest} = $; [a ?? "none", rest?.b?.c, ` + "`${a}!`" + `]`, `{"a":1,"b":{"c":2}}`, `[1,2,"1!"]`, "", ""},
		{"no way out", `[typeof require, typeof process, typeof fetch, typeof ArrayBuffer, typeof Uint8Array, typeof console]`, ``,
			`["undefined","undefined","undefined","undefined","undefined","undefined"]`, "", ""},
		{"padding", `"a".padStart(3, "-") + "ab".repeat(2) + "a".padEnd(2)`, ``, `"--aababa "`, "", ""},

		{"syntax", "var a = 1;\nvar = 2", ``, "", "script_failed", "Line 2"},
		{"an error", "1;\n\n$.a.b", `{}`, "", "script_failed", "script:3"},
		{"throw", `throw new Error("own words")`, ``, "", "script_failed", "own words"},
		{"throw anything", `throw {a: 1}`, ``, "", "script_failed", "object"},
		{"import", `import a from "a"`, ``, "", "script_failed", ""},
		{"unknown name", `nosuch`, ``, "", "script_failed", "nosuch is not defined"},
		{"mixed with a large integer", `$ + 1`, `9007199254740993`, "", "script_failed", "BigInt"},
		{"a cycle", `var a = {}; a.a = a; a`, ``, "", "script_failed", "contains itself"},
		{"too deep a value", `var a = []; for (var i = 0; i < 2000; i++) a = [a]; a`, ``, "", "script_failed", "nested"},
		{"a getter that throws", `({get a() { throw new Error("in a getter") }})`, ``, "", "script_failed", "in a getter"},
		{"too large a value", `new Array(4294967295)`, ``, "", "script_failed", "1048576 bytes"},
		{"a rejected promise", `Promise.reject(new Error("no"))`, ``, "", "script_failed", "rejected"},
		{"a promise without end", `new Promise(function () {})`, ``, "", "script_failed", "promise"},
		{"endless calls", `function f() { return f() } f()`, ``, "", "script_failed", "nested deeper"},
		{"endless calls in a getter", `({get a() { return this.a }})`, ``, "", "script_failed", "nested deeper"},
		{"a long text at once", `"abc".repeat(1e9)`, ``, "", "script_failed", "characters"},
		{"a long padding", `"".padStart(1e9)`, ``, "", "script_failed", "characters"},
		{"endless", `while (true) {}`, ``, "", "script_too_long", "longer"},
		{"endless in spite of catch", `for (;;) { try { for (;;) {} } catch (e) {} finally { } }`, ``, "", "script_too_long", "longer"},
		{"endless in a getter", `({get a() { for (;;) {} }})`, ``, "", "script_too_long", "longer"},
		{"a number out of range", `$`, `1e999`, "", "input_invalid", "with.input"},
		{"endless labels", strings.Repeat("x:", 5000) + "1", ``, "", "script_too_long", "longer"},
		{"too many brackets", strings.Repeat("[", 201) + strings.Repeat("]", 201), ``, "", "script_failed", "brackets"},
		{"blank", ` `, ``, "", "input_invalid", "with.script"},
		{"too long", strings.Repeat(" ", maxScript) + "1", ``, "", "input_invalid", "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultOptions()
			if strings.HasPrefix(c.name, "endless") {
				o.ScriptTime = 100 * time.Millisecond
			}
			in, err := json.Marshal(scriptInput{Script: c.script, Input: json.RawMessage(or(c.input, "null"))})
			require.NoError(t, err)
			output, failure := run(t, builtin(t, "script", o), string(in))
			if c.code == "" {
				require.Nil(t, failure)
				require.Equal(t, c.output, output)
				return
			}
			require.NotNil(t, failure, "answered %.200s", output)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.False(t, failure.Retryable)
		})
	}
}

func TestScriptThatTakesMemory(t *testing.T) {
	o := DefaultOptions()
	o.ScriptMemory = 32 << 20
	_, failure := run(t, builtin(t, "script", o), `{"script":"var a = []; for (;;) a.push({a: 1})"}`)
	require.NotNil(t, failure)
	require.Equal(t, "script_memory", failure.Code)
	require.True(t, failure.Retryable, "what else runs in the process may have taken it")
}

func TestScriptEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrCanceled)
	_, failure := runJob(ctx, builtin(t, "script", DefaultOptions()), &Job{Input: json.RawMessage(`{"script":"for (;;) {}"}`)})
	require.Equal(t, "canceled", failure.Code)
}

func TestScriptsShareNothing(t *testing.T) {
	typ := builtin(t, "script", DefaultOptions())
	for range 2 { // the second one comes from the cache
		output, failure := run(t, typ, `{"script":"var n = (globalThis.seen || 0) + 1; globalThis.seen = n; Array.prototype.mark = Array.prototype.mark || n; [n, [].mark]"}`)
		require.Nil(t, failure)
		require.Equal(t, `[1,1]`, output)
	}
}

func TestScriptRandomIsThatOfTheTask(t *testing.T) {
	typ := builtin(t, "script", DefaultOptions())
	random := func(key string) string {
		output, failure := runJob(t.Context(), typ, &Job{IdempotencyKey: key, Input: json.RawMessage(`{"script":"[Math.random(), Math.random()]"}`)})
		require.Nil(t, failure)
		return output
	}
	first := random("a")
	require.Equal(t, first, random("a"))
	require.NotEqual(t, random("a"), random("b"))
}

func TestScriptReadsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.json")
	require.NoError(t, os.WriteFile(path, []byte("no source map"), 0o600))
	comment := "\n//# sourceMappingURL=file://" + path
	for _, script := range []string{"1" + comment, fmt.Sprintf("eval(%q)", "1"+comment), fmt.Sprintf("new Function(%q)()", "return 1"+comment)} {
		in, err := json.Marshal(scriptInput{Script: script})
		require.NoError(t, err)
		output, failure := run(t, builtin(t, "script", DefaultOptions()), string(in))
		require.Nil(t, failure, "the file was read: a source map that is none is an error")
		require.Equal(t, "1", output)
	}
}

func TestScriptCacheIsBounded(t *testing.T) {
	s := newScripts()
	for i := range 2*maxScripts + 1 {
		_, err := s.compile(t.Context(), fmt.Sprintf("$ + %d", i))
		require.NoError(t, err)
		require.LessOrEqual(t, len(s.byText), maxScripts)
	}
}

// Text that only opens is what a recursive parser goes down with.
func TestScriptOfBrackets(t *testing.T) {
	typ := builtin(t, "script", DefaultOptions())
	for _, open := range []string{"(", "[", "{", "{a:", "!", "a=>", "`${", "-", "new ", "f(", "async()=>", "if(1)", "a?", "function(){", "/*"} {
		for _, script := range []string{strings.Repeat(open, 4000/len(open)), strings.Repeat(open, 150)} {
			in, err := json.Marshal(scriptInput{Script: script})
			require.NoError(t, err)
			_, failure := run(t, typ, string(in))
			if failure != nil {
				require.NotEqual(t, CodePanic, failure.Code, failure.Message)
			}
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, seed := range []string{
		`$`, `$.a`, `[1,2n,"x",null,undefined]`, `(function () { return $ })()`, `new Proxy([], {})`, `({toJSON() { return 1n }})`, `[,1]`, `new Map([[1,2]])`,
		`"a".repeat(3)`, `/(a+)+$/.test("aaaa")`, `throw 1`, `async () => 1`, `Object.create(null)`, `Object(1n)`, `new Date(NaN)`, `"\ud800"`, `for (;;) {}`,
	} {
		f.Add(seed, `[1,2,{"a":{"b":null}}]`)
	}
	o := DefaultOptions()
	o.ScriptTime = 50 * time.Millisecond
	typ := builtin(f, "script", o)
	f.Fuzz(func(t *testing.T, script, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		in, err := json.Marshal(scriptInput{Script: script, Input: json.RawMessage(value)})
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

// FuzzScriptValue holds that any JSON goes through a script unchanged, numbers included.
func FuzzScriptValue(f *testing.F) {
	for _, seed := range []string{`null`, `[1,-2,9007199254740993,123456789012345678901234567890]`, `{"a":{"b":[]},"":"é"}`, `"\u2028"`} {
		f.Add(seed)
	}
	typ := builtin(f, "script", DefaultOptions())
	f.Fuzz(func(t *testing.T, value string) {
		if !json.Valid([]byte(value)) || strings.ContainsAny(value, ".eE\\") { // 1.0 becomes 1, as in any JavaScript
			return
		}
		in, err := json.Marshal(scriptInput{Script: "$", Input: json.RawMessage(value)})
		require.NoError(t, err)
		output, failure := run(t, typ, string(in))
		if failure != nil {
			require.Equal(t, CodeScriptFailed, failure.Code) // nested too deep
			return
		}
		want, err := number(json.RawMessage(value))
		require.NoError(t, err)
		got, err := number(json.RawMessage(output))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}
