package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// evaluation is one look at a scope; what several expressions read is decoded once.
type evaluation struct {
	scope   *Scope
	decoded map[use]ref.Val
}

func newEvaluation(s *Scope) *evaluation { return &evaluation{scope: s} }

// raw answers what a use reads, as JSON.
func (ev *evaluation) raw(u use) (json.RawMessage, error) {
	switch u.root {
	case "workflow":
		return ev.scope.Workflow.raw(u.field), nil
	case "secrets":
		secret, err := ev.secret(u.name)
		return appendQuoted(nil, secret), err
	case "iteration":
		if u.field == "number" {
			return strconv.AppendInt(nil, int64(ev.scope.Iteration), 10), nil
		}
		if ev.scope.Previous == nil {
			return json.RawMessage("null"), nil
		}
		return ev.scope.Previous, nil
	case "item", "key", "index":
		return ev.item(u.root)
	}
	t, ok := ev.scope.Tasks[u.name]
	if !ok {
		return nil, fmt.Errorf("the task %q has no result", u.name)
	}
	switch u.field {
	case "output":
		if t.Output == nil {
			return json.RawMessage("null"), nil
		}
		return t.Output, nil
	case "status":
		return appendQuoted(nil, string(t.Status)), nil
	case "error":
		return t.Error.raw(), nil
	default:
		return strconv.AppendInt(nil, int64(t.Attempt), 10), nil
	}
}

func (ev *evaluation) item(name string) (json.RawMessage, error) {
	i := ev.scope.Item
	switch {
	case i == nil:
		return nil, errors.New("there is no item here")
	case name == "key":
		return appendQuoted(nil, i.Key), nil
	case name == "index":
		return strconv.AppendInt(nil, int64(i.Index), 10), nil
	case i.Value == nil:
		return json.RawMessage("null"), nil
	}
	return i.Value, nil
}

func (ev *evaluation) secret(name string) (string, error) {
	if ev.scope.Secret == nil {
		return "", errors.New("secrets cannot be read here")
	}
	return ev.scope.Secret(name)
}

func (w *WorkflowScope) raw(field string) json.RawMessage {
	switch field {
	case "id":
		return appendQuoted(nil, w.ID)
	case "name":
		return appendQuoted(nil, w.Name)
	case "number":
		return strconv.AppendInt(nil, w.Number, 10)
	case "version":
		return strconv.AppendInt(nil, int64(w.Version), 10)
	case "session_time":
		if w.SessionTime != "" {
			return appendQuoted(nil, w.SessionTime)
		}
	case "session":
		if w.SessionTime != "" {
			return strconv.AppendInt(nil, w.Session, 10)
		}
	case "attempt_name":
		if w.AttemptName != "" {
			return appendQuoted(nil, w.AttemptName)
		}
	case "error":
		return w.Error.raw()
	case "input":
		if w.Input != nil {
			return w.Input
		}
	}
	return json.RawMessage("null")
}

func (e *Error) raw() json.RawMessage {
	if e == nil {
		return json.RawMessage("null")
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

// activation gives CEL exactly what the expression reads.
type activation map[string]any

func (a activation) ResolveName(name string) (any, bool) {
	v, ok := a[name]
	return v, ok
}

func (a activation) Parent() cel.Activation { return nil }

func (ev *evaluation) activate(e *expression) (activation, error) {
	a := activation{}
	for _, u := range e.uses {
		if u.root == "tasks" && u.field == "" {
			continue
		}
		v, err := ev.value(u)
		if err != nil {
			return nil, err
		}
		if u.root == "item" || u.root == "key" || u.root == "index" {
			a[u.root] = v
			continue
		}
		of := a.object(u.root)
		switch u.root {
		case "tasks":
			task, _ := of[u.name].(map[string]any)
			if task == nil {
				task = map[string]any{}
				of[u.name] = task
			}
			task[u.field] = v
		case "secrets":
			of[u.name] = v
		default:
			of[u.field] = v
		}
	}
	return a, nil
}

func (a activation) object(root string) map[string]any {
	of, _ := a[root].(map[string]any)
	if of == nil {
		of = map[string]any{}
		a[root] = of
	}
	return of
}

func (ev *evaluation) value(u use) (ref.Val, error) {
	if v, ok := ev.decoded[u]; ok {
		return v, nil
	}
	raw, err := ev.raw(u)
	if err != nil {
		return nil, err
	}
	decode := decodeValue
	if u.root == "workflow" && u.field == "input" && ev.scope.Workflow.Decoded != nil {
		decode = ev.scope.Workflow.Decoded.of
	}
	v, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", u, err)
	}
	if ev.decoded == nil {
		ev.decoded = map[use]ref.Val{}
	}
	ev.decoded[u] = v
	return v, nil
}

func (u use) String() string {
	if u.root == "tasks" {
		return joinKey(joinKey(u.root, u.name), u.field)
	}
	if u.name+u.field == "" {
		return u.root
	}
	return joinKey(u.root, u.name+u.field)
}

// decodeValue turns JSON into a CEL value: numbers without fraction and exponent are int, others double.
func decodeValue(raw json.RawMessage) (ref.Val, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return types.DefaultTypeAdapter.NativeToValue(numbers(v)), nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case json.Number:
		return number(string(v))
	}
	return v
}

func number(literal string) ref.Val {
	if !strings.ContainsAny(literal, ".eE") {
		if i, err := strconv.ParseInt(literal, 10, 64); err == nil {
			return types.Int(i)
		}
		f, _ := strconv.ParseFloat(literal, 64)
		return bigInt{Double: types.Double(f), literal: literal}
	}
	f, _ := strconv.ParseFloat(literal, 64)
	return types.Double(f)
}

// bigInt is an integer beyond 64 bits: it can be handed on digit for digit;
// CEL has no arithmetic for it.
type bigInt struct {
	types.Double
	literal string
}

// eval answers the value of a computed expression.
func (e *expression) eval(ev *evaluation) (ref.Val, error) {
	vars, err := ev.activate(e)
	if err != nil {
		return nil, err
	}
	v, _, err := e.program.Eval(vars)
	if err == nil {
		return v, nil
	}
	var canceled interpreter.EvalCancelledError
	if errors.As(err, &canceled) && canceled.Cause == interpreter.CostLimitExceeded {
		return nil, fmt.Errorf("the expression costs more than %d; compute it in a task", e.maxCost)
	}
	return nil, errors.New(clip(err.Error()))
}

// appendValue writes the value as JSON.
func (e *expression) appendValue(out []byte, ev *evaluation, limit int) ([]byte, error) {
	if e.path != nil || e.program == nil {
		raw, err := e.lookup(ev)
		if err != nil || len(out)+len(raw) > limit {
			return out, orTooLarge(err)
		}
		return append(out, raw...), nil
	}
	v, err := e.eval(ev)
	if err != nil {
		return out, err
	}
	w := valueWriter{out: out, limit: limit}
	err = w.value(v, 0)
	return w.out, err
}

func orTooLarge(err error) error {
	if err == nil {
		return errTooLarge
	}
	return err
}

// appendText writes the value as it stands inside a string: strings as they are, others as JSON.
func (e *expression) appendText(out []byte, ev *evaluation, limit int) ([]byte, error) {
	raw, err := e.appendValue(nil, ev, limit)
	if err != nil {
		return out, err
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) >= 2 && raw[0] == '"' {
		return append(out, raw[1:len(raw)-1]...), nil
	}
	return appendEscaped(out, string(raw)), nil
}
