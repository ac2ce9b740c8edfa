package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/redrive/redrive/engine"
)

// Engine is all that the API asks of the engine, resource by resource.
type Engine interface {
	Projects
	Workflows
	Executions
	Sessions
	Tasks
	Histories
	Logs
	Graphs
	Controls
	Redrives
	Lineages
	Schedules
	Failures
	Audits
	Bulks
	Queues
	Workers
	Diagnoses
	Remote
	Keys
}

// Options tune the handlers.
type Options struct {
	Version   string          // of the server
	Heartbeat time.Duration   // between comments on a silent event stream
	Streams   int             // streams of events and logs at once
	Pollers   int             // polls of remote workers at once
	Stopping  context.Context // done when the server stops: streams end, and polls are let go
	Logger    *slog.Logger
}

// Handlers implements the generated StrictServerInterface, one embedded
// struct per resource.
type Handlers struct {
	projects
	workflows
	executions
	sessions
	tasks
	history
	events
	logs
	graphs
	control
	redrives
	lineages
	schedules
	failures
	audits
	bulks
	queues
	workers
	diagnoses
	remote
	keys
}

var _ StrictServerInterface = (*Handlers)(nil)

// NewHandlers makes the handlers over an engine.
func NewHandlers(e Engine, o Options) *Handlers {
	slots := make(chan struct{}, o.Streams)
	return &Handlers{
		projects:   projects{e},
		workflows:  workflows{e},
		executions: executions{e},
		sessions:   sessions{e},
		tasks:      tasks{e},
		history:    history{e},
		events:     events{engine: e, options: o, slots: slots},
		logs:       logs{engine: e, options: o, slots: slots},
		graphs:     graphs{e},
		control:    control{e},
		redrives:   redrives{e},
		lineages:   lineages{e},
		schedules:  schedules{e},
		failures:   failures{e},
		audits:     audits{e},
		bulks:      bulks{engine: e, logger: o.Logger},
		queues:     queues{e},
		workers:    workers{e},
		diagnoses:  diagnoses{e, o.Version},
		remote:     remote{engine: e, options: o, slots: make(chan struct{}, o.Pollers)},
		keys:       keys{e},
	}
}

// ExecutionReader reads executions.
type ExecutionReader interface {
	// Execution returns the execution with this id or number, or an
	// *engine.Error of KindNotFound.
	Execution(ctx context.Context, id string) (*engine.Execution, error)
}
