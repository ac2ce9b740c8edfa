// Package kaizen speaks the API of the Kaizen Automation Platform ("Kaizen API
// 1.0.0": every operation is a POST with a JSON body).
//
//	operation                        here  as
//	/executions/retry                yes   a rerun from the start into a new execution, of one that has ended
//	/executions/get                  yes   an execution and its place in its chain of retries
//	/executions/list                 yes   a list with filters; limit and cursor, for how Kaizen pages is not public
//	/executions/batches/get          yes   the executions with one label, counted
//	/workflows/execute               yes   a start; startBlockId only where the workflow begins with that task alone
//	/workflows/executeSync           yes   a start, and the wait for its end
//	/instructor/executions/stop      no    there is no instructor
//	/instructor/executions/runBlocks no    there is no instructor
//	/workflows/get                   no    definitions are another language
//	webhooks                         no    an on_failure or a last task that calls is what notifies
//
// A block is a task, a login and a batch are labels, params are the input. Of
// Kaizen's browsers (sessions, views, downloads, authentications) there is
// nothing: these fields are there, empty, so that typed clients read every answer.
package kaizen

import (
	"context"
	"net/http"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// Name is the dialect's name.
const Name = "kaizen"

// Engine is what the dialect asks of the engine.
type Engine interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Execution(ctx context.Context, id string) (*engine.Execution, error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	Watch(ctx context.Context, id, after string) (events []engine.Event, ended bool, err error)
	ExecutionDefinition(ctx context.Context, x *engine.Execution) (*workflow.Definition, error)
	Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error)
	Chain(ctx context.Context, x *engine.Execution) (engine.Chain, error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
}

// Options tune the dialect.
type Options struct {
	Waiters  int             // calls of executeSync that wait at once
	Stopping context.Context // done when the server stops: those that wait answer
}

type handlers struct {
	engine   Engine
	stopping context.Context
	slots    chan struct{}
}

// New makes the dialect over an engine.
func New(e Engine, o Options) compat.Dialect {
	h := &handlers{engine: e, stopping: o.Stopping, slots: make(chan struct{}, o.Waiters)}
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	return compat.Dialect{
		Name: Name, Roots: []string{"/executions", "/workflows", "/instructor"}, Fail: fail,
		Routes: []compat.Route{
			{Method: http.MethodPost, Path: "/executions/retry", Rule: write, Serve: h.retry},
			{Method: http.MethodPost, Path: "/executions/get", Rule: read, Serve: h.get},
			{Method: http.MethodPost, Path: "/executions/list", Rule: read, Serve: h.list},
			{Method: http.MethodPost, Path: "/executions/batches/get", Rule: read, Serve: h.batch},
			{Method: http.MethodPost, Path: "/workflows/execute", Rule: write, Serve: h.execute},
			{Method: http.MethodPost, Path: "/workflows/executeSync", Rule: write, Waits: true, Serve: h.executeSync},
			compat.Absent(http.MethodPost, "/instructor/executions/stop", "there is no instructor here: cancel an execution with POST /v1/executions/{id}/cancel"),
			compat.Absent(http.MethodPost, "/instructor/executions/runBlocks", "there is no instructor here: run tasks again with POST /v1/executions/{id}/rerun"),
			compat.Absent(http.MethodPost, "/workflows/get", "definitions are not Kaizen's here: read them with GET /v1/projects/{project}/workflows/{name}"),
		},
	}
}
