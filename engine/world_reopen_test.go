package engine_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redrive/redrive/workflow"
)

// apply does what a redrive does, to all executions that it changes.
func (s *shears) apply() { s.applyTo(s.top) }

func (s *shears) applyTo(c *course) {
	k := s.cuts[c]
	goes := map[*course]bool{}
	if k.changes(c) {
		c.again(k, s.r.Budget)
	}
	for ref := range k.inner { // its task goes on in the same attempt, or sets it in motion when it begins
		if t := c.tasks[ref]; !t.reopen {
			goes[t.child] = true
		}
	}
	for child := range goes {
		s.applyTo(child)
	}
	c.settle()
}

// changes says whether the cut means anything for the execution itself.
func (k *cut) changes(c *course) bool {
	if k.asked || k.whole && c.status.Ended() || len(k.ends)+len(k.given)+len(k.named) > 0 {
		return true
	}
	for ref := range k.again {
		if c.tasks[ref].status != workflow.TaskPending {
			return true
		}
	}
	for ref := range k.open {
		if c.tasks[ref].status != workflow.TaskRunning {
			return true
		}
	}
	return false
}

// again sets in motion what a cut runs again.
func (c *course) again(k *cut, budget workflow.Budget) {
	c.epoch++
	if c.status.Ended() {
		c.status = workflow.ExecutionRunning
	}
	c.ending, c.failure, c.left, c.deadline = "", nil, 0, 0
	if d := time.Duration(c.p.Definition.Timeout); d > 0 && c.status == workflow.ExecutionPaused {
		c.left = d
	} else if d > 0 {
		c.deadline = c.w.now + d
	}
	if k.input != nil {
		c.input = k.input
	}
	for ref, input := range k.given {
		c.tasks[ref].given, c.tasks[ref].givenMode = input, k.mode
		if string(input) == "null" {
			c.tasks[ref].given = nil
		}
	}
	if c.tasks[workflow.HandlersPath] != nil {
		c.reset(workflow.HandlersPath, budget)
	}
	c.queue(k)
	for ref := range k.again {
		c.reset(ref, budget)
	}
	for ref := range k.open {
		c.reopens(ref, k, budget)
	}
	for loop, first := range k.first {
		c.supersede(loop, first)
	}
	for ref, output := range k.ends {
		c.endAs(ref, output)
	}
	for _, ref := range slices.Sorted(maps.Keys(k.again)) {
		c.wake(ref)
	}
	for _, ref := range slices.Sorted(maps.Keys(k.open)) {
		c.wake(ref)
	}
	for ref := range k.open {
		c.fill(ref)
	}
	for ref := range k.open {
		if t := c.tasks[ref]; t.status == workflow.TaskRunning && t.child == nil && !t.timed && t.to == "" {
			delete(c.open, ref)
			c.rests(ref)
		}
	}
}

// queue lets items of a for_each that runs take their turns behind those that have not begun.
func (c *course) queue(k *cut) {
	for each := range k.open {
		t := c.tasks[each]
		if c.place(each).Role != workflow.RoleEach || t.status != workflow.TaskRunning {
			continue
		}
		items := c.items(each)
		slices.Reverse(items)
		for _, item := range items {
			began := c.tasks[item].status != workflow.TaskPending
			if (k.again[item] || k.open[item] && c.tasks[item].status != workflow.TaskRunning) && (began || t.next == len(t.keys)) {
				t.keys = append(t.keys, workflow.Key(item))
			}
		}
	}
}

// used are the tries that a task has used that runs again.
func (c *course) used(ref string, budget workflow.Budget) int {
	if budget != workflow.BudgetOne {
		return 0
	}
	return max(0, min(c.tasks[ref].try, c.place(ref).Retry.MaxAttempts-1))
}

// reset makes a task ready to be reached again; what runs in it is superseded.
func (c *course) reset(ref string, budget workflow.Budget) {
	for _, inner := range c.within(ref) {
		if t := c.tasks[inner]; !t.status.Ended() {
			c.clear(inner, 0)
		}
	}
	c.clear(ref, c.used(ref, budget))
}

func (c *course) clear(ref string, used int) {
	t := c.tasks[ref]
	child := t.child
	alive := t.status == workflow.TaskRunning
	*t = act{status: workflow.TaskPending, attempt: t.attempt, try: used, item: t.item, given: t.given, givenMode: t.givenMode, stale: true}
	delete(c.open, ref)
	if child != nil && alive {
		child.cancel()
	}
}

// reopens lets a task begin again that keeps what does not run again in it.
func (c *course) reopens(ref string, k *cut, budget workflow.Budget) {
	t := c.tasks[ref]
	if t.status == workflow.TaskRunning {
		return
	}
	*t = act{
		status: workflow.TaskPending, attempt: t.attempt, try: c.used(ref, budget), item: t.item, given: t.given, givenMode: t.givenMode,
		size: t.size, keys: t.keys, child: t.child, reopen: true, relist: k.lists[ref] || t.relist, resume: k.inner[ref], budget: budget,
	}
	delete(c.open, ref)
}

// supersede takes the later iterations of a loop out until they are reached again.
func (c *course) supersede(loop string, first int) {
	c.tasks[loop].size = first
	var out []string
	for _, ref := range c.within(loop) {
		at := c.place(ref)
		for up := ref; up != loop; up = workflow.Outside(up) {
			at = c.place(up)
		}
		if n, _ := strconv.Atoi(workflow.Key(at.Ref)); n > first && !c.former(ref, loop) {
			out = append(out, ref)
		}
	}
	for _, ref := range out {
		c.clear(ref, 0)
		c.tasks[ref].status = workflow.TaskSkipped
	}
}

// former says whether a task is of an iteration that only an earlier attempt of its loop had, in another loop.
func (c *course) former(ref, outermost string) bool {
	for up := ref; workflow.Outside(up) != outermost; up = workflow.Outside(up) {
		holder := workflow.Outside(up)
		n, _ := strconv.Atoi(workflow.Key(up))
		if c.place(holder).Role == workflow.RoleLoop && n > c.tasks[holder].size && c.tasks[up].status.Ended() {
			return true
		}
	}
	return false
}

// endAs ends a task as the redrive says.
func (c *course) endAs(ref string, output json.RawMessage) {
	t := c.tasks[ref]
	old := *t
	c.reset(ref, workflow.BudgetFull)
	t.size, t.keys, t.stale = old.size, old.keys, old.stale
	t.attempt++
	t.dispatch, t.redrive, t.status = 1, c.epoch, workflow.TaskSkipped
	if output != nil {
		t.status, t.output = workflow.TaskSucceeded, output
	}
}

// wake sets a task in motion that is ready, where what holds it runs. Items take their turns.
func (c *course) wake(ref string) {
	at, t, holder := c.place(ref), c.tasks[ref], c.tasks[workflow.Outside(ref)]
	if t.status != workflow.TaskPending || at.Item || holder != nil && holder.status != workflow.TaskRunning {
		return
	}
	needs := at.SiblingRefs(at.Needs)
	if slices.ContainsFunc(needs, func(need string) bool { return !c.endedWell(need) }) {
		return
	}
	if slices.ContainsFunc(needs, func(need string) bool { return c.tasks[need].status == workflow.TaskSkipped }) {
		c.open[ref] = true
		return
	}
	c.reach(ref)
}

// fill lets items of a for_each begin, as many as may.
func (c *course) fill(each string) {
	at, t := c.place(each), c.tasks[each]
	if at.Role != workflow.RoleEach || t.status != workflow.TaskRunning {
		return
	}
	room := at.Each.MaxParallel
	for _, item := range c.items(each) {
		if i := c.tasks[item]; i.status.Active() || i.status == workflow.TaskPending && c.open[item] {
			room--
		}
	}
	for range room {
		c.slide(each)
	}
}

// goOn begins a task again that keeps what does not run again in it.
func (c *course) goOn(at workflow.Place) {
	var items []workflow.Item
	t := c.tasks[at.Ref]
	if t.relist {
		var bad *workflow.Error
		if items, bad = at.Items(c.scope(at, at.ItemsReads, false)); bad != nil {
			c.failPending(at, bad)
			return
		}
	}
	resume, relist, budget := t.resume, t.relist, t.budget
	c.move(at.Ref, workflow.EventBegin)
	c.begin(at.Ref)
	t.control, t.dispatch = true, 1
	t.reopen, t.relist, t.resume = false, false, nil
	if at.Timeout > 0 && at.Role != workflow.RoleEach && at.Role != workflow.RoleIteration {
		t.limit = c.w.now + at.Timeout
	}
	switch {
	case resume != nil:
		s := &shears{r: workflow.Redrive{Budget: budget}, cuts: map[*course]*cut{}}
		s.adopt(t.child, resume)
		s.applyTo(t.child)
		return
	case relist:
		c.beginEach(at, items)
	case at.Role == workflow.RoleEach:
		c.line(at.Ref)
		c.fill(at.Ref)
	case at.Role == workflow.RoleLoop:
		c.wake(workflow.IterationRef(at.Ref, t.size))
	default:
		for _, n := range at.Body {
			c.wake(workflow.Inside(at.Ref, n.Task.Name))
		}
	}
	c.rests(at.Ref)
}

// adopt says which executions the cuts are of that wait for their tasks.
func (s *shears) adopt(c *course, k *cut) {
	s.cuts[c] = k
	for ref, inner := range k.inner {
		s.adopt(c.tasks[ref].child, inner)
	}
}
