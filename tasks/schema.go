package tasks

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemaOf is the JSON Schema of t as encoding/json writes it (output) or
// reads it; nil when there is nothing to say. What it cannot describe exactly
// (own marshalers, embedded structs, recursion) it leaves open.
func schemaOf(t reflect.Type, output bool) json.RawMessage {
	s := (&reflector{output: output, open: map[reflect.Type]bool{}}).schema(t)
	if len(s) == 0 {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

type reflector struct {
	output bool
	open   map[reflect.Type]bool // on the way down, to notice recursion
}

func (r *reflector) schema(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.Number]():
		return map[string]any{"type": "number"}
	case r.custom(t):
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Pointer:
		return orNull(r.schema(t.Elem()))
	case reflect.Array:
		return map[string]any{"type": "array", "items": r.schema(t.Elem())}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return orNull(map[string]any{"type": "string", "contentEncoding": "base64"})
		}
		return orNull(map[string]any{"type": "array", "items": r.schema(t.Elem())})
	case reflect.Map:
		return orNull(map[string]any{"type": "object", "additionalProperties": r.schema(t.Elem())})
	case reflect.Struct:
		return r.object(t)
	}
	return map[string]any{}
}

// custom reports whether t reads or writes its JSON itself.
func (r *reflector) custom(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	if r.output {
		return p.Implements(jsonMarshaler) || p.Implements(textMarshaler)
	}
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

func (r *reflector) object(t reflect.Type) map[string]any {
	if r.open[t] {
		return map[string]any{}
	}
	r.open[t] = true
	defer delete(r.open, t)
	properties, required := map[string]any{}, []string{}
	for f := range t.Fields() {
		if f.Anonymous {
			return map[string]any{}
		}
		name, options, ok := jsonTag(f)
		if !ok {
			continue
		}
		if slices.Contains(options, "string") {
			properties[name] = map[string]any{}
		} else {
			properties[name] = r.schema(f.Type)
		}
		if r.output && !slices.Contains(options, "omitempty") && !slices.Contains(options, "omitzero") {
			required = append(required, name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// jsonTag is a field's name and options in JSON; false when JSON does not see it.
func jsonTag(f reflect.StructField) (name string, options []string, ok bool) {
	tag := f.Tag.Get("json")
	if !f.IsExported() || tag == "-" {
		return "", nil, false
	}
	name, rest, _ := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	return name, strings.Split(rest, ","), true
}

// fieldNames lists what an object of t may hold, sorted; nil when that is not a closed list.
func fieldNames(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		if t.Field(i).Anonymous {
			return nil
		}
		if name, _, ok := jsonTag(t.Field(i)); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func orNull(s map[string]any) map[string]any {
	if kind, ok := s["type"].(string); ok {
		s["type"] = []string{kind, "null"}
	}
	return s
}

// checkSchema says what keeps text from being a JSON Schema.
func checkSchema(text json.RawMessage) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // remote references are off
	if err := c.AddResource("schema.json", doc); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	if _, err := c.Compile("schema.json"); err != nil {
		return fmt.Errorf("compiling it: %w", err)
	}
	return nil
}
