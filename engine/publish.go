package engine

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// PublishResult is a version of a workflow, and whether publishing made it.
type PublishResult struct {
	Workflow Workflow
	Created  bool
	Warnings workflow.Problems
}

// Publish checks a definition and stores it as the next version of its
// workflow, unless the newest version is the same. A dry run stores nothing.
func (e *Engine) Publish(ctx context.Context, project string, source []byte, dryRun bool) (PublishResult, error) {
	return e.publish(ctx, publication{project: project, definition: source, source: string(source), after: AnyVersion, dryRun: dryRun, load: workflow.Load})
}

// PublishAfter is Publish for a change that rests on what was read before: the newest version, 0 = there
// was none, must still be that one, or the same as this. ErrMoved when somebody else published meanwhile.
func (e *Engine) PublishAfter(ctx context.Context, project string, source []byte, after int) (PublishResult, error) {
	return e.publish(ctx, publication{project: project, definition: source, source: string(source), after: after, load: workflow.Load})
}

// PublishCompiled is Publish for a definition that was made from one in another
// language: that one is kept as its source.
func (e *Engine) PublishCompiled(ctx context.Context, project string, definition []byte, source string, dryRun bool) (PublishResult, error) {
	return e.publish(ctx, publication{project: project, definition: definition, source: source, after: AnyVersion, dryRun: dryRun, load: workflow.Load})
}

// PublishForeign is Publish for a definition that was translated from another system's,
// whose names follow other rules than ours.
func (e *Engine) PublishForeign(ctx context.Context, project string, source []byte, dryRun bool) (PublishResult, error) {
	return e.publish(ctx, publication{project: project, definition: source, source: string(source), after: AnyVersion, dryRun: dryRun, load: workflow.LoadForeign})
}

// publication is what is published, and how.
type publication struct {
	project    string
	definition []byte
	source     string // as it was written
	after      int    // the newest version that it rests on, or AnyVersion
	dryRun     bool
	load       func(source []byte, catalog workflow.Catalog, limits workflow.Limits) (*workflow.Program, workflow.Problems, error)
}

func (e *Engine) publish(ctx context.Context, n publication) (PublishResult, error) {
	if _, err := e.Project(ctx, n.project); err != nil {
		return PublishResult{}, err
	}
	p, warnings, err := n.load(n.definition, e.fleet.catalog(e.o.Catalog), e.o.Limits)
	if err != nil {
		if problems, ok := errors.AsType[workflow.Problems](err); ok {
			return PublishResult{Warnings: warnings}, Invalid("definition_invalid", "the definition cannot be published", problems...)
		}
		return PublishResult{}, err
	}
	w := Workflow{Project: n.project, Name: p.Definition.Name, Hash: p.Hash, Definition: p.Definition.Canonical(), Source: n.source}
	w.Concurrency = p.Definition.Concurrency
	warnings = append(warnings, e.unserved(p)...)
	if n.dryRun {
		return e.wouldPublish(ctx, w, warnings)
	}
	stored, created, err := e.store.PutWorkflow(ctx, w, n.after)
	e.heads.Remove(workflowName{w.Project, w.Name})
	if err != nil {
		return PublishResult{}, err
	}
	e.programs.Add(p.Hash, newProgram(p))
	if created { // a limit may have been raised
		e.usher.add(ctx, []Turn{{Project: n.project, Workflow: w.Name}})
	}
	return PublishResult{Workflow: stored, Created: created, Warnings: warnings}, nil
}

// wouldPublish answers what publishing would: the next version, or the newest when it is the same.
func (e *Engine) wouldPublish(ctx context.Context, w Workflow, warnings workflow.Problems) (PublishResult, error) {
	newest, err := e.store.Head(ctx, w.Project, w.Name, 0)
	if err != nil {
		return PublishResult{}, err
	}
	if newest.Hash == w.Hash {
		same, err := e.store.Workflow(ctx, w.Project, w.Name, newest.Version)
		if err != nil || same == nil {
			return PublishResult{}, err
		}
		return PublishResult{Workflow: *same, Warnings: warnings}, nil
	}
	now, err := e.store.Time(ctx)
	w.Version, w.CreatedAt = newest.Version+1, now.UTC()
	return PublishResult{Workflow: w, Created: true, Warnings: warnings}, err
}

// unserved warns of tasks whose queue no live worker serves with their type. It
// says nothing while there is no worker at all.
func (e *Engine) unserved(p *workflow.Program) workflow.Problems {
	var warnings workflow.Problems
	queues := e.fleet.names()
	if len(queues) == 0 {
		return nil
	}
	p.Walk(func(n *workflow.Node) {
		if n.Control() || slices.Contains(queues, n.Queue) {
			return
		}
		warnings = append(warnings, workflow.Problem{
			Field: n.Field() + ".queue", Code: "queue_unserved", Message: "no live worker serves the queue \"" + n.Queue + "\"; the task will wait until one does",
			Allowed: "served now: " + strings.Join(queues, ", "),
		})
	})
	return warnings
}

// Workflows answers the newest version of each workflow, by name.
func (e *Engine) Workflows(ctx context.Context, project string, page Page) ([]Workflow, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	return e.store.Workflows(ctx, project, page.filled())
}

// Workflow answers one version of a workflow, 0 = the newest.
func (e *Engine) Workflow(ctx context.Context, project, name string, version int) (*Workflow, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	w, err := e.store.Workflow(ctx, project, name, version)
	if err == nil && w == nil {
		newest, err := e.store.Workflow(ctx, project, name, 0)
		switch {
		case err != nil:
			return nil, err
		case newest == nil:
			return nil, NotFound("workflow", name)
		}
		missing := NotFound("version", name)
		missing.Message = "workflow " + name + " has no such version; its newest is " + itoa(newest.Version)
		return nil, missing
	}
	return w, err
}

// Versions answers the versions of a workflow, newest first.
func (e *Engine) Versions(ctx context.Context, project, name string, page Page) ([]Workflow, string, error) {
	if _, err := e.Workflow(ctx, project, name, 0); err != nil {
		return nil, "", err
	}
	return e.store.Versions(ctx, project, name, page.filled())
}

func (p Page) filled() Page {
	if p.Limit == 0 {
		p.Limit = 100
	}
	return p
}

// DefaultProject exists without being created.
const DefaultProject = "default"

var projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`)

// Projects answers the projects by name.
func (e *Engine) Projects(ctx context.Context, page Page) ([]Project, string, error) {
	all, err := e.projects(ctx)
	if err != nil {
		return nil, "", err
	}
	items, next := paged(all, page.filled(), func(p Project) string { return p.Name })
	return items, next, nil
}

func (e *Engine) projects(ctx context.Context) ([]Project, error) {
	all, err := e.store.Projects(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, func(p Project) bool { return p.Name == DefaultProject }) {
		all = append(all, Project{Name: DefaultProject})
	}
	slices.SortFunc(all, func(a, b Project) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Project answers one project.
func (e *Engine) Project(ctx context.Context, name string) (*Project, error) {
	if name == DefaultProject {
		return &Project{Name: name}, nil
	}
	all, err := e.projects(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, NotFound("project", name)
}

// PutProject creates a project, or changes its description.
func (e *Engine) PutProject(ctx context.Context, p Project) (*Project, bool, error) {
	if !projectName.MatchString(p.Name) {
		return nil, false, Invalid("name_invalid", "the project cannot be created", workflow.Problem{
			Field: "name", Code: "name_invalid", Message: "is no name for a project", Allowed: "a letter or digit, then up to 127 of a-z 0-9 . _ -",
		})
	}
	p.CreatedAt = time.Time{}
	before, err := e.Project(ctx, p.Name)
	var missing *Error
	switch {
	case err == nil:
		p.CreatedAt = before.CreatedAt
	case !errors.As(err, &missing) || missing.Kind != KindNotFound:
		return nil, false, err
	}
	if p.CreatedAt.IsZero() {
		now, err := e.store.Time(ctx)
		if err != nil {
			return nil, false, err
		}
		p.CreatedAt = now.UTC()
	}
	created, err := e.store.PutProject(ctx, p)
	return &p, created, err
}

// paged cuts a page out of a list that is sorted by its unique names.
func paged[T any](all []T, page Page, name func(T) string) ([]T, string) {
	from := 0
	for page.Cursor != "" && from < len(all) && name(all[from]) <= page.Cursor {
		from++
	}
	till := min(from+page.Limit, len(all))
	if till < len(all) {
		return all[from:till], name(all[till-1])
	}
	return all[from:till], ""
}
