package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// maxDepth is how deep JSON may nest.
const maxDepth = 32

// parser reads one JSON value and refuses what encoding/json lets pass: a key
// that is there twice, and bottomless nesting.
type parser struct {
	tokens *json.Decoder
}

func parseJSON(body []byte) (any, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, notJSON(body, err)
	}
	p := parser{tokens: json.NewDecoder(bytes.NewReader(body))}
	p.tokens.UseNumber()
	return p.value("", 0)
}

func (p *parser) value(path string, depth int) (any, error) {
	token, err := p.tokens.Token()
	if err != nil {
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth++; depth > maxDepth {
		return nil, problem.Invalid("too_deep", "the body nests too deep", workflow.Problem{
			Field: path, Code: "depth", Message: "nests too deep", Allowed: fmt.Sprintf("%d levels", maxDepth),
		})
	}
	if open == '{' {
		return p.object(path, depth)
	}
	return p.array(path, depth)
}

func (p *parser) object(path string, depth int) (any, error) {
	object := map[string]any{}
	for p.tokens.More() {
		token, err := p.tokens.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		field := join(path, key)
		if _, twice := object[key]; twice {
			return nil, problem.Invalid(invalidRequest, "the body has a key twice", workflow.Problem{
				Field: field, Code: "duplicate_key", Message: "is there more than once", Allowed: "each key once",
			})
		}
		if object[key], err = p.value(field, depth); err != nil {
			return nil, err
		}
	}
	_, err := p.tokens.Token()
	return object, err
}

func (p *parser) array(path string, depth int) (any, error) {
	list := []any{}
	for p.tokens.More() {
		item, err := p.value(path+"["+strconv.Itoa(len(list))+"]", depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := p.tokens.Token()
	return list, err
}

// notJSON names the place of a syntax error.
func notJSON(body []byte, err error) error {
	offset := len(body)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = min(int(max(syntax.Offset-1, 0)), len(body))
	}
	before := body[:offset]
	return problem.Invalid("invalid_json", "the body is not JSON", workflow.Problem{
		Line: bytes.Count(before, []byte("\n")) + 1, Column: offset - bytes.LastIndexByte(before, '\n'),
		Field: "body", Code: "syntax", Message: err.Error(), Allowed: "one JSON object",
	})
}
