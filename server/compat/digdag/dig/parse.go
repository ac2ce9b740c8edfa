package dig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

type kind int

const (
	nothing kind = iota
	boolean
	numeric
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// value is a value of a file, with where it stands.
type value struct {
	kind  kind
	text  string // of a scalar, as JSON has it; of text itself
	items []*value
	keys  []string // of an object, in order
	line  int
}

func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for i, k := range v.keys {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

func (v *value) put(key string, child *value) {
	v.keys, v.items = append(v.keys, key), append(v.items, child)
}

// MarshalJSON writes the value with its keys in order.
func (v *value) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	v.write(&b)
	return []byte(b.String()), nil
}

func (v *value) write(b *strings.Builder) {
	switch v.kind {
	case nothing:
		b.WriteString("null")
	case boolean, numeric:
		b.WriteString(v.text)
	case text:
		quote(b, v.text)
	case list, object:
		open, shut := byte('['), byte(']')
		if v.kind == object {
			open, shut = '{', '}'
		}
		b.WriteByte(open)
		for i, item := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			if v.kind == object {
				quote(b, v.keys[i])
				b.WriteByte(':')
			}
			item.write(b)
		}
		b.WriteByte(shut)
	}
}

func quote(b *strings.Builder, s string) {
	var one bytes.Buffer
	encoder := json.NewEncoder(&one)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string can always be written
	b.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n")))
}

// The limits of a file.
const (
	maxTokens = 50_000
	maxDepth  = 64
)

// parse reads a file. The library is given no chance to recurse without bound,
// and a panic inside it is a syntax error to the author.
func parse(file, source string) (v *value, problem *Problem) {
	fail := func(line int, allowed, format string, args ...any) (*value, *Problem) {
		return nil, &Problem{File: file, Line: max(line, 1), Message: fmt.Sprintf(format, args...), Allowed: allowed}
	}
	defer func() {
		if recover() != nil {
			v, problem = fail(1, "YAML", "the file cannot be read")
		}
	}()
	tokens := lexer.Tokenize(source)
	if at, what := tooMuch(tokens); what != "" {
		return fail(at, fmt.Sprintf("at most %d tokens, nested %d deep, without anchors, aliases and tags such as !include", maxTokens, maxDepth), "%s", what)
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if at, ok := errors.AsType[yaml.Error](err); ok && at.GetToken() != nil && at.GetToken().Position != nil {
			return fail(at.GetToken().Position.Line, "YAML", "the file cannot be read: %s", at.GetMessage())
		}
		return fail(1, "YAML", "the file cannot be read")
	}
	r := &reading{}
	v = &value{kind: object, line: 1}
	docs := 0
	for _, d := range parsed.Docs {
		if d.Body == nil {
			continue
		}
		if docs++; docs > 1 {
			return fail(lineOf(d.Body), "one document", "the file holds several YAML documents")
		}
		v = r.value(d.Body)
	}
	if r.wrong != "" {
		return fail(r.line, "plain values, lists and objects", "%s", r.wrong)
	}
	if v.kind != object {
		return fail(v.line, "an object with tasks, as +load:", "the file is %s", v.kind)
	}
	return v, nil
}

// tooMuch finds what would make reading expensive, or is not known here.
func tooMuch(tokens token.Tokens) (line int, what string) {
	flow := 0
	var open []int // columns of blocks
	for i, tk := range tokens {
		if i >= maxTokens {
			return tk.Position.Line, "the file is too large"
		}
		switch tk.Type {
		case token.AnchorType, token.AliasType, token.TagType, token.MappingKeyType, token.MergeKeyType:
			return tk.Position.Line, fmt.Sprintf("%q cannot be used", tk.Value)
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.MappingValueType, token.SequenceEntryType:
			at := tk.Position.Column
			if tk.Type == token.MappingValueType && i > 0 {
				at = tokens[i-1].Position.Column
			}
			for len(open) > 0 && open[len(open)-1] >= at {
				open = open[:len(open)-1]
			}
			open = append(open, at)
		}
		if flow+len(open) > maxDepth {
			return tk.Position.Line, "the file is nested too deep"
		}
	}
	return 0, ""
}

type reading struct {
	wrong string
	line  int
}

func (r *reading) fail(n ast.Node, message string) {
	if r.wrong == "" {
		r.wrong, r.line = message, lineOf(n)
	}
}

func lineOf(n ast.Node) int {
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

func (r *reading) value(n ast.Node) *value {
	v := &value{line: lineOf(n)}
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		r.object(v, n.Values)
	case *ast.MappingValueNode:
		r.object(v, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		v.kind = list
		for _, item := range n.Values {
			v.items = append(v.items, r.value(item))
		}
	case *ast.BoolNode:
		v.kind, v.text = boolean, strconv.FormatBool(n.Value)
	case *ast.IntegerNode:
		v.kind, v.text = numeric, fmt.Sprint(n.Value)
	case *ast.FloatNode:
		v.kind, v.text = numeric, n.Token.Value
		if !json.Valid([]byte(v.text)) {
			v.text = strconv.FormatFloat(n.Value, 'g', -1, 64)
		}
	case *ast.LiteralNode:
		v.kind, v.text = text, n.Value.Value
	case *ast.StringNode:
		v.kind, v.text = text, n.Value
	default:
		r.fail(n, "this YAML cannot be used")
	}
	return v
}

func (r *reading) object(v *value, values []*ast.MappingValueNode) {
	v.kind = object
	if len(values) > 0 {
		v.line = lineOf(values[0])
	}
	for _, pair := range values {
		key := pair.Key.GetToken().Value
		if s, ok := pair.Key.(*ast.StringNode); ok {
			key = s.Value
		}
		if v.get(key) != nil {
			r.fail(pair.Key, fmt.Sprintf("%q stands twice in one object", key))
			continue
		}
		child := r.value(pair.Value)
		child.line = lineOf(pair.Key)
		v.put(key, child)
	}
}
