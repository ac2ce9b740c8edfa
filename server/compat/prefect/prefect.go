// Package prefect speaks the REST API of Prefect 3 for flow runs, below /api.
//
//	operation                                     here  as
//	POST   /flow_runs/{id}/resume                 yes   a pause is lifted, or an approval answered with run_input
//	POST   /flow_runs/{id}/set_state              yes   pause, resume, cancel, retry; all states of runs that Prefect's own process runs
//	POST   /flow_runs/bulk_set_state              yes   the same for up to 50
//	POST   /flow_runs/                            yes   a run that Prefect's own process runs, or a start
//	GET    /flow_runs/{id}                        yes   an execution
//	PATCH  /flow_runs/{id}                        yes   name, tags, flow_version, infrastructure_pid, retries; parameters do not change
//	DELETE /flow_runs/{id}                        yes   one that has ended is removed
//	POST   /flow_runs/bulk_delete                 yes   the same for up to 50
//	POST   /flow_runs/filter                      yes   the newest of those that the engine can narrow to
//	POST   /flow_runs/paginate                    yes   the same, by page
//	POST   /flow_runs/count                       yes   the same, counted
//	POST   /flow_runs/history                     yes   the same, by intervals
//	POST   /flow_runs/lateness                    no    nothing is late here: what waits says why
//	POST   /flow_runs/{id}/input                  yes   a memo of the execution
//	POST   /flow_runs/{id}/input/filter           yes   memos; of an open approval its schema and message
//	GET    /flow_runs/{id}/input/{key}            yes   the same
//	DELETE /flow_runs/{id}/input/{key}            yes   a memo
//	GET    /flow_runs/{id}/graph                  no    see GET /v1/executions/{id}/graph
//	GET    /flow_runs/{id}/graph-v2               no    the same
//	GET    /flow_runs/{id}/logs/download          yes   the log as CSV
//	PATCH  /flow_runs/{id}/labels                 no    labels are given at the start
//	GET    /flow_run_states/                      yes   the history, as far as it changed the state
//	GET    /flow_run_states/{id}                  yes   one of them
//	POST   /logs/                                 yes   for runs that Prefect's own process runs
//	POST   /logs/filter                           yes   the log of flow runs that are named
//	POST   /flows/                                yes   a flow that Prefect's own process runs
//	GET    /flows/{id}                            yes   a workflow
//	GET    /flows/name/{name}                     yes   the same
//	POST   /flows/filter                          yes   workflows
//	POST   /flows/count                           yes   the same, counted
//	GET    /deployments/{id}                      yes   the newest version of a workflow
//	GET    /deployments/name/{flow}/{name}        yes   the same; its name is redrive
//	POST   /deployments/filter                    yes   the same, as a list
//	POST   /deployments/{id}/create_flow_run      yes   a start
//	POST   /deployments/                          no    publish with POST /v1/projects/{project}/workflows
//	PATCH  /deployments/{id}                      no    the same
//	DELETE /deployments/{id}                      no    the same
//	GET    /automations/related-to/{resource}     yes   there are none: an empty list
//	POST   /automations/filter                    yes   the same
//	POST   /artifacts/filter                      yes   the same
//	POST   /artifacts/latest/filter               yes   the same
//	POST   /block_documents/filter                yes   the same
//	POST   /variables/filter                      yes   the same
//	POST   /work_pools/filter                     yes   the same
//	POST   /concurrency_limits/filter             yes   the same
//	POST   /v2/concurrency_limits/filter          yes   the same
//	POST   /deployments/get_scheduled_flow_runs   no    Redrive's workers take what is to run
//	POST   /deployments/{id}/create_flow_run/bulk  no   one by one
//	POST   /work_pools/{name}/get_scheduled_flow_runs  no  the same
//	POST   /task_runs/                            yes   the parent of a flow inside a flow is named, not kept
//	POST   /v2/concurrency_limits/increment       yes   there are no limits by name: nothing is limited
//	POST   /v2/concurrency_limits/increment-with-lease  yes  the same
//	POST   /v2/concurrency_limits/decrement       yes   the same
//	POST   /v2/concurrency_limits/decrement-with-lease  yes  the same
//	POST   /v2/concurrency_limits/leases/{id}/renew  yes  the same
//	POST   /concurrency_limits/increment          yes   the same, of clients before 3.5
//	POST   /concurrency_limits/decrement          yes   the same
//	GET    /variables/name/{name}                 yes   there are none: 404
//	PATCH  /variables/name/{name}                 yes   the same
//	DELETE /variables/name/{name}                 yes   the same
//	GET    /health, /ready, /hello, /version, /admin/version, /csrf-token  yes  what a client asks first
//
// A flow is a workflow, a flow run an execution, a state what its status and its open approval say. What clients of
// Prefect say beyond that (names of states, keys of pauses, run inputs) is kept in memos of the execution. A flow that
// a process of Prefect runs is a workflow with one task, which waits until that process says how it ended.
//
//	             PAUSED (approval open, or paused)
//	              ^      |  resume: 201 ACCEPT to exactly one
//	              |      v
//	SCHEDULED -> RUNNING -> COMPLETED | FAILED | CANCELLED
package prefect

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// Name is the dialect's name.
const Name = "prefect"

// Reader reads executions.
type Reader interface {
	Execution(ctx context.Context, id string) (*engine.Execution, error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error)
	History(ctx context.Context, id string, page engine.Page) ([]engine.Event, string, error)
	Logs(ctx context.Context, id string, f engine.LogFilter, page engine.Page) ([]engine.LogEntry, string, error)
	Gates(ctx context.Context, id string) ([]engine.Gate, error)
	Task(ctx context.Context, id, ref string) (*engine.Task, error)
}

// Controller changes executions.
type Controller interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Pause(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Resume(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	AnswerGate(ctx context.Context, id string, a engine.Answer) (*engine.Execution, error)
	SettleByHand(ctx context.Context, id, path string, r engine.HandRequest) (*engine.Task, error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
	Remove(ctx context.Context, id string) error
}

// Keeper keeps what only Prefect's clients know.
type Keeper interface {
	Memos(ctx context.Context, id string, keys ...string) (map[string]engine.Memo, error)
	WriteMemos(ctx context.Context, id string, writes ...engine.MemoWrite) error
	AppendLogs(ctx context.Context, f engine.Fence, lines []engine.LogLine) error
}

// Workflows knows the definitions.
type Workflows interface {
	Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error)
	Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error)
	Publish(ctx context.Context, project string, source []byte, dryRun bool) (engine.PublishResult, error)
}

// Engine is what the dialect asks of the engine.
type Engine interface {
	Reader
	Controller
	Keeper
	Workflows
	Ready(ctx context.Context) error
}

type handlers struct{ engine Engine }

// New makes the dialect over an engine.
func New(e Engine) compat.Dialect {
	h := &handlers{engine: e}
	open, reads, writes := auth.Rule{Open: true}, auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	var routes []compat.Route
	at := func(rule auth.Rule, method, path string, serve serve) {
		route := compat.Route{Method: method, Path: "/api" + path, Rule: rule, Serve: checked(serve)}
		if strings.HasPrefix(path, "/flow_runs/:id") {
			route.Names = "id"
		}
		routes = append(routes, route)
	}
	absent := func(method, path, why string) { routes = append(routes, compat.Absent(method, "/api"+path, why)) }
	at(open, http.MethodGet, "/health", h.health)
	at(open, http.MethodGet, "/ready", h.ready)
	at(reads, http.MethodGet, "/hello", h.hello)
	at(reads, http.MethodGet, "/version", h.version)
	at(reads, http.MethodGet, "/admin/version", h.adminVersion)
	at(reads, http.MethodGet, "/csrf-token", h.csrfToken)
	at(writes, http.MethodPost, "/flow_runs/:id/resume", h.resume)
	at(writes, http.MethodPost, "/flow_runs/:id/set_state", h.setState)
	at(writes, http.MethodPost, "/flow_runs/bulk_set_state", h.bulkSetState)
	at(writes, http.MethodPost, "/flow_runs/bulk_delete", h.bulkDelete)
	at(writes, http.MethodDelete, "/flow_runs/:id", h.remove)
	at(writes, http.MethodPost, "/flow_runs/", h.create)
	at(reads, http.MethodGet, "/flow_runs/:id", h.get)
	at(writes, http.MethodPatch, "/flow_runs/:id", h.patch)
	at(reads, http.MethodPost, "/flow_runs/filter", h.filter)
	at(reads, http.MethodPost, "/flow_runs/paginate", h.paginate)
	at(reads, http.MethodPost, "/flow_runs/count", h.count)
	at(reads, http.MethodPost, "/flow_runs/history", h.history)
	at(writes, http.MethodPost, "/flow_runs/:id/input", h.createInput)
	at(reads, http.MethodPost, "/flow_runs/:id/input/filter", h.filterInputs)
	at(reads, http.MethodGet, "/flow_runs/:id/input/:key", h.getInput)
	at(writes, http.MethodDelete, "/flow_runs/:id/input/:key", h.deleteInput)
	at(reads, http.MethodGet, "/flow_runs/:id/logs/download", h.downloadLogs)
	at(reads, http.MethodGet, "/flow_run_states/", h.states)
	at(reads, http.MethodGet, "/flow_run_states/:id", h.getState)
	at(auth.Rule{Scope: engine.ScopeWrite, Work: true}, http.MethodPost, "/logs/", h.createLogs)
	at(reads, http.MethodPost, "/logs/filter", h.filterLogs)
	at(writes, http.MethodPost, "/flows/", h.createFlow)
	at(reads, http.MethodGet, "/flows/:id", h.getFlow)
	at(reads, http.MethodGet, "/flows/name/:name", h.getFlowByName)
	at(reads, http.MethodPost, "/flows/filter", h.filterFlows)
	at(reads, http.MethodPost, "/flows/count", h.countFlows)
	at(reads, http.MethodGet, "/deployments/:id", h.getDeployment)
	at(reads, http.MethodGet, "/deployments/name/:flow/:name", h.getDeploymentByName)
	at(reads, http.MethodPost, "/deployments/filter", h.filterDeployments)
	at(writes, http.MethodPost, "/deployments/:id/create_flow_run", h.createFromDeployment)
	const graph, workers = "read graphs with GET /v1/executions/{id}/graph", "Redrive's own workers take what is to run"
	absent(http.MethodPost, "/flow_runs/lateness", "nothing is late here: an execution that waits says why")
	absent(http.MethodGet, "/flow_runs/:id/graph", graph)
	absent(http.MethodGet, "/flow_runs/:id/graph-v2", graph)
	absent(http.MethodPatch, "/flow_runs/:id/labels", "labels are given at the start and do not change")
	const deployments = "a deployment is the newest version of a workflow: publish with POST /v1/projects/{project}/workflows"
	absent(http.MethodPost, "/deployments/", deployments)
	at(reads, http.MethodPost, "/concurrency_limits/increment", noLimits(tagsShape))
	at(reads, http.MethodPost, "/concurrency_limits/decrement", noLimits(tagsShape))
	at(reads, http.MethodPost, "/v2/concurrency_limits/increment", noLimits(slotsShape))
	at(reads, http.MethodPost, "/v2/concurrency_limits/increment-with-lease", h.leaseSlots)
	at(reads, http.MethodPost, "/v2/concurrency_limits/decrement", noLimits(slotsGivenShape))
	at(reads, http.MethodPost, "/v2/concurrency_limits/decrement-with-lease", noLease(leaseShape))
	at(reads, http.MethodPost, "/v2/concurrency_limits/leases/:id/renew", noLease(renewShape))
	at(reads, http.MethodGet, "/variables/name/:name", h.variable)
	at(writes, http.MethodPatch, "/variables/name/:name", h.variable)
	at(writes, http.MethodDelete, "/variables/name/:name", h.variable)
	at(auth.Rule{Scope: engine.ScopeWrite, Work: true}, http.MethodPost, "/task_runs/", h.createTaskRun)
	at(reads, http.MethodGet, "/automations/related-to/:resource", h.nothing)
	for _, path := range emptyLists {
		at(reads, http.MethodPost, path, h.nothing)
	}
	absent(http.MethodPatch, "/deployments/:id", deployments)
	absent(http.MethodDelete, "/deployments/:id", deployments)
	absent(http.MethodPost, "/deployments/:id/create_flow_run/bulk", "flow runs are started one by one: POST /deployments/{id}/create_flow_run")
	absent(http.MethodPost, "/deployments/get_scheduled_flow_runs", workers)
	absent(http.MethodPost, "/work_pools/:name/get_scheduled_flow_runs", workers)
	roots := []string{
		"/api/flow_runs", "/api/flow_run_states", "/api/flows", "/api/logs", "/api/ui",
		"/api/health", "/api/ready", "/api/hello", "/api/version", "/api/admin/version", "/api/csrf-token",
	}
	for _, a := range areas {
		roots = append(roots, "/api/"+a.path)
	}
	return compat.Dialect{Name: Name, Fail: fail, Routes: routes, Roots: roots}
}

var null = json.RawMessage("null")
