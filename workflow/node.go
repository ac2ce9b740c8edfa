package workflow

import (
	"encoding/json"
	"fmt"

	"cel.dev/cel-go/common/types"
)

// Condition evaluates `if`. A task without one answers true. The error has
// code expression_failed and is not retryable.
func (n *Node) Condition(s Scope) (bool, *Error) {
	if n.condition == nil {
		return true, nil
	}
	answer, err := n.condition.truth(newEvaluation(&s))
	if err != nil {
		return false, expressionError("if", n.condition.source, err)
	}
	return answer, nil
}

func (e *expression) truth(ev *evaluation) (bool, error) {
	if e.program == nil {
		raw, err := e.lookup(ev)
		switch {
		case err != nil:
			return false, err
		case string(raw) == "true":
			return true, nil
		case string(raw) == "false":
			return false, nil
		}
		return false, fmt.Errorf("a condition must be true or false, this is %s", kindOf(raw))
	}
	v, err := e.eval(ev)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("a condition must be true or false, this is of type %s", v.Type().TypeName())
	}
	return bool(b), nil
}

// Input resolves `with`, secrets included; {} where there is none. The codes of
// the error are expression_failed, input_invalid and input_too_large, none retryable.
// The answer must not be changed: it is shared where nothing had to be evaluated.
func (n *Node) Input(s Scope) (json.RawMessage, *Error) { return n.resolve(s, true) }

// Recorded is Input as it may be stored: what reads secrets stays the text of its
// expression, so input_schema is only checked where no secret is read.
func (n *Node) Recorded(s Scope) (json.RawMessage, *Error) { return n.resolve(s, false) }

func (n *Node) resolve(s Scope, secrets bool) (json.RawMessage, *Error) {
	input, err := n.with.resolve(newEvaluation(&s), n.limits.TaskValueBytes, secrets)
	if err != nil {
		return nil, err
	}
	if n.inputSchema == nil || !secrets && len(n.InputReads.Secrets) > 0 {
		return input, nil
	}
	if problems := n.inputSchema.check(input, "input", CodeInputInvalid); problems != nil {
		return nil, &Error{Code: CodeInputInvalid, Message: "the input does not fit input_schema: " + oneLine(problems)}
	}
	return input, nil
}

// OutputReads answers what the workflow's output reads.
func (p *Program) OutputReads() Reads {
	if p.output == nil {
		return Reads{}
	}
	return p.output.reads()
}

// Output resolves the workflow's output; nil where it has none. The error has
// code output_failed, or output_too_large.
func (p *Program) Output(s Scope) (json.RawMessage, *Error) {
	if p.output == nil {
		return nil, nil
	}
	out, err := p.output.resolve(newEvaluation(&s), p.limits.ValueBytes, false)
	if err == nil {
		return out, nil
	}
	if err.Code == CodeInputTooLarge {
		return nil, &Error{Code: CodeOutputTooLarge, Message: err.Message}
	}
	return nil, &Error{Code: CodeOutputFailed, Message: err.Message}
}
