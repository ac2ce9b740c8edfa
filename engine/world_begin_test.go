package engine_test

import (
	"encoding/json"
	"slices"

	"github.com/redrive/redrive/workflow"
)

func (c *course) beginEach(at workflow.Place, items []workflow.Item) {
	t := c.tasks[at.Ref]
	t.size = len(items)
	var keys []string
	for i := range items {
		keys = append(keys, workflow.Key(items[i].Ref(at.Ref)))
	}
	for _, ref := range c.within(at.Ref) {
		item := ref
		for workflow.Outside(item) != at.Ref {
			item = workflow.Outside(item)
		}
		if !slices.Contains(keys, workflow.Key(item)) {
			c.clear(ref, 0)
			c.tasks[ref].status, c.tasks[ref].item = workflow.TaskSkipped, nil
		}
	}
	for i := range items {
		ref := items[i].Ref(at.Ref)
		c.add(ref)
		if again := c.tasks[ref]; again.item == nil && again.status == workflow.TaskSkipped { // the list before did not have it
			for _, inner := range append(c.within(ref), ref) {
				c.clear(inner, 0)
			}
		}
		c.tasks[ref].item = &items[i]
	}
	c.line(at.Ref)
	c.fill(at.Ref)
}

// line puts the items of a for_each that are to run in the order of the list.
func (c *course) line(each string) {
	t := c.tasks[each]
	t.keys, t.next = nil, 0
	for _, item := range c.items(each) {
		if c.tasks[item].status == workflow.TaskPending {
			t.keys = append(t.keys, workflow.Key(item))
		}
	}
}

// recorded is the input of a task: as it is resolved, or as a redrive gave it.
func (c *course) recorded(at workflow.Place) (json.RawMessage, *workflow.Error) {
	given, mode := c.tasks[at.Ref].given, c.tasks[at.Ref].givenMode
	if given != nil && mode != workflow.InputMerge {
		return given, nil
	}
	input, bad := at.Recorded(c.scope(at, at.InputReads, false))
	if given == nil || bad != nil {
		return input, bad
	}
	return merged(input, given, mode), nil
}

func (c *course) beginGate(at workflow.Place) {
	input, bad := c.recorded(at)
	if bad != nil {
		c.failPending(at, bad)
		return
	}
	gate, bad := at.Gate(input)
	if bad != nil {
		c.failPending(at, bad)
		return
	}
	c.move(at.Ref, workflow.EventArm)
	t := c.begin(at.Ref)
	t.control, t.asked = true, gate.Open
	if !gate.Open {
		t.due = c.w.now + gate.For
	}
	if gate.Timeout > 0 {
		t.limit = c.w.now + gate.Timeout
	}
}

func (c *course) beginChild(at workflow.Place) {
	input, bad := c.recorded(at)
	if bad != nil {
		c.failPending(at, bad)
		return
	}
	asked, bad := at.Child(input)
	if bad != nil {
		c.failPending(at, bad)
		return
	}
	c.move(at.Ref, workflow.EventBegin)
	t := c.begin(at.Ref)
	t.control = true
	if at.Timeout > 0 {
		t.limit = c.w.now + at.Timeout
	}
	t.child = newCourse(c.w, c.w.programs[asked.Name], asked.Input)
	t.child.parent, t.child.parentTask = c, at.Ref
	c.children = append(c.children, t.child)
	t.child.settle()
}
