package workflow

import (
	"fmt"
	"slices"
	"strconv"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// What expressions may read.
var (
	workflowReads  = []string{"attempt_name", "error", "id", "input", "name", "number", "session", "session_time", "version"}
	taskReads      = []string{"attempt", "error", "output", "status"}
	iterationReads = []string{"number", "previous"}
)

const readableRoots = "workflow.input, workflow.id, tasks.<name>.output, secrets.<name>, in a for_each item, key and index, in a loop iteration.number and iteration.previous, and local names"

// step is one step of a path: a key or an index.
type step struct {
	key     string
	index   int64
	isIndex bool
}

func (s step) String() string {
	if s.isIndex {
		return "[" + strconv.FormatInt(s.index, 10) + "]"
	}
	return joinKey("", s.key)
}

// walker finds what an expression reads and names what cannot be read.
type walker struct {
	uses   []use
	faults []fault
}

func (w *walker) fail(code, allowed, format string, args ...any) {
	f := fault{code: code, message: fmt.Sprintf(format, args...), allowed: allowed}
	if !slices.Contains(w.faults, f) {
		w.faults = append(w.faults, f)
	}
}

// expr walks the expression; bound are the names that comprehensions around it define.
func (w *walker) expr(e ast.Expr, bound []string) {
	switch e.Kind() {
	case ast.IdentKind:
		w.chain(e.AsIdent(), nil, bound)
	case ast.SelectKind, ast.CallKind:
		root, links := unchain(e)
		if root.Kind() == ast.IdentKind && len(links) > 0 {
			w.chain(root.AsIdent(), links, bound)
		} else if len(links) > 0 {
			w.expr(root, bound)
		} else {
			w.call(e, bound)
		}
		for _, l := range links {
			if l.dynamic != nil {
				w.expr(l.dynamic, bound)
			}
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			w.expr(item, bound)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.expr(entry.AsMapEntry().Key(), bound)
			w.expr(entry.AsMapEntry().Value(), bound)
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			w.expr(f.AsStructField().Value(), bound)
		}
	case ast.ComprehensionKind:
		w.comprehension(e.AsComprehension(), bound)
	}
}

func (w *walker) call(e ast.Expr, bound []string) {
	call := e.AsCall()
	if call.IsMemberFunction() {
		w.expr(call.Target(), bound)
	}
	for _, arg := range call.Args() {
		w.expr(arg, bound)
	}
}

func (w *walker) comprehension(c ast.ComprehensionExpr, bound []string) {
	w.expr(c.IterRange(), bound)
	w.expr(c.AccuInit(), bound)
	accumulated := append(slices.Clone(bound), c.AccuVar())
	inner := append(slices.Clone(accumulated), c.IterVar())
	if c.HasIterVar2() {
		inner = append(inner, c.IterVar2())
	}
	w.expr(c.LoopCondition(), inner)
	w.expr(c.LoopStep(), inner)
	w.expr(c.Result(), accumulated)
}

// link is one step of a chain such as tasks.load.output[0].
type link struct {
	step
	optional bool
	test     bool     // has(...)
	dynamic  ast.Expr // the index, where it is not a constant
}

func (l link) name() (string, bool) {
	return l.key, !l.isIndex && l.dynamic == nil && !l.optional
}

// unchain answers the value that a chain begins with and its steps.
func unchain(e ast.Expr) (ast.Expr, []link) {
	var links []link
	for {
		switch {
		case e.Kind() == ast.SelectKind:
			s := e.AsSelect()
			links = append(links, link{step: step{key: s.FieldName()}, test: s.IsTestOnly()})
			e = s.Operand()
		case isIndexing(e):
			call := e.AsCall()
			l := indexLink(call.Args()[1])
			l.optional = call.FunctionName() != operators.Index
			links = append(links, l)
			e = call.Args()[0]
		default:
			slices.Reverse(links)
			return e, links
		}
	}
}

func isIndexing(e ast.Expr) bool {
	if e.Kind() != ast.CallKind || len(e.AsCall().Args()) != 2 {
		return false
	}
	switch e.AsCall().FunctionName() {
	case operators.Index, operators.OptIndex, operators.OptSelect:
		return true
	}
	return false
}

func indexLink(index ast.Expr) link {
	if index.Kind() == ast.LiteralKind {
		switch v := index.AsLiteral().(type) {
		case types.String:
			return link{step: step{key: string(v)}}
		case types.Int:
			return link{step: step{index: int64(v), isIndex: true}}
		}
	}
	return link{dynamic: index}
}

// chain checks a chain that begins with a name.
func (w *walker) chain(root string, links []link, bound []string) {
	if slices.Contains(bound, root) {
		return
	}
	switch root {
	case "workflow":
		if name, ok := w.literal(links, 0, "workflow", workflowReads); ok {
			w.use(use{root: root, field: name})
		}
	case "tasks":
		if len(links) == 0 {
			w.fail(CodeUnreadable, "tasks.<name>.output and the like", "tasks cannot be read as a whole")
			return
		}
		name, ok := links[0].name()
		if !ok {
			w.fail(CodeUnreadable, `tasks.load.output or tasks["my-task"].output`, "the name of a task must be written out")
			return
		}
		w.use(use{root: root, name: name}) // so that a name that cannot be read is reported as well
		if field, ok := w.literal(links, 1, joinKey(root, name), taskReads); ok {
			w.use(use{root: root, name: name, field: field})
		}
	case "secrets":
		if name, ok := w.literal(links, 0, "secrets", nil); ok {
			w.use(use{root: root, name: name})
		}
	case "iteration":
		if name, ok := w.literal(links, 0, root, iterationReads); ok {
			w.use(use{root: root, field: name})
		}
	case "item", "key", "index":
		w.use(use{root: root})
	}
}

// literal answers the field that is read of an object whose fields are known.
func (w *walker) literal(links []link, i int, of string, fields []string) (string, bool) {
	allowed := list(fields)
	if fields == nil {
		allowed = "secrets.<name>"
	}
	if len(links) <= i {
		w.fail(CodeUnreadable, allowed, "%s cannot be read as a whole", of)
		return "", false
	}
	name, ok := links[i].name()
	if !ok {
		w.fail(CodeUnreadable, allowed, "what is read of %s must be written out", of)
		return "", false
	}
	if fields != nil && !slices.Contains(fields, name) {
		w.fail(CodeUnreadable, allowed, "%s has no %q%s", of, name, Suggest(name, fields))
		return "", false
	}
	return name, true
}

func (w *walker) use(u use) {
	if !slices.Contains(w.uses, u) {
		w.uses = append(w.uses, u)
	}
}

// path answers the steps behind the root's field when the expression only
// names a value of workflow or tasks; such a value is copied, not computed.
func (w *walker) path(e ast.Expr) []step {
	root, links := unchain(e)
	if root.Kind() != ast.IdentKind {
		return nil
	}
	skip, known := map[string]int{"workflow": 1, "tasks": 2, "iteration": 1, "item": 0, "key": 0, "index": 0}[root.AsIdent()]
	if !known || len(links) < skip {
		return nil
	}
	steps := make([]step, 0, len(links))
	for _, l := range links {
		if l.dynamic != nil || l.optional || l.test {
			return nil
		}
		steps = append(steps, l.step)
	}
	return steps[skip:]
}
