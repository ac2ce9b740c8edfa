package workflow

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// compiler turns a tree into a Program and collects what is wrong with it.
type compiler struct {
	reader
	warnings    report
	catalog     Catalog
	expressions map[string]*parsedExpression
	uses        int
}

func newCompiler(limits Limits, catalog Catalog) *compiler {
	return &compiler{reader: reader{limits: limits}, catalog: catalog, expressions: map[string]*parsedExpression{}}
}

func (c *compiler) compile(t *tree, trusted bool) *Program {
	limits := c.limits
	if c.trusted = trusted; trusted {
		c.limits.Timeout, c.limits.Attempts = math.MaxInt64, math.MaxInt
		c.limits.ExpressionBytes, c.limits.Expressions = math.MaxInt32, math.MaxInt
	}
	d := &Definition{}
	root := place{tree: t, pos: t.pos}
	readObject(&c.reader, root, "a workflow", workflowFields(), d)
	p := &Program{Definition: d, limits: limits, byPath: map[string]*Node{}}
	outer := c.body(p, nil, d.Tasks, root.field("tasks"))
	p.Nodes = outer.nodes
	p.input = c.schema(root.field("input_schema"), d.InputSchema)
	c.handlers(p, root, outer)
	c.tasks(p, outer)
	if d.Output != nil {
		p.output = c.template(root.field("output"), d.Output, usage{body: outer, what: "output"})
	}
	if len(c.problems) == 0 {
		p.Hash = hashOf(d.Canonical())
	}
	return p
}

// HandlersPath is the path of the group of the tasks that run after a failure.
const HandlersPath = "on_failure"

// handlers makes a group of the tasks under on_failure, which may read every task.
func (c *compiler) handlers(p *Program, root place, outer *body) {
	if taken := outer.byName[HandlersPath]; taken != nil {
		c.add(outer.at.index(taken.index).field("name"), CodeReserved, "any other name", "the name %q is that of the workflow's failure handlers", HandlersPath)
	}
	tasks := p.Definition.OnFailure
	if len(tasks) == 0 {
		return
	}
	h := &Node{Path: HandlersPath, Task: &Task{Name: HandlersPath, Type: TypeGroup}, Type: TypeGroup, OnFailure: OnFailureContinue, index: -1, limits: p.limits, among: outer}
	h.Retry.MaxAttempts = 1
	h.inner = c.body(p, h, tasks, root.field("on_failure"))
	h.Body = h.inner.nodes
	p.Handlers, p.byPath[h.Path] = h, h
	c.tasks(p, h.inner)
}

// body is tasks that stand beside each other: the outermost ones, or those of a group or loop.
type body struct {
	owner  *Node
	at     place
	tasks  []Task
	nodes  []*Node // in a topological order
	byName map[string]*Node
	strays []*Node // those whose name cannot be used; they are checked, but no part of the graph
	reach  ancestry
}

// body makes the nodes of tasks that stand beside each other, and orders them.
func (c *compiler) body(p *Program, owner *Node, tasks []Task, at place) *body {
	b := &body{owner: owner, at: at, tasks: tasks, byName: map[string]*Node{}}
	prefix := ""
	if owner != nil {
		prefix = owner.Path + "."
	}
	for i := range tasks {
		t := &tasks[i]
		n := &Node{
			Path: prefix + t.Name, Task: t, Type: t.Type, Priority: t.Priority, OnFailure: t.OnFailure, Effects: t.Effects,
			Queue: t.Queue, Timeout: time.Duration(t.Timeout), Owner: owner, index: i, among: b, limits: p.limits,
		}
		fillDefaults(n, p.Definition.Defaults)
		first := b.byName[t.Name]
		if first != nil {
			c.add(at.index(i).field("name"), CodeDuplicateTask, "names that are all different",
				"the name %q is already that of tasks[%d]", t.Name, first.index)
		}
		if first != nil || t.Name == "" {
			b.strays = append(b.strays, n)
			continue
		}
		b.byName[t.Name], p.byPath[n.Path] = n, n
		b.nodes = append(b.nodes, n)
	}
	c.order(b)
	return b
}

// tasks compiles what belongs to each task of a body, and the bodies in it.
func (c *compiler) tasks(p *Program, b *body) {
	for _, n := range slices.Concat(b.nodes, b.strays) {
		at := b.at.index(n.index)
		c.control(n, at)
		if n.Task.Tasks != nil {
			n.inner = c.body(p, n, n.Task.Tasks, at.field("tasks"))
			n.Body = n.inner.nodes
		}
		c.node(n, at)
		if n.inner != nil {
			c.tasks(p, n.inner)
		}
	}
}

// fillDefaults says what the task leaves open: first the workflow's defaults, then those of the language.
func fillDefaults(n *Node, d *Defaults) {
	if d == nil {
		d = &Defaults{}
	}
	n.Queue = first(n.Queue, d.Queue, DefaultQueue)
	if !n.Control() {
		n.Timeout = first(n.Timeout, time.Duration(d.Timeout), DefaultTimeout)
	}
	n.OnFailure = first(n.OnFailure, OnFailureFail)
	n.Effects = first(n.Effects, EffectsIdempotent)
	n.Retry = RetryPolicy{
		MaxAttempts: DefaultMaxAttempts, Delay: DefaultDelay, Backoff: DefaultBackoff,
		MaxDelay: DefaultMaxDelay, Jitter: DefaultJitter,
	}
	if !n.Control() {
		n.Retry.apply(d.Retry)
	}
	n.Retry.apply(n.Task.Retry)
	if each := n.Task.ForEach; each != nil {
		n.Each = &Each{MaxParallel: first(each.MaxParallel, DefaultMaxParallel), Stop: each.OnItemFailure == OnItemFailureStop}
	}
}

// first answers the first value that is not zero.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// control checks the fields that belong to some types of tasks only.
func (c *compiler) control(n *Node, at place) {
	t := n.Task
	runsBody := t.Type == TypeGroup || t.Type == TypeLoop
	if runsBody && at.field("tasks").tree == nil {
		c.add(at.field("tasks"), CodeRequired, "a list of tasks", "a %s needs the field \"tasks\": what it runs", t.Type)
	}
	if !runsBody && t.Type != "" && t.Tasks != nil {
		c.add(at.field("tasks"), CodeNotAllowed, "tasks in tasks of type group or loop", "a task of type %s has no body", t.Type)
	}
	for _, field := range []string{"until", "max_iterations"} {
		if f := at.field(field); f.tree != nil && t.Type != TypeLoop {
			c.add(f, CodeNotAllowed, field+" in tasks of type loop", "a task of type %s does not repeat", t.Type)
		}
	}
	if t.Type == TypeLoop && t.Until == "" && t.MaxIterations == 0 {
		c.add(at, CodeRequired, "", "a loop needs until, max_iterations or both: when it ends")
	}
	if !runsBody {
		return
	}
	for _, field := range []string{"with", "input_schema", "output_schema"} {
		if f := at.field(field); f.tree != nil {
			c.add(f, CodeNotAllowed, field+" in the tasks of the body", "a %s has no %s of its own", t.Type, field)
		}
	}
}

// node compiles what belongs to one task.
func (c *compiler) node(n *Node, at place) {
	t := n.Task
	n.inputSchema = c.schema(at.field("input_schema"), t.InputSchema)
	n.outputSchema = c.schema(at.field("output_schema"), t.OutputSchema)
	if t.If != "" {
		n.Conditional = true
		n.condition = c.conditionOf(at.field("if"), t.If, usage{body: n.among, node: n, what: "if"})
		if n.condition != nil {
			n.IfReads = n.condition.reads()
		}
	}
	if t.ForEach != nil {
		c.forEach(n, at.field("for_each"))
	}
	if t.Until != "" && n.inner != nil {
		n.until = c.conditionOf(at.field("until"), t.Until, usage{body: n.inner, what: "until", loop: true})
		if n.until != nil {
			n.UntilReads = n.until.reads()
		}
	}
	with := t.With
	if with == nil {
		with = json.RawMessage("{}")
	}
	n.with = c.template(at.field("with"), with, usage{body: n.among, node: n, what: "with", item: n.Each != nil, secrets: !n.Control()})
	if n.with != nil {
		n.InputReads = n.with.reads()
	}
	c.checkType(n, at)
}

func (c *compiler) forEach(n *Node, at place) {
	each := n.Task.ForEach
	if items := at.field("items"); items.tree != nil {
		if items.tree.kind == stringTree {
			parts, err := splitTemplate(items.tree.text)
			if err == nil && (len(parts) != 1 || !parts[0].expression) {
				c.add(items, CodeBadExpression, `a list, or one expression such as "${workflow.input.years}"`, "%q is not one expression", clip(items.tree.text))
			}
		}
		n.items = c.template(items, each.Items, usage{body: n.among, node: n, what: "items"})
		n.ItemsReads = n.items.reads()
	}
	if key := at.field("key"); key.tree != nil {
		n.key = c.template(key, key.tree.appendJSON(nil), usage{body: n.among, node: n, what: "key", item: true, itemOnly: true})
		n.ItemsReads.Previous = n.ItemsReads.Previous || n.key.reads().Previous
	}
}

// checkType compares `type` and `with` with what is known of the task types.
func (c *compiler) checkType(n *Node, at place) {
	if accepts, ok := controlInputs[n.Type]; ok {
		c.checkWith(n, at.field("with"), accepts)
		return
	}
	if c.catalog == nil || n.Type == "" || n.Control() {
		return
	}
	accepts, known := c.catalog[n.Type]
	if !known {
		types := make([]string, 0, len(c.catalog))
		for name := range c.catalog {
			types = append(types, name)
		}
		types = append(types, controlTypes...)
		slices.Sort(types)
		c.warnings.add(at.field("type"), CodeUnknownType, list(types),
			"no worker has announced the type %q yet; its tasks stay queued until one does%s", n.Type, Suggest(n.Type, types))
		return
	}
	if accepts != nil {
		c.checkWith(n, at.field("with"), accepts)
	}
}
