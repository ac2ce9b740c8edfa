package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// world is what the rules say of an execution and its sub-executions: every
// construct of the language, without Redis, scripts or counters.
type world struct {
	programs map[string]*workflow.Program // by the name of the workflow
	now      time.Duration
	lease    time.Duration
	root     *course
}

// course is one execution.
type course struct {
	w          *world
	p          *workflow.Program
	id         string // "" until the real one is known
	input      json.RawMessage
	parent     *course
	parentTask string
	status     workflow.ExecutionStatus
	cascaded   bool // it was paused with its parent
	epoch      int
	ending     workflow.ExecutionStatus
	deadline   time.Duration // of the execution; 0 = none
	left       time.Duration // of the deadline, while it is paused
	tasks      map[string]*act
	open       map[string]bool
	failure    *workflow.Error
	children   []*course
	busy       bool // it is being settled
}

// act is one task.
type act struct {
	status                 workflow.TaskStatus
	attempt, dispatch, try int
	redrive, size          int
	continued, held        bool
	control, timed, asked  bool
	to                     workflow.TaskStatus // how an operator ended it, while what it holds goes on
	said                   json.RawMessage     // with this output
	output                 json.RawMessage
	err                    *workflow.Error
	keys                   []string // of a for_each
	next                   int      // item to begin
	item                   *workflow.Item
	leased, due, limit     time.Duration
	child                  *course

	given          json.RawMessage // as its input, by a redrive
	givenMode      workflow.InputMode
	stale          bool            // what it holds is of an attempt before
	rearmed        bool            // its back-off is over
	reopen, relist bool            // it begins again with what it holds, its list evaluated again
	resume         *cut            // what runs again in its sub-execution when it begins
	budget         workflow.Budget // then
}

func newCourse(w *world, p *workflow.Program, input json.RawMessage) *course {
	c := &course{w: w, p: p, input: input, status: workflow.ExecutionRunning, tasks: map[string]*act{}, open: map[string]bool{}}
	if d := time.Duration(p.Definition.Timeout); d > 0 {
		c.deadline = w.now + d
	}
	for _, n := range p.Nodes {
		c.tasks[n.Path] = &act{status: workflow.TaskPending}
	}
	for _, n := range workflow.Roots(p.Nodes) {
		c.reach(n.Path)
	}
	return c
}

// all are the execution and its sub-executions.
func (c *course) all() []*course {
	list := []*course{c}
	for _, child := range c.children {
		list = append(list, child.all()...)
	}
	return list
}

func (c *course) going() bool {
	return c.status == workflow.ExecutionRunning || c.status == workflow.ExecutionPaused
}

func (c *course) place(ref string) workflow.Place {
	at, ok := c.p.Place(ref)
	if !ok {
		panic("no task " + ref)
	}
	return at
}

func (c *course) move(ref string, event workflow.Event) {
	to, err := workflow.NextTask(c.tasks[ref].status, event)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", ref, err))
	}
	t := c.tasks[ref]
	if t.status = to; to.Ended() {
		t.reopen, t.relist, t.resume = false, false, nil
	}
}

func decided(n *workflow.Node) bool { return n.Conditional || n.Each != nil || n.Control() }

// reach is what becomes of a task that nothing keeps any more.
func (c *course) reach(ref string) {
	at := c.place(ref)
	if at.Inner() && !at.Control() || !at.Inner() && !decided(at.Node) {
		c.move(ref, workflow.EventReady)
		c.enqueue(ref)
		return
	}
	c.open[ref] = true
}

func (c *course) begin(ref string) *act {
	t := c.tasks[ref]
	t.attempt++
	t.try++
	t.dispatch, t.redrive, t.due, t.limit = 1, c.epoch, 0, 0
	t.continued, t.timed, t.to, t.err = false, false, "", nil
	t.stale, t.rearmed = false, false
	return t
}

func (c *course) enqueue(ref string) {
	c.begin(ref).held = c.status == workflow.ExecutionPaused
}

func (c *course) endedWell(ref string) bool {
	t := c.tasks[ref]
	return workflow.TaskState{Status: t.status, Continued: t.continued}.EndedWell()
}

// over is the end of a task: what it alone kept waiting is reached, and the next item begins.
func (c *course) over(ref string) {
	if c.place(ref).Item {
		c.slide(workflow.Outside(ref))
	}
	c.onward(ref)
}

// onward is what follows from the end of a task inside and behind it.
func (c *course) onward(ref string) {
	at, t := c.place(ref), c.tasks[ref]
	t.held = false
	if c.endedWell(ref) && !at.Inner() {
		for _, sibling := range at.Siblings(at.Dependents) {
			dependent := workflow.Inside(workflow.Outside(ref), sibling.Task.Name)
			to := c.place(dependent)
			if c.tasks[dependent].status == workflow.TaskPending && !slices.ContainsFunc(to.SiblingRefs(to.Needs), func(r string) bool { return !c.endedWell(r) }) {
				if t.status == workflow.TaskSkipped {
					c.open[dependent] = true
				} else {
					c.reach(dependent)
				}
			}
		}
	}
	c.rests(workflow.Outside(ref))
}

// rests puts a task on the agenda in which nothing moves any more.
func (c *course) rests(holder string) {
	if t := c.tasks[holder]; holder != "" && t.status == workflow.TaskRunning && !c.moves(holder) {
		c.open[holder] = true
	}
}

// moves says whether anything directly inside is in motion.
func (c *course) moves(holder string) bool {
	for ref, t := range c.tasks {
		if workflow.Outside(ref) == holder && (t.status.Active() || t.status == workflow.TaskPending && c.open[ref]) {
			return true
		}
	}
	return false
}

// slide begins the next item of a for_each.
func (c *course) slide(each string) {
	t := c.tasks[each]
	for t.next < len(t.keys) {
		ref := workflow.ItemRef(each, t.keys[t.next])
		t.next++
		if c.tasks[ref].status == workflow.TaskPending && !c.open[ref] {
			c.reach(ref)
			return
		}
	}
}

func (c *course) within(holder string) (refs []string) {
	for ref := range c.tasks {
		if workflow.Within(holder, ref) {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

func isHandler(ref string) bool {
	return ref == workflow.HandlersPath || workflow.Within(workflow.HandlersPath, ref)
}

func (c *course) active() (n int) {
	for _, t := range c.tasks {
		if t.status.Active() {
			n++
		}
	}
	return n
}

// settle does what the execution waits for, to the end.
func (c *course) settle() {
	if c.busy {
		return // it goes on where this came from
	}
	c.busy = true
	defer func() { c.busy = false }()
	for !c.status.Ended() {
		if c.status == workflow.ExecutionRunning {
			for _, t := range c.tasks {
				if t.held {
					t.held = false
					t.dispatch++
				}
			}
		}
		switch {
		case c.status == workflow.ExecutionCanceling:
			c.drop(func(string) bool { return true })
			c.ends(workflow.ExecutionCanceled)
		case c.ending != "" && c.unended():
			c.drop(func(ref string) bool { return !isHandler(ref) })
		case c.decideOpen():
		case c.active() > 0 || len(c.open) > 0:
			return
		default:
			c.finish()
		}
	}
}

func (c *course) unended() bool {
	for ref, t := range c.tasks {
		if !t.status.Ended() && !isHandler(ref) {
			return true
		}
	}
	return false
}

func (c *course) ends(status workflow.ExecutionStatus) {
	c.status = status
	clear(c.open)
	if c.parent != nil && c.parent.tasks[c.parentTask].child == c && c.parent.tasks[c.parentTask].status == workflow.TaskRunning {
		c.parent.open[c.parentTask] = true
		c.parent.settle()
	}
}

// decideOpen settles what is open and says whether anything was.
func (c *course) decideOpen() bool {
	found := false
	for _, ref := range slices.Sorted(maps.Keys(c.open)) {
		if c.open[ref] && c.decide(ref) {
			found = true
		}
	}
	return found
}

func (c *course) decide(ref string) bool {
	at, t := c.place(ref), c.tasks[ref]
	paused := c.status == workflow.ExecutionPaused
	switch {
	case t.status == workflow.TaskPending && paused && (at.Holds() || at.Control()):
		return false
	case t.status == workflow.TaskPending:
		delete(c.open, ref)
		c.decidePending(at)
	case t.status == workflow.TaskRunning && t.child != nil:
		delete(c.open, ref)
		c.decideChild(at)
	case t.status == workflow.TaskRunning:
		return c.decideHolder(at, paused)
	default:
		delete(c.open, ref)
	}
	return true
}

func (c *course) decidePending(at workflow.Place) {
	t := c.tasks[at.Ref]
	if !t.reopen && !t.rearmed {
		needs := func(ref string) workflow.TaskState { return workflow.TaskState{Status: c.tasks[ref].status} }
		switch v := at.Decide(needs, c.scope(at, at.IfReads, false)); v.Action {
		case workflow.ActionSkip:
			c.move(at.Ref, workflow.EventSkip)
			c.over(at.Ref)
			return
		case workflow.ActionFail:
			c.failPending(at, v.Error)
			return
		}
	}
	if !at.Control() && (at.Each == nil || at.Item) {
		c.move(at.Ref, workflow.EventReady)
		c.enqueue(at.Ref)
		return
	}
	if t.reopen {
		c.goOn(at)
		return
	}
	c.beginControl(at)
}

func (c *course) add(ref string) {
	if c.tasks[ref] == nil {
		c.tasks[ref] = &act{status: workflow.TaskPending}
	}
}

// renew makes what an earlier attempt held ready to be reached again.
func (c *course) renew(holder string) {
	for _, ref := range c.within(holder) {
		if t := c.tasks[ref]; t.status != workflow.TaskPending {
			c.move(ref, workflow.EventReset)
			c.clear(ref, 0)
		}
	}
}

func (c *course) beginControl(at workflow.Place) {
	if at.Role == workflow.RoleTask {
		if at.Type == workflow.TypeWorkflow {
			c.beginChild(at)
		} else {
			c.beginGate(at)
		}
		return
	}
	var items []workflow.Item
	if at.Role == workflow.RoleEach {
		var bad *workflow.Error
		if items, bad = at.Items(c.scope(at, at.ItemsReads, false)); bad != nil {
			c.failPending(at, bad)
			return
		}
	}
	c.renew(at.Ref)
	c.move(at.Ref, workflow.EventBegin)
	t := c.begin(at.Ref)
	t.control, t.dispatch = true, 1
	if at.Timeout > 0 && at.Role != workflow.RoleEach && at.Role != workflow.RoleIteration {
		t.limit = c.w.now + at.Timeout
	}
	switch at.Role {
	case workflow.RoleEach:
		c.beginEach(at, items)
	case workflow.RoleLoop:
		t.size = 1
		first := workflow.IterationRef(at.Ref, 1)
		for _, ref := range c.within(at.Ref) {
			if ref != first && !workflow.Within(first, ref) {
				c.tasks[ref].status = workflow.TaskSkipped
			}
		}
		c.add(first)
		c.reach(first)
	default:
		t.size = len(at.Body)
		for _, n := range at.Body {
			c.add(workflow.Inside(at.Ref, n.Task.Name))
		}
		for _, n := range workflow.Roots(at.Body) {
			c.reach(workflow.Inside(at.Ref, n.Task.Name))
		}
	}
	c.rests(at.Ref)
}

func (c *course) decideChild(at workflow.Place) {
	t := c.tasks[at.Ref]
	switch {
	case t.timed || t.to != "":
		c.cutOff(at)
	case t.child.status == workflow.ExecutionSucceeded:
		t.output = t.child.output()
		c.move(at.Ref, workflow.EventComplete)
		c.over(at.Ref)
	case t.child.status.Ended():
		c.failControl(at, childError(t.child), false)
	}
}

func childError(child *course) *workflow.Error {
	e := &workflow.Error{Code: "child_" + string(child.status), Retryable: child.status != workflow.ExecutionCanceled}
	if f := child.error(); f != nil {
		e.Code, e.Retryable = f.Code, f.Retryable
	}
	return e
}

// failControl ends a task that no worker runs, or lets it be tried again.
func (c *course) failControl(at workflow.Place, e *workflow.Error, timedOut bool) {
	t := c.tasks[at.Ref]
	delete(c.open, at.Ref)
	if delay, again := at.Retry.Next(t.try, e, 0); again && at.Role != workflow.RoleEach && at.Role != workflow.RoleIteration {
		c.move(at.Ref, workflow.EventBackOff)
		t.due, t.limit = c.w.now+delay, 0
		return
	}
	event := workflow.EventFail
	if timedOut {
		event = workflow.EventTimeOut
	}
	t.limit, t.due = 0, 0
	c.move(at.Ref, event)
	c.failed(at, e, false)
}

// drop cancels what has not ended, those inside others first.
func (c *course) drop(which func(ref string) bool) {
	refs := slices.Sorted(maps.Keys(c.tasks))
	slices.Reverse(refs)
	for _, ref := range refs {
		t := c.tasks[ref]
		if t.status.Ended() || !which(ref) {
			continue
		}
		if t.child != nil && t.status == workflow.TaskRunning {
			child := t.child
			c.move(ref, workflow.EventCancel)
			child.cancel()
		} else {
			c.move(ref, workflow.EventCancel)
		}
		t.held, t.due, t.limit = false, 0, 0
		delete(c.open, ref)
		c.rests(workflow.Outside(ref))
	}
}

func (c *course) cancel() {
	if to, err := workflow.NextExecution(c.status, workflow.EventAskCancel); err == nil {
		c.status = to
		c.settle()
	}
}

// finish ends an execution in which nothing is left to do.
func (c *course) finish() {
	end, h := c.end(), c.tasks[workflow.HandlersPath]
	bad := end == workflow.ExecutionFailed || end == workflow.ExecutionTimedOut
	handle := c.p.Handlers != nil && bad && (h == nil || !h.status.Ended() || h.redrive != c.epoch)
	for ref, t := range c.tasks {
		switch {
		case t.status != workflow.TaskPending:
		case !isHandler(ref):
			c.move(ref, workflow.EventCancel)
		case !handle:
			t.status = workflow.TaskSkipped
		}
	}
	if handle {
		c.add(workflow.HandlersPath)
		if c.failure == nil {
			c.failure = c.error()
		}
		c.beginControl(c.place(workflow.HandlersPath))
		return
	}
	c.ends(end)
}

func (c *course) states() map[string]workflow.TaskState {
	states := map[string]workflow.TaskState{}
	for ref, t := range c.tasks {
		states[ref] = workflow.TaskState{Status: t.status, Attempt: t.attempt, Continued: t.continued}
	}
	return states
}

func (c *course) end() workflow.ExecutionStatus {
	if c.ending != "" {
		return c.ending
	}
	end := c.p.End(c.states(), nil).Status
	if end == workflow.ExecutionSucceeded {
		if _, bad := c.p.Output(c.scope(workflow.Place{}, c.p.OutputReads(), false)); bad != nil {
			return workflow.ExecutionFailed
		}
	}
	return end
}

func (c *course) output() json.RawMessage {
	out, bad := c.p.Output(c.scope(workflow.Place{}, c.p.OutputReads(), false))
	if bad != nil || out == nil {
		return json.RawMessage("null")
	}
	return out
}

// error is the error of an execution that failed, as far as its retryability matters.
func (c *course) error() *workflow.Error {
	switch {
	case c.failure != nil:
		return c.failure
	case c.status == workflow.ExecutionCanceled:
		return nil
	}
	for _, n := range c.p.Nodes {
		if t := c.tasks[n.Path]; (t.status == workflow.TaskFailed || t.status == workflow.TaskTimedOut) && !t.continued {
			return t.err
		}
	}
	return &workflow.Error{Code: workflow.CodeOutputFailed}
}
