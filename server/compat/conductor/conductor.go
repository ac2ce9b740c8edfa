// Package conductor speaks the API of Conductor (conductor-oss 3.32 and Orkes' additions that its SDKs call),
// so that its SDKs, workers and scripts work with this server.
//
//	operation                                  here    as
//	metadata/workflow                          yes     a definition is compiled to a native one; its version is a label of that
//	metadata/taskdefs                          yes     notes of the project; retries and times are compiled into the workflows, limits are kept by polls
//	workflow start, execute, get, status       yes     executions
//	workflow rerun                             yes     a rerun in place, of one that runs, too; never a 409 for the task that is named
//	workflow retry, restart                    yes     a retry with one more try each, a rerun from the start
//	workflow pause, resume, terminate          yes     the same
//	workflow skiptask                          yes     the task is completed with the output that is given, and shown as SKIPPED
//	workflow remove                            yes     the execution is removed before its retention is over
//	workflow search                            partly  the conditions of the Postgres index, over the newest 10,000 that the lists give
//	workflow bulk                              yes     one after the other
//	tasks poll, update, log                    yes     remote workers; an id names execution, task and attempt
//	tasks queue sizes, poll data               yes     what waits for remote workers, and the workers
//	event                                      partly  handlers of EVENT tasks with sink conductor
//	tasks search, signal, workflow state       partly  no variables
//	tags                                       yes     notes of the project
//	scheduler                                  partly  native schedules
//	health, version, token                     yes
//	workflow variables, upgrade, jump, messages no     use a rerun, or the API of the server
//	workflow test, archive, external storage   no
//	admin, queue, secrets, environment         no      schema is no path at all: clients go on without it
//
// The files: def.go reads definitions, compile*.go and expression.go translate them, view*.go shows executions, the others
// are named after what is asked.
package conductor

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// Name is the dialect's name.
const Name = "conductor"

// Engine is what the dialect asks of the engine.
type Engine interface {
	Definitions
	Executions
	Operations
	Remote
	Schedules
	Notes
}

// Definitions publishes and reads workflows.
type Definitions interface {
	PublishForeign(ctx context.Context, project string, source []byte, dryRun bool) (engine.PublishResult, error)
	Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error)
	Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error)
	SetLabel(ctx context.Context, project, name, label string, version int) error
	DropLabel(ctx context.Context, project, name, label string) error
	Labels(ctx context.Context, project, name string) (map[string]int, error)
	Projects(ctx context.Context, page engine.Page) ([]engine.Project, string, error)
}

// Executions reads executions.
type Executions interface {
	Execution(ctx context.Context, id string) (*engine.Execution, error)
	ExecutionDefinition(ctx context.Context, x *engine.Execution) (*workflow.Definition, error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	Tasks(ctx context.Context, id string, page engine.Page) ([]engine.Task, string, error)
	TasksWhere(ctx context.Context, id string, wanted func(*engine.Task) bool) ([]engine.Task, error)
	Task(ctx context.Context, id, ref string) (*engine.Task, error)
	UpcomingInput(ctx context.Context, f engine.Fence) (json.RawMessage, error)
	Attempts(ctx context.Context, id, ref string, page engine.Page) ([]engine.Attempt, string, error)
	Redrives(ctx context.Context, id string, page engine.Page) ([]engine.Redriven, string, error)
	Watch(ctx context.Context, id, after string) (events []engine.Event, ended bool, err error)
	Logs(ctx context.Context, id string, f engine.LogFilter, page engine.Page) ([]engine.LogEntry, string, error)
}

// Operations starts executions and changes how they go on.
type Operations interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Pause(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Resume(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
	Hasten(ctx context.Context, f engine.Fence) error
	Advance(ctx context.Context, id string) error
	SettleByHand(ctx context.Context, id, ref string, r engine.HandRequest) (*engine.Task, error)
	Remove(ctx context.Context, id string) error
}

// Remote hands out work and takes reports.
type Remote interface {
	Poll(ctx context.Context, q engine.Poll) ([]engine.RemoteRun, error)
	GiveBack(ctx context.Context, runs []engine.RemoteRun)
	RemoteTake(ctx context.Context, f engine.Fence, worker string) (*engine.RemoteRun, error)
	RemoteToken(ctx context.Context, f engine.Fence) (string, error)
	Progress(ctx context.Context, f engine.Fence, progress json.RawMessage) error
	RemoteProgress(ctx context.Context, id, ref, token string, progress json.RawMessage) error
	RemoteHeartbeat(ctx context.Context, id, ref, token string) (engine.Beat, error)
	RemotePostpone(ctx context.Context, id, ref, token string, delay time.Duration) error
	RemoteComplete(ctx context.Context, id, ref, token string, output json.RawMessage) (engine.RemoteResult, error)
	RemoteFail(ctx context.Context, id, ref, token string, failure workflow.Error) (engine.RemoteResult, error)
	AppendLogs(ctx context.Context, f engine.Fence, lines []engine.LogLine) error
	RemoteLog(ctx context.Context, id, ref, token string, lines []engine.LogLine) error
	RemoteWaiting(ctx context.Context, queue string, types, projects []string) ([]int, error)
	Workers(ctx context.Context) ([]engine.Worker, error)
}

// Notes keeps what the engine does not know of.
type Notes interface {
	PutNote(ctx context.Context, project, group, name string, value json.RawMessage) error
	DeleteNote(ctx context.Context, project, group, name string) error
	Note(ctx context.Context, project, group, name string) (json.RawMessage, error)
	Notes(ctx context.Context, project, group string) (map[string]json.RawMessage, error)
}

// Options tune the dialect.
type Options struct {
	Waiters  int             // calls that wait for an execution at once
	Pollers  int             // polls of workers at once
	Stopping context.Context // done when the server stops: those that wait answer
	Logger   *slog.Logger
	Script   Script
}

// Script runs JavaScript that sees the input as $, and answers the value of its last statement; nil = there is none to be had.
type Script func(ctx context.Context, script string, input json.RawMessage) (json.RawMessage, error)

type handlers struct {
	engine   Engine
	stopping context.Context
	waiters  chan struct{}
	pollers  chan struct{}
	logger   *slog.Logger
	script   Script
	own      chan struct{} // capacity 1: a workflow with tasks that servers run themselves was published
	shelf    shelf
	patience patience
}

// New makes the dialect over an engine.
func New(e Engine, o Options) compat.Dialect {
	h := &handlers{engine: e, stopping: o.Stopping, waiters: make(chan struct{}, o.Waiters), pollers: make(chan struct{}, o.Pollers), logger: o.Logger, script: o.Script, own: make(chan struct{}, 1)}
	roots := []string{"/health"}
	for _, name := range []string{"workflow", "tasks", "metadata", "event", "scheduler", "admin", "queue", "health", "version", "token", "environment", "secrets", "schema"} {
		roots = append(roots, "/api/"+name)
	}
	return compat.Dialect{
		Name: Name, Roots: roots, Fail: fail, Work: h.work, Routes: h.routes(),
		Credential: func(r *http.Request) string { return r.Header.Get("X-Authorization") },
	}
}

func (h *handlers) routes() []compat.Route {
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	get := func(path string, f handler) compat.Route {
		return compat.Route{Method: http.MethodGet, Path: path, Rule: read, Serve: f}
	}
	change := func(method, path string, f handler) compat.Route {
		return compat.Route{Method: method, Path: path, Rule: write, Serve: f}
	}
	const post, put, del = http.MethodPost, http.MethodPut, http.MethodDelete
	waits := func(r compat.Route) compat.Route {
		r.Waits = true
		return r
	}
	work := func(r compat.Route) compat.Route {
		r.Rule.Work = true
		return r
	}
	ok, none := http.StatusOK, http.StatusNoContent
	return append(h.otherRoutes(), []compat.Route{
		change(post, "/api/metadata/workflow", h.createWorkflow), change(put, "/api/metadata/workflow", h.putWorkflows),
		change(post, "/api/metadata/workflow/validate", h.validateWorkflow), change(del, "/api/metadata/workflow/:name/:version", h.deleteWorkflow),
		get("/api/metadata/workflow", h.listWorkflows(false)), get("/api/metadata/workflow/latest-versions", h.listWorkflows(true)),
		get("/api/metadata/workflow/names", h.workflowNames), get("/api/metadata/workflow/names-and-versions", h.namesAndVersions),
		get("/api/metadata/workflow/:name", h.getWorkflow), get("/api/metadata/workflow/:name/versions", h.workflowVersions),
		change(post, "/api/metadata/taskdefs", h.createTaskDefs), change(put, "/api/metadata/taskdefs", h.updateTaskDef),
		get("/api/metadata/taskdefs", h.listTaskDefs), get("/api/metadata/taskdefs/:name", h.getTaskDef), change(del, "/api/metadata/taskdefs/:name", h.deleteTaskDef),

		change(post, "/api/workflow", h.start), change(post, "/api/workflow/:id", h.startByName),
		waits(change(post, "/api/workflow/execute/:name/:version", h.execute)),
		get("/api/workflow/:id", h.get), get("/api/workflow/:id/status", h.status), get("/api/workflow/:id/tasks", h.tasks),
		change(post, "/api/workflow/:id/rerun", h.rerun), change(post, "/api/workflow/:id/retry", h.does(none, h.retry)),
		change(post, "/api/workflow/:id/restart", h.does(none, h.restart)), change(post, "/api/workflow/:id/resetcallbacks", h.does(none, h.resetCallbacks)),
		change(put, "/api/workflow/:id/pause", h.does(ok, h.pause)), change(put, "/api/workflow/:id/resume", h.does(ok, h.resume)),
		change(put, "/api/workflow/:id/skiptask/:ref", h.skip), change(put, "/api/workflow/decide/:id", h.does(ok, h.advance)),
		change(del, "/api/workflow/:id", h.does(ok, h.terminate)), change(del, "/api/workflow/:id/remove", h.does(ok, h.remove)),
		change(del, "/api/workflow/:id/terminate-remove", h.does(ok, h.terminateRemove)),
		get("/api/workflow/search", h.search(false)), get("/api/workflow/search-v2", h.search(true)), get("/api/workflow/running/:name", h.running),
		{Method: post, Path: "/api/workflow/correlated/batch", Rule: read, Serve: h.correlatedBatch}, waits(change(post, "/api/workflow/:id/state", h.state)),
		get("/api/workflow/:id/correlated/:correlation", h.correlated), {Method: post, Path: "/api/workflow/:id/correlated", Rule: read, Serve: h.correlatedMany},

		change(put, "/api/workflow/bulk/pause", h.bulk(h.pause)), change(put, "/api/workflow/bulk/resume", h.bulk(h.resume)),
		change(post, "/api/workflow/bulk/restart", h.bulk(h.restart)), change(post, "/api/workflow/bulk/retry", h.bulk(h.retry)),
		change(post, "/api/workflow/bulk/terminate", h.bulk(h.terminate)), change(del, "/api/workflow/bulk/remove", h.bulk(h.remove)),
		{Method: post, Path: "/api/workflow/bulk/search", Rule: read, Serve: h.bulkSearch},
		change(post, "/api/workflow/bulk/delete", h.bulk(h.remove)), change(del, "/api/workflow/bulk/terminate-remove", h.bulk(h.terminateRemove)),

		work(waits(change(http.MethodGet, "/api/tasks/poll/:type", h.pollOne))), work(waits(change(http.MethodGet, "/api/tasks/poll/batch/:type", h.pollBatch))),
		work(change(post, "/api/tasks", h.update)), work(waits(change(post, "/api/tasks/update-v2", h.updateAndPoll))),
		change(post, "/api/tasks/:id/:ref/:status", h.updateByRef(false)), change(post, "/api/tasks/:id/:ref/:status/sync", h.updateByRef(true)),
		change(post, "/api/tasks/:id/:ref/signal", h.signal(false)), waits(change(post, "/api/tasks/:id/:ref/signal/sync", h.signal(true))),
		get("/api/tasks/search", h.searchTasks(false)), get("/api/tasks/search-v2", h.searchTasks(true)),
		work(change(post, "/api/tasks/:id/log", h.addLog)), get("/api/tasks/:id/log", h.logs), get("/api/tasks/:id", h.getTask),
		get("/api/tasks/queue/sizes", h.queueSizes), get("/api/tasks/queue/size", h.queueSize), get("/api/tasks/queue/all", h.queueAll),
		get("/api/tasks/queue/polldata", h.pollData), get("/api/tasks/queue/polldata/all", h.pollDataAll), change(post, "/api/tasks/queue/requeue/:type", h.requeue),
	}...)
}
