package prefect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// kindKey marks an object that stands for another value.
const kindKey = "__prefect_kind"

// removed is what stands for a value that is to be left out.
type removed struct{}

// hydrate puts values in the place of the objects that stand for them.
func hydrate(input *object) (*object, error) {
	v, err := hydrated(input)
	if err != nil {
		return nil, err
	}
	if o, ok := v.(*object); ok {
		return o, nil
	}
	return newObject(), nil
}

func hydrated(v any) (any, error) {
	switch v := v.(type) {
	case *object:
		if kind, stands := v.get(kindKey); stands {
			return stoodFor(kind, v)
		}
		out := newObject()
		for _, key := range v.keys {
			part, err := hydrated(v.values[key])
			if err != nil {
				return nil, err
			}
			if part != any(removed{}) {
				out.set(key, part)
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			part, err := hydrated(item)
			if err != nil {
				return nil, err
			}
			if part != any(removed{}) {
				out = append(out, part)
			}
		}
		return out, nil
	}
	return v, nil
}

func stoodFor(kind any, o *object) (any, error) {
	switch kind {
	case "none":
		v, there := o.get("value")
		if !there {
			return nil, errors.New("Missing 'value' key in __prefect object")
		}
		return hydrated(v)
	case "json":
		v, there, err := inner(o, "value")
		text, isText := v.(string)
		if err != nil || !there || !isText {
			return v, err
		}
		parsed, err := decode([]byte(text))
		if err != nil {
			return nil, errors.New("Invalid JSON: " + jsonFault(text))
		}
		return parsed, nil
	case "jinja":
		v, there, err := inner(o, "template")
		if !there {
			return nil, errors.New("Missing 'template' key in __prefect object")
		}
		text, isText := v.(string)
		if err != nil || !isText {
			return v, err
		}
		if strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#") {
			return nil, errors.New("Invalid jinja: this server renders no templates; give the value itself")
		}
		return strings.TrimSuffix(text, "\n"), nil
	case "workspace_variable":
		v, there, err := inner(o, "variable_name")
		if err != nil || !there {
			return v, err
		}
		name, _ := v.(string)
		return nil, fmt.Errorf("Variable '%s' not found in workspace.", name)
	}
	v, _ := o.get("value")
	return v, nil
}

// inner is a field that may itself stand for another value.
func inner(o *object, key string) (v any, there bool, err error) {
	v, there = o.get(key)
	if !there {
		return removed{}, false, nil
	}
	if _, nested := v.(*object); nested {
		v, err = hydrated(v)
	}
	return v, true, err
}

// jsonFault says what is wrong with a text that is no JSON, as Python's json does.
func jsonFault(text string) string {
	f := faultFinder{text: text}
	if f.value() {
		f.space()
		if f.at < len(text) {
			f.fault("Extra data", f.at)
		}
	}
	before := text[:min(f.where, len(text))]
	line, start := strings.Count(before, "\n")+1, strings.LastIndexByte(before, '\n')+1
	return fmt.Sprintf("%s: line %d column %d (char %d)", f.what, line, utf8.RuneCountInString(before[start:])+1, utf8.RuneCountInString(before))
}

type faultFinder struct {
	text  string
	at    int
	depth int
	what  string
	where int
}

func (f *faultFinder) fault(what string, where int) bool {
	f.what, f.where = what, where
	return false
}

func (f *faultFinder) space() {
	for f.at < len(f.text) && strings.IndexByte(" \t\n\r", f.text[f.at]) >= 0 {
		f.at++
	}
}

func (f *faultFinder) next() byte {
	f.space()
	if f.at < len(f.text) {
		return f.text[f.at]
	}
	return 0
}

// value goes on behind a value; false = there is none.
func (f *faultFinder) value() bool {
	if f.depth++; f.depth > maxNesting {
		return f.fault("Expecting value", f.at)
	}
	defer func() { f.depth-- }()
	switch f.next() {
	case '{':
		return f.members('}', "Expecting property name enclosed in double quotes", func() bool {
			if f.next() != '"' {
				return f.fault("Expecting property name enclosed in double quotes", f.at)
			}
			if !f.quoted() {
				return false
			}
			if f.next() != ':' {
				return f.fault("Expecting ':' delimiter", f.at)
			}
			f.at++
			return f.value()
		})
	case '[':
		return f.members(']', "Expecting value", f.value)
	case '"':
		return f.quoted()
	}
	start := f.at
	for f.at < len(f.text) && strings.IndexByte(" \t\n\r,]}:\"[{", f.text[f.at]) < 0 {
		f.at++
	}
	for end := f.at; end > start; end-- { // what is behind a number or a word is something else
		if json.Valid([]byte(f.text[start:end])) {
			f.at = end
			return true
		}
	}
	return f.fault("Expecting value", start)
}

func (f *faultFinder) members(end byte, missing string, member func() bool) bool {
	f.at++
	if f.next() == end {
		f.at++
		return true
	}
	for {
		if !member() {
			return false
		}
		switch f.next() {
		case end:
			f.at++
			return true
		case ',':
			f.at++
			if f.next() == end {
				return f.fault(missing, f.at)
			}
		default:
			return f.fault("Expecting ',' delimiter", f.at)
		}
	}
}

func (f *faultFinder) quoted() bool {
	start := f.at
	for f.at++; f.at < len(f.text); f.at++ {
		switch c := f.text[f.at]; {
		case c == '"':
			f.at++
			if !json.Valid([]byte(f.text[start:f.at])) {
				return f.fault("Invalid \\escape", start)
			}
			return true
		case c == '\\':
			f.at++
		case c < ' ':
			return f.fault("Invalid control character at", f.at)
		}
	}
	return f.fault("Unterminated string starting at", start)
}
