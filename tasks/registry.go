package tasks

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

var typeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`)

// controlNodes are the types that the engine decides itself.
var controlNodes = []string{"approval", "group", "loop", "wait", "workflow"}

// Registry is the task types a worker can run. Fill it before use: Add is not
// safe beside the other methods, those are safe beside each other.
type Registry struct {
	types map[string]Type
}

// NewRegistry is a registry of the types, or every reason why it cannot be.
func NewRegistry(types ...Type) (*Registry, error) {
	r := &Registry{types: map[string]Type{}}
	var errs []error
	for _, t := range types {
		errs = append(errs, r.Add(t))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// Add registers one more type.
func (r *Registry) Add(t Type) error {
	switch {
	case !typeName.MatchString(t.Name):
		return fmt.Errorf("task type %q: bad name; allowed: a lower-case letter or digit, then up to 127 of a-z 0-9 . _ -", t.Name)
	case slices.Contains(controlNodes, t.Name):
		return fmt.Errorf("task type %q: the name belongs to the engine (as do %s); choose another one", t.Name, strings.Join(controlNodes, ", "))
	case t.Handler == nil:
		return fmt.Errorf("task type %q: it has no handler; set Handler, or make the type with tasks.New", t.Name)
	}
	if _, taken := r.types[t.Name]; taken {
		return fmt.Errorf("task type %q: registered twice; give one of the two another name", t.Name)
	}
	if t.Input != nil {
		if err := checkSchema(t.Input); err != nil {
			return fmt.Errorf("task type %q: Input is no JSON Schema: %w", t.Name, err)
		}
	}
	if t.Output != nil {
		if err := checkSchema(t.Output); err != nil {
			return fmt.Errorf("task type %q: Output is no JSON Schema: %w", t.Name, err)
		}
	}
	r.types[t.Name] = t
	return nil
}

// Get is the type of that name.
func (r *Registry) Get(name string) (Type, bool) {
	t, ok := r.types[name]
	return t, ok
}

// Names lists the types, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.types)) }

// Catalog is what publishing needs to know of the types. The schemas describe
// the resolved `with`: a value that holds an expression has no type before the
// run, so publishing checks the literal parts only.
func (r *Registry) Catalog() workflow.Catalog {
	c := make(workflow.Catalog, len(r.types))
	for name, t := range r.types {
		c[name] = t.Input
	}
	return c
}
