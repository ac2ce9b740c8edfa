package conductor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// part is a piece of a text: as it is, or an expression ${...}.
type part struct {
	text       string
	expression bool
}

// split cuts a text at its expressions. "$${" stands for the text "${".
func split(s string) ([]part, error) {
	var parts []part
	var text strings.Builder
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			text.WriteString("${")
			i += 3
		case strings.HasPrefix(s[i:], "${"):
			end := closing(s[i+2:])
			if end < 0 {
				return nil, fmt.Errorf("%q has no closing brace", s[i:])
			}
			if text.Len() > 0 {
				parts = append(parts, part{text: text.String()})
				text.Reset()
			}
			parts = append(parts, part{text: strings.TrimSpace(s[i+2 : i+2+end]), expression: true})
			i += end + 3
		default:
			text.WriteByte(s[i])
			i++
		}
	}
	if text.Len() > 0 || len(parts) == 0 {
		parts = append(parts, part{text: text.String()})
	}
	return parts, nil
}

// closing answers where an expression ends; braces in quotes do not end it.
func closing(s string) int {
	quote := byte(0)
	for i := range len(s) {
		switch b := s[i]; {
		case quote != 0 && b == quote:
			quote = 0
		case quote != 0:
		case b == '\'' || b == '"':
			quote = b
		case b == '}':
			return i
		}
	}
	return -1
}

// path reads "ref.output.a['b'][0]" as its steps: texts, and whole numbers for indexes.
func path(s string) ([]any, error) {
	var steps []any
	for s = strings.TrimPrefix(s, "$."); s != ""; {
		switch s[0] {
		case '.':
			if s = s[1:]; s == "" || s[0] == '.' {
				return nil, fmt.Errorf("a search (..) cannot be translated")
			}
		case '[':
			end := strings.IndexByte(s, ']')
			if end < 0 {
				return nil, fmt.Errorf("[ is not closed")
			}
			step, err := bracket(strings.TrimSpace(s[1:end]))
			if err != nil {
				return nil, err
			}
			steps = append(steps, step)
			s = s[end+1:]
		default:
			end := strings.IndexAny(s, ".[")
			if end < 0 {
				end = len(s)
			}
			name := s[:end]
			if strings.ContainsAny(name, "()*?@") {
				return nil, fmt.Errorf("%q cannot be translated: write it with JSON_JQ_TRANSFORM or INLINE", name)
			}
			steps = append(steps, name)
			s = s[end:]
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("the expression is empty")
	}
	return steps, nil
}

func bracket(s string) (any, error) {
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1], nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil, fmt.Errorf("[%s] cannot be translated: write it with JSON_JQ_TRANSFORM or INLINE", s)
	}
	return n, nil
}

// shape is a value that expressions read: the native expression that gives it, or its fields.
type shape struct {
	cel    string
	fields []shapeField
}

type shapeField struct {
	name string
	shape
}

func plain(cel string) shape { return shape{cel: cel} }

func object(fields ...shapeField) shape { return shape{fields: fields} }

func with(name string, s shape) shapeField { return shapeField{name, s} }

var nothing = shape{cel: "null"}

// at answers what lies at a path.
func (s shape) at(steps []any) shape {
	for len(steps) > 0 && s.cel == "" {
		i := slices.IndexFunc(s.fields, func(f shapeField) bool { return f.name == steps[0] })
		if i < 0 {
			return nothing
		}
		s, steps = s.fields[i].shape, steps[1:]
	}
	if len(steps) == 0 || s.cel == "null" {
		return s
	}
	words := make([]string, len(steps))
	for i, step := range steps {
		words[i] = literal(step)
	}
	return plain("dig(" + s.cel + ", [" + strings.Join(words, ", ") + "])")
}

// expression is the native expression that gives the whole value.
func (s shape) expression() string {
	if s.cel != "" {
		return s.cel
	}
	entries := make([]string, len(s.fields))
	for i, f := range s.fields {
		entries[i] = literal(f.name) + ": " + f.expression()
	}
	return "{" + strings.Join(entries, ", ") + "}"
}

// literal writes a JSON value as the native expressions have it.
func literal(value any) string {
	switch v := value.(type) {
	case map[string]any:
		entries := make([]string, 0, len(v))
		for _, key := range sorted(v) {
			entries = append(entries, literal(key)+": "+literal(v[key]))
		}
		return "{" + strings.Join(entries, ", ") + "}"
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = literal(v[i])
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // of JSON alone: it can always be written
	return strings.TrimSpace(b.String())
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// blank is a value as it stands in the middle of a text: null is nothing.
func blank(cel string) string { return "[" + cel + "].map(v, v == null ? \"\" : v)[0]" }

// asText is a value as text within an expression.
func asText(cel string) string {
	return "[" + cel + "].map(v, v == null ? \"\" : (type(v) == string ? v : string(v)))[0]"
}
