package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/redrive/redrive/workflow"
)

// Options is what an Engine is made of.
type Options struct {
	Store   Store
	Catalog workflow.Catalog
	Limits  workflow.Limits
	// Lease is how long a run is believed alive after its last heartbeat.
	Lease time.Duration
	// Sweep is how often the shards that this process leads are looked through.
	Sweep time.Duration
	// CrashLimit is how many workers may die under one attempt before it fails as worker_crashed.
	CrashLimit int
	Metrics    *Metrics
	Logger     *slog.Logger
	// Secrets answers the value of secrets.<name>.
	Secrets func(name string) (string, error)
	// Random is uniform in [0, 1); it spreads retries.
	Random func() float64
}

// DefaultOptions lacks only the Store.
func DefaultOptions() Options {
	return Options{
		Limits: workflow.DefaultLimits(), Lease: 10 * time.Second, Sweep: time.Second, CrashLimit: 3,
		Logger: slog.Default(), Random: random,
	}
}

// Engine is the use cases of Redrive over a store.
type Engine struct {
	o         Options
	store     Store
	log       *slog.Logger
	metrics   *Metrics
	programs  *lru.Cache[string, *program]
	documents *lru.Cache[string, *Document]
	heads     *lru.Cache[workflowName, Head] // of workflows that do not limit how many run, as they were read last
	fleet     fleetView
	timers    *timers
	lister    *lister
	usher     *usher
	remote    remoteState
	unmet     unmet

	previewTime time.Duration
}

const (
	cachedPrograms  = 1_000
	cachedDocuments = 10_000
	cachedInput     = 16 << 10 // bytes; documents with a larger input are not kept
)

// New checks the options, naming the field, and makes an engine.
func New(o Options) (*Engine, error) {
	d := DefaultOptions()
	switch {
	case o.Store == nil:
		return nil, errors.New("engine: Options.Store is missing")
	case o.Lease == 0:
		o.Lease = d.Lease
	case o.Lease < 0:
		return nil, fmt.Errorf("engine: Options.Lease is %s; it must be positive", o.Lease)
	}
	if o.Sweep == 0 {
		o.Sweep = d.Sweep
	}
	if o.CrashLimit == 0 {
		o.CrashLimit = d.CrashLimit
	}
	if o.Limits.Tasks == 0 {
		o.Limits = d.Limits
	}
	if o.Logger == nil {
		o.Logger = d.Logger
	}
	if o.Random == nil {
		o.Random = d.Random
	}
	if o.Secrets == nil {
		o.Secrets = func(name string) (string, error) {
			return "", fmt.Errorf("there is no secret %q: this worker has none", name)
		}
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	e := &Engine{o: o, store: o.Store, log: o.Logger, metrics: o.Metrics, previewTime: previewTime}
	var err error
	if e.programs, err = lru.New[string, *program](cachedPrograms); err != nil {
		return nil, fmt.Errorf("engine: making a cache: %w", err)
	}
	if e.documents, err = lru.New[string, *Document](cachedDocuments); err != nil {
		return nil, fmt.Errorf("engine: making a cache: %w", err)
	}
	if e.heads, err = lru.New[workflowName, Head](cachedPrograms); err != nil {
		return nil, fmt.Errorf("engine: making a cache: %w", err)
	}
	e.timers = newTimers(e.fire)
	e.lister = newLister(e)
	e.usher = newUsher(e)
	e.remote.safety = safetyPoll
	return e, nil
}

// Ready reports whether Redis and asynq can be reached.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.store.Ping(ctx); err != nil {
		return err
	}
	_, err := e.store.Queues(ctx)
	return err
}

// program is a workflow.Program with what the engine derives from it once.
type program struct {
	*workflow.Program
	successors map[string][]Successor // by path, with names for refs
	simple     bool                   // a clean end needs no computing
}

func newProgram(p *workflow.Program) *program {
	out := &program{Program: p, successors: make(map[string][]Successor, len(p.Nodes)), simple: len(p.Definition.Output) == 0}
	p.Walk(func(n *workflow.Node) {
		list := make([]Successor, len(n.Dependents))
		for i, sibling := range n.Siblings(n.Dependents) {
			list[i] = successor(sibling)
		}
		out.successors[n.Path] = list
	})
	return out
}

// successor is what becomes of a node that is reached, its name for its ref.
func successor(n *workflow.Node) Successor {
	return Successor{Ref: n.Task.Name, Decide: needsGo(n), Join: len(n.Needs) > 1}
}

// needsGo reports whether a task that was reached needs a decision.
func needsGo(n *workflow.Node) bool { return n.Conditional || n.Each != nil || n.Control() }

// next are the successors of a task.
func (p *program) next(at workflow.Place) []Successor {
	if at.Inner() {
		return nil
	}
	list := p.successors[at.Path]
	if len(list) == 0 || at.Ref == at.Task.Name {
		return list
	}
	holder := workflow.Outside(at.Ref)
	out := make([]Successor, len(list))
	for i, s := range list {
		s.Ref = workflow.Inside(holder, s.Ref)
		out[i] = s
	}
	return out
}

// skipped are the successors of a task that did not run: each must be decided,
// for all that it needs may have been skipped.
func skipped(list []Successor) []Successor {
	out := make([]Successor, len(list))
	for i, s := range list {
		out[i] = Successor{Ref: s.Ref, Decide: true, Join: s.Join}
	}
	return out
}

// program compiles a definition by its hash, once. Execution is the one that runs it: where no
// version of a workflow has it, that execution keeps it itself ("" = it is a version's).
func (e *Engine) program(ctx context.Context, project, hash, execution string) (*program, error) {
	if p, ok := e.programs.Get(hash); ok {
		return p, nil
	}
	canonical, err := e.store.Definition(ctx, project, hash, execution)
	if err != nil {
		return nil, err
	}
	if canonical == nil {
		return nil, fmt.Errorf("engine: definition %s of project %s is not stored", hash, project)
	}
	opened, err := workflow.Open(canonical, e.o.Limits)
	if err != nil {
		return nil, fmt.Errorf("engine: opening definition %s: %w", hash, err)
	}
	p := newProgram(opened)
	e.programs.Add(hash, p)
	return p, nil
}

// document answers what is known of an execution, from memory where it is there.
func (e *Engine) document(ctx context.Context, id string) (*Document, *program, error) {
	if d, ok := e.documents.Get(id); ok {
		p, err := e.program(ctx, d.Project, d.Definition, id)
		return d, p, err
	}
	x, err := e.store.Execution(ctx, id, false)
	if err != nil {
		return nil, nil, err
	}
	d := &Document{
		Epoch: -1, Number: x.Number, Project: x.Project, Workflow: x.Workflow, Version: x.Version,
		Definition: x.DefinitionHash, Root: x.Root, Path: x.Path, Depth: x.Depth, Parent: x.parentID(), Priority: x.Priority,
	}
	d.place(x.Session)
	p, err := e.program(ctx, d.Project, d.Definition, id)
	return d, p, err
}

func (e *Engine) remember(id string, d *Document) {
	if len(d.Input) <= cachedInput {
		e.documents.Add(id, d)
	}
}

func (d *Document) scope(id string) workflow.Scope {
	s := workflow.Scope{Workflow: workflow.WorkflowScope{
		ID: id, Number: d.Number, Name: d.Workflow, Version: d.Version, Input: d.Input,
	}}
	if !d.SessionTime.IsZero() {
		s.Workflow.SessionTime, s.Workflow.Session, s.Workflow.AttemptName = d.SessionTime.UTC().Format(time.RFC3339), d.Session, d.AttemptName
	}
	return s
}

func (d *Document) place(p *SessionPlace) {
	if p != nil {
		d.SessionTime, d.Session, d.AttemptName = p.Time, p.Number, p.AttemptName
	}
}
