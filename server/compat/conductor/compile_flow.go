package conductor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/redrive/redrive/workflow"
)

// choice compiles a SWITCH or a DECISION: a node that says which case is taken, and the
// cases behind it, the first task of each on condition.
func (c *compiler) choice(p *place, at cursor, r reader, where string) cursor {
	t := p.task
	input := c.input(t, r)
	key, script := t.CaseValueParam, t.CaseExpression
	if t.Type == "SWITCH" {
		switch t.EvaluatorType {
		case "value-param":
			key = t.Expression
		case "javascript", "graaljs", "":
			script = t.Expression
		default:
			c.wrong(r.in("evaluatorType"), "%q cannot be evaluated here: value-param, javascript and graaljs can", t.EvaluatorType)
		}
	}
	var next cursor
	switch {
	case script != "":
		with := map[string]any{"script": "const value = eval(" + literal(c.text(script, r.in("expression"))) + ");\n({value: value === undefined ? null : value})", "input": input}
		next = c.work(p, at, workflow.Task{Type: "script", With: c.object(with)})
	case key != "":
		next = c.work(p, at, workflow.Task{Type: "noop", With: c.object(map[string]any{"value": input[key]})})
	default:
		c.wrong(r.in("expression"), "a %s needs an expression", t.Type)
		return at
	}
	taken := c.taken("tasks[" + literal(p.name) + "].output")
	ends := next.needs
	var stops, guards []string
	branch := func(tasks []workflowTask, guard, field string) {
		end := c.list(p.body, tasks, cursor{needs: next.needs, guards: []string{guard}}, where+"."+field)
		if len(tasks) > 0 {
			ends = append(slices.Clone(ends), end.needs...)
			guards = append(guards, end.guards...)
		}
		stops = append(stops, c.stops...)
		c.stops = nil
	}
	names := sorted(t.DecisionCases)
	known := make([]any, len(names))
	for i, name := range names {
		known[i] = name
		branch(t.DecisionCases[name], taken+" == "+literal(name), "decisionCases."+name)
	}
	branch(t.DefaultCase, "!("+taken+" in "+literal(known)+")", "defaultCase")
	c.stops = stops
	return cursor{needs: ends, guards: guards}
}

// taken is the case that a choice took, as text: null is "null" there.
func (c *compiler) taken(base string) string {
	return "[" + plain(base).at([]any{"value"}).cel + "].map(v, type(v) == string ? v : (v == null ? \"null\" : string(v)))[0]"
}

// fork compiles branches that run at once. What follows is a JOIN.
func (c *compiler) fork(p *place, at cursor, where string) cursor {
	next := c.control(p, at, workflow.Task{Type: "noop"})
	var stops []string
	for i, tasks := range p.task.ForkTasks {
		c.list(p.body, tasks, next, fmt.Sprintf("%s.forkTasks[%d]", where, i))
		stops = append(stops, c.stops...)
		c.stops = nil
	}
	c.stops = stops
	return next
}

// join compiles what waits for branches. That of a dynamic fork is the sub-execution which runs them.
func (c *compiler) join(p *place, at cursor, r reader) cursor {
	if prev := p.fork; prev != nil {
		definition := "${tasks[" + literal(prev.name) + "].output.definition}"
		next := c.control(p, at, workflow.Task{Type: workflow.TypeWorkflow, With: c.object(map[string]any{"definition": definition, "input": "${tasks[" + literal(prev.name) + "].output.input}"})})
		c.inner(p)
		return next
	}
	needs := slices.Clone(at.needs)
	for i, ref := range p.task.joined() {
		field := fmt.Sprintf("joinOn[%d]", i)
		if more := i - len(p.task.JoinOn); more >= 0 {
			field = fmt.Sprintf("defaultExclusiveJoinTask[%d]", more)
		}
		on := c.places[ref]
		if on == nil || len(on.ends) == 0 || on.body != p.body {
			c.wrong(r.in(field), "%s waits for %q, which is no task of a branch before it", p.task.Ref, ref)
			continue
		}
		needs = append(needs, on.ends...)
	}
	return c.control(p, cursor{needs: needs, guards: at.guards}, workflow.Task{Type: "noop"})
}

// joined are the tasks that a join waits for; of those of an exclusive one the first that ran gives the output.
func (t *workflowTask) joined() []string {
	if t.Type != "EXCLUSIVE_JOIN" {
		return t.JoinOn
	}
	return slices.Concat(t.JoinOn, t.JoinDefault)
}

// inner says that the sub-execution of a task is shown in its place.
func (c *compiler) inner(p *place) {
	n := c.nodes[p.name]
	n.Inner = true
	c.nodes[p.name] = n
}

// loop compiles a DO_WHILE: its body, and behind it a node that says whether it goes on.
func (c *compiler) loop(p *place, at cursor, where string) cursor {
	t := p.task
	items := t.Input["items"] != nil || t.Input["_items"] != nil
	if len(t.LoopOver) == 0 || t.LoopCondition == "" && !items {
		c.wrong(reader{field: where}, "a DO_WHILE needs loopOver and loopCondition: %s lacks one of them", t.Ref)
		return at
	}
	if items { // whatever its condition says
		c.wrong(reader{field: where}, "%s: a DO_WHILE over items cannot be translated: use a dynamic fork, or loopCondition", t.Ref)
		return at
	}
	b := p.inside
	p.body.before[p.name] = c.reader(p.body, at, where).after // what its tasks may read of those around it
	begin := cursor{}
	vars := variables(t.LoopOver)
	if nested(t.LoopOver) || len(vars) > 0 {
		b.start = c.named(p.name + "-start")
		values := map[string]any{"iteration": "${iteration.number}"}
		for _, key := range vars {
			values["="+key] = "${" + c.startOf(key, p, p.body.before[p.name]) + "}"
		}
		c.emit(b, workflow.Task{Name: b.start, Type: "noop", With: c.object(values)}, begin, node{Ref: t.Ref, Helper: true})
		b.sets = append(b.sets, setter{node: b.start, keys: vars, value: func(key, base string) shape { return plain(base).at([]any{"=" + key}) }})
		begin = cursor{needs: []string{b.start}}
	}
	last := c.list(b, t.LoopOver, begin, where+".loopOver")
	stops := c.stops
	c.stops = nil
	c.again(p, where, vars, last.needs)
	end := p.again
	until := "dig(tasks[" + literal(end) + "].output, [\"again\"]) != true"
	for _, name := range stops {
		until = "tasks[" + literal(name) + "].status == \"succeeded\" || " + until
	}
	next := c.control(p, at, workflow.Task{Type: workflow.TypeLoop, Tasks: b.tasks, Until: "${" + until + "}"})
	if len(vars) > 0 {
		p.body.sets = append(p.body.sets, setter{node: p.name, keys: vars, value: func(key, base string) shape { return plain(base).at([]any{end, "variables", key}) }})
	}
	for _, name := range stops { // whoever follows looks whether it ended in there
		next.guards = append(next.guards, "dig(tasks["+literal(p.name)+"].output, ["+literal(name)+", \"terminated\"]) != true")
	}
	return next
}

// keepLast is how many iterations a loop keeps the outputs of, where it says so.
func keepLast(input map[string]any) (int64, bool) {
	n, ok := input["keepLastN"].(json.Number)
	if !ok {
		return 0, false
	}
	last, err := n.Int64()
	return last, err == nil && last > 0
}

// again emits the node that ends an iteration: whether another follows, what variables are, and
// what the iterations gave, where something reads that. It comes behind all that nothing else comes behind, and behind
// last: a SWITCH at the end ran also where none of its cases did.
func (c *compiler) again(p *place, where string, vars, last []string) {
	t, b, name := p.task, p.inside, p.again
	sinks := map[string]bool{}
	for _, task := range b.tasks {
		sinks[task.Name] = true
	}
	for _, task := range b.tasks {
		for _, need := range task.Needs {
			delete(sinks, need)
		}
	}
	for _, name := range last {
		sinks[name] = true
	}
	at := cursor{needs: sorted(sinks)}
	r := c.reader(b, at, where+".loopCondition")
	input := c.values(t.Input, r)
	values := map[string]any{}
	each(t.LoopOver, func(inner *workflowTask) {
		if in := c.places[inner.Ref]; in.body == b {
			values[inner.Ref] = "${" + c.output(in, r).expression() + "}"
		}
	})
	own := map[string]any{"iteration": "${iteration.number}"}
	all := map[string]any{t.Ref: own}
	maps.Copy(all, input)
	maps.Copy(all, values)
	set := map[string]any{}
	for _, key := range vars {
		set[key] = "${" + c.readVariables([]any{key}, r).expression() + "}"
	}
	script := "const again = Boolean(eval(" + literal(c.text(t.LoopCondition, r)) + "));\n"
	with := map[string]any{"input": all}
	if c.readsAll(t.Ref) {
		all["__former"] = "${dig(iteration.previous, [" + literal(name) + ", \"output\"])}"
		all["__values"], all["__set"], all["__loop"] = values, set, t.Ref
		forget := ""
		if n, ok := keepLast(t.Input); ok {
			forget = fmt.Sprintf("delete output[output.iteration - %d];\n", n)
		}
		script = "const output = Object.assign({}, $.__former, {iteration: $[$.__loop].iteration, [$[$.__loop].iteration]: $.__values});\n" + forget + "$[$.__loop] = output;\n" +
			script + "({again, variables: $.__set, output})"
	} else {
		all["__set"], all["__loop"] = set, t.Ref
		script += "({again, variables: $.__set, output: {iteration: $[$.__loop].iteration}})"
	}
	with["script"] = script
	// The condition fails as the loop does: it has no tries of its own.
	c.emit(b, workflow.Task{Name: name, Type: "script", With: c.object(with)}, at, node{Ref: t.Ref, Helper: true})
}
