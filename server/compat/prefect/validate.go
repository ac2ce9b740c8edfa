package prefect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// errCircular says that a schema refers to itself without end.
var errCircular = errors.New("Unable to validate schema with circular references.")

// schemaError says that a schema is none.
type schemaError struct{ text string }

func (e schemaError) Error() string { return e.text }

// validate answers why a value does not fit a schema, in the words of Prefect's server: "" = it fits.
// errCircular; a schemaError where the schema is none, or more than can be checked here.
func validate(value, schema any) (string, error) {
	schema = preprocessed(schema)
	if err := checkSchema(schema); err != nil {
		return "", err
	}
	c := &checker{root: schema}
	best := bestMatch(c.check(value, schema))
	switch {
	case c.err != nil:
		return "", c.err
	case c.unresolved != "":
		return "Validation failed. Failure reason: " + c.unresolved, nil
	case best == nil:
		return "", nil
	}
	text := "Validation failed."
	if path := jsonPath(best.whole()); path != "$" {
		text = "Validation failed for field " + reprString(strings.ReplaceAll(path, "$.", "")) + "."
	}
	return text + " Failure reason: " + best.message, nil
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not followed")
}

// checkSchema says whether the schema is one, by its metaschema.
func checkSchema(schema any) error {
	text, err := plain(schema)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return schemaError{err.Error()}
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	const name = "mem:///schema.json"
	if err := c.AddResource(name, doc); err != nil {
		return schemaError{err.Error()}
	}
	_, err = c.Compile(name)
	var invalid *jsonschema.SchemaValidationError
	var regex *jsonschema.InvalidRegexError
	if errors.As(err, &invalid) || errors.As(err, &regex) {
		return schemaError{strings.ReplaceAll(err.Error(), name, "")}
	}
	return nil // references that lead nowhere are found when they are followed
}

// preprocessed does to a schema what Prefect's server does: properties that are not required may be null, and lists of items are prefixItems.
func preprocessed(schema any) any {
	s, ok := schema.(*object)
	if !ok {
		return schema
	}
	s = clone(s)
	fixProperties(s)
	if definitions, ok := s.values["definitions"].(*object); ok {
		for _, key := range definitions.keys {
			if d, ok := definitions.values[key].(*object); ok {
				fixProperties(d)
			}
		}
	}
	return s
}

func clone(o *object) *object {
	c := newObject()
	for _, key := range o.keys {
		c.set(key, cloned(o.values[key]))
	}
	return c
}

func cloned(v any) any {
	switch v := v.(type) {
	case *object:
		return clone(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = cloned(v[i])
		}
		return list
	}
	return v
}

func fixProperties(of *object) {
	properties, ok := of.values["properties"].(*object)
	if !ok {
		return
	}
	required, _ := of.values["required"].([]any)
	for _, key := range properties.keys {
		s, ok := properties.values[key].(*object)
		if !ok {
			continue
		}
		kind, typed := s.get("type")
		if _, defaults := s.get("default"); typed && kind != "null" && !defaults && !slices.Contains(required, any(key)) {
			s.drop("type")
			one, null := newObject(), newObject()
			one.set("type", kind)
			null.set("type", "null")
			s.set("anyOf", []any{one, null})
		}
		if items, ok := s.values["items"].([]any); ok && len(items) > 0 && s.values["prefixItems"] == nil {
			s.set("prefixItems", items)
			s.drop("items")
		}
		fixProperties(s)
	}
}

func (o *object) drop(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// failing is one way in which a value does not fit a schema.
type failing struct {
	message  string
	keyword  string
	path     []any // from the value that parent is about, or from the whole
	instance any
	schema   any
	context  []*failing
	parent   *failing
}

func (f *failing) whole() []any {
	if f.parent == nil {
		return f.path
	}
	return slices.Concat(f.parent.whole(), f.path)
}

var plainName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func jsonPath(path []any) string {
	var b strings.Builder
	b.WriteString("$")
	for _, step := range path {
		switch step := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			if plainName.MatchString(step) {
				b.WriteString("." + step)
			} else {
				b.WriteString("['" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(step) + "']")
			}
		}
	}
	return b.String()
}

const maxDescents = 1000 // deeper goes only a schema that refers to itself

// checker walks a schema as Python's jsonschema does.
type checker struct {
	root       any
	depth      int
	err        error
	unresolved string
}

func (c *checker) check(value, schema any) []*failing {
	if c.depth >= maxDescents {
		c.err = errCircular
	}
	if c.err != nil || c.unresolved != "" {
		return nil
	}
	c.depth++
	defer func() { c.depth-- }()
	s, ok := schema.(*object)
	if !ok {
		if schema == false {
			return []*failing{{message: "False schema does not allow " + repr(value), instance: value, schema: schema}}
		}
		return nil
	}
	var all []*failing
	for _, key := range s.keys {
		rule := keyword(key)
		if rule == nil {
			continue
		}
		for _, f := range rule(c, s.values[key], value, s) {
			if f.schema == nil {
				f.keyword, f.instance, f.schema = key, value, s
			}
			all = append(all, f)
		}
	}
	return all
}

// descend checks a part of a value.
func (c *checker) descend(value, schema any, step ...any) []*failing {
	all := c.check(value, schema)
	for _, f := range all {
		f.path = slices.Concat(step, f.path)
	}
	return all
}

// valid forgets what follows from a reference that leads nowhere: its caller does not go on either.
func (c *checker) valid(value, schema any) bool { return len(c.check(value, schema)) == 0 }

// follow answers what a reference within the schema refers to.
func (c *checker) follow(ref string) (any, bool) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, false
	}
	if pointer, err := url.PathUnescape(pointer); err == nil && (pointer == "" || pointer[0] == '/') {
		return at(c.root, strings.Split(pointer, "/")[1:])
	}
	return anchor(c.root, pointer)
}

func at(v any, steps []string) (any, bool) {
	for _, step := range steps {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch holder := v.(type) {
		case *object:
			next, ok := holder.get(step)
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(holder) {
				return nil, false
			}
			v = holder[i]
		default:
			return nil, false
		}
	}
	return v, true
}

func anchor(v any, name string) (any, bool) {
	switch v := v.(type) {
	case *object:
		if v.values["$anchor"] == name {
			return v, true
		}
		for _, key := range v.keys {
			if found, ok := anchor(v.values[key], name); ok {
				return found, true
			}
		}
	case []any:
		for _, item := range v {
			if found, ok := anchor(item, name); ok {
				return found, true
			}
		}
	}
	return nil, false
}

func isType(v any, name string) bool {
	switch name {
	case "array":
		_, ok := v.([]any)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "integer":
		n, ok := v.(json.Number)
		if !ok || isInt(n) {
			return ok
		}
		r := exact(n)
		return r != nil && r.IsInt()
	case "null":
		return v == nil
	case "number":
		_, ok := v.(json.Number)
		return ok
	case "object":
		_, ok := v.(*object)
		return ok
	case "string":
		_, ok := v.(string)
		return ok
	}
	return false
}

func fails(format string, args ...any) []*failing {
	return []*failing{{message: fmt.Sprintf(format, args...)}}
}
