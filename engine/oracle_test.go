package engine_test

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// oracle is the state of one execution by the rules, without Redis, scripts,
// counters or agendas: what the real thing must agree with after every step.
type oracle struct {
	p          *workflow.Program
	id         string
	number     int64
	version    int
	input      json.RawMessage
	now        time.Duration // what the test moved the clock by
	crashLimit int
	lease      time.Duration

	status workflow.ExecutionStatus
	epoch  int
	tasks  map[string]*oracleTask
	open   map[string]bool // to be decided
}

type oracleTask struct {
	status                       workflow.TaskStatus
	attempt, dispatch, try, lost int
	redrive                      int // in which it last ran, or failed without a run
	continued, held              bool
	output                       json.RawMessage
	leased, due                  time.Duration
	outcomes                     map[int]workflow.TaskStatus // of attempts that are over
}

func newOracle(p *workflow.Program, x *engine.Execution) *oracle {
	o := &oracle{
		p: p, id: x.ID, number: x.Number, version: x.Version, input: x.Input, crashLimit: 3,
		status: workflow.ExecutionRunning, tasks: map[string]*oracleTask{}, open: map[string]bool{},
	}
	for _, n := range p.Nodes {
		o.tasks[n.Path] = &oracleTask{status: workflow.TaskPending, outcomes: map[int]workflow.TaskStatus{}}
	}
	for _, n := range p.Nodes {
		if len(n.Needs) == 0 {
			o.reach(n, n.Conditional)
		}
	}
	o.settle()
	return o
}

func (o *oracle) clone() *oracle {
	c := *o
	c.tasks, c.open = map[string]*oracleTask{}, maps.Clone(o.open)
	for ref, t := range o.tasks {
		copied := *t
		copied.outcomes = maps.Clone(t.outcomes)
		c.tasks[ref] = &copied
	}
	return &c
}

func (o *oracle) going() bool {
	return o.status == workflow.ExecutionRunning || o.status == workflow.ExecutionPaused
}

// move changes a task's status by the table, which must know the event.
func (o *oracle) move(ref string, event workflow.Event) {
	to, err := workflow.NextTask(o.tasks[ref].status, event)
	if err != nil {
		panic(err)
	}
	o.tasks[ref].status = to
}

func (o *oracle) moveExecution(event workflow.Event) error {
	to, err := workflow.NextExecution(o.status, event)
	if err == nil {
		o.status = to
	}
	return err
}

// reach is what becomes of a task all of whose needs ended well.
func (o *oracle) reach(n *workflow.Node, decide bool) {
	if decide {
		o.open[n.Path] = true
		return
	}
	o.move(n.Path, workflow.EventReady)
	o.enqueue(n.Path)
}

func (o *oracle) enqueue(ref string) {
	t := o.tasks[ref]
	t.attempt++
	t.try++
	t.dispatch, t.lost, t.due, t.redrive = 1, 0, 0, o.epoch
	t.held = o.status == workflow.ExecutionPaused
}

func (o *oracle) endedWell(ref string) bool {
	t := o.tasks[ref]
	return workflow.TaskState{Status: t.status, Continued: t.continued}.EndedWell()
}

// over is the end of a task: what it alone kept waiting is reached.
func (o *oracle) over(ref string) {
	t := o.tasks[ref]
	t.held = false
	if !o.endedWell(ref) {
		return
	}
	for _, dependent := range o.p.Node(ref).Dependents {
		n := o.p.Node(dependent)
		if o.tasks[dependent].status == workflow.TaskPending && !slices.ContainsFunc(n.Needs, func(r string) bool { return !o.endedWell(r) }) {
			o.reach(n, n.Conditional || t.status == workflow.TaskSkipped)
		}
	}
}

func (o *oracle) states() map[string]workflow.TaskState {
	states := map[string]workflow.TaskState{}
	for ref, t := range o.tasks {
		states[ref] = workflow.TaskState{Status: t.status, Attempt: t.attempt, Continued: t.continued}
	}
	return states
}

func (o *oracle) scope(reads []string) workflow.Scope {
	s := workflow.Scope{
		Workflow: workflow.WorkflowScope{ID: o.id, Number: o.number, Name: o.p.Definition.Name, Version: o.version, Input: o.input},
		Tasks:    map[string]workflow.TaskScope{},
	}
	for _, ref := range reads {
		t := o.tasks[ref]
		s.Tasks[ref] = workflow.TaskScope{Status: t.status, Output: t.output, Attempt: t.attempt}
	}
	return s
}

// fatal says whether something failed for good since the last redrive.
func (o *oracle) fatal() bool {
	for _, t := range o.tasks {
		if t.redrive == o.epoch && (t.status == workflow.TaskFailed || t.status == workflow.TaskTimedOut) && !t.continued {
			return true
		}
	}
	return false
}

func (o *oracle) active() (n int) {
	for _, t := range o.tasks {
		if t.status.Active() {
			n++
		}
	}
	return n
}

// settle does what the execution waits for, to the end.
func (o *oracle) settle() {
	for !o.status.Ended() {
		if o.status == workflow.ExecutionRunning {
			for _, t := range o.tasks {
				if t.held {
					t.held = false
					t.dispatch++
				}
			}
		}
		switch {
		case o.status == workflow.ExecutionCanceling:
			o.drop()
			_ = o.moveExecution(workflow.EventEndCancel)
		case o.p.Definition.FailFast && o.fatal() && (o.active() > 0 || len(o.open) > 0):
			o.drop()
		case len(o.open) > 0:
			open := slices.Sorted(maps.Keys(o.open))
			for _, ref := range open {
				o.decide(ref)
			}
		case o.active() > 0:
			return
		default:
			o.finish()
		}
	}
}

func (o *oracle) decide(ref string) {
	delete(o.open, ref)
	n, states := o.p.Node(ref), o.states()
	at, _ := o.p.Place(ref)
	v := at.Decide(func(r string) workflow.TaskState { return states[r] }, o.scope(n.IfReads.Tasks))
	switch v.Action {
	case workflow.ActionRun:
		o.reach(n, false)
	case workflow.ActionSkip:
		o.move(ref, workflow.EventSkip)
		o.over(ref)
	case workflow.ActionFail:
		o.move(ref, workflow.EventFail)
		o.tasks[ref].attempt++
		o.tasks[ref].dispatch = 1
		o.tasks[ref].outcomes[o.tasks[ref].attempt] = workflow.TaskFailed
		o.tasks[ref].redrive = o.epoch
		o.tasks[ref].continued = n.OnFailure == workflow.OnFailureContinue
		o.over(ref)
	}
}

// drop cancels what has not ended.
func (o *oracle) drop() {
	for ref, t := range o.tasks {
		if t.status.Ended() {
			continue
		}
		if t.status == workflow.TaskQueued || t.status == workflow.TaskRunning {
			t.outcomes[t.attempt] = workflow.TaskCanceled
		}
		o.move(ref, workflow.EventCancel)
		t.held = false
	}
	clear(o.open)
}

func (o *oracle) finish() {
	end := o.p.End(o.states(), nil)
	for _, ref := range end.Unreached {
		o.move(ref, workflow.EventCancel)
	}
	event := map[workflow.ExecutionStatus]workflow.Event{
		workflow.ExecutionSucceeded: workflow.EventSucceed, workflow.ExecutionFailed: workflow.EventEndFailed,
	}[end.Status]
	if end.Status == workflow.ExecutionSucceeded {
		if _, bad := o.p.Output(o.scope(o.p.OutputReads().Tasks)); bad != nil {
			event = workflow.EventEndFailed
		}
	}
	if end.Status == workflow.ExecutionCanceled { // what an earlier cancel left, after a retry of a part of it
		o.status = end.Status
		return
	}
	if err := o.moveExecution(event); err != nil {
		panic(err)
	}
}

// at is the task when the fence names its present delivery and its status is one of these.
func (o *oracle) at(f engine.Fence, statuses ...workflow.TaskStatus) *oracleTask {
	t := o.tasks[f.Ref]
	if t == nil || !o.going() || t.attempt != f.Attempt || t.dispatch != f.Dispatch || !slices.Contains(statuses, t.status) {
		return nil
	}
	return t
}

func (o *oracle) claim(f engine.Fence) error {
	t := o.tasks[f.Ref]
	if t != nil && t.attempt == f.Attempt && t.dispatch == f.Dispatch && t.dispatch > 0 &&
		(t.status == workflow.TaskFailed || t.status == workflow.TaskTimedOut) {
		return engine.ErrFailedBefore
	}
	t = o.at(f, workflow.TaskQueued)
	if t == nil {
		return engine.ErrStale
	}
	if o.status == workflow.ExecutionPaused {
		t.held = true
		return engine.ErrPaused
	}
	o.move(f.Ref, workflow.EventClaim)
	t.leased = o.now + o.lease
	return nil
}

func (o *oracle) complete(f engine.Fence, output json.RawMessage) error {
	t := o.at(f, workflow.TaskRunning)
	if t == nil {
		return engine.ErrStale
	}
	o.move(f.Ref, workflow.EventComplete)
	t.output = output
	t.outcomes[t.attempt] = t.status
	o.over(f.Ref)
	o.settle()
	return nil
}

func (o *oracle) fail(f engine.Fence, e *workflow.Error, timedOut bool) error {
	t := o.at(f, workflow.TaskRunning)
	if t == nil {
		return engine.ErrStale
	}
	n := o.p.Node(f.Ref)
	end, event := workflow.TaskFailed, workflow.EventFail
	if timedOut {
		end, event = workflow.TaskTimedOut, workflow.EventTimeOut
	}
	t.outcomes[t.attempt] = end
	if delay, again := n.Retry.Next(t.try, e, 0); again {
		o.move(f.Ref, workflow.EventBackOff)
		t.due = o.now + delay
		return nil
	}
	o.move(f.Ref, event)
	t.continued = n.OnFailure == workflow.OnFailureContinue
	o.over(f.Ref)
	o.settle()
	return nil
}

func (o *oracle) retry(f engine.Fence) error {
	t := o.tasks[f.Ref]
	if !o.going() || t.status != workflow.TaskRetrying || t.attempt != f.Attempt {
		return engine.ErrStale
	}
	if t.due > o.now {
		return errNotDue
	}
	o.move(f.Ref, workflow.EventRetry)
	o.enqueue(f.Ref)
	return nil
}

func (o *oracle) redispatch(f engine.Fence, why engine.Why) error {
	from, event := workflow.TaskQueued, workflow.EventLose
	switch why {
	case engine.WhyRelease:
		from, event = workflow.TaskRunning, workflow.EventRelease
	case engine.WhyExpire:
		from = workflow.TaskRunning
	}
	if why == engine.WhyDecline && o.at(f, workflow.TaskRunning) != nil {
		from, event = workflow.TaskRunning, workflow.EventRelease // it was claimed with its dequeue
	}
	t := o.at(f, from)
	if t == nil || why == engine.WhyExpire && t.leased > o.now {
		return engine.ErrStale
	}
	o.move(f.Ref, event)
	t.dispatch++
	if why == engine.WhyExpire {
		t.lost++
	}
	t.held = o.status == workflow.ExecutionPaused
	return nil
}

// expire is what a sweep does about a lease that ran out.
func (o *oracle) expire(f engine.Fence) {
	t := o.at(f, workflow.TaskRunning)
	if t == nil || t.leased > o.now {
		return
	}
	if t.lost+1 < o.crashLimit {
		_ = o.redispatch(f, engine.WhyExpire)
		return
	}
	_ = o.fail(f, &workflow.Error{Code: "worker_crashed"}, false)
}

func (o *oracle) control(event workflow.Event) error {
	if err := o.moveExecution(event); err != nil {
		return errConflict
	}
	if event != workflow.EventPause {
		o.settle()
	}
	return nil
}

func (o *oracle) redrive(from []string) error {
	if !o.status.Ended() || o.status == workflow.ExecutionSucceeded && len(from) == 0 {
		return errConflict
	}
	again, start, possible := o.retried(from)
	if !possible {
		return errInvalid
	}
	if err := o.moveExecution(workflow.EventRedrive); err != nil {
		return errConflict
	}
	before := o.states()
	o.epoch++
	for ref := range again {
		t := o.tasks[ref]
		if t.status != workflow.TaskPending {
			o.move(ref, workflow.EventReset)
		}
		*t = oracleTask{status: t.status, attempt: t.attempt, outcomes: t.outcomes}
	}
	for _, ref := range start {
		n := o.p.Node(ref)
		o.reach(n, n.Conditional || slices.ContainsFunc(n.Needs, func(r string) bool { return before[r].Status == workflow.TaskSkipped }))
	}
	o.settle()
	return nil
}

// retried says what a retry runs again, which of it starts at once, and whether it can.
func (o *oracle) retried(from []string) (again map[string]bool, start []string, possible bool) {
	failed := func(ref string, named bool) bool {
		switch t := o.tasks[ref]; t.status {
		case workflow.TaskFailed, workflow.TaskTimedOut:
			return named || !t.continued
		case workflow.TaskCanceled:
			return true
		}
		return false
	}
	named := len(from) > 0
	for _, n := range o.p.Nodes {
		if !named && failed(n.Path, false) {
			from = append(from, n.Path)
		}
	}
	again = map[string]bool{}
	for _, n := range o.p.Nodes { // in a topological order
		again[n.Path] = slices.Contains(from, n.Path) || slices.ContainsFunc(n.Needs, func(need string) bool { return again[need] })
		if !again[n.Path] {
			delete(again, n.Path)
		}
	}
	for _, ref := range from {
		stuck := slices.ContainsFunc(o.p.Node(ref).Needs, func(need string) bool { return !again[need] && !o.endedWell(need) })
		if !failed(ref, named) || stuck {
			return nil, nil, false
		}
	}
	for _, n := range o.p.Nodes {
		if again[n.Path] && !slices.ContainsFunc(n.Needs, func(need string) bool { return again[need] || !o.endedWell(need) }) {
			start = append(start, n.Path)
		}
	}
	return again, start, true
}
