package workflow

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// reader turns a tree into a Definition and collects what is wrong with it.
type reader struct {
	report
	limits  Limits
	trusted bool // the definition was checked once: limits and names may have changed since
	foreign bool // a dialect made it: its name follows another rule
	tasks   int  // read so far, nested ones too
}

// field is one field of the language: what editors may offer and how it is read.
// The parser, its lists of what is allowed and the JSON Schema all come from it.
type field[T any] struct {
	name     string
	doc      string
	required bool
	shape    func(Limits) map[string]any // its JSON Schema
	read     func(r *reader, at place, into *T)
}

// readObject reads an object by its table of fields.
func readObject[T any](r *reader, at place, what string, fields []field[T], into *T) {
	if at.tree.kind != objectTree {
		r.add(at, CodeWrongType, "an object with "+list(fieldNames(fields)), "%s must be an object, this is %s", what, at.tree.kind)
		return
	}
	for i, key := range at.tree.keys {
		child := place{path: joinKey(at.path, key.name), tree: at.tree.items[i], pos: at.tree.items[i].pos}
		n := slices.IndexFunc(fields, func(f field[T]) bool { return f.name == key.name })
		if n >= 0 {
			if child.tree.kind != nullTree {
				fields[n].read(r, child, into)
			} else if fields[n].required {
				r.add(child, CodeRequired, "", "%s must not be empty", key.name)
			}
			continue
		}
		child.pos = key.pos
		r.add(child, CodeUnknownField, list(fieldNames(fields)), "%s has no field %q%s", what, key.name, Suggest(key.name, fieldNames(fields)))
	}
	for _, f := range fields {
		if f.required && at.tree.get(f.name) == nil {
			missing := place{path: joinKey(at.path, f.name), pos: at.pos}
			r.add(missing, CodeRequired, "", "%s needs the field %q: %s", what, f.name, f.doc)
		}
	}
}

func fieldNames[T any](fields []field[T]) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// kinded reports a value of the wrong type.
func (r *reader) kinded(at place, kind treeKind) bool {
	if at.tree.kind == kind {
		return true
	}
	allowed := kind.String()
	if kind == stringTree && (at.tree.kind == numberTree || at.tree.kind == boolTree) {
		allowed += "; put it in quotes"
	}
	r.add(at, CodeWrongType, allowed, "this is %s", at.tree.kind)
	return false
}

// text answers a string of at most so many characters.
func (r *reader) text(at place, most int) string {
	if !r.kinded(at, stringTree) {
		return ""
	}
	if !r.trusted && len(at.tree.text) > most {
		r.add(at, CodeOutOfRange, fmt.Sprintf("at most %d bytes", most), "the text has %d bytes", len(at.tree.text))
	}
	return at.tree.text
}

// rule is a pattern and how people say it.
type rule struct {
	pattern *regexp.Regexp
	allowed string
}

var (
	workflowName = rule{regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`), "1 to 128 characters of a-z, 0-9, dot, underscore and hyphen; the first a letter or digit"}
	anyName      = rule{regexp.MustCompile(`^[^\x00-\x1f/]{1,255}$`), "1 to 255 characters"}
	taskName     = rule{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`), "1 to 128 letters, digits, underscores and hyphens; the first a letter or digit"}
	typeName     = rule{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`), "1 to 128 letters, digits, underscores, dots, colons and hyphens; the first a letter or digit"}
	queueName    = rule{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`), "1 to 128 letters, digits, underscores, dots and hyphens; the first a letter or digit"}
	codeName     = rule{regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`), "1 to 128 letters, digits, underscores, dots and hyphens; the first a letter or digit"}
)

// name answers a string that follows the rule.
func (r *reader) name(at place, rule rule) string {
	if !r.kinded(at, stringTree) {
		return ""
	}
	if !rule.pattern.MatchString(at.tree.text) {
		r.add(at, CodeBadName, rule.allowed, "%q is not a name that can be used here", clip(at.tree.text))
		return ""
	}
	return at.tree.text
}

// integer answers a whole number between the bounds.
func (r *reader) integer(at place, least, most int) int {
	allowed := fmt.Sprintf("%d to %d", least, most)
	if at.tree.kind != numberTree {
		r.add(at, CodeWrongType, "a whole number, "+allowed, "this is %s", at.tree.kind)
		return 0
	}
	n, err := strconv.Atoi(at.tree.text)
	if err != nil {
		r.add(at, CodeWrongType, "a whole number, "+allowed, "%s is not a whole number", clip(at.tree.text))
		return 0
	}
	if n < least || n > most {
		r.add(at, CodeOutOfRange, allowed, "%d is out of range", n)
		return 0
	}
	return n
}

// fraction answers a number from 0 to 1.
func (r *reader) fraction(at place) float64 {
	if at.tree.kind != numberTree {
		r.add(at, CodeWrongType, "a number, 0 to 1", "this is %s", at.tree.kind)
		return 0
	}
	f, err := strconv.ParseFloat(at.tree.text, 64)
	if err != nil || f < 0 || f > 1 {
		r.add(at, CodeOutOfRange, "0 to 1", "%s is out of range", clip(at.tree.text))
		return 0
	}
	return f
}

const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

var durations = regexp.MustCompile(durationPattern)

// duration answers a duration of at least the bound; 0 is allowed where the bound is.
func (r *reader) duration(at place, least time.Duration) Duration {
	most := r.limits.Timeout
	allowed := fmt.Sprintf("%s to %s, written as 500ms, 30s, 5m or 1h30m", least, most)
	if at.tree.kind == numberTree {
		r.add(at, CodeBadDuration, allowed, "the duration %s has no unit", clip(at.tree.text))
		return 0
	}
	if !r.kinded(at, stringTree) {
		return 0
	}
	d, err := time.ParseDuration(at.tree.text)
	if err != nil || !durations.MatchString(at.tree.text) {
		r.add(at, CodeBadDuration, allowed, "%q is not a duration", clip(at.tree.text))
		return 0
	}
	if d < least || d > most || d > 0 && d < time.Millisecond {
		r.add(at, CodeOutOfRange, allowed, "the duration %s is out of range", at.tree.text)
		return 0
	}
	return Duration(d)
}

// raw answers any value as canonical JSON.
func (r *reader) raw(at place) json.RawMessage { return at.tree.appendJSON(nil) }

// strings answers a list of names that are all different.
func (r *reader) names(at place, rule rule, twice, what string) []string {
	if !r.kinded(at, listTree) {
		return nil
	}
	names := make([]string, 0, len(at.tree.items))
	for i := range at.tree.items {
		item := at.index(i)
		name := r.name(item, rule)
		if name == "" {
			continue
		}
		if slices.Contains(names, name) {
			r.add(item, twice, "each "+what+" once", "%q is named twice", name)
			continue
		}
		names = append(names, name)
	}
	return names
}

// clip shortens what is shown in a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	for i := range s {
		if i >= most {
			return s[:i] + "..."
		}
	}
	return s
}
