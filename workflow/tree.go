package workflow

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// tree is a parsed JSON or YAML value that still knows where it was written.
type tree struct {
	kind  treeKind
	text  string    // of a string, a number as written, or true and false
	keys  []treeKey // of an object, beside items
	items []*tree   // of a list or an object
	pos   position
	size  int // nodes in it, itself included
	bytes int // of its texts and keys
}

type treeKey struct {
	name string
	pos  position
}

type position struct{ line, column int }

type treeKind uint8

const (
	nullTree treeKind = iota
	boolTree
	numberTree
	stringTree
	listTree
	objectTree
)

func (k treeKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// adopt counts a child in.
func (t *tree) adopt(child *tree) {
	t.items = append(t.items, child)
	t.size += child.size
	t.bytes += child.bytes
}

// get answers the value of a key, or nil.
func (t *tree) get(name string) *tree {
	if t == nil || t.kind != objectTree {
		return nil
	}
	for i, k := range t.keys {
		if k.name == name {
			return t.items[i]
		}
	}
	return nil
}

// appendJSON writes the canonical form: no spaces, keys sorted, numbers as written.
func (t *tree) appendJSON(dst []byte) []byte {
	switch t.kind {
	case nullTree:
		return append(dst, "null"...)
	case stringTree:
		return appendQuoted(dst, t.text)
	case listTree:
		dst = append(dst, '[')
		for i, item := range t.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.appendJSON(dst)
		}
		return append(dst, ']')
	case objectTree:
		dst = append(dst, '{')
		for n, i := range t.sorted() {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, t.keys[i].name), ':')
			dst = t.items[i].appendJSON(dst)
		}
		return append(dst, '}')
	default:
		return append(dst, t.text...)
	}
}

// sorted answers the indexes of an object's entries in the order of their keys.
func (t *tree) sorted() []int {
	order := make([]int, len(t.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if t.keys[a].name < t.keys[b].name {
			return -1
		}
		if t.keys[a].name > t.keys[b].name {
			return 1
		}
		return 0
	})
	return order
}

// appendQuoted writes s as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	return append(appendEscaped(dst, s), '"')
}

// appendEscaped writes s as it stands between the quotes of a JSON string.
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// place is a value of the source with the path that leads to it.
type place struct {
	path string
	tree *tree
	pos  position // of the nearest value that exists
}

func (p place) field(name string) place {
	child := place{path: joinKey(p.path, name), tree: p.tree.get(name), pos: p.pos}
	if child.tree != nil {
		child.pos = child.tree.pos
	}
	return child
}

func (p place) index(i int) place {
	child := place{path: p.path + "[" + strconv.Itoa(i) + "]", pos: p.pos}
	if p.tree != nil && p.tree.kind == listTree && i < len(p.tree.items) {
		child.tree = p.tree.items[i]
		child.pos = child.tree.pos
	}
	return child
}

// joinKey writes path.name, or path["na me"] where the name is not plain.
func joinKey(path, name string) string {
	if !plainKey(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func plainKey(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || ((c < '0' || c > '9') && c != '-')) {
			return false
		}
	}
	return name != ""
}
