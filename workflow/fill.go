package workflow

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Fill puts values into the strings of a JSON value: ${name} becomes the value
// of that name, $${ a literal ${. It is for values that are filled in before
// there is an execution whose expressions could read anything; the problems name
// their place below field.
func Fill(value json.RawMessage, field string, values map[string]string, limits Limits) (json.RawMessage, Problems) {
	if !json.Valid(value) {
		return nil, Problems{{Field: field, Code: CodeSyntax, Message: "is not JSON", Allowed: "a JSON value"}}
	}
	t, problems := parseJSON(value, limits)
	if len(problems) > 0 {
		for i := range problems {
			problems[i].Field, problems[i].Line, problems[i].Column = joined(field, problems[i].Field), 0, 0
		}
		return nil, problems
	}
	f := filler{values: values}
	f.fill(place{path: field, tree: t})
	if len(f.problems) > 0 {
		return nil, f.problems
	}
	return t.appendJSON(nil), nil
}

func joined(field, path string) string {
	if path == "" || path[0] == '[' {
		return field + path
	}
	return field + "." + path
}

type filler struct {
	report
	values map[string]string
}

func (f *filler) fill(at place) {
	switch t := at.tree; t.kind {
	case stringTree:
		t.text = f.text(at, t.text)
	case listTree:
		for i := range t.items {
			f.fill(at.index(i))
		}
	case objectTree:
		for i, item := range t.items {
			f.fill(place{path: joinKey(at.path, t.keys[i].name), tree: item})
		}
	}
}

func (f *filler) text(at place, text string) string {
	parts, err := splitTemplate(text)
	if err != nil {
		f.add(at, CodeBadExpression, f.allowed(), "%v", err)
		return text
	}
	var b strings.Builder
	for _, p := range parts {
		if !p.expression {
			b.WriteString(p.text)
			continue
		}
		value, ok := f.values[strings.TrimSpace(p.text)]
		if !ok {
			f.add(at, CodeUnreadable, f.allowed(), "${%s} is not known here", clip(p.text))
		}
		b.WriteString(value)
	}
	return b.String()
}

func (f *filler) allowed() string {
	names := slices.Sorted(maps.Keys(f.values))
	for i := range names {
		names[i] = "${" + names[i] + "}"
	}
	return list(names) + "; a literal ${ is written $${"
}
