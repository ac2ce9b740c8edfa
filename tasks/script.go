package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

const (
	maxScript     = 64 << 10
	maxScripts    = 256
	maxScriptTime = time.Minute
	maxBrackets   = 200
	maxCalls      = 500     // nested calls in a script
	maxText       = 4 << 20 // characters that one built-in may make at once
)

// CodeScriptFailed is the code of a script that does not compile, throws, or answers no value that is JSON.
const CodeScriptFailed = "script_failed"

var scriptSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false, "required": ["script"],
  "properties": {
    "script": {"type": "string", "minLength": 1, "maxLength": 65536, "description": "JavaScript; the value of its last statement is the output"},
    "input": {"description": "what the script sees as $ (default null)"},
    "libraries": {"type": "array", "items": {"enum": ["moment"]}, "description": "what the script may call: moment is Moment.js"},
    "time_zone": {"type": "string", "description": "of Date and the libraries, as Europe/Berlin (default: that of the worker)"}
  }
}`)

type scriptInput struct {
	Script    string          `json:"script"`
	Input     json.RawMessage `json:"input"`
	Libraries []string        `json:"libraries"`
	TimeZone  string          `json:"time_zone"`
}

// scriptType computes a value with JavaScript.
func scriptType(o Options) Type {
	run := scriptRunner(o)
	t := New("script", func(ctx context.Context, job *Job, in scriptInput) (json.RawMessage, error) {
		return run(ctx, job.IdempotencyKey, in)
	})
	t.Description = "Computes a value from another one with JavaScript, without I/O."
	t.Input, t.Output = scriptSchema, nil
	return t
}

// Script runs JavaScript as the type script does, for those who are no task: a server that decides what somebody wrote.
func Script(o Options) func(ctx context.Context, script string, input json.RawMessage) (json.RawMessage, error) {
	run := scriptRunner(o)
	return func(ctx context.Context, script string, input json.RawMessage) (json.RawMessage, error) {
		return run(ctx, "", scriptInput{Script: script, Input: input})
	}
}

// scriptRunner runs scripts within the limits; the key decides what their random numbers are.
func scriptRunner(o Options) func(ctx context.Context, key string, in scriptInput) (json.RawMessage, error) {
	limitMatches()
	scripts := newScripts()
	return func(ctx context.Context, key string, in scriptInput) (json.RawMessage, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, o.ScriptTime, errScriptTime)
		defer cancel()
		program, err := scripts.compile(ctx, in.Script)
		if err != nil {
			return nil, err
		}
		r := &scriptRun{vm: scriptMachine(key), memory: o.ScriptMemory}
		return r.run(ctx, program, in)
	}
}

var (
	errScriptTime   = errors.New("the script took longer than it may")
	errScriptMemory = errors.New("the script took more memory than it may")
)

// limitMatches ends regular expressions that backtrack without end: nothing else
// can stop them. It is longer than any script may take, so that a match that was
// cut off never counts as "no match".
var limitMatches = sync.OnceFunc(func() { regexp2.DefaultMatchTimeout = maxScriptTime })

// scripts caches compiled scripts; it starts anew when it is full.
type scripts struct {
	mu     sync.Mutex
	byText map[string]*goja.Program
}

func newScripts() *scripts { return &scripts{byText: map[string]*goja.Program{}} }

// compile waits no longer than ctx: the parser takes long over some texts, and nothing can stop it.
func (s *scripts) compile(ctx context.Context, text string) (*goja.Program, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, Fatal(CodeInputInvalid, "with.script: is empty; write JavaScript, `$` is the input")
	case len(text) > maxScript:
		return nil, Fatal(CodeInputInvalid, "with.script: has %d bytes; allowed: %d", len(text), maxScript)
	case deepest(text) > maxBrackets:
		return nil, Fatal(CodeScriptFailed, "with.script: brackets are nested deeper than %d", maxBrackets)
	}
	s.mu.Lock()
	program, ok := s.byText[text]
	s.mu.Unlock()
	if ok {
		return program, nil
	}
	compiled := make(chan error, 1)
	go func() {
		tree, err := goja.Parse("script", text, parser.WithDisableSourceMaps)
		if err == nil {
			program, err = goja.CompileAST(tree, false)
		}
		compiled <- err
	}()
	select {
	case <-ctx.Done():
		return nil, scriptError(ctx, &goja.InterruptedError{})
	case err := <-compiled:
		if err != nil {
			return nil, Fatal(CodeScriptFailed, "with.script: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byText) >= maxScripts {
		clear(s.byText)
	}
	s.byText[text] = program
	return program, nil
}

// deepest is how deep brackets are nested, those in texts included.
func deepest(text string) int {
	depth, most := 0, 0
	for _, c := range text {
		switch c {
		case '(', '[', '{':
			depth++
			most = max(most, depth)
		case ')', ']', '}':
			depth--
		}
	}
	return most
}

// scriptMachine is a machine without a way out, whose random numbers are the same for every try of a task.
func scriptMachine(key string) *goja.Runtime {
	vm := goja.New()
	vm.SetMaxCallStackSize(maxCalls)
	vm.SetParserOptions(parser.WithDisableSourceMaps) // they would be read from files
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(key))
	vm.SetRandSource(rand.New(rand.NewPCG(seed.Sum64(), 0)).Float64)
	for _, name := range []string{
		"ArrayBuffer", "SharedArrayBuffer", "DataView", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array",
		"Uint32Array", "Float16Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
	} {
		_ = vm.GlobalObject().Delete(name)
	}
	limitTexts(vm)
	return vm
}

// limitTexts bounds the built-ins that make a long text in one step, which no interrupt can stop.
func limitTexts(vm *goja.Runtime) {
	prototype := vm.Get("String").ToObject(vm).Get("prototype").ToObject(vm)
	for name, size := range map[string]func(this, n int64) int64{
		"repeat":   func(this, n int64) int64 { return this * n },
		"padStart": func(_, n int64) int64 { return n },
		"padEnd":   func(_, n int64) int64 { return n },
	} {
		native, _ := goja.AssertFunction(prototype.Get(name))
		_ = prototype.DefineDataProperty(name, vm.ToValue(func(call goja.FunctionCall) goja.Value {
			n := min(call.Argument(0).ToInteger(), maxText+1)
			if n > 0 && size(int64(len(call.This.String())), n) > maxText {
				panic(vm.NewTypeError("%s: the text would have more than %d characters", name, maxText))
			}
			v, err := native(call.This, call.Arguments...)
			if err != nil {
				panic(err)
			}
			return v
		}), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
}

// scriptRun is one run of a script.
type scriptRun struct {
	vm     *goja.Runtime
	memory uint64 // bytes that the process may grow by meanwhile
}

func (r *scriptRun) run(ctx context.Context, program *goja.Program, given scriptInput) (output json.RawMessage, err error) {
	defer context.AfterFunc(ctx, func() { r.vm.Interrupt(context.Cause(ctx)) })()
	defer r.watch()()
	defer func() { // what interrupts a script that is called from Go comes as a panic
		if v := recover(); v != nil {
			stopped, ok := v.(error)
			if !ok || !uncatchable(stopped) {
				panic(v)
			}
			output, err = nil, scriptError(ctx, stopped)
		}
	}()
	zone, err := scriptZone(given.TimeZone)
	if err != nil {
		return nil, err
	}
	if err := equip(r.vm, zone, given.Libraries); err != nil {
		return nil, scriptError(ctx, err)
	}
	in, err := readValue(r.vm, given.Input)
	if err != nil {
		return nil, Fatal(CodeInputInvalid, "with.input: %w", err)
	}
	if err := r.vm.Set("$", in); err != nil {
		return nil, scriptError(ctx, err)
	}
	value, err := r.vm.RunProgram(program)
	if err != nil {
		return nil, scriptError(ctx, err)
	}
	w := &valueWriter{vm: r.vm, open: map[*goja.Object]bool{}}
	if thrown := r.vm.Try(func() { err = w.root(value) }); thrown != nil {
		return nil, scriptError(ctx, thrown)
	}
	if err != nil {
		return nil, scriptError(ctx, err)
	}
	return w.b.Bytes(), nil
}

// watch interrupts the script when the process' heap grows too much meanwhile: the machine counts no memory itself.
func (r *scriptRun) watch() (stop func()) {
	heap := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		first := time.NewTimer(20 * time.Millisecond) // most scripts have ended by then
		defer first.Stop()
		select {
		case <-done:
			return
		case <-first.C:
		}
		start := heap()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if now := heap(); now > start && now-start > r.memory {
					r.vm.Interrupt(errScriptMemory)
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

func uncatchable(err error) bool {
	var interrupted *goja.InterruptedError
	var deep *goja.StackOverflowError
	return errors.As(err, &interrupted) || errors.As(err, &deep)
}

func scriptError(ctx context.Context, err error) error {
	var interrupted *goja.InterruptedError
	var deep *goja.StackOverflowError
	switch {
	case errors.Is(err, errScriptMemory):
		return Error("script_memory", "with.script: it took more memory than allowed; do with less data, or use a task type of your own")
	case errors.As(err, &interrupted) && errors.Is(context.Cause(ctx), errScriptTime):
		return Fatal("script_too_long", "with.script: it took longer than allowed; do with less data, or use a task type of your own")
	case errors.As(err, &interrupted):
		return fmt.Errorf("the script was stopped: %w", context.Cause(ctx))
	case errors.As(err, &deep):
		return Fatal(CodeScriptFailed, "with.script: calls are nested deeper than %d", maxCalls)
	}
	return Fatal(CodeScriptFailed, "with.script: %w", err)
}
