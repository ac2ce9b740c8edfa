package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// redriving is a redrive that is planned.
type redriving struct {
	r       RedriveRequest
	asked   *Execution // the one that was named
	top     *Execution // the outermost one that changes
	alone   bool       // top is a part of another execution, which goes on without it
	path    string     // from top to asked: the refs of the tasks, each with a slash behind it
	target  *program   // what asked is to run from
	version int
	input   json.RawMessage // of asked, instead of its own; nil = as it was
	cases   map[*workflow.Case]*facts
	paths   map[string]*workflow.Case // the same, by the refs that lead to them from top, each with a slash behind it
	planned *workflow.Planned
}

// facts are what was read of an execution that a redrive may change.
type facts struct {
	x    *Execution
	p    *program // what it is to run from
	recs map[string]Record
}

// errAgain says that something is to be settled before a plan can be made: look again.
var errAgain = fmt.Errorf("engine: it is to be looked at again: %w", ErrMoved)

// prepare plans a redrive on what is there now.
func (e *Engine) prepare(ctx context.Context, id string, r RedriveRequest) (*redriving, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	x, err := e.Execution(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &redriving{r: r, asked: x, top: x, cases: map[*workflow.Case]*facts{}, paths: map[string]*workflow.Case{}}
	if problems := r.Check(); len(problems) > 0 {
		return nil, cannot(problems...)
	}
	m.r = r
	if err := allowed(x, &r); err != nil {
		return nil, err
	}
	if err := e.targetOf(ctx, m); err != nil {
		return nil, err
	}
	if err := e.inputOf(ctx, m); err != nil {
		return nil, err
	}
	if err := e.ascend(ctx, m); err != nil {
		return nil, err
	}
	request := m.within()
	c, err := e.loadCase(ctx, m, m.top, "", request)
	if err != nil {
		return nil, err
	}
	planned, problems := request.Make(c)
	for i := range problems {
		p := &problems[i]
		p.Field, p.Message, p.Allowed = m.asAsked(p.Field), m.asAsked(p.Message), m.asAsked(p.Allowed)
	}
	if len(problems) > 0 {
		return nil, cannot(problems...)
	}
	m.planned = planned
	if err := e.checkRoom(ctx, m); err != nil {
		return nil, err
	}
	return m, e.complete(ctx, m)
}

// cannot refuses a request for what it says.
func cannot(problems ...workflow.Problem) *Error {
	return Invalid("request_invalid", "the execution cannot be redriven so", problems...)
}

// allowed refuses what the status of an execution forbids.
func allowed(x *Execution, r *RedriveRequest) error {
	switch {
	case x.Status == workflow.ExecutionCanceling && r.Operation != workflow.OperationRetry:
		return Conflict("execution_canceling", "execution %s is canceling; redrive it when it is canceled", x.ID)
	case r.Operation == workflow.OperationRetry && x.Status == workflow.ExecutionSucceeded && len(r.From) == 0:
		return Conflict("nothing_to_retry", "execution %s has succeeded: there is nothing to retry; rerun runs it again", x.ID)
	case r.Operation == workflow.OperationRetry && !x.Status.Ended():
		return Conflict("not_retryable", "execution %s is %s; retry is possible when it is failed, timed_out or canceled; rerun is always", x.ID, x.Status)
	case r.Identity == workflow.NewExecution && x.Parent != nil:
		return cannot(workflow.Problem{
			Field: "identity", Code: "not_allowed", Message: "execution " + x.ID + " is a part of execution " + x.Parent.Execution, Allowed: "in_place, or redrive that one",
		})
	case r.AttemptName != "" && (x.Session == nil || r.Identity != workflow.NewExecution):
		return cannot(workflow.Problem{
			Field: "attempt_name", Code: "no_session", Message: "is the name of a new execution in a session", Allowed: "with identity new_execution, of an execution with a session_time",
		})
	case x.Redrives >= maxRedrives:
		return Conflict("history_full", "execution %s was redriven %d times; start a new one", x.ID, x.Redrives)
	}
	return nil
}

// maxRedrives is how often an execution may be redriven.
const maxRedrives = 1000

// targetOf finds what the execution is to run from.
func (e *Engine) targetOf(ctx context.Context, m *redriving) error {
	hash := m.asked.DefinitionHash
	m.version = m.asked.Version
	if d := m.r.Definition; d != "" && d != "same" {
		if m.asked.Inline() {
			return cannot(workflow.Problem{
				Field: "definition", Code: "not_allowed", Message: "cannot be another one: the task that began the execution gave it its definition, which has no versions",
				Allowed: "same; or rerun the task that makes the definition",
			})
		}
		version, err := strconv.Atoi(d)
		if d != "latest" && (err != nil || version < 1) {
			return cannot(workflow.Problem{
				Field: "definition", Code: "not_allowed", Message: strconv.Quote(d) + " names no version", Allowed: "same, latest, or the number of a version",
			})
		}
		head, err := e.store.Head(ctx, m.asked.Project, m.asked.Workflow, version)
		if err != nil {
			return err
		}
		if head.Hash == "" {
			if _, err := e.Workflow(ctx, m.asked.Project, m.asked.Workflow, version); err != nil {
				return err // it says what is missing
			}
			return ErrMoved
		}
		hash, m.version = head.Hash, head.Version
	}
	var err error
	m.target, err = e.program(ctx, m.asked.Project, hash, m.asked.ID)
	return err
}

// inputOf computes the input that a request gives, and checks it.
func (e *Engine) inputOf(ctx context.Context, m *redriving) error {
	given := bytes.TrimSpace(m.r.WorkflowInput)
	m.input = nil
	switch {
	case len(given) == 0 && m.target.Hash == m.asked.DefinitionHash:
		return nil
	case len(given) == 0:
		given = m.asked.Input
	case m.r.InputMode == workflow.InputMerge:
		merged, err := workflow.MergeJSON(m.asked.Input, given)
		if err != nil {
			return cannot(workflow.Problem{
				Field: "workflow_input", Code: "format", Message: err.Error(), Allowed: "a JSON merge patch",
			})
		}
		given = merged
	}
	if problems := m.target.CheckInput(given); len(problems) > 0 {
		for i := range problems {
			problems[i].Field = "workflow_" + problems[i].Field
			if problems[i].Allowed == "" {
				problems[i].Allowed = "a value that fits input_schema"
			}
		}
		return Invalid("request_invalid", "the input does not fit the workflow's input_schema", problems...)
	}
	if !workflow.SameJSON(given, m.asked.Input) {
		m.input = given
	}
	return nil
}

// ascend finds the outermost execution that goes on with this one. An ancestor is
// left alone whose task does not point to it any more, or ended well without it.
func (e *Engine) ascend(ctx context.Context, m *redriving) error {
	for m.top.Parent != nil {
		above, err := e.store.Execution(ctx, m.top.Parent.Execution, true)
		if errors.Is(err, ErrGone) {
			m.alone = true
			return nil
		}
		if err != nil {
			return err
		}
		holders := holdersOf(m.top.Parent.Task)
		recs, err := e.store.Records(ctx, above.ID, append(holders, m.top.Parent.Task))
		if err != nil {
			return err
		}
		if !present(recs, m.top.Parent.Task) { // it is of an attempt that another one takes the place of
			m.alone = true
			return nil
		}
		rec := recs[m.top.Parent.Task]
		switch {
		case rec.Child != m.top.ID, rec.Rearmed != "", rec.Continued, rec.Status == workflow.TaskSkipped,
			rec.Status == workflow.TaskSucceeded && m.top.Status != workflow.ExecutionSucceeded: // by hand
			m.alone = true
			return nil
		case rec.Status == workflow.TaskPending:
			return Conflict("about_to_run", "execution %s goes on as soon as its task %s in execution %s has its turn; redrive it when it has ended", m.top.ID, m.top.Parent.Task, above.ID)
		case rec.Status != workflow.TaskRetrying && !rec.Status.Ended() && m.top.Status.Ended(): // it is told just now, or about to go on
			if err := e.Advance(ctx, above.ID); err != nil {
				return err
			}
			return errAgain
		case rec.Status != workflow.TaskRetrying && !rec.Status.Ended():
			return nil
		case above.Status == workflow.ExecutionCanceling:
			return Conflict("execution_canceling", "execution %s, which this one is a part of, is being canceled; redrive it when it is canceled", above.ID)
		} // a back-off is superseded
		m.path = m.top.Parent.Task + "/" + m.path
		m.top = above
	}
	return nil
}

// began reports whether what a task holds is of its newest attempt.
func began(rec Record) bool { return rec.Control != "" && rec.Rearmed == "" || rec.Keep != "" }

// present reports whether a task is of the newest attempts of all that hold it.
func present(recs map[string]Record, ref string) bool {
	for _, holder := range holdersOf(ref) {
		if !began(recs[holder]) {
			return false
		}
	}
	return true
}

func holdersOf(ref string) (holders []string) {
	for holder := workflow.Outside(ref); holder != ""; holder = workflow.Outside(holder) {
		holders = append(holders, holder)
	}
	return holders
}

// within is the request as one of the outermost execution.
func (m *redriving) within() *workflow.Redrive {
	r := m.r.Redrive
	if m.path == "" {
		return &r
	}
	r.From = nil
	for _, ref := range m.r.From {
		r.From = append(r.From, m.absolute(ref))
	}
	if len(r.From) == 0 && (r.Operation == workflow.OperationRetry || r.Operation == workflow.OperationRerun) {
		r.From = []string{m.path}
	}
	under := func(values map[string]json.RawMessage) map[string]json.RawMessage {
		out := make(map[string]json.RawMessage, len(values))
		for ref, v := range values {
			out[m.path+ref] = v
		}
		return out
	}
	r.TaskInput, r.Outputs = under(r.TaskInput), under(r.Outputs)
	r.Acknowledge = nil
	for _, ref := range m.r.Acknowledge {
		r.Acknowledge = append(r.Acknowledge, m.absolute(ref))
	}
	return &r
}

// up leads from the refs of an execution to those of the one that it is a part of.
const up = "../"

// absolute is a ref of the execution that was named as one of the outermost execution.
func (m *redriving) absolute(ref string) string {
	steps := strings.Split(strings.TrimSuffix(m.path, "/"), "/")
	if m.path == "" {
		steps = nil
	}
	for strings.HasPrefix(ref, up) && len(steps) > 0 {
		ref, steps = ref[len(up):], steps[:len(steps)-1]
	}
	return strings.Join(append(steps, ref), "/")
}

// asAsked is a text of the planner with the refs in it as they are in the execution that was named.
func (m *redriving) asAsked(text string) string {
	if m.path == "" {
		return text
	}
	return regexp.MustCompile(`(^|[^\w/-])`+regexp.QuoteMeta(m.path)).ReplaceAllString(text, "$1")
}

// relative is a ref of the outermost execution as the one that was named sees it.
func (m *redriving) relative(ref string) string {
	if m.path == "" {
		return ref
	}
	steps := strings.Split(strings.TrimSuffix(m.path, "/"), "/")
	for len(steps) > 0 && strings.HasPrefix(ref, steps[0]+"/") {
		ref, steps = ref[len(steps[0])+1:], steps[1:]
	}
	return strings.Repeat(up, len(steps)) + ref
}

// loadCase reads what the planner needs of an execution, and of the sub-executions that the request reaches.
func (e *Engine) loadCase(ctx context.Context, m *redriving, x *Execution, path string, r *workflow.Redrive) (*workflow.Case, error) {
	if x.Applying { // a plan rests on the whole of the redrive before
		if err := e.Advance(ctx, x.ID); err != nil {
			return nil, err
		}
		return nil, errAgain
	}
	p, err := e.program(ctx, x.Project, x.DefinitionHash, x.ID)
	if err != nil {
		return nil, err
	}
	recs, err := e.store.Records(ctx, x.ID, nil)
	if err != nil {
		return nil, err
	}
	f := &facts{x: x, p: p, recs: recs}
	c := &workflow.Case{
		Execution: x.ID, Status: x.Status, Epoch: x.Redrives, Revision: x.Revision, Program: p.Program, Target: p.Program,
		Tasks: make(map[string]workflow.Past, len(recs)), Items: map[string][]string{}, Children: map[string]*workflow.Case{},
	}
	if x.ID == m.asked.ID {
		f.p, c.Target, c.InputChanged = m.target, m.target.Program, m.input != nil
		if m.target.Hash == p.Hash {
			c.Target = c.Program
		}
	}
	m.cases[c], m.paths[path] = f, c
	var each []string
	for ref, rec := range recs {
		c.Tasks[ref] = workflow.Past{
			TaskState: workflow.TaskState{Status: rec.Status, Attempt: rec.Attempt, Continued: rec.Continued},
			Try:       rec.Try, Size: rec.Size, Child: rec.Child, Hash: rec.Hash, Given: rec.Given != "", Began: began(rec), Same: true,
		}
		if at, ok := p.Place(ref); ok && at.Role == workflow.RoleEach && rec.Attempt > 0 {
			each = append(each, ref)
		}
	}
	lists, err := e.store.ItemKeys(ctx, x.ID, each)
	if err != nil {
		return nil, err
	}
	for i, ref := range each {
		c.Items[ref] = lists[i]
	}
	if err := e.loadChildren(ctx, m, c, path, r); err != nil {
		return nil, err
	}
	return c, e.foresee(ctx, m, c, r)
}

// loadChildren reads the sub-executions that a request reaches.
func (e *Engine) loadChildren(ctx context.Context, m *redriving, c *workflow.Case, path string, r *workflow.Redrive) error {
	if r.Identity == workflow.NewExecution {
		return nil
	}
	for ref, rec := range m.cases[c].recs {
		if rec.Child == "" || rec.Rearmed != "" || !reaches(r, path+ref, rec) || !present(m.cases[c].recs, ref) {
			continue
		}
		x, err := e.store.Execution(ctx, rec.Child, true)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		if rec.Status == workflow.TaskPending {
			return Conflict("about_to_run", "execution %s goes on as soon as its task %s in execution %s has its turn; redrive it when it has ended", x.ID, ref, c.Execution)
		}
		if rec.Status != workflow.TaskRetrying && !rec.Status.Ended() && x.Status.Ended() {
			if err := e.Advance(ctx, c.Execution); err != nil { // it is told just now, or about to go on
				return err
			}
			return errAgain
		}
		if rec.Status.Ended() && !x.Status.Ended() && x.Status != workflow.ExecutionCanceling {
			return Conflict("runs_alone", "execution %s was redriven by itself, and runs; redrive it, or wait for its end", x.ID)
		}
		if x.Status == workflow.ExecutionCanceling {
			return Conflict("execution_canceling", "execution %s, a part of this one, is being canceled; redrive it when it is canceled", x.ID)
		}
		if c.Children[ref], err = e.loadCase(ctx, m, x, path+ref+"/", r); err != nil {
			return err
		}
	}
	if rest, ok := strings.CutPrefix(m.path, path); ok && rest != "" {
		if task, _, _ := strings.Cut(rest, "/"); c.Children[task] == nil {
			return errAgain // it moved on since the way up was found
		}
	}
	return nil
}

// reaches reports whether a request may reach into the sub-execution of a task.
func reaches(r *workflow.Redrive, task string, rec Record) bool {
	inside := func(ref string) bool { return strings.HasPrefix(ref, task+"/") }
	given, fresh := r.TaskInput[task] // another input goes into a fresh sub-execution
	fresh = fresh && (rec.Given != "" || string(given) != "null")
	for _, ref := range r.From {
		if inside(ref) || !fresh && r.Subworkflows == workflow.SubworkflowsResume && (ref == task || strings.HasPrefix(task, ref+"/")) {
			return true
		}
	}
	for _, values := range []map[string]json.RawMessage{r.TaskInput, r.Outputs} {
		for ref := range values {
			if inside(ref) {
				return true
			}
		}
	}
	if fresh || r.Operation != workflow.OperationRetry || r.Subworkflows == workflow.SubworkflowsRestart || !rec.Status.Ended() || rec.Status == workflow.TaskSucceeded || rec.Status == workflow.TaskSkipped {
		return false
	}
	for _, ref := range r.From { // where tasks were named, only what these hold
		within := workflow.Within(ref, task) || strings.HasSuffix(ref, "/") && strings.HasPrefix(task, ref)
		if ref == task || within && !rec.Continued {
			return true
		}
	}
	return len(r.From) == 0 && !rec.Continued
}

// deadline of an execution that is redriven.
func (f *facts) deadline() time.Duration { return f.x.timeout(f.p) }
