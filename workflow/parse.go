package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parseSource reads JSON or YAML into a tree, or answers what is wrong with it.
func parseSource(source []byte, limits Limits) (*tree, Problems) {
	if len(source) > limits.DefinitionBytes {
		return nil, Problems{{Code: CodeTooLarge, Message: fmt.Sprintf("the definition has %d bytes", len(source)),
			Allowed: fmt.Sprintf("at most %d bytes", limits.DefinitionBytes)}}
	}
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if p := checkEncoding(source); p != nil {
		return nil, p
	}
	if len(bytes.TrimSpace(source)) == 0 {
		return nil, Problems{{Line: 1, Column: 1, Code: CodeSyntax, Message: "the definition is empty", Allowed: "a workflow in YAML or JSON"}}
	}
	if json.Valid(source) {
		return parseJSON(source, limits)
	}
	t, problems := parseYAML(source, limits)
	if len(problems) == 1 && problems[0].Code == CodeSyntax && bytes.TrimSpace(source)[0] == '{' {
		return nil, jsonProblem(source)
	}
	return t, problems
}

// jsonProblem says why the source is not JSON.
func jsonProblem(source []byte) Problems {
	p := Problem{Line: 1, Column: 1, Code: CodeSyntax, Message: "the JSON cannot be read", Allowed: "a workflow in YAML or JSON"}
	var at *json.SyntaxError
	if err := json.Unmarshal(source, new(json.RawMessage)); errors.As(err, &at) {
		pos := newLines(source).at(max(int(at.Offset)-1, 0))
		p.Line, p.Column, p.Message = pos.line, pos.column, "the JSON cannot be read: "+at.Error()
	}
	return Problems{p}
}

func checkEncoding(source []byte) Problems {
	at, what := bytes.IndexByte(source, 0), "a NUL byte"
	if at < 0 && !utf8.Valid(source) {
		what = "bytes that are not UTF-8"
		for at = 0; at < len(source); {
			r, n := utf8.DecodeRune(source[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
	}
	if at < 0 {
		return nil
	}
	pos := newLines(source).at(at)
	return Problems{{Line: pos.line, Column: pos.column, Code: CodeEncoding, Message: "the definition holds " + what, Allowed: "text in UTF-8"}}
}

// lines turns offsets into positions. Asked in rising order, it reads the source once.
type lines struct {
	source []byte
	starts []int
	offset int // of the last answer
	last   position
}

func newLines(source []byte) *lines {
	l := &lines{source: source, starts: []int{0}}
	for i, c := range source {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l *lines) at(offset int) position {
	line := sort.SearchInts(l.starts, offset+1)
	start, column := l.starts[line-1], 1
	if l.last.line == line && l.offset <= offset {
		start, column = l.offset, l.last.column
	}
	l.offset = offset
	l.last = position{line: line, column: column + utf8.RuneCount(l.source[start:offset])}
	return l.last
}

// builder is what both parsers share: the limits and the problems found.
type builder struct {
	report
	limits Limits
	nodes  int
	full   bool
}

// enter counts a node; false means that the limits are used up.
func (b *builder) enter(at place, depth int) bool {
	b.nodes++
	if b.full {
		return false
	}
	if b.nodes > b.limits.Nodes {
		b.full = true
		b.add(at, CodeTooLarge, fmt.Sprintf("at most %d values", b.limits.Nodes), "the definition holds too many values")
		return false
	}
	if depth > b.limits.Depth {
		b.add(at, CodeTooDeep, fmt.Sprintf("at most %d levels", b.limits.Depth), "nested too deep")
		return false
	}
	return true
}

// put adds an entry to an object.
func (b *builder) put(object *tree, key treeKey, value *tree) {
	object.keys = append(object.keys, key)
	object.bytes += len(key.name)
	object.adopt(value)
}

// checkKey reports a key that the object has already.
func (b *builder) checkKey(seen map[string]position, path string, key treeKey) bool {
	first, twice := seen[key.name]
	if !twice {
		seen[key.name] = key.pos
		return true
	}
	b.add(place{path: path, pos: key.pos}, CodeDuplicateKey, "each key once",
		"the key %q was already written in line %d", key.name, first.line)
	return false
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// number checks that a literal is a number that JSON and its readers can carry.
func (b *builder) number(at place, literal string) string {
	const most = 400
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil && math.IsInf(f, 0) || len(literal) > most {
		b.add(at, CodeBadNumber, fmt.Sprintf("numbers of at most %d characters that fit a 64-bit float; write larger ones as strings", most),
			"the number %.40s is too large", literal)
		return "0"
	}
	return literal
}

// parseJSON reads valid JSON.
func parseJSON(source []byte, limits Limits) (*tree, Problems) {
	p := &jsonParser{builder: builder{limits: limits}, dec: json.NewDecoder(bytes.NewReader(source)), lines: newLines(source)}
	p.dec.UseNumber()
	t := p.value("", 1)
	if len(p.problems) > 0 {
		return nil, p.sorted()
	}
	return t, nil
}

type jsonParser struct {
	builder
	dec   *json.Decoder
	lines *lines
}

// token reads the next token and where it began.
func (p *jsonParser) token() (json.Token, position) {
	start := int(p.dec.InputOffset())
	for start < len(p.lines.source) && strings.IndexByte(" \t\r\n,:", p.lines.source[start]) >= 0 {
		start++
	}
	tok, _ := p.dec.Token() // the source was found valid before
	return tok, p.lines.at(start)
}

func (p *jsonParser) value(path string, depth int) *tree {
	tok, pos := p.token()
	t := &tree{pos: pos, size: 1}
	at := place{path: path, pos: pos}
	ok := p.enter(at, depth)
	switch v := tok.(type) {
	case bool:
		t.kind, t.text = boolTree, strconv.FormatBool(v)
	case json.Number:
		t.kind, t.text = numberTree, p.number(at, v.String())
	case string:
		t.kind, t.text, t.bytes = stringTree, v, len(v)
	case json.Delim:
		if !ok {
			p.skip()
			return t
		}
		if v == '[' {
			p.list(t, path, depth)
		} else {
			p.object(t, path, depth)
		}
	}
	return t
}

func (p *jsonParser) list(t *tree, path string, depth int) {
	t.kind = listTree
	for p.dec.More() {
		item := p.value(fmt.Sprintf("%s[%d]", path, len(t.items)), depth+1)
		t.adopt(item)
	}
	p.token()
}

func (p *jsonParser) object(t *tree, path string, depth int) {
	t.kind = objectTree
	seen := map[string]position{}
	for p.dec.More() {
		tok, pos := p.token()
		name, _ := tok.(string)
		key := treeKey{name: name, pos: pos}
		child := joinKey(path, name)
		first := p.checkKey(seen, child, key)
		value := p.value(child, depth+1)
		if first {
			p.put(t, key, value)
		}
	}
	p.token()
}

// skip reads on to the end of the list or object whose beginning was just read.
func (p *jsonParser) skip() {
	for open := 1; open > 0; {
		tok, err := p.dec.Token()
		if err != nil {
			return
		}
		if d, ok := tok.(json.Delim); ok {
			if d == '[' || d == '{' {
				open++
			} else {
				open--
			}
		}
	}
}

// CanonicalJSON is a JSON value with its keys sorted and without spaces; its numbers are as they were written.
func CanonicalJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) <= len("{}") {
		return raw
	}
	return canonicalValue(raw)
}

// canonicalValue sorts the keys of a JSON value and drops its spaces; what is not JSON stays as it is.
func canonicalValue(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || !json.Valid(raw) {
		return raw
	}
	limits := Limits{Depth: math.MaxInt, Nodes: math.MaxInt}
	t, problems := parseJSON(raw, limits)
	if len(problems) > 0 {
		return slices.Clone(raw)
	}
	return t.appendJSON(nil)
}
