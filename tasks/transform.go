package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/itchyny/gojq"
)

const (
	maxProgram  = 16 << 10
	maxPrograms = 256
)

var transformSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false, "required": ["jq"],
  "properties": {
    "jq": {"type": "string", "minLength": 1, "maxLength": 16384, "description": "the jq program; it must answer exactly one value"},
    "value": {"description": "what the program starts from (default null)"}
  }
}`)

type transformInput struct {
	JQ    string          `json:"jq"`
	Value json.RawMessage `json:"value"`
}

// transformType computes a value with jq.
func transformType(o Options) Type {
	programs := newPrograms()
	t := New("transform", func(ctx context.Context, _ *Job, in transformInput) (json.RawMessage, error) {
		code, err := programs.compile(in.JQ)
		if err != nil {
			return nil, err
		}
		value, err := number(in.Value)
		if err != nil {
			return nil, Fatal(CodeInputInvalid, "with.value: %w", err)
		}
		return transform(&budget{Context: ctx, steps: o.TransformSteps}, code, value)
	})
	t.Description = "Computes a value from another one with a jq program."
	t.Input, t.Output = transformSchema, nil
	return t
}

// transform answers the one value of the program.
func transform(ctx *budget, code *gojq.Code, value any) (json.RawMessage, error) {
	iter := code.RunWithContext(ctx, value)
	var result any
	for n := 0; ; n++ {
		v, ok := iter.Next()
		if !ok {
			if n == 0 {
				return nil, Fatal("transform_empty", "with.jq: the program answered no value; it must answer one: add `// null`, or collect with [...]")
			}
			break
		}
		if err, failed := v.(error); failed {
			return nil, transformError(ctx, err)
		}
		if n > 0 {
			return nil, Fatal("transform_many", "with.jq: the program answered more than one value; wrap it in [...] to get a list, or take one with first(...)")
		}
		result = v
	}
	output, err := gojq.Marshal(result)
	if err != nil {
		return nil, Fatal(CodeOutputInvalid, "writing the result: %w", err)
	}
	return output, nil
}

func transformError(ctx *budget, err error) error {
	if ctx.spent() {
		return Fatal("transform_too_long", "with.jq: the program took more steps than allowed; do with less data, or use a task type of your own")
	}
	if ctx.Context.Err() != nil {
		return fmt.Errorf("the jq program was stopped: %w", context.Cause(ctx.Context))
	}
	if halt, ok := errors.AsType[*gojq.HaltError](err); ok {
		return Fatal("transform_failed", "with.jq: the program halted (%s); let it answer a value, or use the fail task", gojq.Preview(halt.Value()))
	}
	return Fatal("transform_failed", "with.jq: %w", err)
}

// number decodes JSON and keeps numbers as they are written.
func number(text json.RawMessage) (v any, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// programs caches compiled programs; it starts anew when it is full.
type programs struct {
	mu     sync.Mutex
	byText map[string]*gojq.Code
}

func newPrograms() *programs { return &programs{byText: map[string]*gojq.Code{}} }

func (p *programs) compile(text string) (*gojq.Code, error) {
	if strings.TrimSpace(text) == "" {
		return nil, Fatal(CodeInputInvalid, "with.jq: is empty; write a jq program, `.` passes the value on")
	}
	if len(text) > maxProgram {
		return nil, Fatal(CodeInputInvalid, "with.jq: has %d bytes; allowed: %d", len(text), maxProgram)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if code, ok := p.byText[text]; ok {
		return code, nil
	}
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, Fatal("jq_invalid", "with.jq: %w%s", err, position(text, err))
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, Fatal("jq_invalid", "with.jq: %w; modules, input and debug are not available", err)
	}
	if len(p.byText) >= maxPrograms {
		clear(p.byText)
	}
	p.byText[text] = code
	return code, nil
}

// position says where in the program a parse error is.
func position(text string, err error) string {
	var parse *gojq.ParseError
	if !errors.As(err, &parse) || parse.Offset < 0 || parse.Offset > len(text) {
		return ""
	}
	before := text[:max(parse.Offset-len(parse.Token), 0)]
	return fmt.Sprintf(" (line %d, column %d)", strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"))
}

// budget is a context that also ends after a number of steps: the jq machine
// asks Done before every one of them.
type budget struct {
	context.Context
	steps int
}

var errSpent = errors.New("too many steps")

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (b *budget) spent() bool { return b.steps < 0 }

// Done is closed when the context ended or the steps are used up.
func (b *budget) Done() <-chan struct{} {
	if b.steps--; b.steps < 0 {
		b.steps = -1
		return closed
	}
	return b.Context.Done()
}

// Err says why Done is closed.
func (b *budget) Err() error {
	if b.spent() {
		return errSpent
	}
	return b.Context.Err()
}
