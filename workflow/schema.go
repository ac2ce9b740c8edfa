package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is a compiled JSON Schema.
type schema struct{ compiled *jsonschema.Schema }

const schemaURL = "mem:///schema.json"

// noLoader keeps schemas from reading files or the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("references to other documents are not followed: %s", url)
}

func compileSchema(raw json.RawMessage) (*schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	if err := checkSchemaWeight(doc); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, fmt.Errorf("add schema: %w", err)
	}
	compiled, err := c.Compile(schemaURL)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return &schema{compiled: compiled}, nil
}

// schema compiles the schema in a field, or reports why it cannot.
func (c *compiler) schema(at place, raw json.RawMessage) *schema {
	if raw == nil {
		return nil
	}
	s, err := compileSchema(raw)
	if err == nil {
		return s
	}
	const allowed = "JSON Schema, draft 2020-12 unless $schema says another; patterns as in RE2; references within the schema"
	var invalid *jsonschema.SchemaValidationError
	var verr *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &verr) {
		for _, f := range leaves(verr) {
			at := descend(at, f.path)
			c.add(at, CodeBadSchema, allowed, "this is not a JSON Schema: %s", f.message)
		}
		return nil
	}
	text := strings.ReplaceAll(innermost(err).Error(), schemaURL, "")
	c.add(at, CodeBadSchema, allowed, "the schema does not compile: %s", text)
	return nil
}

func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// descend follows a path of keys and indexes as far as the source goes.
func descend(at place, path []string) place {
	for _, step := range path {
		var i int
		if at.tree != nil && at.tree.kind == listTree {
			if _, err := fmt.Sscanf(step, "%d", &i); err == nil {
				at = at.index(i)
				continue
			}
		}
		at = at.field(step)
	}
	return at
}

// failure is one way in which a value does not fit a schema.
type failure struct {
	path    []string
	message string
	kind    jsonschema.ErrorKind
}

// leaves answers the ends of a validation error, in the order of their paths.
func leaves(err *jsonschema.ValidationError) []failure {
	var all []failure
	printer := message.NewPrinter(language.English)
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			all = append(all, failure{path: e.InstanceLocation, message: e.ErrorKind.LocalizedString(printer), kind: e.ErrorKind})
			return
		}
		if alternatives(e.ErrorKind) {
			all = append(all, failure{path: e.InstanceLocation, message: alternativesText(e, printer), kind: e.ErrorKind})
			return
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(err)
	slices.SortStableFunc(all, func(a, b failure) int { return slices.Compare(a.path, b.path) })
	return all
}

func alternatives(k jsonschema.ErrorKind) bool {
	switch k.(type) {
	case *kind.AnyOf, *kind.OneOf:
		return true
	}
	return false
}

func alternativesText(e *jsonschema.ValidationError, p *message.Printer) string {
	var each []string
	for _, cause := range e.Causes {
		for _, f := range leaves(cause) {
			if !slices.Contains(each, f.message) {
				each = append(each, f.message)
			}
		}
	}
	return "fits none of the alternatives: " + clip(strings.Join(each, "; or "))
}

// check answers how the value fails the schema; the fields begin with root.
func (s *schema) check(value json.RawMessage, root, code string) Problems {
	if s == nil {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return Problems{{Field: root, Code: code, Message: "this is not JSON", Allowed: "a JSON value"}}
	}
	var problems Problems
	var all []failure
	for _, f := range s.failures(v) {
		all = append(all, named(f)...)
	}
	slices.SortStableFunc(all, func(a, b failure) int { return slices.Compare(a.path, b.path) })
	for _, f := range all[:min(len(all), maxProblems)] {
		problems = append(problems, Problem{Field: valuePath(root, v, f.path), Code: code, Message: f.message})
	}
	return problems
}

// named takes what an object lacks or must not have apart, so that each problem
// names its own field and not the object.
func named(f failure) []failure {
	each := func(names []string, message string) []failure {
		all := make([]failure, len(names))
		for i, name := range names {
			all[i] = failure{path: append(slices.Clone(f.path), name), message: message, kind: f.kind}
		}
		return all
	}
	switch k := f.kind.(type) {
	case *kind.Required:
		return each(k.Missing, "is required")
	case *kind.AdditionalProperties:
		return each(k.Properties, "is not known to the schema")
	}
	return []failure{f}
}

// failures answers how a decoded value fails the schema.
func (s *schema) failures(value any) []failure {
	err := s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []failure{{message: "the value cannot be checked: " + clip(err.Error())}}
	}
	return leaves(invalid)
}

// valuePath writes a path in a value as input.years[2].
func valuePath(root string, value any, path []string) string {
	for _, step := range path {
		switch v := value.(type) {
		case []any:
			root += "[" + step + "]"
			var i int
			if _, err := fmt.Sscanf(step, "%d", &i); err == nil && i < len(v) {
				value = v[i]
			}
		case map[string]any:
			root = joinKey(root, step)
			value = v[step]
		}
	}
	return root
}

// CheckInput answers how an execution's input fails input_schema. Each Field
// is a path such as input.years[2].
func (p *Program) CheckInput(input json.RawMessage) Problems {
	if len(input) > p.limits.ValueBytes {
		return Problems{{Field: "input", Code: CodeInputTooLarge, Message: fmt.Sprintf("the input has %d bytes", len(input)),
			Allowed: fmt.Sprintf("at most %d bytes", p.limits.ValueBytes)}}
	}
	return p.input.check(input, "input", CodeInputInvalid)
}

// CheckOutput answers why an output cannot be accepted: output_too_large or
// output_invalid, neither retryable.
func (n *Node) CheckOutput(output json.RawMessage) *Error {
	if len(output) > n.limits.TaskValueBytes {
		return &Error{Code: CodeOutputTooLarge, Message: fmt.Sprintf("the output has %d bytes, the limit is %d; hand on a reference instead", len(output), n.limits.TaskValueBytes)}
	}
	if problems := n.outputSchema.check(output, "output", CodeOutputInvalid); problems != nil {
		return &Error{Code: CodeOutputInvalid, Message: "the output does not fit output_schema: " + oneLine(problems)}
	}
	return nil
}

// oneLine writes the first few problems for a message.
func oneLine(problems Problems) string {
	const most = 5
	var parts []string
	for i, p := range problems {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(problems)-most))
			break
		}
		parts = append(parts, p.String())
	}
	return strings.Join(parts, "; ")
}
