package workflow

import (
	"encoding/json"
	"fmt"
)

// Overrides are what a bulk operation changes in executions that run again: a
// redrive whose strings may hold expressions over the execution, as ${workflow.input.region}.
type Overrides struct {
	template *template
	limits   Limits
}

// CompileOverrides reads a redrive with expressions. They read workflow.* only; the
// problems name their fields.
func CompileOverrides(r Redrive, limits Limits) (*Overrides, Problems) {
	if problems := r.Check(); len(problems) > 0 {
		return nil, problems
	}
	source, err := json.Marshal(r)
	if err != nil {
		return nil, Problems{{Field: "redrive", Code: CodeSyntax, Message: err.Error(), Allowed: "JSON"}}
	}
	t, problems := parseJSON(source, limits)
	if len(problems) > 0 {
		return nil, unplaced(problems)
	}
	c := newCompiler(limits, nil)
	o := &Overrides{limits: limits}
	o.template = c.template(place{tree: t, pos: t.pos}, source, usage{body: &body{}, what: "an override"})
	if len(c.problems) > 0 {
		return nil, unplaced(c.sorted())
	}
	return o, nil
}

// unplaced takes the lines and columns from problems: their source was never seen by who gave it.
func unplaced(problems Problems) Problems {
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0
	}
	return problems
}

// Constant reports whether they are the same for every execution.
func (o *Overrides) Constant() bool { return o.template.constant != nil }

// Resolve answers the redrive of one execution.
func (o *Overrides) Resolve(s WorkflowScope) (Redrive, *Error) {
	var r Redrive
	text, bad := o.template.resolve(newEvaluation(&Scope{Workflow: s}), o.limits.ValueBytes, false)
	if bad != nil {
		return r, bad
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, &Error{Code: CodeExpressionFailed, Message: fmt.Sprintf("with its expressions evaluated the request cannot be read: %v", err)}
	}
	return r, nil
}
