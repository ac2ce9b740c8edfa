package dig

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// native is a value of a file as one of the native language, in whose strings stand expressions.
func (c *compiler) native(t *place, v *value, depth int) *value {
	if v == nil {
		return &value{}
	}
	if depth > maxNested {
		c.wrong(t, fmt.Sprintf("values that are nested at most %d deep", maxNested), "a variable refers to itself, or is nested too deep")
		return &value{}
	}
	switch v.kind {
	case text:
		f, plain := c.put(t, v.text, 0)
		if !plain {
			return &value{kind: text, text: "${" + c.script(t, v.text) + "}"}
		}
		if len(f.parts) == 1 && f.parts[0].value != nil && f.parts[0].value.kind != text {
			return c.native(t, f.parts[0].value, depth+1)
		}
		return &value{kind: text, text: c.joined(t, f)}
	case list, object:
		made := &value{kind: v.kind}
		for i, item := range v.items {
			one := c.native(t, item, depth+1)
			if v.kind == object {
				made.put(v.keys[i], one)
			} else {
				made.items = append(made.items, one)
			}
		}
		return made
	}
	return v
}

// joined writes the parts of a template as one string of the native language.
func (c *compiler) joined(t *place, f filled) string {
	var b strings.Builder
	for _, p := range f.parts {
		switch {
		case p.cel != "":
			b.WriteString("${" + p.cel + "}")
		case p.value.kind == text:
			b.WriteString(escaped(p.value.text))
		case p.value.kind == nothing:
		case p.value.kind == boolean || p.value.kind == numeric:
			b.WriteString(p.value.text)
		default:
			b.WriteString("${json.encode(" + c.cel(t, p.value, 0) + ")}")
		}
	}
	return b.String()
}

// words is a value as text of the native language, whatever its type is at the run.
func (c *compiler) words(t *place, v *value) *value {
	made := c.native(t, v, 0)
	switch made.kind {
	case text:
		if inside, alone := alone(made.text); alone {
			made.text = "${\"%s\".format([" + inside + "])}"
		}
		return made
	case boolean, numeric:
		return &value{kind: text, text: made.text}
	case nothing:
		return &value{kind: text}
	}
	return &value{kind: text, text: "${json.encode(" + c.cel(t, v, 0) + ")}"}
}

// alone answers the expression that a string of the native language consists of.
func alone(s string) (string, bool) {
	if !strings.HasPrefix(s, "${") || closing(s, 2) != len(s)-1 {
		return "", false
	}
	return s[2 : len(s)-1], true
}

// cel is a value of a file as an expression.
func (c *compiler) cel(t *place, v *value, depth int) string {
	if v == nil || depth > maxNested {
		return "null"
	}
	switch v.kind {
	case nothing:
		return "null"
	case boolean, numeric:
		return v.text
	case list, object:
		parts := make([]string, len(v.items))
		for i, item := range v.items {
			parts[i] = c.cel(t, item, depth+1)
			if v.kind == object {
				parts[i] = literal(v.keys[i]) + ": " + parts[i]
			}
		}
		if v.kind == list {
			return "[" + strings.Join(parts, ", ") + "]"
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	f, plain := c.put(t, v.text, 0)
	if !plain {
		return c.script(t, v.text)
	}
	if len(f.parts) == 1 {
		p := f.parts[0]
		switch {
		case p.cel != "":
			return p.cel
		case p.value.kind != text:
			return c.cel(t, p.value, depth+1)
		}
	}
	layout, args := "", []string{}
	for _, p := range f.parts {
		if p.value != nil && p.value.kind == text {
			layout += strings.ReplaceAll(p.value.text, "%", "%%")
			continue
		}
		layout += "%s"
		if p.cel != "" {
			args = append(args, p.cel)
		} else {
			args = append(args, c.cel(t, p.value, depth+1))
		}
	}
	if len(args) == 0 {
		return literal(strings.ReplaceAll(layout, "%%", "%"))
	}
	return literal(layout) + ".format([" + strings.Join(args, ", ") + "])"
}

// scripts are the templates of a task that JavaScript computes, in a task before it.
type scripts struct {
	name      string // of the task that computes them
	templates []string
	variables map[string]string // name -> CEL, "" = computed
	computed  [][2]string       // name and template of variables that are computed, in their order
	moment    bool              // Moment.js is called
	dates     bool              // Date may be
}

// script has a template computed before the task, and answers where its value is found.
func (c *compiler) script(t *place, template string) string {
	if t.helper == nil {
		c.wrong(t, "a variable by its name, as ${session_date}", "%q would have to be computed, which is not possible here", clip(template))
		return "null"
	}
	h := t.helper
	at := slices.Index(h.templates, template)
	if at < 0 {
		at = len(h.templates)
		h.templates = append(h.templates, template)
		c.collect(t, template, 0)
	}
	return fmt.Sprintf("tasks[%s].output[%d]", literal(h.name), at)
}

// collect finds the variables that the words of a template may mean. Params of the attempt are given as they are.
func (c *compiler) collect(t *place, template string, depth int) {
	for _, p := range split(template) {
		if p.secret != "" {
			c.wrong(t, "${secret:...} in a template without JavaScript", "a secret cannot be computed with")
		}
		for _, word := range words.FindAllString(p.script, -1) {
			if _, known := t.helper.variables[word]; known || literals[word] || depth > maxNested {
				continue
			}
			switch {
			case c.isSet(t, word):
				c.give(t, word, depth)
			case word == "moment":
				t.helper.moment = true
			case word == "Date":
				t.helper.dates = true
			case c.unknown(word) != "":
				c.give(t, word, depth)
			}
		}
	}
}

// give hands a variable to a script. One that is itself computed is computed there, before what needs it.
func (c *compiler) give(t *place, word string, depth int) {
	if stored := t.scope.storedUnder(word); stored != "" {
		t.helper.variables[word] = stored
		return
	}
	found, ok := c.lookup(t, []step{{key: word}})
	if !ok {
		return
	}
	if found.value != nil && found.value.kind == text {
		if _, plain := c.put(t, found.value.text, 0); !plain {
			t.helper.variables[word] = ""
			c.collect(t, found.value.text, depth+1)
			t.helper.computed = append(t.helper.computed, [2]string{word, found.value.text})
			return
		}
	}
	at := *t
	at.helper = nil // inside of lists and objects nothing is computed
	if t.helper.variables[word] = found.cel; found.cel == "" {
		t.helper.variables[word] = c.cel(&at, found.value, 0)
	}
}

// isSet reports whether a word is a variable of the session, a loop or an _export.
func (c *compiler) isSet(t *place, word string) bool {
	if _, ok := c.session()[word]; ok || word == "task_name" || word == "project_id" {
		return true
	}
	for s := t.scope; s != nil; s = s.parent {
		if _, ok := s.set[word]; ok || s.export.get(word) != nil {
			return true
		}
		for stored := range s.stored {
			if strings.HasPrefix(stored, word+".") {
				return true
			}
		}
	}
	return false
}

// text is the JavaScript that computes all templates of a task: a list with a value for each. A template that is
// one ${...} keeps its type; in a longer one objects are written as JSON, and null as nothing.
func (h *scripts) text() string {
	var b strings.Builder
	b.WriteString("(function () {\n  var __v = Object.assign({}, $.variables);\n")
	b.WriteString("  var __s = function (v) { return v == null ? '' : typeof v == 'string' ? v : JSON.stringify(v); };\n")
	b.WriteString("  with ($.params) { with (__v) {\n")
	for _, one := range h.computed {
		b.WriteString("    __v[" + literal(one[0]) + "] = " + computes(one[1]) + ";\n")
	}
	b.WriteString("    return [\n")
	for _, template := range h.templates {
		b.WriteString("      " + computes(template) + ",\n")
	}
	b.WriteString("    ];\n  } }\n})()")
	return b.String()
}

// computes is a template as JavaScript.
func computes(template string) string {
	var b strings.Builder
	parts := split(template)
	for i, p := range parts {
		if i > 0 {
			b.WriteString(" + ")
		}
		switch {
		case p.script == "":
			quote(&b, p.text)
		case len(parts) == 1:
			b.WriteString("(" + p.script + ")")
		default:
			b.WriteString("__s(" + p.script + ")")
		}
	}
	return b.String()
}

// with is the input of the task that computes. Dates are those of the workflow's time zone.
func (h *scripts) with(zone string) json.RawMessage {
	variables := &value{kind: object}
	names := make([]string, 0, len(h.variables))
	for name, cel := range h.variables {
		if cel != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		variables.put(name, &value{kind: text, text: "${" + h.variables[name] + "}"})
	}
	input := &value{kind: object}
	input.put("params", &value{kind: text, text: "${workflow.input}"})
	input.put("variables", variables)
	made := &value{kind: object}
	made.put("script", &value{kind: text, text: escaped(h.text())})
	made.put("input", input)
	if h.moment {
		made.put("libraries", &value{kind: list, items: []*value{{kind: text, text: "moment"}}})
	}
	if h.moment || h.dates {
		made.put("time_zone", &value{kind: text, text: zone})
	}
	return raw(made)
}

func raw(v *value) json.RawMessage {
	b, _ := v.MarshalJSON() // values can always be written
	return b
}

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

func itoa(n int) string { return strconv.Itoa(n) }
