package workflow

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// checkWith compares `with` with the schema of its task type, as far as that is
// known before its expressions are evaluated.
func (c *compiler) checkWith(n *Node, at place, accepts json.RawMessage) {
	s, err := compileSchema(accepts)
	if err != nil {
		return // the type announced a schema that does not compile: the worker checks
	}
	value := n.Task.With
	if value == nil {
		value = json.RawMessage("{}")
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return
	}
	for _, f := range s.failures(v) {
		where := descend(at, f.path)
		if where.tree != nil && dynamic(where.tree) && !certain(f) {
			continue
		}
		c.add(where, CodeBadWith, "what the task type "+n.Type+" accepts", "%s", f.message)
	}
}

// certain reports whether the failure holds whatever the expressions give.
func certain(f failure) bool {
	switch f.kind.(type) {
	case *kind.Required, *kind.AdditionalProperties:
		return true
	}
	return false
}

// dynamic reports whether there is an expression in the value.
func dynamic(t *tree) bool {
	if t.kind == stringTree {
		return strings.Contains(t.text, "${")
	}
	return slices.ContainsFunc(t.items, dynamic)
}
