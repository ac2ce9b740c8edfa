package dig

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
)

// segment is a part of a native ref: a name, and the key of an item where there is one.
type segment struct {
	name, key string
	item      bool
}

// segments takes a native ref apart.
func segments(ref string) []segment {
	var all []segment
	for len(ref) > 0 {
		end := strings.IndexAny(ref, ".[")
		if end < 0 {
			return append(all, segment{name: ref})
		}
		s := segment{name: ref[:end]}
		if ref = ref[end:]; ref[0] == '[' {
			shut := strings.IndexByte(ref, ']')
			if shut < 0 {
				return append(all, s)
			}
			s.key, s.item, ref = unescape(ref[1:shut]), true, ref[shut+1:]
		}
		all = append(all, s)
		ref = strings.TrimPrefix(ref, ".")
	}
	return all
}

// unescape reads the ~XX of a key in a ref.
func unescape(key string) string {
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		if key[i] == '~' && i+3 <= len(key) {
			if c, err := hex.DecodeString(key[i+1 : i+3]); err == nil {
				b.Write(c)
				i += 2
				continue
			}
		}
		b.WriteByte(key[i])
	}
	return b.String()
}

// handlers is the first segment of the refs of what runs after a failure.
const handlers = "on_failure"

// FullName is Digdag's full name of a native task; shown is false where Digdag has no task of its own for it.
// A nil task is one that no workflow file made.
func (w *Workflow) FullName(ref string) (full string, task *Task, shown bool) {
	at := w.Root
	full = at.Suffix
	all := segments(ref)
	if len(all) > 0 && all[0].name == handlers {
		if len(all) == 1 {
			return full, nil, false // what holds them
		}
		at, all = &Task{Tasks: w.Handlers}, all[1:]
	}
	shown = true
	for _, s := range all {
		next := at.child(s.name)
		if next == nil {
			if at.helps(s.name) {
				return full, nil, false
			}
			full, task, shown, at = full+"+"+s.name, nil, true, &Task{}
			if s.item {
				full += "^sub+" + url.QueryEscape(s.key)
			}
			continue
		}
		full += at.Inside + next.Suffix
		task, at = next, next
		shown = next.Suffix != ""
		if s.item {
			full += "^sub" + next.turn(s.key)
			shown = true
		}
	}
	return full, task, shown
}

func (t *Task) child(native string) *Task {
	for _, one := range t.Tasks {
		if one.Native == native {
			return one
		}
	}
	return nil
}

// helps reports whether a native task computes for one of the tasks.
func (t *Task) helps(native string) bool {
	for _, one := range t.Tasks {
		if one.Helper == native {
			return true
		}
	}
	return false
}

// turn is the name of a turn of a loop, by its native key: +loop-0, +range-from=0&to=10, or +for-0=fruit=1=orange.
func (t *Task) turn(key string) string {
	if t.Range {
		from, to, _ := strings.Cut(key, ".")
		return "+range-from=" + from + "&to=" + to
	}
	if len(t.Names) == 0 {
		return "+loop-" + key
	}
	values := []string{key}
	if len(t.Names) > 1 {
		values = strings.SplitN(key, ".", len(t.Names))
	}
	parts := make([]string, len(t.Names))
	for i, name := range t.Names {
		index, value := "", ""
		if i < len(values) {
			index, value, _ = strings.Cut(values[i], "-")
		}
		parts[i] = strconv.Itoa(i) + "=" + tag(name) + "=" + index + "=" + tag(value)
	}
	return "+for-" + strings.Join(parts, "&")
}

// tag is what stands of a name or value in the name of a turn: its beginning, encoded as Java does for addresses, but
// with %20 for a space, for a + begins the name of a task.
func tag(s string) string {
	const most = 8
	runes := []rune(s)
	return asJava.Replace(url.QueryEscape(string(runes[:min(len(runes), most)])))
}

var asJava = strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E")
