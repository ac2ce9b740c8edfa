// Package auth tells who is asking. A credential becomes a Principal once per
// request; what a Principal may do is decided by the rule of the route.
package auth

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
)

// Principal is who asks: an API key, or anybody on an open server.
type Principal struct {
	ID       string // of the key; empty on an open server
	Name     string
	Scope    engine.Scope
	Projects []string // empty = all
	Through  string   // the wire dialect that is spoken; empty = the native API
}

// Anybody is the principal of every request to an open server.
func Anybody() *Principal { return &Principal{Name: "anybody", Scope: engine.ScopeAdmin} }

// Limited reports whether the principal sees some projects only.
func (p *Principal) Limited() bool { return len(p.Projects) > 0 }

// Sees reports whether the principal may touch the project.
func (p *Principal) Sees(project string) bool {
	return !p.Limited() || slices.Contains(p.Projects, project)
}

// By is the name that goes into histories and audit entries.
func (p *Principal) By() string {
	by := p.Name
	if p.ID != "" {
		by += " (" + p.ID + ")"
	}
	if p.Through != "" {
		by = p.Through + ":" + by
	}
	return by
}

// Rule is what a route asks of its caller. The zero Rule refuses everybody.
type Rule struct {
	Open  bool         // no credential needed
	Scope engine.Scope // the least scope
	Fleet bool         // spans projects: refused to keys limited to some
	Work  bool         // what workers ask and report: histories have it, the audit does not
}

// Changes reports whether calls of a route with this method change anything that the audit is to know.
func (r Rule) Changes(method string) bool {
	looks := method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
	return !r.Work && (r.Scope == engine.ScopeWrite || r.Scope == engine.ScopeAdmin && !looks)
}

// rank orders scopes; an unknown one ranks below all.
func rank(s engine.Scope) int {
	return 1 + slices.Index([]engine.Scope{engine.ScopeRead, engine.ScopeWrite, engine.ScopeAdmin}, s)
}

// Allows returns nil when the principal may pass, and otherwise why not.
func (r Rule) Allows(p *Principal) error {
	if r.Open {
		return nil
	}
	if rank(r.Scope) == 0 {
		return problem.New(http.StatusForbidden, "denied", "this route is closed: it has no access rule")
	}
	if rank(p.Scope) < rank(r.Scope) {
		return problem.New(http.StatusForbidden, "scope_denied", "this needs a key with scope %s; this key has scope %s", r.Scope, p.Scope)
	}
	if r.Fleet && p.Limited() {
		return problem.New(http.StatusForbidden, "project_denied", "this concerns all projects; this key is limited to %s", strings.Join(p.Projects, ", "))
	}
	return nil
}

// CheckProject returns nil when the principal may touch the project. It does
// not look whether there is such a project, so the answer tells nothing.
func (p *Principal) CheckProject(project string) error {
	if p.Sees(project) {
		return nil
	}
	return problem.New(http.StatusForbidden, "project_denied", "this key is limited to %s: it has no access to project %q", strings.Join(p.Projects, ", "), project)
}

type principalKey struct{}

// With puts the principal into the context of a request.
func With(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From is the principal of a request. Without one it may do nothing.
func From(ctx context.Context) *Principal {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return p
	}
	return &Principal{Name: "nobody"}
}
