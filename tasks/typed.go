package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Validator is what an input may implement to check itself after decoding; the
// error fails the task with code input_invalid, not retryable.
type Validator interface{ Validate() error }

// New is a task type from a typed function. The input is decoded strictly: an
// unknown field or a wrong type fails the task with code input_invalid. The
// schemas are derived from In and Out as encoding/json sees them.
func New[In, Out any](name string, run func(ctx context.Context, job *Job, in In) (Out, error)) Type {
	handler := func(ctx context.Context, job *Job) (json.RawMessage, error) {
		var in In
		if err := decode(job.Input, &in); err != nil {
			return nil, err
		}
		out, err := run(ctx, job, in)
		if err != nil {
			return nil, err
		}
		return encode(out)
	}
	return Type{
		Name: name, Handler: HandlerFunc(handler),
		Input:  schemaOf(reflect.TypeFor[In](), false),
		Output: schemaOf(reflect.TypeFor[Out](), true),
	}
}

// decode reads a resolved `with`; absent is null.
func decode(with json.RawMessage, in any) error {
	if len(with) == 0 {
		with = json.RawMessage("null")
	}
	d := json.NewDecoder(bytes.NewReader(with))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(in); err != nil {
		return Fatal(CodeInputInvalid, "%s", explain(err, reflect.TypeOf(in).Elem()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fatal(CodeInputInvalid, "with: there is something behind the JSON value; give one value")
	}
	if v, ok := in.(Validator); ok {
		if err := v.Validate(); err != nil {
			return Fatal(CodeInputInvalid, "with: %w", err)
		}
	}
	return nil
}

// explain says which field of `with` was wrong and what is allowed.
func explain(err error, in reflect.Type) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("%s: is %s; allowed: %s", field(wrong.Field), article(wrong.Value), jsonName(wrong.Type))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		text := fmt.Sprintf("with: unknown field %s", name)
		if names := fieldNames(in); len(names) > 0 {
			text += "; allowed: " + strings.Join(names, ", ")
		}
		return text
	}
	return "with: " + strings.TrimPrefix(err.Error(), "json: ")
}

func field(path string) string {
	if path == "" {
		return "with"
	}
	return "with." + path
}

func article(value string) string {
	value, _, _ = strings.Cut(value, " ") // "number 1.5" names the value, too
	switch value {
	case "array", "object":
		return "an " + value
	case "bool":
		return "a boolean"
	}
	return "a " + value
}

func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("an integer (%s)", t.Kind())
	}
	return t.String()
}

// encode writes an output without escaping <, > and &.
func encode(out any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return nil, Fatal(CodeOutputInvalid, "writing the output: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
