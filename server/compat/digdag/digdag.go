// Package digdag speaks the API of Digdag, and of Treasure Data's Treasure Workflow where that has more.
//
//	operation                                           here  as
//	PUT  /api/attempts                                  yes   a start, or with resume a redrive into the next attempt of the session
//	GET  /api/attempts                                  yes   executions
//	GET  /api/attempts/{id}                             yes   an execution by its number
//	GET  /api/attempts/{id}/retries                     yes   the attempts of its session
//	GET  /api/attempts/{id}/tasks                       yes   its tasks under Digdag's names
//	POST /api/attempts/{id}/kill                        yes   a cancel
//	GET  /api/logs/{id}/files                           yes   a file for each attempt of a task that wrote lines
//	GET  /api/logs/{id}/files/{file}                    yes   its lines
//	PUT  /api/projects                                  yes   workflow files, compiled and published; the archive is kept
//	GET  /api/projects                                  yes   projects
//	GET  /api/projects/{id}                             yes
//	GET  /api/projects/{id}/revisions                   yes   what was pushed
//	GET  /api/projects/{id}/archive                     yes   of the newest revisions
//	GET  /api/projects/{id}/workflows                   yes   of a revision, and what was published natively
//	GET  /api/projects/{id}/workflows/{name}            yes
//	GET  /api/projects/{id}/schedules                   yes
//	GET  /api/projects/{id}/sessions                    yes
//	GET  /api/workflows                                 yes   the newest of all projects
//	GET  /api/workflows/{id}                            yes   a version of a workflow
//	GET  /api/workflows/{id}/truncated_session_time     yes
//	GET  /api/sessions                                  yes
//	GET  /api/sessions/{id}                             yes
//	GET  /api/sessions/{id}/attempts                    yes
//	GET  /api/schedules                                 yes
//	GET  /api/schedules/{id}                            yes
//	POST /api/schedules/{id}/backfill                   yes   a backfill, one session after the other
//	POST /api/schedules/{id}/enable                     yes
//	POST /api/schedules/{id}/disable                    yes
//	GET  /api/version                                   yes
//	GET  /api/version/check                             yes
//	POST /api/schedules/{id}/skip                       no    ticks are skipped by disabling the schedule
//	DELETE /api/projects/{id}                           no    projects stay
//	GET  /api/projects/{id}/secrets                     no    secrets are the workers'
//	PUT  /api/projects/{id}/secrets/{key}               no    secrets are the workers'
//	DELETE /api/projects/{id}/secrets/{key}             no    secrets are the workers'
//	GET  /api/pools                                     no    workflows have limits of their own
//	GET  /api/pool_rules                                no    workflows have limits of their own
//
// A project, a workflow and a session are what they are natively, an attempt is an execution, and so is a resume.
// Workflow files are compiled when they are pushed: package dig. Ids are numbers, for the clients read them as such.
package digdag

import (
	"context"
	"net/http"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

// Name is the dialect's name.
const Name = "digdag"

// Engine is what the dialect asks of the engine.
type Engine interface {
	Definitions
	Attempts
	Sessions
	Schedules
}

// Definitions are projects, what was pushed to them, and workflows.
type Definitions interface {
	Projects(ctx context.Context, page engine.Page) ([]engine.Project, string, error)
	Project(ctx context.Context, name string) (*engine.Project, error)
	PutProject(ctx context.Context, p engine.Project) (project *engine.Project, created bool, err error)
	PublishCompiled(ctx context.Context, project string, definition []byte, source string, dryRun bool) (engine.PublishResult, error)
	Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error)
	Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error)
	Revisions
}

// Revisions are those of a project, and the numbers of names.
type Revisions interface {
	PutBundle(ctx context.Context, b engine.Bundle) (*engine.Bundle, error)
	CheckBundle(ctx context.Context, project, name string) error
	Bundle(ctx context.Context, project, name string) (*engine.Bundle, error)
	Bundles(ctx context.Context, project string, page engine.Page) ([]engine.Bundle, string, error)
	NumberOf(ctx context.Context, name string) (int64, error)
	Named(ctx context.Context, number int64) (string, error)
}

// Attempts are executions.
type Attempts interface {
	Start(ctx context.Context, project string, r engine.StartRequest) (x *engine.Execution, created bool, err error)
	Redrive(ctx context.Context, id string, r engine.RedriveRequest) (*engine.Execution, error)
	Execution(ctx context.Context, id string) (*engine.Execution, error)
	Executions(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error)
	Tasks(ctx context.Context, id string, page engine.Page) ([]engine.Task, string, error)
	Cancel(ctx context.Context, id string, r engine.Request) (*engine.Execution, error)
	Logs(ctx context.Context, id string, f engine.LogFilter, page engine.Page) ([]engine.LogEntry, string, error)
}

// Sessions hold attempts.
type Sessions interface {
	Sessions(ctx context.Context, project string, f engine.SessionFilter, page engine.Page) ([]engine.Session, string, error)
	Session(ctx context.Context, project string, number int64) (*engine.Session, error)
	SessionAttempts(ctx context.Context, project string, number int64, page engine.Page) ([]engine.Execution, string, error)
	AttemptNamed(ctx context.Context, project, workflow, name string, times []time.Time) ([]bool, error)
}

// Schedules start attempts.
type Schedules interface {
	PutSchedule(ctx context.Context, project, name string, r engine.ScheduleRequest) (s *engine.Schedule, created bool, err error)
	DeleteSchedule(ctx context.Context, project, name string) error
	Schedules(ctx context.Context, project string, page engine.Page) ([]engine.Schedule, string, error)
	ScheduleByNumber(ctx context.Context, number int64) (*engine.Schedule, error)
	EnableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	DisableSchedule(ctx context.Context, project, name string) (*engine.Schedule, error)
	NextTicks(ctx context.Context, project, name string, count int) (ticks []engine.PlannedTick, enabled bool, err error)
	PreviewBackfill(ctx context.Context, project, name string, r engine.BackfillRequest) (*engine.BackfillPreview, error)
	StartBackfill(ctx context.Context, project, name string, r engine.BackfillRequest) (*engine.Backfill, error)
}

type handlers struct {
	engine Engine
	opened *lru.Cache[string, *opened]
}

// remembered is how many versions of workflows are kept compiled.
const remembered = 512

// New makes the dialect over an engine.
func New(e Engine) compat.Dialect {
	cache, _ := lru.New[string, *opened](remembered) // it refuses sizes below 1 only
	h := &handlers{engine: e, opened: cache}
	read, write, open := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}, auth.Rule{Open: true}
	get := func(path string, serve serve) compat.Route {
		return compat.Route{Method: http.MethodGet, Path: path, Rule: read, Serve: serve}
	}
	change := func(method, path string, serve serve) compat.Route {
		return compat.Route{Method: method, Path: path, Rule: write, Serve: serve}
	}
	const noSecrets, noPools = "secrets are given to the workers here, as files or variables: there are none on the server", "there are no pools here: give the workflow a limit with concurrency"
	return compat.Dialect{
		Name: Name, Fail: fail, Credential: credential,
		Roots: []string{
			"/api/attempts", "/api/logs", "/api/projects", "/api/workflows", "/api/sessions", "/api/schedules", "/api/version",
			"/api/pools", "/api/pool_rules",
		},
		Routes: []compat.Route{
			change(http.MethodPut, "/api/attempts", h.putAttempt),
			get("/api/attempts", h.listAttempts),
			get("/api/attempts/:id", h.getAttempt),
			get("/api/attempts/:id/retries", h.retries),
			get("/api/attempts/:id/tasks", h.tasks),
			change(http.MethodPost, "/api/attempts/:id/kill", h.kill),
			get("/api/logs/:id/files", h.logFiles),
			get("/api/logs/:id/files/:file", h.logFile),
			change(http.MethodPut, "/api/projects", h.push),
			get("/api/projects", h.listProjects),
			get("/api/projects/:id", h.getProject),
			get("/api/projects/:id/revisions", h.revisions),
			get("/api/projects/:id/archive", h.archive),
			get("/api/projects/:id/workflows", h.projectWorkflows),
			get("/api/projects/:id/workflows/:name", h.projectWorkflow),
			get("/api/projects/:id/schedules", h.projectSchedules),
			get("/api/projects/:id/sessions", h.projectSessions),
			get("/api/workflows", h.listWorkflows),
			get("/api/workflows/:id", h.getWorkflow),
			get("/api/workflows/:id/truncated_session_time", h.truncate),
			get("/api/sessions", h.listSessions),
			get("/api/sessions/:id", h.getSession),
			get("/api/sessions/:id/attempts", h.sessionAttempts),
			get("/api/schedules", h.listSchedules),
			get("/api/schedules/:id", h.getSchedule),
			change(http.MethodPost, "/api/schedules/:id/backfill", h.backfill),
			change(http.MethodPost, "/api/schedules/:id/enable", h.enable),
			change(http.MethodPost, "/api/schedules/:id/disable", h.disable),
			{Method: http.MethodGet, Path: "/api/version", Rule: open, Serve: h.getVersion},
			{Method: http.MethodGet, Path: "/api/version/check", Rule: open, Serve: h.checkVersion},
			compat.Absent(http.MethodPost, "/api/schedules/:id/skip", "sessions of a schedule are not skipped one by one here: disable the schedule, and enable it again"),
			compat.Absent(http.MethodDelete, "/api/projects/:id", "projects are not deleted here"),
			compat.Absent(http.MethodGet, "/api/projects/:id/secrets", noSecrets),
			compat.Absent(http.MethodPut, "/api/projects/:id/secrets/:key", noSecrets),
			compat.Absent(http.MethodDelete, "/api/projects/:id/secrets/:key", noSecrets),
			compat.Absent(http.MethodGet, "/api/pools", noPools),
			compat.Absent(http.MethodGet, "/api/pool_rules", noPools),
		},
	}
}
