package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// given is an input that a redrive gave to a task, as it is stored.
type given struct {
	Mode  InputMode       `json:"mode"`
	Value json.RawMessage `json:"value"`
}

// Give writes an input that is given to a task as it is stored; nil, which takes it away, for null.
func Give(value json.RawMessage, mode InputMode) json.RawMessage {
	if bytes.Equal(bytes.TrimSpace(value), []byte("null")) {
		return nil
	}
	b, err := json.Marshal(given{mode, value})
	if err != nil { // the value was checked when the request was read
		return nil
	}
	return b
}

// Given answers the input of a task to which a redrive gave one, as Give wrote it;
// secrets says whether it is to hold them. The codes of the error are those of Input.
func (n *Node) Given(s Scope, secrets bool, stored json.RawMessage) (json.RawMessage, *Error) {
	var g given
	if err := json.Unmarshal(stored, &g); err != nil {
		return nil, inputInvalid("what a redrive gave cannot be read: %v", err)
	}
	input := g.Value
	if g.Mode == InputMerge {
		resolved, bad := n.with.resolve(newEvaluation(&s), n.limits.TaskValueBytes, secrets)
		if bad != nil {
			return nil, bad
		}
		merged, err := MergeJSON(resolved, g.Value)
		if err != nil {
			return nil, inputInvalid("what a redrive gave cannot be merged: %v", err)
		}
		input = merged
	}
	if len(input) > n.limits.TaskValueBytes {
		return nil, &Error{Code: CodeInputTooLarge, Message: fmt.Sprintf("the input has %d bytes, the limit is %d", len(input), n.limits.TaskValueBytes)}
	}
	if n.inputSchema == nil || g.Mode == InputMerge && !secrets && len(n.InputReads.Secrets) > 0 {
		return input, nil
	}
	if problems := n.inputSchema.check(input, "input", CodeInputInvalid); problems != nil {
		return nil, inputInvalid("the input does not fit input_schema: %s", oneLine(problems))
	}
	return input, nil
}
