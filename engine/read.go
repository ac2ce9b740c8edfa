package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/workflow"
)

// Execution answers an execution by its id or its number.
func (e *Engine) Execution(ctx context.Context, id string) (*Execution, error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, err
	}
	x, err := e.store.Execution(ctx, full, true)
	if errors.Is(err, ErrGone) {
		return nil, NotFound("execution", id)
	}
	return x, err
}

func (e *Engine) findID(ctx context.Context, id string) (string, error) {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
		found, err := e.store.FindNumber(ctx, n)
		if err == nil && found == "" {
			err = NotFound("execution", id)
		}
		return found, err
	}
	if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
		return "", NotFound("execution", id)
	}
	return id, nil
}

// Executions answers a page of executions, newest first. A page that a filter
// thins out may be short; the list ends where the cursor is "".
func (e *Engine) Executions(ctx context.Context, project string, f ExecutionFilter, page Page) ([]Execution, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	return e.store.List(ctx, project, f, page.filled())
}

// ExecutionDefinition answers what an execution runs, whichever version that is, or its own.
func (e *Engine) ExecutionDefinition(ctx context.Context, x *Execution) (*workflow.Definition, error) {
	p, err := e.program(ctx, x.Project, x.DefinitionHash, x.ID)
	if err != nil {
		return nil, err
	}
	return p.Definition, nil
}

// Tasks answers the tasks of an execution in a topological order, those inside
// another behind it. What holds others shows no output here, for it is made of theirs: see Task.
func (e *Engine) Tasks(ctx context.Context, id string, page Page) ([]Task, string, error) {
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, "", err
	}
	all, err := e.placedTasks(ctx, x.ID, p)
	if err != nil {
		return nil, "", err
	}
	page = page.filled()
	from := 0
	if page.Cursor != "" {
		from = len(all)
		if i := slices.IndexFunc(all, func(t placed) bool { return t.Ref == page.Cursor }); i >= 0 {
			from = i + 1
		}
	}
	till := min(from+page.Limit, len(all))
	tasks, err := e.readTasks(ctx, x, all[from:till])
	next := ""
	if till < len(all) {
		next = all[till-1].Ref
	}
	return tasks, next, err
}

// TasksWhere answers those of the tasks of an execution that are wanted. It is asked of each as Tasks has it but for its values:
// only those of the ones that are wanted are read.
func (e *Engine) TasksWhere(ctx context.Context, id string, wanted func(*Task) bool) ([]Task, error) {
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := e.placedTasks(ctx, x.ID, p)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t placed) bool {
		task := t.task()
		return !wanted(&task)
	})
	if len(all) == 0 {
		return nil, nil
	}
	return e.readTasks(ctx, x, all)
}

// Task answers one task of an execution. The ref of one inside a sub-workflow stands behind its task and a slash.
func (e *Engine) Task(ctx context.Context, id, ref string) (*Task, error) {
	x, p, t, err := e.innerTask(ctx, id, ref)
	if err != nil {
		return nil, err
	}
	tasks, err := e.readTasks(ctx, x, []placed{t})
	if err != nil {
		return nil, err
	}
	if t.Holds() && (t.rec.Status == workflow.TaskSucceeded || t.rec.Continued) {
		outputs, err := e.views(ctx, x.ID, p, []string{t.Ref})
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return nil, err
		}
		if err == nil {
			tasks[0].Output = outputs[0]
		}
	}
	return &tasks[0], nil
}

func (e *Engine) open(ctx context.Context, id string) (*Execution, *program, error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	x, err := e.store.Execution(ctx, full, false)
	if errors.Is(err, ErrGone) {
		return nil, nil, NotFound("execution", id)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := e.program(ctx, x.Project, x.DefinitionHash, x.ID)
	return x, p, err
}

func (e *Engine) readTasks(ctx context.Context, x *Execution, all []placed) ([]Task, error) {
	refs, attempts := make([]string, len(all)), make([]int, len(all))
	for i, t := range all {
		refs[i], attempts[i] = t.Ref, t.rec.Attempt
	}
	values, err := e.store.TaskValues(ctx, x.ID, refs, attempts, true)
	if err != nil {
		return nil, err
	}
	tasks := make([]Task, len(all))
	for i, t := range all {
		tasks[i] = t.task()
		tasks[i].Output = values[i].Output
		if t.rec.Begun() {
			tasks[i].Input, tasks[i].Error, tasks[i].Progress = values[i].Input, values[i].Error, values[i].Progress
		}
	}
	return tasks, nil
}

// task is a task without its values.
func (t placed) task() Task {
	rec := t.rec
	return Task{
		Ref: t.Ref, Name: t.Task.Name, Type: t.Type, Needs: t.SiblingRefs(t.Needs), Status: rec.Status, Reason: rec.Reason,
		Attempt: rec.Attempt, Dispatch: rec.Dispatch, Try: rec.Try, MaxAttempts: t.Retry.MaxAttempts,
		Queue: t.Queue, Worker: rec.Worker, Effects: t.Effects, QueuedAt: at(rec.Queued), StartedAt: at(rec.Started),
		EndedAt: at(rec.Ended), NextAttemptAt: at(rec.Due), Redrive: rec.Redrive, Size: rec.Size, Child: rec.Child,
	}
}

func at(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// Attempts answers every attempt ever made of a task, oldest first.
func (e *Engine) Attempts(ctx context.Context, id, ref string, page Page) ([]Attempt, string, error) {
	x, _, t, err := e.innerTask(ctx, id, ref)
	if err != nil {
		return nil, "", err
	}
	now := t.rec
	former, err := e.store.Attempts(ctx, x.ID, t.Ref, now.Attempt)
	if err != nil {
		return nil, "", err
	}
	all, err := e.readAttempts(ctx, x, t.Place, former, false)
	if err != nil {
		return nil, "", err
	}
	// A task that waits for its retry, or to be reached again, shows its last attempt among the former ones.
	if now.Attempt > 0 && (len(former) == 0 || former[len(former)-1].Attempt < now.Attempt) {
		newest, err := e.readAttempts(ctx, x, t.Place, []Record{now}, true)
		if err != nil {
			return nil, "", err
		}
		all = append(all, newest...)
	}
	items, next := pagedBy(all, page.filled(), func(a Attempt) int64 { return int64(a.Attempt) })
	return items, next, nil
}

func (e *Engine) readAttempts(ctx context.Context, x *Execution, t workflow.Place, recs []Record, current bool) ([]Attempt, error) {
	refs, attempts := make([]string, len(recs)), make([]int, len(recs))
	for i, rec := range recs {
		refs[i], attempts[i] = t.Ref, rec.Attempt
	}
	values, err := e.store.TaskValues(ctx, x.ID, refs, attempts, current)
	if err != nil {
		return nil, err
	}
	all := make([]Attempt, len(recs))
	for i, rec := range recs {
		all[i] = Attempt{
			Attempt: rec.Attempt, Redrive: rec.Redrive, Status: rec.Status, Reason: rec.Reason, Worker: rec.Worker, Dispatch: rec.Dispatch,
			Input: values[i].Input, Output: values[i].Output, Error: values[i].Error, Progress: values[i].Progress, Queue: t.Queue,
			QueuedAt: at(rec.Queued), StartedAt: at(rec.Started), EndedAt: at(rec.Ended),
		}
	}
	return all, nil
}

// pagedBy cuts a page out of a list that is sorted by its numbers.
func pagedBy[T any](all []T, page Page, number func(T) int64) ([]T, string) {
	after, err := strconv.ParseInt(page.Cursor, 10, 64)
	if err != nil {
		after = 0
	}
	from := 0
	for from < len(all) && number(all[from]) <= after {
		from++
	}
	till := min(from+page.Limit, len(all))
	if till < len(all) {
		return all[from:till], strconv.FormatInt(number(all[till-1]), 10)
	}
	return all[from:till], ""
}

// History answers what happened to an execution, oldest first.
func (e *Engine) History(ctx context.Context, id string, page Page) ([]Event, string, error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, "", err
	}
	page = page.filled()
	after, err := seq(page.Cursor)
	if err != nil {
		return nil, "", err
	}
	events, err := e.store.Events(ctx, full, after, page.Limit+1)
	if err != nil {
		return nil, "", err
	}
	if len(events) == 0 {
		if _, err := e.Execution(ctx, full); err != nil {
			return nil, "", err
		}
	}
	if len(events) > page.Limit {
		return events[:page.Limit], events[page.Limit-1].Seq, nil
	}
	return events, "", nil
}

func seq(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 0 {
		return 0, Invalid("cursor_invalid", "the list cannot be read from there", workflow.Problem{
			Field: "cursor", Code: "cursor_invalid", Message: fmt.Sprintf("%q is no place in a history", cursor), Allowed: "a next_cursor, or the id of an event",
		})
	}
	return n, nil
}

const (
	watchPage  = 500
	watchPause = 100 * time.Millisecond // between looks at an execution that is watched
)

// Watch answers the events behind `after` ("" = all), and waits for the first
// of them. ended says that the execution ended and all its events were answered.
func (e *Engine) Watch(ctx context.Context, id, after string) (events []Event, ended bool, err error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, false, err
	}
	from, err := seq(after)
	if err != nil {
		return nil, false, err
	}
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for {
		x, err := e.store.Execution(ctx, full, false)
		if errors.Is(err, ErrGone) {
			return nil, false, NotFound("execution", id)
		}
		if err != nil {
			return nil, false, err
		}
		events, err := e.store.Events(ctx, full, from, watchPage)
		if err != nil {
			return nil, false, err
		}
		ended := x.Status.Ended() && len(events) < watchPage
		if len(events) > 0 || ended {
			return events, ended, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-ticker.C:
		}
	}
}

// StatusCounts counts the executions of a project by status.
func (e *Engine) StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error) {
	return e.store.StatusCounts(ctx, project)
}

// countedExecutions is how many live executions of a project TaskCounts looks at.
const countedExecutions = 5000

// TaskCounts counts the tasks of a project's executions that have not ended, by
// status; of the newest 5,000 per status of the execution.
func (e *Engine) TaskCounts(ctx context.Context, project string) (map[workflow.TaskStatus]int64, error) {
	return e.store.TaskCounts(ctx, project, countedExecutions)
}

// Graph is an execution's tasks and what depends on what.
type Graph struct {
	Of    Execution   `json:"-"`
	Nodes []GraphNode `json:"nodes"`
	Edges []GraphEdge `json:"edges"`
}

// GraphNode is a task as a graph shows it.
type GraphNode struct {
	Ref     string              `json:"ref"`
	Name    string              `json:"name"`
	Type    string              `json:"type"`
	Status  workflow.TaskStatus `json:"status"`
	Attempt int                 `json:"attempt"`
	Inside  string              `json:"inside,omitempty"` // ref of the task that holds it
	Holds   bool                `json:"holds,omitempty"`  // others are, or may be, inside
}

// GraphEdge says that To needs From.
type GraphEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Graph answers an execution's graph with the present statuses.
func (e *Engine) Graph(ctx context.Context, id string) (*Graph, error) {
	x, p, err := e.open(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := e.placedTasks(ctx, x.ID, p)
	if err != nil {
		return nil, err
	}
	g := &Graph{Of: *x, Nodes: []GraphNode{}, Edges: []GraphEdge{}}
	for _, t := range all {
		g.Nodes = append(g.Nodes, GraphNode{
			Ref: t.Ref, Name: t.Task.Name, Type: t.Type, Status: t.rec.Status, Attempt: t.rec.Attempt,
			Inside: workflow.Outside(t.Ref), Holds: t.Holds(),
		})
		for _, need := range t.SiblingRefs(t.Needs) {
			g.Edges = append(g.Edges, GraphEdge{From: need, To: t.Ref})
		}
	}
	return g, nil
}
