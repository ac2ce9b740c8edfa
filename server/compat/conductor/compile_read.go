package conductor

import (
	"fmt"
	"slices"
	"strings"
)

// reader is where an expression stands: in which body, and behind which of its tasks.
type reader struct {
	body  *body
	after map[string]bool // native names of the body's tasks that it may read
	all   bool            // it reads them all
	field string          // for messages
}

func (r reader) in(field string) reader {
	r.field = joined(r.field, field)
	return r
}

func joined(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// value translates every text in a value.
func (c *compiler) value(v any, r reader) any {
	switch v := v.(type) {
	case string:
		return c.text(v, r)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = c.value(v[i], r.in(fmt.Sprintf("[%d]", i)))
		}
		return out
	case map[string]any:
		return c.values(v, r)
	}
	return v
}

func (c *compiler) values(v map[string]any, r reader) map[string]any {
	out := make(map[string]any, len(v))
	for key, inner := range v {
		if strings.Contains(key, "${") {
			c.wrong(r.in(key), "an expression cannot be the name of a field")
			continue
		}
		out[key] = c.value(inner, r.in(key))
	}
	return out
}

// text translates one text.
func (c *compiler) text(s string, r reader) string {
	parts, err := split(s)
	if err != nil {
		c.wrong(r, "%v", err)
		return ""
	}
	var b strings.Builder
	for _, p := range parts {
		switch {
		case !p.expression:
			b.WriteString(strings.ReplaceAll(p.text, "${", "$${"))
		case len(parts) == 1:
			b.WriteString("${" + c.read(p.text, r).expression() + "}")
		default:
			b.WriteString("${" + blank(c.read(p.text, r).expression()) + "}")
		}
	}
	return b.String()
}

// expression translates a value to one native expression.
func (c *compiler) expression(v any, r reader) string {
	switch v := v.(type) {
	case string:
		parts, err := split(v)
		if err != nil {
			c.wrong(r, "%v", err)
			return "null"
		}
		words := make([]string, len(parts))
		for i, p := range parts {
			switch {
			case !p.expression:
				words[i] = literal(p.text)
			case len(parts) == 1:
				return c.read(p.text, r).expression()
			default:
				words[i] = asText(c.read(p.text, r).expression())
			}
		}
		return strings.Join(words, " + ")
	case []any:
		items := make([]string, len(v))
		for i := range v {
			items[i] = c.expression(v[i], r)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		entries := make([]string, 0, len(v))
		for _, key := range sorted(v) {
			entries = append(entries, literal(key)+": "+c.expression(v[key], r.in(key)))
		}
		return "{" + strings.Join(entries, ", ") + "}"
	}
	return literal(v)
}

// shapeOf is what a translated value is to those who read a part of it.
func (c *compiler) shapeOf(v any, r reader) shape {
	m, ok := v.(map[string]any)
	if !ok {
		return plain(c.expression(v, r))
	}
	s := shape{}
	for _, key := range sorted(m) {
		s.fields = append(s.fields, with(key, c.shapeOf(m[key], r.in(key))))
	}
	if len(s.fields) == 0 {
		return plain("{}")
	}
	return s
}

// read translates what stands in ${...}.
func (c *compiler) read(s string, r reader) shape {
	if s == "CPEWF_TASK_ID" {
		return plain(literal(taskIDMark))
	}
	steps, err := path(s)
	if err != nil {
		c.wrong(r, "${%s}: %v", s, err)
		return nothing
	}
	root, _ := steps[0].(string)
	if root == "workflow" {
		return c.readWorkflow(s, steps[1:], r)
	}
	p := c.places[root]
	if p == nil {
		c.wrong(r, "${%s}: there is no task with the reference name %q", s, root)
		return nothing
	}
	if len(steps) == 1 {
		return object(with("output", c.output(p, r)))
	}
	switch steps[1] {
	case "output":
		return c.readOutput(p, steps[2:], r)
	case "input":
		return c.readInput(p, steps[2:], r)
	case "status":
		return c.readStatus(p, r)
	case "referenceTaskName":
		return plain(literal(p.task.Ref))
	case "taskType":
		return plain(literal(p.task.Type))
	}
	c.wrong(r, "${%s}: of a task its output, input, status, taskType and referenceTaskName can be read here", s)
	return nothing
}

func (c *compiler) readWorkflow(s string, steps []any, r reader) shape {
	if len(steps) == 0 {
		c.wrong(r, "${%s}: write which field of the workflow", s)
		return nothing
	}
	switch steps[0] {
	case "input":
		return c.readWorkflowInput(steps[1:])
	case "variables":
		return c.readVariables(steps[1:], r)
	case "workflowId":
		return plain("workflow.id")
	case "workflowType", "workflowName":
		return plain("workflow.name")
	case "version":
		return plain(fmt.Sprint(c.def.Version))
	case "status":
		return plain(`"RUNNING"`)
	case "secrets":
		if name, ok := secret(steps); ok {
			return plain("secrets." + name)
		}
	}
	c.wrong(r, "${%s}: of the workflow its input, variables, workflowId, workflowType, version and secrets can be read here", s)
	return nothing
}

func secret(steps []any) (string, bool) {
	if len(steps) != 2 {
		return "", false
	}
	name, ok := steps[1].(string)
	return name, ok && identifier.MatchString(name)
}

// readWorkflowInput reads the input, and in place of what it lacks the definition's inputTemplate. All of
// it is read as it is: whoever starts the workflow through Conductor has the template put in.
func (c *compiler) readWorkflowInput(steps []any) shape {
	input := plain("workflow.input")
	if len(steps) == 0 {
		return input
	}
	name, _ := steps[0].(string)
	usual, ok := c.def.InputTemplate[name]
	if !ok {
		return input.at(steps)
	}
	given := input.at(steps[:1]).cel
	return plain("(" + given + " == null ? " + literal(usual) + " : " + given + ")").at(steps[1:])
}

// readInput translates what the task was given anew: the input of a task cannot be read natively.
func (c *compiler) readInput(p *place, steps []any, r reader) shape {
	if slices.Contains(c.reading, p) || c.base(p, r) == "null" {
		return nothing
	}
	c.reading = append(c.reading, p)
	defer func() { c.reading = c.reading[:len(c.reading)-1] }()
	return c.shapeOf(p.task.Input, r).at(steps)
}

// statusWords are Conductor's statuses of tasks that others may read, by the native ones.
const statusWords = `{"succeeded": "COMPLETED", "skipped": "SKIPPED", "failed": "COMPLETED_WITH_ERRORS", "timed_out": "COMPLETED_WITH_ERRORS"}`

func (c *compiler) readStatus(p *place, r reader) shape {
	switch base := c.base(p, r); {
	case base == "null":
		return nothing
	case strings.HasPrefix(base, "tasks["):
		return plain(statusWords + "[" + strings.TrimSuffix(base, ".output") + ".status]")
	default:
		return plain("(" + base + " == null ? null : \"COMPLETED\")")
	}
}

// base is the native expression for the output of a task's main node; "null" where it cannot have run before.
func (c *compiler) base(p *place, r reader) string { return c.node(p.name, p.body, r) }

// node is the native expression for the output of a node.
func (c *compiler) node(name string, at *body, r reader) string {
	steps := []any{}
	for target, inner := at, name; target != nil; target, inner = target.parent, target.loop {
		if readable, previous := r.sees(target, inner); readable {
			return plain("tasks[" + literal(inner) + "].output").at(steps).cel
		} else if previous {
			return plain("iteration.previous").at(append([]any{inner}, steps...)).cel
		}
		if r.inside(target) {
			return "null"
		}
		steps = append([]any{inner}, steps...)
	}
	return "null"
}

// inside reports whether the expression stands in the body, or in one within it.
func (r reader) inside(b *body) bool {
	for at := r.body; at != nil; at = at.parent {
		if at == b {
			return true
		}
	}
	return false
}

// sees reports whether a node of a body can be read, or only what it gave in the iteration before.
func (r reader) sees(b *body, name string) (readable, previous bool) {
	if b == r.body {
		if r.all || r.after[name] {
			return true, false
		}
		return false, b.loop != ""
	}
	for at := r.body; at.parent != nil; at = at.parent {
		if at.parent == b {
			return b.before[at.loop][name], false
		}
	}
	return false, false
}
