package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Cause is why an execution did not succeed: how one of its tasks failed, or what ended it as a whole.
type Cause struct {
	Fingerprint string `json:"f"`
	Type        string `json:"t,omitempty"` // "" = the execution as a whole
	Task        string `json:"r,omitempty"` // its ref, without items and iterations
	Code        string `json:"c"`
	Message     string `json:"m"` // cut to causeMessage bytes
}

// Failed says how an execution failed last.
type Failed struct {
	At     time.Time
	Causes []Cause
}

const (
	causesRead   = 200 // failed tasks of an execution of which the error is read
	causesMost   = 20  // groups that one failure counts in
	causeMessage = 400
)

// causes answers why an execution ends as it does, each group of failures once. What holds others failed because of what is in it,
// and a task whose failure was allowed is no cause; of a task inside a for_each all items count.
func (e *Engine) causes(ctx context.Context, id string, p *program, recs map[string]Record, end workflow.Ending, first *workflow.Error, whole bool) ([]Cause, error) {
	var all []Cause
	if end.Status != workflow.ExecutionFailed && end.Status != workflow.ExecutionTimedOut {
		return nil, nil
	}
	if !whole {
		failed := failedTasks(recs)
		reasons, err := e.reasons(ctx, id, p, recs, failed, first)
		if err != nil {
			return nil, err
		}
		for i, ref := range failed {
			if at, ok := p.Place(ref); ok && reasons[i] != nil {
				all = appendCause(all, at.Type, at.Path, reasons[i])
			}
		}
	}
	if len(all) == 0 && end.Error != nil {
		all = appendCause(all, "", "", end.Error)
	}
	return all, nil
}

// reasons are the errors of failed tasks. Of a single one it is mostly the first failure, which is known; it is not where that was settled by hand since.
func (e *Engine) reasons(ctx context.Context, id string, p *program, recs map[string]Record, failed []string, first *workflow.Error) ([]*workflow.Error, error) {
	if len(failed) == 1 && first != nil {
		if at, ok := p.Place(failed[0]); ok && first.Fingerprint == workflow.Fingerprint(at.Type, at.Path, first) {
			return []*workflow.Error{first}, nil
		}
	}
	attempts := make([]int, len(failed))
	for i, ref := range failed {
		attempts[i] = recs[ref].Attempt
	}
	values, err := e.store.TaskValues(ctx, id, failed, attempts, true)
	if err != nil {
		return nil, err
	}
	reasons := make([]*workflow.Error, len(failed))
	for i := range values {
		reasons[i] = values[i].Error
	}
	return reasons, nil
}

func appendCause(all []Cause, taskType, ref string, why *workflow.Error) []Cause {
	f := why.Fingerprint
	if f == "" {
		f = workflow.Fingerprint(taskType, ref, why)
	}
	if len(all) == causesMost || slices.ContainsFunc(all, func(c Cause) bool { return c.Fingerprint == f }) {
		return all
	}
	return append(all, Cause{Fingerprint: f, Type: taskType, Task: ref, Code: why.Code, Message: shortened(why.Message, causeMessage)})
}

// failedTasks are the refs of tasks that failed and are not allowed to, innermost ones only, in order; at most causesRead.
func failedTasks(recs map[string]Record) []string {
	failed := map[string]bool{}
	for ref, rec := range recs {
		if (rec.Status == workflow.TaskFailed || rec.Status == workflow.TaskTimedOut) && !rec.Continued {
			failed[ref] = true
		}
	}
	holds := map[string]bool{}
	for ref := range failed {
		holds[workflow.Outside(ref)] = true
	}
	var refs []string
	for ref := range failed {
		cause := !holds[ref]
		for up := workflow.Outside(ref); up != "" && cause; up = workflow.Outside(up) {
			cause = failed[up] // else what holds it goes on all the same
		}
		if cause {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs[:min(len(refs), causesRead)]
}

// shortened cuts text to a number of bytes, at a rune.
func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// FailureState is what operators said of a group of failures.
type FailureState string

// The states of a group of failures. A new failure opens a resolved one again; an acknowledged one stays so.
const (
	FailureOpen         FailureState = "open"
	FailureAcknowledged FailureState = "acknowledged"
	FailureResolved     FailureState = "resolved"
)

// FailureStates are all of them.
var FailureStates = []FailureState{FailureOpen, FailureAcknowledged, FailureResolved}

// FailureHours is how many hours the trend of a group of failures has.
const FailureHours = 48

// FailureGroup is the failures that have the same fingerprint. Sub-executions count through the execution that they are a part of.
type FailureGroup struct {
	Fingerprint string
	State       FailureState
	StateAt     time.Time // when it became so
	By, Note    string    // of who said so
	ReopenedAt  *time.Time
	Type        string // of the task, "" = the execution as a whole
	Task        string // ref, without items and iterations
	Code        string
	Message     string // of the first failure
	Open        int    // executions that are open failures: neither redriven with success nor superseded by one that succeeded
	Executions  int    // executions that ever failed so and are still kept
	FirstSeen   time.Time
	LastSeen    time.Time
	Workflows   []string          // those that failed so last, the last one first
	Trend       [FailureHours]int // failures per hour; the last one is the present hour
	Samples     []string          // ids of open failures, the newest first; only of one group
}

// FailureFilter narrows a list of groups of failures. Zero fields do not narrow.
type FailureFilter struct {
	State    []FailureState
	Workflow string
}

// Failures keeps the groups of failures of a project. Index files executions under them.
type Failures interface {
	// FailureGroups answers a page of groups, the last seen first; a page that a filter thins out may be short.
	FailureGroups(ctx context.Context, project string, f FailureFilter, page Page) ([]FailureGroup, string, error)
	// FailureGroup answers one group with up to samples executions; nil when there is none.
	FailureGroup(ctx context.Context, project, fingerprint string, samples int) (*FailureGroup, error)
	// OpenFailures answers a page of the ids of the executions that are open failures in a group, the oldest first.
	OpenFailures(ctx context.Context, project, fingerprint string, page Page) (ids []string, next string, err error)
	// StillOpen reports which executions are open failures in a group.
	StillOpen(ctx context.Context, project, fingerprint string, ids []string) ([]bool, error)
	// JudgeFailures sets the state of a group; ErrGone when there is none.
	JudgeFailures(ctx context.Context, project, fingerprint string, to FailureState, by, note string) error
}

const (
	samplesShown = 10
	noteMost     = 2000
)

// FailureGroups answers a page of a project's groups of failures, the last seen first.
func (e *Engine) FailureGroups(ctx context.Context, project string, f FailureFilter, page Page) ([]FailureGroup, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	return e.store.FailureGroups(ctx, project, f, page.filled())
}

// FailureGroup answers one group of failures with some of its executions.
func (e *Engine) FailureGroup(ctx context.Context, project, fingerprint string) (*FailureGroup, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	if !workflow.ValidFingerprint(fingerprint) {
		return nil, NotFound("failure", fingerprint)
	}
	g, err := e.store.FailureGroup(ctx, project, fingerprint, samplesShown)
	if err == nil && g == nil {
		err = NotFound("failure", fingerprint)
	}
	return g, err
}

// OpenFailures answers a page of the ids of the executions that are open failures in a group, the oldest first.
func (e *Engine) OpenFailures(ctx context.Context, project, fingerprint string, page Page) ([]string, string, error) {
	return e.store.OpenFailures(ctx, project, fingerprint, page.filled())
}

// JudgeFailures sets the state of a group of failures.
func (e *Engine) JudgeFailures(ctx context.Context, project, fingerprint string, to FailureState, by, note string) (*FailureGroup, error) {
	if len(note) > noteMost {
		return nil, Invalid("request_invalid", "the note cannot be kept", workflow.Problem{
			Field: "note", Code: "too_long", Message: fmt.Sprintf("has %d bytes", len(note)), Allowed: fmt.Sprintf("at most %d", noteMost),
		})
	}
	if _, err := e.FailureGroup(ctx, project, fingerprint); err != nil {
		return nil, err
	}
	err := e.store.JudgeFailures(ctx, project, fingerprint, to, cmp.Or(by, "operator"), note)
	if err != nil && harmless(err) == nil {
		return nil, NotFound("failure", fingerprint)
	}
	if err != nil {
		return nil, err
	}
	return e.FailureGroup(ctx, project, fingerprint)
}
