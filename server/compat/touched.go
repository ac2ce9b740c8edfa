package compat

import (
	"context"
	"sync"
)

type touchedKey struct{}

// touched are the projects that a call has looked into.
type touched struct {
	mu      sync.Mutex
	project string
	several bool
}

// Touching lets a call note the projects that it looks into, for the audit.
func Touching(ctx context.Context) context.Context {
	return context.WithValue(ctx, touchedKey{}, &touched{})
}

// Touch notes a project that a call looks into.
func Touch(ctx context.Context, project string) {
	t, ok := ctx.Value(touchedKey{}).(*touched)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.several = t.several || t.project != "" && t.project != project
	t.project = project
}

// Touched is the project of a call: the one that it looked into, Project where it noted none, "" where it noted several.
func Touched(ctx context.Context) string {
	t, ok := ctx.Value(touchedKey{}).(*touched)
	if !ok {
		return Project(ctx)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.several:
		return ""
	case t.project == "":
		return Project(ctx)
	}
	return t.project
}
