// Package compat is the ground that wire dialects stand on. A dialect speaks
// the protocol of another workflow system, so that its clients, workers and
// scripts work with this one unchanged. Each is a folder below and one Dialect.
//
//	/executions/retry          its own path            server/dialects.go
//	/kaizen/executions/retry   below its own prefix      whose path is it
//	        -> id, log, recover, cross-origin            as for the native API
//	        -> who asks, the route's rule                the same keys
//	        -> route: wire -> engine's request -> engine -> wire
//	        -> an error, whichever                       Dialect.Fail, in its own shape
//
// A dialect translates and decides nothing. It imports the engine, the core,
// and of server/ this package, auth and problem: never another dialect, never
// the native API.
package compat

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
)

// Dialect is the protocol of another workflow system.
type Dialect struct {
	// Name is a word such as "kaizen": it is switched on and off under it, all its paths
	// are also there below "/kaizen", and histories say who asked as "kaizen:NAME".
	Name string
	// Roots are the paths it has without a prefix, each with all that is below
	// it: "/executions" is also "/executions/retry". Of two that fit, the longer counts.
	Roots  []string
	Routes []Route
	// Credential finds the API key where the clients put it; nil = in the Authorization header, as the
	// native API takes it. "" = there is none of this kind: look there.
	Credential func(r *http.Request) string
	// Fail answers with an error: of a route, of the door (401, 403), of a path that is no route
	// (404, 405, 501), of a panic. problem.From tells what it is.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
	// Work is what it does besides answering, for as long as the server runs: until ctx ends. nil = nothing.
	Work func(ctx context.Context)
}

// Route is one operation of a dialect.
type Route struct {
	Method string
	Path   string // with parameters as gin writes them; one named :project is held against the key's projects
	Rule   auth.Rule
	Waits  bool // it ends by itself: no limit of time is put on it
	// Names is the parameter of the path that names an execution, "" = none: calls that are refused before
	// it is looked at stand in the audit of its project, too.
	Names string
	Serve func(c *gin.Context) error
}

// Absent is a route for an operation of the other system that is not here: it
// answers 501 with the sentence why.
func Absent(method, path, why string) Route {
	return Route{Method: method, Path: path, Rule: auth.Rule{Open: true}, Serve: func(*gin.Context) error {
		return problem.New(http.StatusNotImplemented, "not_implemented", why)
	}}
}

// DefaultProject is the project of those who do not say which.
const DefaultProject = "default"

// Project is the project of a dialect that has no word for it: the default
// one, or for a key that may not see that, the first it may see.
func Project(ctx context.Context) string {
	p := auth.From(ctx)
	if p.Sees(DefaultProject) {
		return DefaultProject
	}
	return slices.Min(p.Projects)
}

// Executions reads executions.
type Executions interface {
	Execution(ctx context.Context, id string) (*engine.Execution, error)
}

// Execution reads an execution, by id or number, that the caller may see, and notes it for the audit. Of
// another it answers as if there were none.
func Execution(ctx context.Context, e Executions, id string) (*engine.Execution, error) {
	x, err := e.Execution(ctx, id)
	if err == nil && !auth.From(ctx).Sees(x.Project) {
		err = engine.NotFound("execution", id)
	}
	if IsMissing(err) {
		note(ctx, func(t *touched) { t.missing = true })
	}
	if err != nil {
		return nil, err
	}
	note(ctx, func(t *touched) {
		t.touch(x.Project)
		if !slices.Contains(t.executions, x.ID) {
			t.executions = append(t.executions, x.ID)
		}
	})
	return x, nil
}

// IsMissing reports whether the engine says that there is none.
func IsMissing(err error) bool {
	refused, ok := errors.AsType[*engine.Error](err)
	return ok && refused.Kind == engine.KindNotFound
}

// Answer writes JSON as it is: characters of HTML are not escaped.
func Answer(w http.ResponseWriter, status int, v any) error {
	var body strings.Builder
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body.String())) // the caller went away: nobody to tell
	return nil
}

// Sentence is a problem in words, with its fields under the names that the dialect has for them.
func Sentence(p *problem.Problem, name func(field string) string) string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	lines := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		lines[i] = name(e.Field) + ": " + e.Message
		if e.Allowed != "" {
			lines[i] += " (allowed: " + e.Allowed + ")"
		}
	}
	return p.Detail + ": " + strings.Join(lines, "; ")
}

// Same is for dialects that name fields as the engine does.
func Same(field string) string { return field }

var kinds = map[string]string{
	"string": "a string", "number": "a number", "bool": "true or false", "array": "a list", "object": "an object", "null": "null",
}

// IsKind says what a value is, by the word that an UnmarshalTypeError has for it; of a number that does not fit it has the digits, too.
func IsKind(value string) string {
	kind, digits, _ := strings.Cut(value, " ")
	return "is " + cmp.Or(digits, kinds[kind])
}
