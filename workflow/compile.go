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
	readObject(&c.reader, root, "a workflow", workflowFields(), laterWorkflowFields, d)
	p := &Program{Definition: d, limits: limits, byRef: map[string]*Node{}}
	tasks := root.field("tasks")
	strays := c.nodes(p, tasks)
	reach := c.order(p, tasks, strays)
	p.input = c.schema(root.field("input_schema"), d.InputSchema)
	for _, n := range p.Nodes {
		at := tasks.index(n.index)
		readable := func(name string) bool { return reach.reads(n, name) }
		c.node(p, n, at, readable)
	}
	everything := func(name string) bool { return p.byRef[name] != nil }
	for _, n := range strays {
		c.node(p, n, tasks.index(n.index), everything)
	}
	if d.Output != nil {
		p.output = c.template(root.field("output"), d.Output, usage{program: p, tasks: everything, what: "output"})
	}
	if len(c.problems) == 0 {
		p.Hash = hashOf(d.Canonical())
	}
	return p
}

// nodes makes a node of every task. Those whose name cannot be used are no part
// of the graph; they are answered, so that the rest of them is checked too.
func (c *compiler) nodes(p *Program, at place) (strays []*Node) {
	d := p.Definition
	for i := range d.Tasks {
		t := &d.Tasks[i]
		n := &Node{
			Ref: t.Name, Task: t, Type: t.Type, Priority: t.Priority, OnFailure: t.OnFailure, Effects: t.Effects,
			Queue: t.Queue, Timeout: time.Duration(t.Timeout), index: i, limits: p.limits,
		}
		fillDefaults(n, d.Defaults)
		first := p.byRef[t.Name]
		if first != nil {
			c.add(at.index(i).field("name"), CodeDuplicateTask, "names that are all different",
				"the name %q is already that of tasks[%d]", t.Name, first.index)
		}
		if first != nil || t.Name == "" {
			strays = append(strays, n)
			continue
		}
		p.byRef[t.Name] = n
		p.Nodes = append(p.Nodes, n)
	}
	return strays
}

// fillDefaults says what the task leaves open: first the workflow's defaults, then those of the language.
func fillDefaults(n *Node, d *Defaults) {
	if d == nil {
		d = &Defaults{}
	}
	n.Queue = first(n.Queue, d.Queue, DefaultQueue)
	n.Timeout = first(n.Timeout, time.Duration(d.Timeout), DefaultTimeout)
	n.OnFailure = first(n.OnFailure, OnFailureFail)
	n.Effects = first(n.Effects, EffectsIdempotent)
	n.Retry = RetryPolicy{
		MaxAttempts: DefaultMaxAttempts, Delay: DefaultDelay, Backoff: DefaultBackoff,
		MaxDelay: DefaultMaxDelay, Jitter: DefaultJitter,
	}
	n.Retry.apply(d.Retry)
	n.Retry.apply(n.Task.Retry)
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

// node compiles what belongs to one task.
func (c *compiler) node(p *Program, n *Node, at place, readable func(string) bool) {
	t := n.Task
	n.inputSchema = c.schema(at.field("input_schema"), t.InputSchema)
	n.outputSchema = c.schema(at.field("output_schema"), t.OutputSchema)
	if t.If != "" {
		n.Conditional = true
		n.condition = c.conditionOf(at.field("if"), t.If, usage{program: p, node: n, tasks: readable, what: "if"})
		if n.condition != nil {
			n.IfReads = n.condition.reads()
		}
	}
	with := t.With
	if with == nil {
		with = json.RawMessage("{}")
	}
	n.with = c.template(at.field("with"), with, usage{program: p, node: n, tasks: readable, what: "with", secrets: true})
	if n.with != nil {
		n.InputReads = n.with.reads()
	}
	c.checkType(n, at)
}

// checkType compares `type` and `with` with what is known of the task types.
func (c *compiler) checkType(n *Node, at place) {
	if c.catalog == nil || n.Type == "" || slices.Contains(laterTypes, n.Type) {
		return
	}
	accepts, known := c.catalog[n.Type]
	if !known {
		types := make([]string, 0, len(c.catalog))
		for name := range c.catalog {
			types = append(types, name)
		}
		slices.Sort(types)
		c.warnings.add(at.field("type"), CodeUnknownType, list(types),
			"no worker has announced the type %q yet; its tasks stay queued until one does%s", n.Type, suggest(n.Type, types))
		return
	}
	if accepts != nil {
		c.checkWith(n, at.field("with"), accepts)
	}
}
