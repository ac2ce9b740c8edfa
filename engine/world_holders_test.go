package engine_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func (c *course) failPending(at workflow.Place, e *workflow.Error) {
	c.move(at.Ref, workflow.EventFail)
	t := c.tasks[at.Ref]
	t.attempt++
	t.dispatch, t.redrive = 1, c.epoch
	c.failed(at, e, false)
}

// failed is what a final failure means.
func (c *course) failed(at workflow.Place, e *workflow.Error, still bool) {
	t := c.tasks[at.Ref]
	t.err = e
	t.continued = !at.Inner() && at.OnFailure == workflow.OnFailureContinue
	if !t.continued && workflow.Outside(at.Ref) == "" && c.failure == nil {
		c.failure = e
	}
	if each := workflow.Outside(at.Ref); at.Item && at.Each.Stop {
		c.tasks[each].next = len(c.tasks[each].keys)
	}
	c.after(at.Ref, still)
}

// decideHolder says how a task goes on in which nothing moves.
func (c *course) decideHolder(at workflow.Place, paused bool) bool {
	t := c.tasks[at.Ref]
	if t.timed || t.to != "" {
		delete(c.open, at.Ref)
		c.cutOff(at)
		return true
	}
	closing := at.Close(c.inner(at), func() (bool, *workflow.Error) {
		last := c.place(workflow.IterationRef(at.Ref, t.size))
		return at.Ended(c.scope(last, at.UntilReads, true))
	})
	if closing.Again {
		if paused {
			return false
		}
		delete(c.open, at.Ref)
		t.size++
		next := workflow.IterationRef(at.Ref, t.size)
		c.add(next)
		if n := c.tasks[next]; n.status.Ended() {
			c.move(next, workflow.EventReset)
			c.clear(next, 0)
		}
		c.reach(next)
		return true
	}
	for _, ref := range closing.Unreached {
		c.move(ref, workflow.EventCancel)
	}
	if closing.Status == workflow.TaskSucceeded {
		delete(c.open, at.Ref)
		t.limit = 0
		c.move(at.Ref, workflow.EventComplete)
		c.over(at.Ref)
		return true
	}
	c.failControl(at, closing.Error, false)
	return true
}

func (c *course) inner(at workflow.Place) (inner []workflow.Inner) {
	t := c.tasks[at.Ref]
	var refs []string
	switch at.Role {
	case workflow.RoleEach:
		refs = c.items(at.Ref)
	case workflow.RoleLoop:
		refs = []string{workflow.IterationRef(at.Ref, t.size)}
	default:
		for _, n := range at.Body {
			refs = append(refs, workflow.Inside(at.Ref, n.Task.Name))
		}
	}
	for _, ref := range refs {
		i := c.tasks[ref]
		inner = append(inner, workflow.Inner{Ref: ref, TaskState: workflow.TaskState{Status: i.status, Continued: i.continued}, Error: i.err})
	}
	return inner
}

// items are the refs of the items of a for_each, in the order of its list.
func (c *course) items(each string) []string {
	var refs []string
	for ref, t := range c.tasks {
		if workflow.Outside(ref) == each && t.item != nil {
			refs = append(refs, ref)
		}
	}
	slices.SortFunc(refs, func(a, b string) int { return c.tasks[a].item.Index - c.tasks[b].item.Index })
	return refs
}

// cutOff ends a task with all that is in it.
func (c *course) cutOff(at workflow.Place) {
	t := c.tasks[at.Ref]
	if t.child != nil {
		t.child.cancel()
	}
	c.drop(func(ref string) bool { return workflow.Within(at.Ref, ref) })
	delete(c.open, at.Ref)
	if t.to == "" {
		c.failControl(at, &workflow.Error{Code: engine.CodeTimedOut, Retryable: true}, true)
		return
	}
	c.byHand(at, t.to, t.said)
}

// byHand ends a task as an operator says.
func (c *course) byHand(at workflow.Place, to workflow.TaskStatus, output json.RawMessage) {
	t := c.tasks[at.Ref]
	if !t.control || t.status != workflow.TaskRunning && t.status != workflow.TaskWaiting {
		t.attempt++
		t.dispatch, t.redrive = 1, c.epoch
	}
	event := map[workflow.TaskStatus]workflow.Event{
		workflow.TaskSucceeded: workflow.EventHandComplete, workflow.TaskFailed: workflow.EventHandFail, workflow.TaskSkipped: workflow.EventHandSkip,
	}[to]
	still := t.status == workflow.TaskPending && !c.open[at.Ref]
	delete(c.open, at.Ref)
	t.due, t.limit = 0, 0
	c.move(at.Ref, event)
	t.output = output
	if to == workflow.TaskFailed {
		c.failed(at, &workflow.Error{Code: "failed_by_hand"}, still)
		return
	}
	c.after(at.Ref, still)
}

// after is the end of a task that was, or was not, in motion.
func (c *course) after(ref string, still bool) {
	if still {
		c.onward(ref)
		return
	}
	c.over(ref)
}

// scope is what expressions see.
func (c *course) scope(at workflow.Place, reads workflow.Reads, inside bool) workflow.Scope {
	s := workflow.Scope{Workflow: workflow.WorkflowScope{ID: c.id, Input: c.input, Error: c.failure}, Tasks: map[string]workflow.TaskScope{}}
	for _, name := range reads.Tasks {
		ref := name
		switch {
		case at.Node == nil:
		case inside:
			ref = at.ReadRefInside(name)
		default:
			ref = at.ReadRef(name)
		}
		t := c.tasks[ref]
		s.Tasks[name] = workflow.TaskScope{Status: t.status, Output: c.view(ref), Error: t.err, Attempt: t.attempt}
	}
	if at.Node == nil {
		return s
	}
	if item := c.p.ItemOf(at.Ref); item != "" {
		s.Item = c.tasks[item].item
	}
	ref, n := c.p.IterationOf(at.Ref)
	if s.Iteration = n; n > 1 {
		s.Previous = c.view(workflow.IterationRef(workflow.Outside(ref), n-1))
	}
	return s
}

// view is the output of a task, put together from what it holds.
func (c *course) view(ref string) json.RawMessage {
	at, t := c.place(ref), c.tasks[ref]
	switch at.Role {
	case workflow.RoleTask:
		if t == nil || t.output == nil || t.status != workflow.TaskSucceeded {
			return json.RawMessage("null")
		}
		return t.output
	case workflow.RoleEach:
		parts := []string{}
		for _, item := range c.items(ref) {
			parts = append(parts, string(c.view(item)))
		}
		return json.RawMessage("[" + strings.Join(parts, ",") + "]")
	case workflow.RoleLoop:
		if t == nil || t.size == 0 {
			return json.RawMessage("null")
		}
		return c.view(workflow.IterationRef(ref, t.size))
	}
	parts := []string{}
	for _, n := range at.Body {
		parts = append(parts, fmt.Sprintf("%q:%s", n.Task.Name, c.view(workflow.Inside(ref, n.Task.Name))))
	}
	return json.RawMessage("{" + strings.Join(parts, ",") + "}")
}
