package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// controlInputs is what the control types accept as `with`.
var controlInputs = map[string]json.RawMessage{
	TypeWait: json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {
		"duration": {"type": "string"}, "until": {"type": "string"}, "external": {"type": "boolean"}, "timeout": {"type": "string"}, "input": {}}}`),
	TypeApproval: json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {
		"message": {"type": "string"}, "input_schema": {"type": ["object", "boolean"]}, "timeout": {"type": "string"}}}`),
	TypeWorkflow: json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {
		"name": {"type": "string", "minLength": 1}, "version": {"type": "integer", "minimum": 1}, "label": {"type": "string"}, "definition": {"type": "object"}, "input": {},
		"id_field": {"type": "string", "minLength": 1}}}`),
}

// Gate is what a wait or an approval waits for, from its resolved input.
type Gate struct {
	For     time.Duration // a wait ends after this long; 0 = it does not by itself
	Until   time.Time     // a wait ends then; zero = it does not by itself
	Timeout time.Duration // it fails as timed_out after this long; 0 = never
	Open    bool          // somebody outside ends it with a value
	Message string        // of an approval

	schema *schema // of the value; nil = any
}

// Gate reads the resolved input of a wait or an approval. The code of the error is input_invalid.
func (n *Node) Gate(input json.RawMessage) (Gate, *Error) {
	if bad := n.checkControl(input); bad != nil {
		return Gate{}, bad
	}
	var with struct {
		Duration    string          `json:"duration"`
		Until       string          `json:"until"`
		Timeout     string          `json:"timeout"`
		Message     string          `json:"message"`
		External    bool            `json:"external"`
		InputSchema json.RawMessage `json:"input_schema"`
	}
	if err := json.Unmarshal(input, &with); err != nil {
		return Gate{}, inputInvalid("with: %v", err)
	}
	g := Gate{Timeout: n.Timeout, Open: with.External || n.Type == TypeApproval, Message: with.Message}
	var bad *Error
	if g.For, bad = n.span("duration", with.Duration); bad != nil {
		return g, bad
	}
	timeout, bad := n.span("timeout", with.Timeout)
	if bad != nil {
		return g, bad
	}
	if timeout > 0 {
		g.Timeout = timeout
	}
	if with.Until != "" {
		t, err := time.Parse(time.RFC3339Nano, with.Until)
		if err != nil {
			return g, inputInvalid("with.until: %q is not a time such as 2027-01-31T18:00:00+01:00", clip(with.Until))
		}
		g.Until = t
	}
	if with.InputSchema != nil {
		s, err := compileSchema(with.InputSchema)
		if err != nil {
			return g, inputInvalid("with.input_schema: %v", err)
		}
		g.schema = s
	}
	if n.Type == TypeWait && !g.Open && g.For == 0 && g.Until.IsZero() && with.Duration == "" {
		return g, inputInvalid("with: a wait needs duration, until or external: what ends it")
	}
	return g, nil
}

// Check compares a value that ends the gate with its schema; the fields begin with "input".
func (g Gate) Check(value json.RawMessage) Problems {
	if g.schema == nil {
		return nil
	}
	return g.schema.check(value, "input", CodeInputInvalid)
}

func (n *Node) span(field, text string) (time.Duration, *Error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > n.limits.Timeout {
		return 0, inputInvalid("with.%s: %q is not a duration of 0s to %s such as 30s or 1h30m", field, clip(text), n.limits.Timeout)
	}
	return d, nil
}

// Child is the execution that a task of type workflow asks for.
type Child struct {
	Name       string          `json:"name,omitempty"`
	Version    int             `json:"version,omitempty"`    // 0 = the newest
	Label      string          `json:"label,omitempty"`      // of a version, where none is given
	Definition json.RawMessage `json:"definition,omitempty"` // instead of a name
	Input      json.RawMessage `json:"input,omitempty"`
	IDField    string          `json:"id_field,omitempty"` // of the output, which holds the id of the execution there; "" = none
}

// ChildOutput is the output of a task of type workflow: that of its execution, and in it the id of that where the task's
// input asks for it. A field of that name which the execution gave stays; what is no object has no place for one.
func (n *Node) ChildOutput(input, output json.RawMessage, id string) json.RawMessage {
	var c Child
	if json.Unmarshal(input, &c) != nil || c.IDField == "" {
		return output
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(output, &fields) != nil {
		return output
	}
	if _, given := fields[c.IDField]; given {
		return output
	}
	own := appendQuoted(append(appendQuoted([]byte{'{'}, c.IDField), ':'), id)
	if len(fields) == 0 {
		return append(own, '}')
	}
	return append(append(own, ','), bytes.TrimSpace(output)[1:]...) // the rest of it byte for byte
}

// WantsID reports whether the output may be asked to hold the id of the execution, before the input is resolved.
func (n *Node) WantsID() bool {
	return len(n.Task.With) > 0 && (n.Task.With[0] == '"' || bytes.Contains(n.Task.With, []byte(`"id_field"`)))
}

// Child reads the resolved input of a task of type workflow. The code of the error is input_invalid.
func (n *Node) Child(input json.RawMessage) (Child, *Error) {
	var c Child
	if bad := n.checkControl(input); bad != nil {
		return c, bad
	}
	if err := json.Unmarshal(input, &c); err != nil {
		return c, inputInvalid("with: %v", err)
	}
	if field, message := whichChild(c.Name != "", c.Version != 0, c.Definition != nil); message != "" {
		return c, inputInvalid("%s: %s", field, message)
	}
	return c, nil
}

// whichChild says what is wrong with the fields that choose what a sub-workflow runs.
func whichChild(name, version, definition bool) (field, message string) {
	switch {
	case !name && !definition:
		return "with", "a sub-workflow needs name or definition: what it runs"
	case name && definition:
		return "with.definition", "stands beside name; give one of them"
	case version && definition:
		return "with.version", "is that of a published workflow, and there is a definition instead of its name"
	}
	return "", ""
}

// CodeInvalidDefinition is the code of a task whose definition cannot be run.
const CodeInvalidDefinition = "invalid_definition"

// maxInlineProblems is how many problems of a definition the error of its task names.
const maxInlineProblems = 50

// LoadInline compiles a definition that a task gives instead of the name of a workflow: checked as when it is
// published, which it is not: it can have no limit of running executions, and nothing finds it by its name, which may be
// that of another system. The code of the error is invalid_definition.
func LoadInline(definition json.RawMessage, catalog Catalog, limits Limits) (*Program, *Error) {
	p, _, err := LoadForeign(definition, catalog, limits)
	problems := AsProblems(err)
	switch {
	case err != nil && problems == nil:
		return nil, &Error{Code: CodeInvalidDefinition, Message: err.Error()}
	case err == nil && p.Definition.Concurrency != nil:
		problems = Problems{{Field: "concurrency", Code: CodeNotAllowed, Message: "is not possible in a definition that is not published", Allowed: "for_each.max_parallel of the task that begins it"}}
	}
	if problems == nil {
		return p, nil
	}
	more := len(problems) - maxInlineProblems
	if more > 0 {
		problems = problems[:maxInlineProblems:maxInlineProblems]
	}
	parts := make([]string, 0, len(problems)+1)
	for _, one := range problems {
		one.Line, one.Column = 0, 0 // there is no source to count lines of
		one.Field = strings.TrimSuffix("with.definition."+one.Field, ".")
		parts = append(parts, one.String())
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return nil, &Error{Code: CodeInvalidDefinition, Message: strings.Join(parts, "; ")}
}

func (n *Node) checkControl(input json.RawMessage) *Error {
	s, err := compileSchema(controlInputs[n.Type])
	if err != nil {
		return inputInvalid("%v", err)
	}
	if problems := s.check(bytes.TrimSpace(input), "with", CodeInputInvalid); problems != nil {
		return inputInvalid("%s", oneLine(problems))
	}
	return nil
}

func inputInvalid(format string, args ...any) *Error {
	return &Error{Code: CodeInputInvalid, Message: fmt.Sprintf(format, args...)}
}
