package workflow

import (
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

// parseYAML reads one YAML document.
func parseYAML(source []byte, limits Limits) (*tree, Problems) {
	file, problems := parseYAMLFile(source, limits)
	if problems != nil {
		return nil, problems
	}
	docs := file.Docs[:0:0]
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	p := &yamlParser{builder: builder{limits: limits}, anchors: map[string]*tree{}}
	if len(docs) > 1 {
		p.add(place{pos: yamlPosition(docs[1].Body)}, CodeDocuments, "one document", "the source holds %d YAML documents", len(docs))
		return nil, p.sorted()
	}
	if len(docs) == 0 {
		return nil, Problems{{Line: 1, Column: 1, Code: CodeSyntax, Message: "the definition is empty", Allowed: "a workflow in YAML or JSON"}}
	}
	t := p.value(docs[0].Body, "", 1)
	if len(p.problems) > 0 {
		return nil, p.sorted()
	}
	return t, nil
}

// parseYAMLFile answers the syntax tree. The library is given no chance to recurse
// without bound, and a panic inside it is a syntax error to the author.
func parseYAMLFile(source []byte, limits Limits) (file *ast.File, problems Problems) {
	defer func() {
		if r := recover(); r != nil {
			file, problems = nil, Problems{{Code: CodeSyntax, Message: "the YAML cannot be read", Allowed: "a workflow in YAML or JSON"}}
		}
	}()
	tokens := lexer.Tokenize(string(source))
	if p := checkTokens(tokens, limits); p != nil {
		return nil, p
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	problem := Problem{Code: CodeSyntax, Message: err.Error(), Allowed: "a workflow in YAML or JSON"}
	if at, ok := errors.AsType[yaml.Error](err); ok {
		problem.Message = "the YAML cannot be read: " + at.GetMessage()
		if tk := at.GetToken(); tk != nil && tk.Position != nil {
			problem.Line, problem.Column = tk.Position.Line, tk.Position.Column
		}
	}
	return nil, Problems{problem}
}

// What the YAML library reads in reasonable time: it copies what is in a block
// collection for each further entry. JSON has no such bounds.
const (
	maxYAMLTokens = 100_000
	maxYAMLKeys   = 2_000  // of one block mapping
	maxYAMLItems  = 20_000 // of one block sequence
	maxYAMLMarks  = 1_000  // anchors, aliases, tags and complex keys
)

// tokenCheck bounds what the parser is given: how deep it will recurse and how much it will copy.
type tokenCheck struct {
	limits      Limits
	flow, marks int
	open        []block
}

// block is an open block collection: where it begins and how much is in it.
type block struct{ column, keys, items int }

func checkTokens(tokens token.Tokens, limits Limits) Problems {
	c := tokenCheck{limits: limits}
	for i, tk := range tokens {
		if i >= maxYAMLTokens {
			return tokenProblem(tk, CodeTooLarge, fmt.Sprintf("at most %d YAML tokens; a larger definition may be JSON", maxYAMLTokens), "the YAML is too large")
		}
		if i > 0 && c.flow == 0 && ends(tokens[i-1]) && begins(tk) {
			return tokenProblem(tk, CodeSyntax, "a workflow in YAML or JSON", "the YAML cannot be read: a list or object begins where another just ended")
		}
		if p := c.token(tokens, i); p != nil {
			return p
		}
	}
	return nil
}

func begins(tk *token.Token) bool {
	return tk.Type == token.SequenceStartType || tk.Type == token.MappingStartType
}

func ends(tk *token.Token) bool {
	return tk.Type == token.SequenceEndType || tk.Type == token.MappingEndType
}

func (c *tokenCheck) token(tokens token.Tokens, i int) Problems {
	tk := tokens[i]
	switch tk.Type {
	case token.SequenceStartType, token.MappingStartType:
		c.flow++
	case token.SequenceEndType, token.MappingEndType:
		c.flow = max(c.flow-1, 0)
	case token.AnchorType, token.TagType, token.MappingKeyType, token.AliasType:
		c.marks++
	case token.SequenceEntryType:
		b := c.at(tk.Position.Column)
		if b.items++; b.items > maxYAMLItems {
			return tokenProblem(tk, CodeTooLarge, fmt.Sprintf("at most %d items in one list; a longer one may be written as JSON", maxYAMLItems), "the list has too many items")
		}
	case token.MappingValueType:
		if i == 0 || c.flow > 0 {
			break
		}
		b := c.at(tokens[i-1].Position.Column)
		if b.keys++; b.keys > maxYAMLKeys {
			return tokenProblem(tk, CodeTooLarge, fmt.Sprintf("at most %d keys in one object; a larger one may be written as JSON", maxYAMLKeys), "the object has too many keys")
		}
	}
	if c.flow+len(c.open) > 2*c.limits.Depth || c.marks > maxYAMLMarks {
		return tokenProblem(tk, CodeTooDeep, fmt.Sprintf("at most %d levels, and %d anchors, aliases and tags", c.limits.Depth, maxYAMLMarks), "nested too deep")
	}
	return nil
}

// at closes the blocks that begin right of the column and answers the one there.
func (c *tokenCheck) at(column int) *block {
	for len(c.open) > 0 && c.open[len(c.open)-1].column > column {
		c.open = c.open[:len(c.open)-1]
	}
	if len(c.open) == 0 || c.open[len(c.open)-1].column < column {
		c.open = append(c.open, block{column: column})
	}
	return &c.open[len(c.open)-1]
}

func tokenProblem(tk *token.Token, code, allowed, message string) Problems {
	return Problems{{Line: tk.Position.Line, Column: tk.Position.Column, Code: code, Message: message, Allowed: allowed}}
}

type yamlParser struct {
	builder
	anchors map[string]*tree
	copied  int // bytes that aliases stand for
}

func yamlPosition(n ast.Node) position {
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	at := n.GetToken().Position
	return position{line: at.Line, column: at.Column}
}

func (p *yamlParser) value(n ast.Node, path string, depth int) *tree {
	t := &tree{pos: yamlPosition(n), size: 1}
	at := place{path: path, pos: t.pos}
	if !p.enter(at, depth) {
		return t
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		p.object(t, n.Values, path, depth)
	case *ast.MappingValueNode:
		p.object(t, []*ast.MappingValueNode{n}, path, depth)
	case *ast.SequenceNode:
		t.kind = listTree
		for i, item := range n.Values {
			child := p.value(item, fmt.Sprintf("%s[%d]", path, i), depth+1)
			t.adopt(child)
		}
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		v := p.value(n.Value, path, depth)
		p.anchors[name] = v
		return v
	case *ast.AliasNode:
		return p.alias(n, at)
	case *ast.TagNode:
		p.add(at, CodeBadYAML, "values without tags; quote what must be a string", "the YAML tag %s cannot be used", n.Start.Value)
	default:
		p.scalar(t, n, at)
		t.bytes = len(t.text)
	}
	return t
}

func (p *yamlParser) alias(n *ast.AliasNode, at place) *tree {
	name := n.Value.GetToken().Value
	v, ok := p.anchors[name]
	if !ok {
		p.add(at, CodeBadYAML, "the name of an anchor above it", "the alias *%s has no anchor", name)
		return &tree{pos: at.pos, size: 1}
	}
	p.nodes += v.size - 1
	p.copied += v.bytes
	if !p.full && (p.nodes > p.limits.Nodes || p.copied > p.limits.DefinitionBytes) {
		p.full = true
		p.add(at, CodeTooLarge, fmt.Sprintf("at most %d values and %d bytes once its aliases are replaced", p.limits.Nodes, p.limits.DefinitionBytes),
			"the definition grows too large through its aliases")
	}
	if p.full {
		return &tree{pos: at.pos, size: 1}
	}
	return v
}

func (p *yamlParser) scalar(t *tree, n ast.Node, at place) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		t.kind = nullTree
	case *ast.BoolNode:
		t.kind, t.text = boolTree, strconv.FormatBool(n.Value)
	case *ast.IntegerNode:
		t.kind, t.text = numberTree, p.integer(at, n)
	case *ast.FloatNode:
		t.kind, t.text = numberTree, p.float(at, n)
	case *ast.InfinityNode, *ast.NanNode:
		p.add(at, CodeBadNumber, "finite numbers", "%s is not a number of JSON", n.GetToken().Value)
	case *ast.LiteralNode:
		t.kind, t.text = stringTree, n.Value.Value
	case *ast.StringNode:
		t.kind, t.text = stringTree, n.Value
		if n.Token.Type == token.StringType && jsonNumber.MatchString(n.Token.Value) {
			t.kind, t.text = numberTree, p.number(at, n.Token.Value) // too long for the library's integers
		}
	default:
		p.add(at, CodeBadYAML, "plain values, lists and objects", "this YAML cannot be used here")
	}
}

func (p *yamlParser) integer(at place, n *ast.IntegerNode) string {
	text := n.Token.Value
	if jsonNumber.MatchString(text) {
		return p.number(at, text)
	}
	digits := strings.TrimLeft(text, "+-")
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		p.add(at, CodeBadNumber, "0o17 for octal, 17 for decimal, \"017\" for a string", "%s could be octal or decimal", text)
		return "0"
	}
	return fmt.Sprint(n.Value)
}

func (p *yamlParser) float(at place, n *ast.FloatNode) string {
	if text := n.Token.Value; jsonNumber.MatchString(text) {
		return p.number(at, text)
	}
	return p.number(at, strconv.FormatFloat(n.Value, 'g', -1, 64))
}

func (p *yamlParser) object(t *tree, values []*ast.MappingValueNode, path string, depth int) {
	t.kind = objectTree
	seen := map[string]position{}
	var merged []*tree
	for _, v := range values {
		key := treeKey{pos: yamlPosition(v.Key)}
		if v.Key.IsMergeKey() {
			merged = append(merged, p.mergeable(p.value(v.Value, joinKey(path, "<<"), depth+1), path)...)
			continue
		}
		name, ok := yamlKey(v.Key)
		if !ok {
			p.add(place{path: path, pos: key.pos}, CodeBadYAML, "strings as keys", "this key cannot be used")
			continue
		}
		key.name = name
		child := joinKey(path, name)
		first := p.checkKey(seen, child, key)
		if value := p.value(v.Value, child, depth+1); first {
			p.put(t, key, value)
		}
	}
	for _, m := range merged {
		for i, k := range m.keys {
			if _, own := seen[k.name]; !own {
				seen[k.name] = k.pos
				p.put(t, k, m.items[i])
			}
		}
	}
}

// mergeable answers the objects that `<<` names.
func (p *yamlParser) mergeable(t *tree, path string) []*tree {
	switch t.kind {
	case objectTree:
		return []*tree{t}
	case listTree:
		var all []*tree
		for _, item := range t.items {
			all = append(all, p.mergeable(item, path)...)
		}
		return all
	}
	p.add(place{path: path, pos: t.pos}, CodeBadYAML, "an object, or a list of objects", "<< cannot merge %s", t.kind)
	return nil
}

// yamlKey answers a key as text: any scalar but null is one.
func yamlKey(n ast.MapKeyNode) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
