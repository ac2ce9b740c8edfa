package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// lookup answers the bytes of the value that a plain path names, as they were written.
func (e *expression) lookup(ev *evaluation) (json.RawMessage, error) {
	u := e.uses[len(e.uses)-1]
	raw, err := ev.raw(u)
	if err != nil {
		return nil, err
	}
	at := u.String()
	for _, s := range e.path {
		raw = bytes.TrimLeft(raw, " \t\r\n")
		if len(raw) == 0 {
			return nil, fmt.Errorf("%s is not JSON", at)
		}
		next := at + "." + s.String()
		if strings.HasPrefix(s.String(), "[") {
			next = at + s.String()
		}
		if raw, err = s.into(raw, at); err != nil {
			return nil, err
		}
		at = next
	}
	return bytes.TrimSpace(raw), nil
}

// into takes one step into a JSON value; at is where it stands, for the message.
func (s step) into(raw json.RawMessage, at string) (json.RawMessage, error) {
	switch {
	case raw[0] == '{' && !s.isIndex:
		return member(raw, s.key, at)
	case raw[0] == '[' && s.isIndex:
		return element(raw, s.index, at)
	case s.isIndex:
		return nil, fmt.Errorf("%s is %s, not a list", at, kindOf(raw))
	case raw[0] == '[':
		return nil, fmt.Errorf("%s is a list; its items are read as %s[0]", at, at)
	default:
		return nil, fmt.Errorf("%s is %s, so it has no %q", at, kindOf(raw), s.key)
	}
}

func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

var errNotJSON = errors.New("this is not JSON")

// member answers the value of a key; of a key written twice the last one counts, as everywhere in Go.
func member(raw json.RawMessage, key, at string) (json.RawMessage, error) {
	var found json.RawMessage
	var keys []string
	c := cursor{raw: raw, i: 1}
	for !c.closes('}') {
		name, ok := c.text()
		if !ok || !c.skip(':') {
			return nil, fmt.Errorf("%s: %w", at, errNotJSON)
		}
		value, ok := c.value()
		if !ok {
			return nil, fmt.Errorf("%s: %w", at, errNotJSON)
		}
		if name == key {
			found = value
		} else if len(keys) < 20 {
			keys = append(keys, name)
		}
		c.skip(',')
	}
	if found == nil {
		if len(keys) == 0 {
			return nil, fmt.Errorf("%s has no key %q; it is empty", at, key)
		}
		return nil, fmt.Errorf("%s has no key %q%s; there are: %s", at, key, Suggest(key, keys), strings.Join(keys, ", "))
	}
	return found, nil
}

func element(raw json.RawMessage, index int64, at string) (json.RawMessage, error) {
	c := cursor{raw: raw, i: 1}
	n := int64(0)
	for !c.closes(']') {
		value, ok := c.value()
		if !ok {
			return nil, fmt.Errorf("%s: %w", at, errNotJSON)
		}
		if n == index {
			return value, nil
		}
		n++
		c.skip(',')
	}
	return nil, fmt.Errorf("%s has %d items, so there is no [%d]", at, n, index)
}

// cursor reads JSON without building it.
type cursor struct {
	raw []byte
	i   int
}

func (c *cursor) space() {
	for c.i < len(c.raw) {
		switch c.raw[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return
		}
	}
}

// closes reports whether the list or object ends here; the end of the text ends it too.
func (c *cursor) closes(end byte) bool {
	c.space()
	return c.i >= len(c.raw) || c.raw[c.i] == end
}

func (c *cursor) skip(b byte) bool {
	c.space()
	if c.i < len(c.raw) && c.raw[c.i] == b {
		c.i++
		return true
	}
	return false
}

// text reads a string.
func (c *cursor) text() (string, bool) {
	raw, ok := c.value()
	if !ok || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// value reads over one value.
func (c *cursor) value() (json.RawMessage, bool) {
	c.space()
	start, open := c.i, 0
	for c.i < len(c.raw) {
		switch b := c.raw[c.i]; b {
		case '"':
			if !c.quoted() {
				return nil, false
			}
			if open == 0 {
				return c.raw[start:c.i], true
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open == 0 {
				return c.raw[start:c.i], c.i > start
			}
			if open--; open == 0 {
				c.i++
				return c.raw[start:c.i], true
			}
		case ',', ' ', '\t', '\r', '\n', ':':
			if open == 0 {
				return c.raw[start:c.i], c.i > start
			}
		}
		c.i++
	}
	return c.raw[start:c.i], open == 0 && c.i > start
}

// quoted reads over a string.
func (c *cursor) quoted() bool {
	for c.i++; c.i < len(c.raw); c.i++ {
		switch c.raw[c.i] {
		case '\\':
			c.i++
		case '"':
			c.i++
			return true
		}
	}
	return false
}
