package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wI2L/jsondiff"
)

// What a diff may cost.
const (
	maxAligned  = 1 << 22 // comparisons of list items: where it would take more, lists are compared place by place
	maxPatching = 1 << 26 // bytes of the paths: where there could be more, the whole value is replaced
)

// DiffJSON answers the JSON Patch (RFC 6902) that leads from one value to the other; nil where they are
// equal. No value is the same as null. Numbers are compared as they are written, so that none loses a digit.
func DiffJSON(from, to json.RawMessage) (json.RawMessage, error) {
	a, err := decodeExact(from)
	if err != nil {
		return nil, fmt.Errorf("compare JSON: the first value: %w", err)
	}
	b, err := decodeExact(to)
	if err != nil {
		return nil, fmt.Errorf("compare JSON: the second value: %w", err)
	}
	patch, err := compare(a, b)
	if err != nil || len(patch) == 0 {
		return nil, err
	}
	return encodeExact(patch)
}

func compare(a, b any) (jsondiff.Patch, error) {
	var x, y weight
	x.add(a, 0)
	y.add(b, 0)
	var options []jsondiff.Option
	switch {
	case (x.values+y.values)*max(x.path, y.path) > maxPatching:
		return jsondiff.Patch{{Type: jsondiff.OperationReplace, Value: b}}, nil
	case max(x.items*y.values, y.items*x.values) <= maxAligned:
		options = append(options, jsondiff.LCS()) // says which item of a list is new instead of what stands at each place
	}
	return jsondiff.CompareWithoutMarshal(a, b, options...)
}

// weight is what there is to compare in a value.
type weight struct {
	values int // itself and all in it
	items  int // of lists
	path   int // bytes of the longest one
}

func (w *weight) add(value any, path int) {
	w.values++
	w.path = max(w.path, path)
	switch value := value.(type) {
	case []any:
		w.items += len(value)
		for _, item := range value {
			w.add(item, path+len("/0000"))
		}
	case map[string]any:
		for key, field := range value {
			w.add(field, path+len("/")+len(key))
		}
	}
}

// MergeJSON applies a JSON merge patch (RFC 7396). No value is the same as null.
// The keys of the result are sorted, its numbers are as they were written.
func MergeJSON(value, patch json.RawMessage) (json.RawMessage, error) {
	target, err := decodeExact(value)
	if err != nil {
		return nil, fmt.Errorf("merge JSON: the value: %w", err)
	}
	change, err := decodeExact(patch)
	if err != nil {
		return nil, fmt.Errorf("merge JSON: the patch: %w", err)
	}
	return encodeExact(merge(target, change))
}

func merge(target, patch any) any {
	fields, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	object, isObject := target.(map[string]any)
	if !isObject {
		object = map[string]any{}
	}
	for name, field := range fields {
		if field == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], field)
		}
	}
	return object
}

// SameJSON says whether DiffJSON would find no difference. What is not JSON is the same as itself only.
func SameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	return bytes.Equal(canonicalOrNull(a), canonicalOrNull(b))
}

func canonicalOrNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return canonicalValue(raw)
}

// decodeExact reads a value with its numbers as they are written.
func decodeExact(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var whole json.RawMessage // a decoder alone would not look behind the first value
	if err := json.Unmarshal(raw, &whole); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(whole))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// encodeExact writes a value without turning what HTML knows into escapes.
func encodeExact(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
