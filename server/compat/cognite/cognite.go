// Package cognite speaks Cognite's Data Workflows API, at /api/v1/projects/{project}.
//
//	operation                                   here     as
//	POST /workflows                             yes      a native workflow; without a version yet, one that only says so
//	GET  /workflows, /workflows/{id}            yes      what was stored under x-cognite in its definition
//	POST /workflows/delete                      yes      a version that says so; executions stay, triggers are paused
//	POST /workflows/versions                    yes      translated and published; the same version again replaces it
//	POST /workflows/versions/list, GET, delete  yes
//	POST .../versions/{v}/run                   yes      a start; the nonce is the idempotency key
//	POST /workflows/executions/list, GET        yes
//	POST .../executions/{id}/cancel             yes      a cancel
//	POST .../executions/{id}/retry              yes      a retry in place with one more try for exhausted tasks; the nonce is its idempotency key
//	POST /workflows/tasks/{id}/update           yes      the task is settled by hand; FAILED is tried again
//	triggers                                    schedule schedules; dataModeling and recordStream are not there
//	POST /sessions                              yes      a nonce, and nothing behind it
//	GET /sessions, byids, revoke                no       sessions are not kept
//	GET /api/v1/token/inspect                   yes      the key and its scopes as capabilities
//
// A workflow has one native one of its name (encoded where it is no native name). Each change publishes a version of that, which
// carries Cognite's own words in its input_schema under x-cognite: nothing is kept elsewhere. A change is published only if what it
// was made from is still the newest, else it is made again: so none is lost. Functions, transformations and
// simulations are task types under their external ids, for workers in Go or over HTTP; cdf tasks are http tasks.
package cognite

import (
	"context"
	"net/http"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// Name is the dialect's name.
const Name = "cognite"

const root = "/api/v1/projects/:project"

// Engine is what the dialect asks of the engine.
type Engine interface {
	Definitions
	Executions
	Changes
	Triggers
}

// Definitions publishes and reads workflows.
type Definitions interface {
	PublishAfter(ctx context.Context, project string, source []byte, after int) (engine.PublishResult, error)
	Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error)
	Versions(ctx context.Context, project, name string, page engine.Page) ([]engine.Workflow, string, error)
}

// Executions reads executions.
type Executions interface {
	Execution(ctx context.Context, id string) (*engine.Execution, error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	ExecutionDefinition(ctx context.Context, x *engine.Execution) (*workflow.Definition, error)
	Tasks(ctx context.Context, id string, page engine.Page) ([]engine.Task, string, error)
}

// Changes starts executions and changes them.
type Changes interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Plan(ctx context.Context, id string, r engine.RedriveRequest) (*workflow.Plan, error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
	SettleByHand(ctx context.Context, id, path string, r engine.HandRequest) (*engine.Task, error)
}

// Triggers keeps schedules.
type Triggers interface {
	PutSchedule(ctx context.Context, project, name string, r engine.ScheduleRequest) (*engine.Schedule, bool, error)
	Schedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	Schedules(ctx context.Context, project string, page engine.Page) ([]engine.Schedule, string, error)
	DeleteSchedule(ctx context.Context, project, name string) error
	EnableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	DisableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
}

// Options tune the dialect.
type Options struct {
	URL string // what the resourcePath of a cdf task is relative to; "" = only absolute ones
}

type handlers struct {
	engine Engine
	o      Options
}

// New makes the dialect over an engine.
func New(e Engine, o Options) compat.Dialect {
	h := &handlers{engine: e, o: o}
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	get, post := http.MethodGet, http.MethodPost
	noSessions := "sessions are not kept here: a nonce is given, and serves once"
	return compat.Dialect{
		Name: Name, Roots: []string{"/api/v1"}, Fail: fail,
		Routes: []compat.Route{
			{Method: get, Path: "/api/v1/token/inspect", Rule: read, Serve: h.inspect},
			{Method: post, Path: root + "/sessions", Rule: write, Serve: h.createSessions},
			compat.Absent(get, root+"/sessions", noSessions),
			compat.Absent(post, root+"/sessions/byids", noSessions),
			compat.Absent(post, root+"/sessions/revoke", noSessions),

			{Method: post, Path: root + "/workflows", Rule: write, Serve: h.upsertWorkflow},
			{Method: get, Path: root + "/workflows", Rule: read, Serve: h.listWorkflows},
			{Method: post, Path: root + "/workflows/delete", Rule: write, Serve: h.deleteWorkflows},
			{Method: get, Path: root + "/workflows/:workflow", Rule: read, Serve: h.getWorkflow},
			{Method: post, Path: root + "/workflows/versions", Rule: write, Serve: h.upsertVersion},
			{Method: post, Path: root + "/workflows/versions/list", Rule: read, Serve: h.listVersions},
			{Method: post, Path: root + "/workflows/versions/delete", Rule: write, Serve: h.deleteVersions},
			{Method: get, Path: root + "/workflows/:workflow/versions/:version", Rule: read, Serve: h.getVersion},
			{Method: post, Path: root + "/workflows/:workflow/versions/:version/run", Rule: write, Serve: h.run},

			{Method: post, Path: root + "/workflows/executions/list", Rule: read, Serve: h.listExecutions},
			{Method: get, Path: root + "/workflows/executions/:execution", Rule: read, Serve: h.getExecution},
			{Method: post, Path: root + "/workflows/executions/:execution/cancel", Rule: write, Names: "execution", Serve: h.cancel},
			{Method: post, Path: root + "/workflows/executions/:execution/retry", Rule: write, Names: "execution", Serve: h.retry},
			{Method: post, Path: root + "/workflows/tasks/:task/update", Rule: write, Serve: h.updateTask},

			{Method: get, Path: root + "/workflows/triggers", Rule: read, Serve: h.listTriggers},
			{Method: post, Path: root + "/workflows/triggers", Rule: write, Serve: h.upsertTrigger},
			{Method: post, Path: root + "/workflows/triggers/delete", Rule: write, Serve: h.deleteTriggers},
			{Method: get, Path: root + "/workflows/triggers/:trigger/history", Rule: read, Serve: h.triggerHistory},
			{Method: post, Path: root + "/workflows/triggers/:trigger/pause", Rule: write, Serve: h.pauseTrigger},
			{Method: post, Path: root + "/workflows/triggers/:trigger/resume", Rule: write, Serve: h.resumeTrigger},
		},
	}
}
