package conductor

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// output is what a task gives, as Conductor has it.
func (c *compiler) output(p *place, r reader) shape { return c.readOutput(p, nil, r) }

func (c *compiler) readOutput(p *place, steps []any, r reader) shape {
	if p.inside != nil && r.inside(p.inside) {
		return c.readOwnLoop(p, steps, r)
	}
	base := c.base(p, r)
	if base == "null" {
		return nothing
	}
	return c.lens(p, base, r).at(steps)
}

// readOwnLoop reads what the loop gives so far around the expression.
func (c *compiler) readOwnLoop(p *place, steps []any, r reader) shape {
	counts := len(steps) == 1 && steps[0] == "iteration"
	switch {
	case counts && r.body == p.inside:
		return plain("iteration.number")
	case counts:
		return plain(c.node(p.inside.start, p.inside, r)).at(steps)
	case r.body == p.inside:
		return plain("iteration.previous").at(append([]any{p.again, "output"}, steps...))
	}
	c.wrong(r, "what %s gave so far can be read in its own body, but not in a loop in there", p.task.Ref)
	return nothing
}

// lens is the output of a task's main node as Conductor shows it.
func (c *compiler) lens(p *place, base string, r reader) shape {
	out := plain(base)
	switch p.task.Type {
	case "HTTP":
		return object(with("response", object(
			with("headers", out.at([]any{"headers"})), with("reasonPhrase", plain("dig("+literal(phrases)+", ["+asText(out.at([]any{"status"}).cel)+"])")),
			with("body", out.at([]any{"body"})), with("statusCode", out.at([]any{"status"})))))
	case "INLINE", "LAMBDA":
		return object(with("result", out))
	case "DECISION":
		return object(with("caseOutput", plain("("+base+" == null ? dyn(null) : dyn(["+c.taken(base)+"]))")))
	case "SWITCH":
		text := c.taken(base)
		return object(with("evaluationResult", plain("("+base+" == null ? dyn(null) : dyn(["+text+"]))")), with("selectedCase", plain("("+base+" == null ? dyn(null) : dyn("+text+"))")))
	case "DO_WHILE":
		return out.at([]any{p.again, "output"})
	case "TERMINATE":
		return plain(terminateOutput(base))
	case "SET_VARIABLE":
		return plain("{}")
	case "JOIN", "EXCLUSIVE_JOIN":
		return c.joined(p, out, r)
	}
	return out
}

// terminateOutput is what a TERMINATE gives, and the workflow that it ends: workflowOutput, what is no object under "output".
func terminateOutput(base string) string {
	return "[" + plain(base).at([]any{"workflowOutput"}).cel + "].map(v, v == null ? dyn({}) : (type(v) == map ? v : dyn({\"output\": v})))[0]"
}

// phrases are the names of the statuses with which a request succeeds.
var phrases = func() map[string]any {
	all := map[string]any{}
	for status := http.StatusOK; status < http.StatusMultipleChoices; status++ {
		if text := http.StatusText(status); text != "" {
			all[strconv.Itoa(status)] = text
		}
	}
	return all
}()

// joined is the output of a join: those of what it waited for, by reference name; of an exclusive one that of the first that ran.
func (c *compiler) joined(p *place, out shape, r reader) shape {
	if p.fork != nil {
		return out
	}
	s, first := shape{}, "dyn(null)"
	for _, ref := range slices.Backward(p.task.joined()) {
		on := c.places[ref]
		if on == nil {
			continue
		}
		given := c.output(on, r)
		s.fields = append([]shapeField{with(ref, given)}, s.fields...)
		first = "(" + c.base(on, r) + " != null ? dyn(" + given.expression() + ") : " + first + ")"
	}
	switch {
	case p.task.Type == "EXCLUSIVE_JOIN":
		return plain(first)
	case len(s.fields) == 0:
		return plain("{}")
	}
	return s
}

// setter is a node that sets variables.
type setter struct {
	node  string
	keys  []string
	value func(key, base string) shape
}

// readVariables reads the workflow's variables: what the tasks before set, the last of them first.
func (c *compiler) readVariables(steps []any, r reader) shape {
	if len(steps) > 0 {
		name, _ := steps[0].(string)
		return plain(c.variable(name, r)).at(steps[1:])
	}
	names := append(variables(c.def.Tasks), sorted(c.def.Variables)...)
	slices.Sort(names)
	s := shape{}
	for _, name := range slices.Compact(names) {
		s.fields = append(s.fields, with(name, plain(c.variable(name, r))))
	}
	if len(s.fields) == 0 {
		return plain("{}")
	}
	return s
}

// variable is one variable where the expression stands.
func (c *compiler) variable(name string, r reader) string {
	var b strings.Builder
	open := 0
	for at := r.body; at != nil; at = at.parent {
		for _, s := range slices.Backward(at.sets) {
			readable, _ := r.sees(at, s.node)
			if !readable || !slices.Contains(s.keys, name) {
				continue
			}
			value := s.value(name, c.node(s.node, at, r)).expression()
			if s.node == at.start { // it holds what was set before, too
				b.WriteString(value)
				return b.String() + strings.Repeat(")", open)
			}
			b.WriteString("(tasks[" + literal(s.node) + "].status == \"succeeded\" ? " + value + " : ")
			open++
		}
	}
	b.WriteString(literal(c.def.Variables[name]))
	return b.String() + strings.Repeat(")", open)
}

// startOf is what a variable is when an iteration of a loop begins.
func (c *compiler) startOf(name string, p *place, before map[string]bool) string {
	outside := c.variable(name, reader{body: p.body, after: before})
	return "iteration.number > 1 ? dig(iteration.previous, [" + literal(p.again) + ", \"variables\", " + literal(name) + "]) : " + outside
}

// variables are the names that tasks set, those in others, too.
func variables(tasks []workflowTask) []string {
	names := map[string]bool{}
	each(tasks, func(t *workflowTask) {
		if t.Type == "SET_VARIABLE" {
			for name := range t.Input {
				names[name] = true
			}
		}
	})
	return sorted(names)
}

// nested reports whether there is a loop among the tasks.
func nested(tasks []workflowTask) bool {
	found := false
	each(tasks, func(t *workflowTask) { found = found || t.Type == "DO_WHILE" })
	return found
}

// readsAll reports whether something reads what the iterations of a loop gave, and not only how many there were.
func (c *compiler) readsAll(ref string) bool {
	if len(c.def.OutputParameters) == 0 && c.def.Tasks[len(c.def.Tasks)-1].Ref == ref {
		return true
	}
	uses := regexp.MustCompile(`\$\{\s*` + regexp.QuoteMeta(ref) + `(\.output\.iteration\s*\})?`)
	for _, use := range uses.FindAllStringSubmatch(c.whole, -1) {
		if use[1] == "" {
			return true
		}
	}
	return false
}
