package compat

import (
	"context"
	"slices"
	"sync"

	"github.com/redrive/redrive/engine"
)

type touchedKey struct{}

// touched is what a call concerned.
type touched struct {
	mu         sync.Mutex
	projects   []string
	executions []string // that it named
	started    string   // that it started
	missing    bool     // it named one that is not there, or that its caller does not see
}

// Touching lets a call note what it concerns, for the audit.
func Touching(ctx context.Context) context.Context {
	return context.WithValue(ctx, touchedKey{}, &touched{})
}

func note(ctx context.Context, what func(t *touched)) {
	if t, ok := ctx.Value(touchedKey{}).(*touched); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		what(t)
	}
}

// Touch notes a project that a call concerns.
func Touch(ctx context.Context, project string) {
	note(ctx, func(t *touched) { t.touch(project) })
}

// Started notes the execution that a call started, or found under its idempotency key.
func Started(ctx context.Context, x *engine.Execution) {
	note(ctx, func(t *touched) {
		t.touch(x.Project)
		t.started = x.ID
	})
}

func (t *touched) touch(project string) {
	if !slices.Contains(t.projects, project) {
		t.projects = append(t.projects, project)
	}
}

// Touched is what a call concerned: the projects, where it noted none Project, and "" where what it named is not
// there; and the one execution that it named, else the one that it started. "" = none, or several.
func Touched(ctx context.Context) (projects []string, execution string) {
	projects = []string{Project(ctx)}
	note(ctx, func(t *touched) {
		switch {
		case len(t.projects) > 0:
			projects = slices.Clone(t.projects)
		case t.missing:
			projects = []string{""}
		}
		switch len(t.executions) {
		case 0:
			execution = t.started
		case 1:
			execution = t.executions[0]
		}
	})
	return projects, execution
}

// Named notes the execution that a call names in its path, where the call was refused before it looked at one.
func Named(ctx context.Context, e Executions, id string) {
	looked := false
	note(ctx, func(t *touched) { looked = t.missing || len(t.projects) > 0 })
	if !looked {
		_, _ = Execution(ctx, e, id) // it notes what it finds
	}
}
