package dig

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// scope is what variables mean at one place: each level knows what it sets itself.
type scope struct {
	parent *scope
	export *value            // an object: _export
	set    map[string]string // name -> CEL: of loops and errors
	stored map[string]string // dotted path -> CEL, as http.last_content
	looped bool              // the level is the body of a loop
}

func (s *scope) inLoop() bool {
	for ; s != nil; s = s.parent {
		if s.looped {
			return true
		}
	}
	return false
}

// loopVariables are those of all loops around, the nearest first.
func (s *scope) loopVariables() (names []string, meaning map[string]string) {
	meaning = map[string]string{}
	for ; s != nil; s = s.parent {
		if !s.looped {
			continue
		}
		for name, cel := range s.set {
			if _, known := meaning[name]; !known {
				names, meaning[name] = append(names, name), cel
			}
		}
	}
	slices.Sort(names)
	return names, meaning
}

// storedUnder is an object of what tasks stored under a name, as http of http.last_content; "" = nothing.
func (s *scope) storedUnder(name string) string {
	found := map[string]string{}
	for ; s != nil; s = s.parent {
		for stored, cel := range s.stored {
			rest, ok := strings.CutPrefix(stored, name+".")
			if _, nearer := found[rest]; ok && !nearer {
				found[rest] = literal(rest) + ": " + asStored(stored, cel)
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "{" + strings.Join(slices.Sorted(maps.Values(found)), ", ") + "}"
}

// reads reports whether something is read of a task with this native name.
func (s *scope) reads(native string) bool {
	for ; s != nil; s = s.parent {
		for _, cel := range s.stored {
			if strings.HasPrefix(cel, outputOf(native)) {
				return true
			}
		}
	}
	return false
}

// outputOf is the output of a task beside the one that reads it.
func outputOf(native string) string {
	return reach("tasks", []step{{key: native}, {key: "output"}})
}

// What an http> stores. The content is text there, also where it is JSON.
const (
	lastStatus  = "http.last_status"
	lastContent = "http.last_content"
)

// asStored is the value of what a task stored, as Digdag has it.
func asStored(name, cel string) string {
	if name != lastContent {
		return cel
	}
	return fmt.Sprintf(`(%[1]s == null ? "" : type(%[1]s) == string ? %[1]s : json.encode(%[1]s))`, cel)
}

// meant is what a path means: a value of a file, or CEL.
type meant struct {
	value *value
	cel   string
}

// lookup finds what a path means. Runtime variables cannot be set by anybody else;
// then the nearest level counts, and at last the params of the attempt, which have no name of Digdag's.
func (c *compiler) lookup(t *place, path []step) (meant, bool) {
	name := path[0].key
	if cel, ok := c.runtime(t, name); ok {
		return meant{cel: reach(cel, path[1:])}, true
	}
	dotted := dots(path)
	for s := t.scope; s != nil; s = s.parent {
		if cel, ok := s.set[name]; ok {
			return meant{cel: reach(cel, path[1:])}, true
		}
		for stored, cel := range s.stored {
			if dotted == stored {
				return meant{cel: asStored(stored, cel)}, true
			}
			if rest, ok := strings.CutPrefix(dotted, stored+"."); ok {
				c.wrong(t, "${JSON.parse("+stored+")."+rest+"}", "${%s}: %s is no object; what http> stores is text, and a number", dotted, stored)
				return meant{}, false
			}
		}
		if cel := s.storedUnder(name); cel != "" && len(path) == 1 {
			return meant{cel: cel}, true
		}
		if found, ok := within(s.export, path); ok {
			return found, true
		}
	}
	if why := c.unknown(name); why != "" {
		c.wrong(t, c.allowedVariables(), "${%s}: there is no %s: %s", name, name, why)
		return meant{}, false
	}
	return meant{cel: reach("workflow.input", path)}, true
}

func (c *compiler) runtime(t *place, name string) (string, bool) {
	switch name {
	case "task_name":
		if t.scope.inLoop() {
			c.wrong(t, "task_name outside of loops", "${task_name}: is not known in a loop")
		}
		return literal(t.full), true
	case "project_id":
		return literal(c.options.ProjectID), true
	}
	cel, ok := c.session()[name]
	return cel, ok
}

func dots(path []step) string {
	keys := make([]string, len(path))
	for i, s := range path {
		keys[i] = s.key
	}
	return strings.Join(keys, ".")
}

// within walks into a value of a file. Where it holds a template on the way, what that gives is not known here.
func within(v *value, path []step) (meant, bool) {
	for _, s := range path {
		switch {
		case v == nil:
			return meant{}, false
		case s.isIndex() && v.kind == list && s.index < len(v.items):
			v = v.items[s.index]
		case v.kind == object:
			v = v.get(s.key)
		default:
			return meant{}, false
		}
	}
	return meant{value: v}, v != nil
}

// maxNested is how deep variables may stand in variables.
const maxNested = 16

// filled is a template with its variables put in: text, or CEL where it is not known before the run.
type filled struct {
	parts []meant // text as a value
}

// put takes a template apart and looks its variables up; ok is false where it has to be computed by a script.
func (c *compiler) put(t *place, template string, depth int) (f filled, ok bool) {
	if depth > maxNested {
		c.wrong(t, fmt.Sprintf("variables that lead to a value in at most %d steps", maxNested), "a variable refers to itself")
		return f, true
	}
	for _, p := range split(template) {
		switch {
		case p.secret != "":
			f.parts = append(f.parts, meant{cel: reach("secrets", []step{{key: p.secret}})})
		case p.script == "":
			f.parts = append(f.parts, meant{value: &value{kind: text, text: p.text}})
		default:
			path, plain := pathOf(p.script)
			if !plain {
				return f, false
			}
			found, known := c.lookup(t, path)
			if !known {
				continue
			}
			if found.value != nil && found.value.kind == text {
				inner, plain := c.put(t, found.value.text, depth+1)
				if !plain {
					return f, false
				}
				f.parts = append(f.parts, inner.parts...)
				continue
			}
			f.parts = append(f.parts, found)
		}
	}
	return f, true
}
