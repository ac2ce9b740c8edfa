package workflow

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

// expression is one compiled ${...}. It is shared and safe for concurrent use.
type expression struct {
	source  string
	program cel.Program // nil for a plain path
	path    []step      // of an expression that only names a value, else nil
	uses    []use
	maxCost uint64
}

// use is something that an expression reads from its scope: a root (workflow,
// tasks, secrets, item, key, index, iteration), the name of a task or secret,
// and the field read of it.
type use struct{ root, name, field string }

// parsedExpression is an expression with what was found wrong in it, wherever it stands.
type parsedExpression struct {
	*expression
	faults []fault
}

type fault struct{ code, message, allowed string }

// reads answers what must be known to evaluate the expression.
func (e *expression) reads() Reads {
	var r Reads
	r.add(e.uses)
	return r
}

func (r *Reads) add(uses []use) {
	for _, u := range uses {
		switch u.root {
		case "workflow":
			r.Workflow = true
		case "tasks":
			r.Tasks = insertName(r.Tasks, u.name)
		case "secrets":
			r.Secrets = insertName(r.Secrets, u.name)
		case "item", "key", "index":
			r.Item = true
		case "iteration":
			r.Previous = r.Previous || u.field == "previous"
		}
	}
}

func insertName(names []string, name string) []string {
	i, found := slices.BinarySearch(names, name)
	if found {
		return names
	}
	return slices.Insert(names, i, name)
}

func (e *expression) readsSecrets() bool {
	return slices.ContainsFunc(e.uses, func(u use) bool { return u.root == "secrets" })
}

// The bounds of parsing that no definition needs to change.
const (
	maxExpressionNodes = 10_000
	maxExpressionDepth = 64
	maxRegexProgram    = 1_000
	maxRange           = 10_000
)

// environment is the CEL that every expression is written in.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	base, err := cel.NewEnv(
		cel.Variable("workflow", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("tasks", cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.DynType))),
		cel.Variable("secrets", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("item", cel.DynType), cel.Variable("key", cel.StringType), cel.Variable("index", cel.IntType),
		cel.Variable("iteration", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.OptionalTypes(),
		ext.Strings(), ext.Math(), ext.Lists(ext.ListsMaxRangeSize(maxRange)), ext.Sets(), ext.Encoders(ext.EncodersVersion(0)),
		ext.Bindings(), ext.TwoVarComprehensions(), ext.Regex(),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserExpressionSizeLimit(math.MaxInt32),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.RegexProgramSizeLimit(maxRegexProgram),
	)
	if err != nil {
		return nil, err
	}
	options, err := guards(base)
	if err != nil {
		return nil, err
	}
	return base.Extend(slices.Concat(options, times(), jsonFunctions(), []cel.EnvOption{dig()})...)
})

// usage says where an expression stands and what it may read there.
type usage struct {
	body     *body // the tasks that its names mean, and those around them
	node     *Node // of the body, which reads what it needs; nil reads all of the body
	what     string
	item     bool // it is evaluated for each item of the node's own for_each
	itemOnly bool // it reads no tasks
	loop     bool // it is evaluated after each iteration of the loop that owns the body
	secrets  bool
}

// task answers the task that a name means, the innermost one, and whether it can be read.
func (u usage) task(name string) (n *Node, readable bool) {
	for b, reader := u.body, u.node; ; b, reader = b.owner.among, b.owner {
		if n := b.byName[name]; n != nil {
			return n, !u.itemOnly && (reader == nil || b.reach[reader.index] == nil || b.reach.reads(reader, n))
		}
		if b.owner == nil {
			return nil, false
		}
	}
}

// around reports whether the expression stands in a body for whose owner f holds.
func (u usage) around(f func(*Node) bool) bool {
	for b := u.body; b.owner != nil; b = b.owner.among {
		if f(b.owner) {
			return true
		}
	}
	return false
}

func (u usage) inEach() bool {
	return u.item || u.around(func(n *Node) bool { return n.Each != nil })
}

func (u usage) inLoop() bool { return u.around(func(n *Node) bool { return n.Type == TypeLoop }) }

// expression compiles one expression, or reports why it cannot.
func (c *compiler) expression(at place, source string, u usage) *expression {
	c.uses++
	if c.uses > c.limits.Expressions {
		if c.uses == c.limits.Expressions+1 {
			c.add(at, CodeTooLarge, fmt.Sprintf("at most %d expressions", c.limits.Expressions), "the definition holds too many expressions")
		}
		return nil
	}
	parsed, ok := c.expressions[source]
	if !ok {
		parsed = c.parseExpression(source)
		c.expressions[source] = parsed
	}
	if c.hyphen(at, parsed.expression, u) {
		return nil
	}
	for _, f := range parsed.faults {
		c.add(at, f.code, f.allowed, "${%s}: %s", clip(source), f.message)
	}
	if len(parsed.faults) > 0 || !c.readable(at, parsed.expression, u) {
		return nil
	}
	return parsed.expression
}

func (c *compiler) parseExpression(source string) *parsedExpression {
	p := &parsedExpression{expression: &expression{source: source, maxCost: c.limits.ExpressionCost}}
	fail := func(code, allowed, format string, args ...any) *parsedExpression {
		p.faults = append(p.faults, fault{code: code, allowed: allowed, message: fmt.Sprintf(format, args...)})
		return p
	}
	if strings.TrimSpace(source) == "" {
		return fail(CodeBadExpression, "a CEL expression such as workflow.input.name", "the expression is empty")
	}
	if len(source) > c.limits.ExpressionBytes {
		return fail(CodeTooLarge, fmt.Sprintf("at most %d bytes", c.limits.ExpressionBytes), "the expression has %d bytes", len(source))
	}
	env, err := environment()
	if err != nil {
		return fail(CodeBadExpression, "", "CEL cannot be set up: %v", err)
	}
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		return fail(CodeBadExpression, "a CEL expression", "%s", issueText(issues))
	}
	w := &walker{}
	w.expr(parsed.NativeRep().Expr(), nil)
	p.uses, p.faults = w.uses, w.faults
	if len(p.faults) > 0 {
		return p
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return fail(CodeBadExpression, "CEL with "+readableRoots, "%s", issueText(issues))
	}
	if p.path = w.path(parsed.NativeRep().Expr()); p.path != nil {
		return p
	}
	p.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(callCost{}), cel.CostLimit(c.limits.ExpressionCost))
	if err != nil {
		return fail(CodeBadExpression, "a CEL expression", "%v", err)
	}
	return p
}

// issueText writes what CEL found, without its drawing of the source.
func issueText(issues *cel.Issues) string {
	const most = 3
	var parts []string
	for i, e := range issues.Errors() {
		if i == most {
			break
		}
		message := strings.ReplaceAll(e.Message, " (in container '')", "")
		parts = append(parts, fmt.Sprintf("%s (line %d, column %d of the expression)", clip(message), e.Location.Line(), e.Location.Column()+1))
	}
	return strings.Join(parts, "; ")
}

// readable checks what the expression reads against what it may read where it stands.
func (c *compiler) readable(at place, e *expression, u usage) bool {
	ok := true
	fail := func(allowed, format string, args ...any) {
		ok = false
		c.add(at, CodeUnreadable, allowed, "${%s}: %s", clip(e.source), fmt.Sprintf(format, args...))
	}
	var seen []string
	for _, use := range e.uses {
		if use.root == "tasks" {
			if slices.Contains(seen, use.name) {
				continue
			}
			seen = append(seen, use.name)
		}
		switch use.root {
		case "secrets":
			if !u.secrets {
				fail("secrets only in the with of a task that a worker runs", "%s cannot read secrets", u.what)
			}
		case "tasks":
			if _, ok := u.task(use.name); !ok {
				u.unreadableTask(use.name, fail)
			}
		case "item", "key", "index":
			if !u.inEach() {
				fail("item, key and index in the with and the body of a task with for_each", "%s is known in a for_each only", use.root)
			} else if u.what == "key" && use.root == "key" {
				fail("item and index", "a key cannot be made from itself")
			}
		case "iteration":
			if !u.inLoop() {
				fail("iteration.number and iteration.previous in the body and the until of a loop", "iteration is known in a loop only")
			}
		}
	}
	return ok
}

// hyphen finds tasks.my-task, which CEL reads as a subtraction.
func (c *compiler) hyphen(at place, e *expression, u usage) bool {
	for _, use := range e.uses {
		if use.root != "tasks" {
			continue
		}
		if n, _ := u.task(use.name); n != nil {
			continue
		}
		for _, name := range u.names(false) {
			if strings.HasPrefix(name, use.name+"-") && strings.Contains(e.source, name) {
				c.add(at, CodeUnreadable, fmt.Sprintf("tasks[%q].output", name),
					"${%s}: a name with a hyphen is not written behind a dot, where the hyphen means minus", clip(e.source))
				return true
			}
		}
	}
	return false
}

// names answers the tasks that names could mean, or only those that can be read.
func (u usage) names(readable bool) (names []string) {
	for b := u.body; ; b = b.owner.among {
		for _, n := range b.nodes {
			if _, ok := u.task(n.Task.Name); ok || !readable {
				names = append(names, n.Task.Name)
			}
		}
		if b.owner == nil {
			return names
		}
	}
}

func (u usage) unreadableTask(name string, fail func(string, string, ...any)) {
	can, all := u.names(true), u.names(false)
	allowed := "tasks that it needs, directly or through others: " + list(can)
	switch {
	case u.itemOnly:
		allowed = "item, index and workflow"
	case u.loop:
		allowed = "tasks of the loop's body, and those that the loop needs: " + list(can)
	case u.node == nil:
		allowed = "tasks of the workflow: " + list(can)
	case len(can) == 0:
		allowed = "tasks that it needs, directly or through others; it needs none"
	}
	n, _ := u.task(name)
	switch {
	case n == nil:
		fail(allowed, "there is no task %q%s", name, Suggest(name, all))
	case u.itemOnly:
		fail(allowed, "%s reads no tasks", u.what)
	case u.node == n:
		fail(allowed, "a task cannot read itself")
	default:
		fail(allowed, "the task %q is not one that it needs; add it to needs", name)
	}
}

// conditionOf compiles an `if`: exactly one expression.
func (c *compiler) conditionOf(at place, text string, u usage) *expression {
	parts, err := splitTemplate(text)
	if err != nil {
		c.add(at, CodeBadExpression, ifAllowed, "%v", err)
		return nil
	}
	if len(parts) != 1 || !parts[0].expression {
		c.add(at, CodeBadExpression, ifAllowed, "%q is not one expression", clip(text))
		return nil
	}
	return c.expression(at, parts[0].text, u)
}
