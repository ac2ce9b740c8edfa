package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
)

// template is a JSON value with expressions in its strings, compiled to what is
// written one after the other.
type template struct {
	segments []segment
	constant json.RawMessage // the whole value, when there is no expression in it
}

// segment is a piece of JSON as it is, and then the value of an expression.
type segment struct {
	raw    string
	value  *expression // nil at the end
	inText bool        // the value stands inside a string
	field  string      // where the expression stands
}

// template compiles a value, or reports what is wrong with its expressions.
func (c *compiler) template(at place, value json.RawMessage, u usage) *template {
	if at.tree == nil {
		return &template{constant: value}
	}
	b := &templateBuilder{compiler: c, usage: u}
	b.value(at)
	if len(b.segments) == 0 {
		return &template{constant: b.raw}
	}
	if len(b.raw) > 0 {
		b.segments = append(b.segments, segment{raw: string(b.raw)})
	}
	return &template{segments: b.segments}
}

func (t *template) reads() Reads {
	var r Reads
	for _, s := range t.segments {
		if s.value != nil {
			r.add(s.value.uses)
		}
	}
	return r
}

type templateBuilder struct {
	*compiler
	usage    usage
	raw      []byte
	segments []segment
}

func (b *templateBuilder) value(at place) {
	switch t := at.tree; t.kind {
	case stringTree:
		b.text(at)
	case listTree:
		b.raw = append(b.raw, '[')
		for i := range t.items {
			if i > 0 {
				b.raw = append(b.raw, ',')
			}
			b.value(at.index(i))
		}
		b.raw = append(b.raw, ']')
	case objectTree:
		b.raw = append(b.raw, '{')
		for n, i := range t.sorted() {
			if n > 0 {
				b.raw = append(b.raw, ',')
			}
			child := place{path: joinKey(at.path, t.keys[i].name), tree: t.items[i], pos: t.items[i].pos}
			b.raw = append(appendQuoted(b.raw, b.key(child, t.keys[i])), ':')
			b.value(child)
		}
		b.raw = append(b.raw, '}')
	default:
		b.raw = t.appendJSON(b.raw)
	}
}

// key answers a key as it will be: expressions are for values only.
func (b *templateBuilder) key(at place, key treeKey) string {
	at.pos = key.pos
	parts, err := splitTemplate(key.name)
	if err != nil || len(parts) > 1 || parts[0].expression {
		b.add(at, CodeBadExpression, "expressions in values; a literal ${ is written $${", "the key %q holds an expression", clip(key.name))
		return key.name
	}
	return parts[0].text
}

func (b *templateBuilder) text(at place) {
	parts, err := splitTemplate(at.tree.text)
	if err != nil {
		b.add(at, CodeBadExpression, "${ expression }; a literal ${ is written $${", "%v", err)
		return
	}
	if len(parts) == 1 && parts[0].expression {
		b.expr(at, parts[0].text, false)
		return
	}
	b.raw = append(b.raw, '"')
	for _, p := range parts {
		if p.expression {
			b.expr(at, p.text, true)
		} else {
			b.raw = appendEscaped(b.raw, p.text)
		}
	}
	b.raw = append(b.raw, '"')
}

func (b *templateBuilder) expr(at place, source string, inText bool) {
	e := b.expression(at, source, b.usage)
	if e == nil {
		return
	}
	b.segments = append(b.segments, segment{raw: string(b.raw), value: e, inText: inText, field: at.path})
	b.raw = b.raw[:0]
}

var errTooLarge = errors.New("the value grows over the limit")

// resolve writes the value with its expressions evaluated. Where secrets is
// false, expressions that read secrets stay as they were written.
func (t *template) resolve(ev *evaluation, limit int, secrets bool) (json.RawMessage, *Error) {
	if t.constant != nil {
		return t.constant, nil
	}
	var out []byte
	for i := range t.segments {
		s := &t.segments[i]
		out = append(out, s.raw...)
		if s.value == nil {
			break
		}
		next, err := s.append(out, ev, limit, secrets)
		if errors.Is(err, errTooLarge) || len(next) > limit {
			return nil, &Error{Code: CodeInputTooLarge, Message: fmt.Sprintf("%s: the value has more than %d bytes", s.field, limit)}
		}
		if err != nil {
			return nil, expressionError(s.field, s.value.source, err)
		}
		out = next
	}
	if len(out) > limit {
		return nil, &Error{Code: CodeInputTooLarge, Message: fmt.Sprintf("the value has %d bytes, the limit is %d", len(out), limit)}
	}
	return out, nil
}

func (s *segment) append(out []byte, ev *evaluation, limit int, secrets bool) ([]byte, error) {
	if !secrets && s.value.readsSecrets() {
		text := "${" + s.value.source + "}"
		if s.inText {
			return appendEscaped(out, text), nil
		}
		return appendQuoted(out, text), nil
	}
	if s.inText {
		return s.value.appendText(out, ev, limit)
	}
	return s.value.appendValue(out, ev, limit)
}

func expressionError(field, source string, err error) *Error {
	return &Error{Code: CodeExpressionFailed, Message: fmt.Sprintf("%s: ${%s}: %v", field, clip(source), err)}
}
