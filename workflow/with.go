package workflow

import (
	"bytes"
	"encoding/json"
	"maps"
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
	failures := s.failures(v)
	if len(failures) == 0 {
		c.checkGate(n, at, value)
	}
	c.checkChild(n, at, value)
	for _, f := range failures {
		where := descend(at, f.path)
		if where.tree != nil && dynamic(where.tree) && !certain(f) {
			continue
		}
		allowed := "what the task type " + n.Type + " accepts"
		if certain(f) && len(f.path) == 0 {
			allowed = fieldsOf(accepts, allowed)
		}
		c.add(where, CodeBadWith, allowed, "%s", f.message)
	}
}

// checkGate says of a wait or an approval without expressions what it would
// fail with when it is reached. What was published once is not refused later.
func (c *compiler) checkGate(n *Node, at place, value json.RawMessage) {
	if c.trusted || (n.Type != TypeWait && n.Type != TypeApproval) || (at.tree != nil && dynamic(at.tree)) {
		return
	}
	_, bad := n.Gate(value)
	if bad == nil {
		return
	}
	where, what, _ := strings.Cut(bad.Message, ": ")
	if field, inside := strings.CutPrefix(where, "with."); inside {
		at = at.field(field)
	}
	c.add(at, CodeBadWith, "", "%s", what)
}

// checkChild says of a sub-workflow what is wrong with the fields that choose what it runs.
func (c *compiler) checkChild(n *Node, at place, value json.RawMessage) {
	if n.Type != TypeWorkflow {
		return
	}
	var has map[string]json.RawMessage
	if err := json.Unmarshal(value, &has); err != nil {
		return // one expression that gives all of it: known when it runs
	}
	field, message := whichChild(has["name"] != nil, has["version"] != nil, has["definition"] != nil)
	if message == "" {
		return
	}
	if name, inside := strings.CutPrefix(field, "with."); inside {
		at = at.field(name)
	}
	c.add(at, CodeBadWith, "name (with version or without), or definition", "%s", message)
}

// fieldsOf lists the fields that a schema names, else answers what is given.
func fieldsOf(accepts json.RawMessage, otherwise string) string {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(accepts, &s); err != nil || len(s.Properties) == 0 {
		return otherwise
	}
	return strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")
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
