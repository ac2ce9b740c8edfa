package workflow

import (
	"fmt"
	"strconv"
	"strings"
)

// Role is what a task of an execution is.
type Role int

// The roles.
const (
	RoleTask      Role = iota // has no tasks inside: a handler's run, a wait, an approval, a sub-workflow
	RoleEach                  // a for_each: its items are inside
	RoleGroup                 // its body is inside
	RoleLoop                  // its iterations are inside
	RoleIteration             // one iteration of a loop: its body is inside
)

// Place is a task of an execution: what it is and where it stands.
type Place struct {
	*Node
	Ref  string // names from the outside in, with the keys of items and the numbers of iterations
	Role Role
	Item bool // one item of a for_each
}

// Holds reports whether the task has tasks inside. Such a task runs while they do.
func (p Place) Holds() bool { return p.Role != RoleTask }

// Inner reports whether it is an item or an iteration: nothing needs it, it
// needs nothing, and it has no condition.
func (p Place) Inner() bool { return p.Item || p.Role == RoleIteration }

// Node answers the node that the task with this ref runs from, or nil.
func (p *Program) Node(ref string) *Node {
	at, _ := p.Place(ref)
	return at.Node
}

// Place answers what the task with this ref is.
func (p *Program) Place(ref string) (Place, bool) {
	path, brackets := ref, 0
	if strings.IndexByte(ref, '[') >= 0 {
		path, brackets = stripKeys(ref)
	}
	n := p.byPath[path]
	if n == nil {
		return Place{}, false
	}
	at := Place{Node: n, Ref: ref}
	if n.Each != nil {
		if brackets == 0 {
			at.Role = RoleEach
			return at, true
		}
		at.Item = true
		brackets--
	}
	switch {
	case n.Type == TypeLoop && brackets == 1:
		at.Role, at.Item = RoleIteration, false
	case brackets != 0:
		return Place{}, false
	case n.Type == TypeLoop:
		at.Role = RoleLoop
	case n.Type == TypeGroup:
		at.Role = RoleGroup
	}
	return at, true
}

// stripKeys answers the ref without its keys, and how many stand at its end.
func stripKeys(ref string) (path string, last int) {
	var b strings.Builder
	depth := 0
	for i := range len(ref) {
		switch c := ref[i]; {
		case c == '[':
			depth++
			last++
		case c == ']':
			depth--
		case depth == 0:
			b.WriteByte(c)
			if c == '.' {
				last = 0
			}
		}
	}
	return b.String(), last
}

// Outside answers the task that holds the one with this ref, "" for the outermost ones.
func Outside(ref string) string {
	if strings.HasSuffix(ref, "]") {
		return ref[:strings.LastIndexByte(ref, '[')]
	}
	return ref[:max(0, lastDot(ref))]
}

// beside answers the ref of the task that holds the tasks that a name written
// at ref means: of an item or iteration that is what holds its for_each or loop.
func beside(ref string) string {
	for strings.HasSuffix(ref, "]") {
		ref = ref[:strings.LastIndexByte(ref, '[')]
	}
	return ref[:max(0, lastDot(ref))]
}

// lastDot is where the last name of a ref without a key at its end begins, less one.
func lastDot(ref string) int { return strings.LastIndexByte(ref, '.') }

// Inside answers the ref of a task inside another: name in holder.
func Inside(holder, name string) string {
	if holder == "" {
		return name
	}
	return holder + "." + name
}

// Within reports whether the task stands inside the holder, at any depth.
func Within(holder, ref string) bool {
	return len(ref) > len(holder) && strings.HasPrefix(ref, holder) && (ref[len(holder)] == '.' || ref[len(holder)] == '[')
}

// ItemRef answers the ref of an item, or of an iteration.
func ItemRef(holder, key string) string { return holder + "[" + key + "]" }

// IterationRef answers the ref of an iteration.
func IterationRef(loop string, number int) string { return ItemRef(loop, strconv.Itoa(number)) }

// Key answers what stands in the last brackets of a ref.
func Key(ref string) string { return ref[strings.LastIndexByte(ref, '[')+1 : len(ref)-1] }

// SiblingRefs answers the refs of tasks beside this one, by their names.
func (p Place) SiblingRefs(names []string) []string {
	if p.Inner() {
		return nil
	}
	holder := beside(p.Ref)
	refs := make([]string, len(names))
	for i, name := range names {
		refs[i] = Inside(holder, name)
	}
	return refs
}

// ReadRef answers the ref of the task that a name means in an expression of this one.
func (p Place) ReadRef(name string) string {
	return readRef(p.among, beside(p.Ref), name)
}

// ReadRefInside answers the ref of the task that a name means in an expression
// that is evaluated among the tasks inside this one, as `until` is.
func (p Place) ReadRefInside(name string) string { return readRef(p.inner, p.Ref, name) }

func readRef(b *body, holder, name string) string {
	for b.byName[name] == nil && b.owner != nil {
		b, holder = b.owner.among, beside(holder)
	}
	return Inside(holder, name)
}

// ItemOf answers the ref of the innermost item around the task, itself
// included; "" when it is in no for_each.
func (p *Program) ItemOf(ref string) string {
	for ; ref != ""; ref = Outside(ref) {
		if at, ok := p.Place(ref); ok && at.Item {
			return ref
		}
	}
	return ""
}

// IterationOf answers the ref of the innermost iteration around the task, itself
// included, and its number; "" when it is in no loop.
func (p *Program) IterationOf(ref string) (string, int) {
	for ; ref != ""; ref = Outside(ref) {
		if at, ok := p.Place(ref); ok && at.Role == RoleIteration {
			n, err := strconv.Atoi(Key(ref))
			if err != nil {
				return "", 0
			}
			return ref, n
		}
	}
	return "", 0
}

// MaxRef is how long a ref may be, in bytes.
const MaxRef = 512

const maxKey = 128 // characters, as the definition gives it

// encodeKey writes a key as it stands in a ref.
func encodeKey(key string) string {
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "~%02X", c)
		}
	}
	return b.String()
}
