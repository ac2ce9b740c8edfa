package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Item is one item of a for_each as its expressions see it.
type Item struct {
	Value json.RawMessage `json:"item"`
	Key   string          `json:"key"`
	Index int             `json:"index"`
}

// Ref answers the ref of the item of the for_each with this ref.
func (i Item) Ref(each string) string { return ItemRef(each, encodeKey(i.Key)) }

// Items evaluates the list of a for_each, in order. The codes of the error are
// expression_failed, not_a_list, too_many_items, bad_key and duplicate_key, none retryable.
func (p Place) Items(s Scope) ([]Item, *Error) {
	ev := newEvaluation(&s)
	raw, failed := p.items.resolve(ev, p.limits.ViewBytes, false)
	if failed != nil {
		return nil, failed
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '[' {
		return nil, &Error{Code: CodeNotAList, Message: fmt.Sprintf("the items of %s are %s, not a list", p.Ref, kindOf(raw))}
	}
	var items []Item
	c := cursor{raw: raw, i: 1}
	for !c.closes(']') {
		value, ok := c.value()
		if !ok {
			return nil, &Error{Code: CodeNotAList, Message: "the items of " + p.Ref + ": " + errNotJSON.Error()}
		}
		items = append(items, Item{Value: bytes.TrimSpace(value), Index: len(items)})
		c.skip(',')
		if len(items) > p.limits.Items {
			return nil, &Error{Code: CodeTooManyItems, Message: fmt.Sprintf("%s has more than %d items; hand them on in parts, or let a sub-workflow take some", p.Ref, p.limits.Items)}
		}
	}
	return items, p.keys(s, items)
}

// keys names the items.
func (p Place) keys(s Scope, items []Item) *Error {
	seen := make(map[string]int, len(items))
	var twice []string
	for i := range items {
		key, failed := p.itemKey(s, &items[i])
		if failed != nil {
			return failed
		}
		items[i].Key = key
		if first, ok := seen[key]; ok && len(twice) < 5 {
			twice = append(twice, fmt.Sprintf("%q (items %d and %d)", key, first, i))
			continue
		}
		seen[key] = i
	}
	if twice != nil {
		return &Error{Code: CodeDuplicateKey, Message: fmt.Sprintf("%s: several items have the same key: %s; give for_each a key that tells them apart", p.Ref, strings.Join(twice, ", "))}
	}
	return nil
}

func (p Place) itemKey(s Scope, i *Item) (string, *Error) {
	var key string
	var ok bool
	if p.key == nil {
		if key, ok = scalar(i.Value); !ok || key == "" {
			key = strconv.Itoa(i.Index)
		}
	} else {
		s.Item = i
		raw, failed := p.key.resolve(newEvaluation(&s), p.limits.TaskValueBytes, false)
		if failed != nil {
			return "", failed
		}
		if key, ok = scalar(raw); !ok || key == "" {
			return "", &Error{Code: CodeBadKey, Message: fmt.Sprintf("%s: the key of item %d is %s; a key is a text, a number or a boolean, and not empty", p.Ref, i.Index, clip(string(raw)))}
		}
	}
	if n := utf8.RuneCountInString(key); n > maxKey {
		return "", &Error{Code: CodeBadKey, Message: fmt.Sprintf("%s: the key of item %d has %d characters, at most %d are possible; give for_each a shorter key", p.Ref, i.Index, n, maxKey)}
	}
	if ref := ItemRef(p.Ref, encodeKey(key)); len(ref) > MaxRef {
		return "", &Error{Code: CodeBadKey, Message: fmt.Sprintf("%s: the ref of item %d has %d bytes, at most %d are possible; give for_each a shorter key", p.Ref, i.Index, len(ref), MaxRef)}
	}
	return key, nil
}

// scalar answers a text, a number or a boolean as text.
func scalar(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '{', '[', 'n':
		return "", false
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	}
	return string(raw), true
}
