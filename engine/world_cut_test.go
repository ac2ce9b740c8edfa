package engine_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// cut is what a redrive does to one execution, by the rules.
type cut struct {
	named map[string]bool            // began it
	again map[string]bool            // runs again, with all that is in it
	open  map[string]bool            // goes on with what runs again in it
	first map[string]int             // of a loop that goes on: the iteration at which
	ends  map[string]json.RawMessage // ends with this output; nil = is skipped
	given map[string]json.RawMessage // runs with this input from now on
	mode  workflow.InputMode         // of what is given
	lists map[string]bool            // of a for_each that goes on: its list is evaluated again
	inner map[string]*cut            // by the task of a sub-workflow: what runs again in its execution
	input json.RawMessage            // nil = as it was
	whole bool                       // it ends once more, whatever runs in it
	asked bool                       // it was asked of this execution
}

// shears cut along the graph.
type shears struct {
	r    workflow.Redrive
	cuts map[*course]*cut
	top  *course // the outermost one that goes on with the one that was asked
}

func (s *shears) of(c *course) *cut {
	k := s.cuts[c]
	if k == nil {
		k = &cut{
			named: map[string]bool{}, again: map[string]bool{}, open: map[string]bool{}, first: map[string]int{}, lists: map[string]bool{},
			ends: map[string]json.RawMessage{}, given: map[string]json.RawMessage{}, inner: map[string]*cut{},
		}
		s.cuts[c] = k
	}
	return k
}

// refusal is why a redrive cannot be: the code of a conflict, or of a problem.
type refusal string

func (r refusal) Error() string { return string(r) }

func unsuccessful(t *act) bool {
	return t.status == workflow.TaskCanceled || (t.status == workflow.TaskFailed || t.status == workflow.TaskTimedOut) && !t.continued
}

// cut says what a redrive of this execution does, to it and to those around and in it.
func (c *course) cut(r workflow.Redrive) (*shears, error) {
	s := &shears{r: r, cuts: map[*course]*cut{}, top: c}
	for s.top.leads() {
		s.top = s.top.parent
	}
	switch {
	case r.Operation == workflow.OperationRetry && c.status == workflow.ExecutionSucceeded && r.From == nil:
		return nil, refusal("nothing_to_retry")
	case r.Operation == workflow.OperationRetry && !c.status.Ended():
		return nil, refusal("not_retryable")
	}
	if p := s.top.parent; p != nil && p.tasks[s.top.parentTask].child == s.top && p.tasks[s.top.parentTask].reopen && p.present(s.top.parentTask) {
		return nil, refusal("about_to_run") // it is about to go on already
	}
	if err := s.asked(c); err != nil {
		return nil, err
	}
	s.whole(c)
	s.of(c).asked = true
	if r.WorkflowInput != nil {
		if given := merged(c.input, r.WorkflowInput, r.InputMode); !workflow.SameJSON(given, c.input) {
			s.of(c).input = given
		}
	}
	ends := 0
	for x, k := range s.cuts {
		ends += s.trim(x, k)
	}
	on := s.goOn(s.top, map[*course]bool{})
	for x, k := range s.cuts {
		if !on[x] {
			ends += len(k.ends) + len(k.given)
		}
	}
	if ends > 0 {
		return nil, refusal("not_allowed") // what holds the task runs again as a whole, or has not begun
	}
	return s, s.possible(s.top)
}

// goOn adds the executions that go on where this one does.
func (s *shears) goOn(c *course, all map[*course]bool) map[*course]bool {
	all[c] = true
	for ref := range s.of(c).inner {
		s.goOn(c.tasks[ref].child, all)
	}
	return all
}

// leads says whether the execution around this one ended its task with it, and goes on when this one does.
func (c *course) leads() bool {
	if c.parent == nil {
		return false
	}
	t := c.parent.tasks[c.parentTask]
	byHand := t.status == workflow.TaskSucceeded && c.status != workflow.ExecutionSucceeded
	over := t.status.Ended() || t.status == workflow.TaskRetrying
	return t.child == c && !t.stale && c.parent.present(c.parentTask) && over && !t.continued && t.status != workflow.TaskSkipped && !byHand
}

// whole lets an execution end once more, whatever runs again in it.
func (s *shears) whole(c *course) {
	s.of(c).whole = true
	s.outside(c)
}

// outside reopens the task that ended with the execution; one that runs goes on.
func (s *shears) outside(c *course) {
	switch {
	case c == s.top:
	case c.parent.tasks[c.parentTask].status == workflow.TaskRunning:
		s.of(c.parent).open[c.parentTask] = true
		s.hold(c.parent, c.parentTask)
	default:
		s.reopen(c.parent, c.parentTask)
	}
}

// hold notes that something in what holds a task is cut.
func (s *shears) hold(c *course, ref string) {
	holder := workflow.Outside(ref)
	if holder == "" {
		s.outside(c)
		return
	}
	s.loop(c, ref)
	s.reopen(c, holder)
}

// loop notes at which iteration a loop goes on.
func (s *shears) loop(c *course, ref string) {
	if c.place(ref).Role != workflow.RoleIteration {
		return
	}
	n, _ := strconv.Atoi(workflow.Key(ref))
	k, holder := s.of(c), workflow.Outside(ref)
	if first, ok := k.first[holder]; !ok || n < first {
		k.first[holder] = n
	}
}

// asked begins the cut where the request says.
func (s *shears) asked(c *course) error {
	for path, output := range s.r.Outputs {
		x, ref, err := s.find(c, path)
		if err != nil {
			return err
		}
		if x.place(ref).Holds() && (s.r.Operation != workflow.OperationComplete || string(output) != "null") {
			return refusal("not_allowed")
		}
		s.of(x).ends[ref] = output
	}
	for path, input := range s.r.TaskInput {
		x, ref, err := s.find(c, path)
		if err != nil {
			return err
		}
		if x.place(ref).Holds() {
			return refusal("not_allowed")
		}
		s.of(x).given[ref], s.of(x).mode = input, s.r.InputMode
		if x != c {
			s.outside(x)
		}
	}
	if s.contradicts(c) {
		return refusal("conflict")
	}
	starts := map[*course][]string{}
	for _, path := range s.r.From {
		x, ref, err := s.find(c, path)
		switch {
		case err != nil:
			return err
		case s.r.Operation == workflow.OperationRetry && !unsuccessful(x.tasks[ref]) && !x.tasks[ref].continued:
			return refusal("not_failed")
		case s.r.Operation == workflow.OperationSkip:
			s.of(x).ends[ref] = nil
		case x.tasks[ref].alone() && s.resumes(x, ref):
			return refusal("runs_alone")
		case x.tasks[ref].reopen && x.tasks[ref].child != nil && s.resumes(x, ref):
			return refusal("about_to_run")
		default:
			starts[x] = append(starts[x], ref)
		}
	}
	for x, refs := range starts {
		for _, ref := range refs {
			s.begin(x, ref)
		}
	}
	switch {
	case s.r.From != nil:
	case s.r.Operation == workflow.OperationRetry:
		s.unsuccessful(c, "")
	case s.r.Operation == workflow.OperationRerun:
		s.everything(c)
	}
	for _, x := range slices.Collect(maps.Keys(s.cuts)) {
		for ref := range s.cuts[x].ends {
			s.ripple(x, ref)
		}
	}
	return nil
}

// another says whether what is given as its input gives a task another one.
func another(t *act, given json.RawMessage) bool { return t.given != nil || string(given) != "null" }

// contradicts says whether a task gets another input, and tasks of the sub-execution that it leaves behind are named.
func (s *shears) contradicts(c *course) bool {
	named := slices.Concat(s.r.From, slices.Collect(maps.Keys(s.r.Outputs)), slices.Collect(maps.Keys(s.r.TaskInput)))
	for path, given := range s.r.TaskInput {
		x, ref, err := s.find(c, path)
		if err == nil && x.tasks[ref].status.Ended() && another(x.tasks[ref], given) && slices.ContainsFunc(named, func(other string) bool { return strings.HasPrefix(other, path+"/") }) {
			return true
		}
	}
	return false
}

// alone says whether a sub-execution was redriven that its task had left behind.
func (t *act) alone() bool {
	return t.child != nil && t.status.Ended() && !t.child.status.Ended()
}

// resumes says whether the sub-execution of a task goes on in place: not with another input.
func (s *shears) resumes(c *course, ref string) bool {
	if given := s.of(c).given[ref]; given != nil && another(c.tasks[ref], given) {
		return false
	}
	if s.r.Subworkflows == "" {
		return s.r.Operation == workflow.OperationRetry
	}
	return s.r.Subworkflows == workflow.SubworkflowsResume
}

// find follows a path through sub-executions.
func (s *shears) find(c *course, path string) (*course, string, error) {
	for {
		ref, inner, deeper := strings.Cut(path, "/")
		switch t := c.tasks[ref]; {
		case t == nil || !c.present(ref):
			return nil, "", refusal("unknown_ref")
		case isHandler(ref):
			return nil, "", refusal("not_allowed")
		case !deeper:
			return c, ref, nil
		case t.child == nil || t.stale:
			return nil, "", refusal("unknown_ref")
		case t.reopen:
			return nil, "", refusal("about_to_run")
		case t.alone():
			return nil, "", refusal("runs_alone")
		default:
			c, path = t.child, inner
		}
	}
}

// present says whether a task is a part of the execution as it is now.
func (c *course) present(ref string) bool {
	for ; ref != ""; ref = workflow.Outside(ref) {
		if holder := c.tasks[workflow.Outside(ref)]; holder != nil && holder.stale {
			return false
		}
		at := c.place(ref)
		if at.Role == workflow.RoleIteration {
			if n, _ := strconv.Atoi(workflow.Key(ref)); n > c.tasks[workflow.Outside(ref)].size {
				return false
			}
		} else if at.Item && c.tasks[ref].item == nil {
			return false
		}
	}
	return true
}

// begin is the start at a task that was named.
func (s *shears) begin(c *course, ref string) {
	child := c.tasks[ref].child
	switch {
	case s.r.Operation == workflow.OperationRetry:
		s.retry(c, ref)
	case child != nil && s.resumes(c, ref):
		if child.status == workflow.ExecutionSucceeded {
			s.everything(child)
		} else {
			s.unsuccessful(child, "")
		}
		s.whole(child)
	default:
		s.choose(c, ref)
	}
}

// unsuccessful starts at what did not succeed directly in a task.
func (s *shears) unsuccessful(c *course, holder string) (found bool) {
	for ref, t := range c.tasks {
		if workflow.Outside(ref) == holder && !isHandler(ref) && c.current(ref) && unsuccessful(t) {
			found = true
			s.retry(c, ref)
		}
	}
	return found
}

// current says whether a task counts where its holder ended: of a loop only the last iteration does.
func (c *course) current(ref string) bool {
	if !c.present(ref) {
		return false
	}
	at, loop := c.place(ref), workflow.Outside(ref)
	return at.Role != workflow.RoleIteration || ref == workflow.IterationRef(loop, c.tasks[loop].size)
}

// retry starts at a task that did not succeed, or at what did not succeed in it.
func (s *shears) retry(c *course, ref string) {
	t := c.tasks[ref]
	resumes := t.child != nil && t.child.status.Ended() && t.child.status != workflow.ExecutionSucceeded &&
		s.resumes(c, ref) && s.r.Identity != workflow.NewExecution
	switch {
	case c.place(ref).Holds() && s.unsuccessful(c, ref):
	case resumes:
		s.unsuccessful(t.child, "")
		s.whole(t.child)
	default:
		s.choose(c, ref)
	}
}

func (s *shears) everything(c *course) {
	for _, n := range c.p.Nodes {
		s.choose(c, n.Path)
	}
}

func (s *shears) choose(c *course, ref string) {
	s.of(c).named[ref] = true
	s.start(c, ref)
}

// start lets a task run again, with all that is in it and all that depends on it.
func (s *shears) start(c *course, ref string) {
	if k := s.of(c); !k.again[ref] {
		k.again[ref] = true
		s.ripple(c, ref)
	}
}

// ripple is what follows from a task that does not stay as it is: what depends on
// it runs again, and what holds it goes on.
func (s *shears) ripple(c *course, ref string) {
	at, k, holder := c.place(ref), s.of(c), workflow.Outside(ref)
	if !at.Inner() {
		for _, sibling := range at.Siblings(at.Dependents) {
			next := workflow.Inside(holder, sibling.Task.Name)
			_, ends := k.ends[next]
			if t := c.tasks[next]; t != nil && !ends && (s.r.Scope != workflow.ScopeOnly || t.status == workflow.TaskPending) {
				s.start(c, next)
			}
		}
	}
	s.hold(c, ref)
}

// reopen lets a task go on that holds something which does not stay as it is.
func (s *shears) reopen(c *course, ref string) {
	k := s.of(c)
	if t := c.tasks[ref]; t.status == workflow.TaskPending && !t.reopen || k.open[ref] {
		return // it has not begun: it will run as a whole
	}
	k.open[ref] = true
	s.ripple(c, ref)
}

// trim leaves out what lies in a task that runs again as a whole, or has not begun; it
// says how many ends were given to such.
func (s *shears) trim(c *course, k *cut) (ends int) {
	hidden := func(ref string) bool {
		if k.later(c, ref) {
			return true
		}
		for up := workflow.Outside(ref); up != ""; up = workflow.Outside(up) {
			if _, ends := k.ends[up]; ends || k.later(c, up) || k.again[up] || !k.open[up] {
				return true
			}
		}
		return false
	}
	for ref := range k.again {
		if _, ends := k.ends[ref]; ends || hidden(ref) {
			delete(k.again, ref)
		}
	}
	for ref := range k.ends {
		if hidden(ref) {
			ends++
		}
	}
	for ref := range k.open {
		if _, ends := k.ends[ref]; ends || k.again[ref] || hidden(ref) {
			delete(k.open, ref)
			delete(k.first, ref)
		}
	}
	maps.DeleteFunc(k.first, func(ref string, _ int) bool { return !k.open[ref] })
	for ref := range k.open {
		if t := c.tasks[ref]; t.child != nil && s.cuts[t.child] != nil {
			k.inner[ref] = s.cuts[t.child]
		}
		at := c.place(ref)
		k.lists[ref] = at.Role == workflow.RoleEach && s.r.Operation == workflow.OperationRetry && unsuccessful(c.tasks[ref]) &&
			at.ItemsReads.Workflow && k.input != nil && string(k.input) != string(c.input)
		if k.lists[ref] {
			ends += k.unlist(c, at)
		}
	}
	return ends
}

// unlist leaves out the items of a for_each that are no longer on its list; it says how many ends were given to such.
func (k *cut) unlist(c *course, at workflow.Place) int {
	with := *c
	with.input = k.input
	items, bad := at.Items(with.scope(at, at.ItemsReads, false))
	if bad != nil {
		return 0
	}
	ends := len(k.ends)
	gone := func(ref string) bool {
		return workflow.Within(at.Ref, ref) && !slices.ContainsFunc(items, func(i workflow.Item) bool {
			item := i.Ref(at.Ref)
			return ref == item || workflow.Within(item, ref)
		})
	}
	maps.DeleteFunc(k.ends, func(ref string, _ json.RawMessage) bool { return gone(ref) })
	maps.DeleteFunc(k.again, func(ref string, _ bool) bool { return gone(ref) })
	maps.DeleteFunc(k.open, func(ref string, _ bool) bool { return gone(ref) })
	maps.DeleteFunc(k.first, func(ref string, _ int) bool { return gone(ref) })
	maps.DeleteFunc(k.inner, func(ref string, _ *cut) bool { return gone(ref) })
	return ends - len(k.ends)
}

// reruns says whether a task runs again, or lies in one that does.
func (k *cut) reruns(ref string) bool {
	for ; ref != "" && !k.again[ref]; ref = workflow.Outside(ref) {
	}
	return ref != ""
}

// later says whether this is an iteration behind the one at which its loop goes on.
func (k *cut) later(c *course, ref string) bool {
	if ref == "" || c.place(ref).Role != workflow.RoleIteration {
		return false
	}
	n, _ := strconv.Atoi(workflow.Key(ref))
	first, goesOn := k.first[workflow.Outside(ref)]
	return goesOn && n > first
}

// possible refuses a start at a task that nothing would ever reach, and an input for one that does not run again.
func (s *shears) possible(c *course) error {
	k := s.of(c)
	for ref := range k.named {
		at := c.place(ref)
		for _, need := range at.SiblingRefs(at.Needs) {
			_, ends := k.ends[need]
			if k.again[ref] && !k.again[need] && !k.open[need] && !ends && c.tasks[need].status.Ended() && !c.endedWell(need) {
				return refusal("not_reached")
			}
		}
	}
	for ref := range k.given {
		if _, ends := k.ends[ref]; c.tasks[ref].status.Ended() && (ends || !k.open[ref] && !k.reruns(ref)) {
			return refusal("not_run")
		}
	}
	for ref := range k.inner {
		if err := s.possible(c.tasks[ref].child); err != nil {
			return err
		}
	}
	return nil
}

// merged is a JSON value with what was given instead of it, or as a change of it.
func merged(value, given json.RawMessage, mode workflow.InputMode) json.RawMessage {
	var old, change map[string]json.RawMessage
	if mode != workflow.InputMerge || json.Unmarshal(given, &change) != nil || change == nil {
		return given
	}
	if json.Unmarshal(value, &old) != nil || old == nil {
		old = map[string]json.RawMessage{}
	}
	for key, v := range change {
		if string(v) == "null" {
			delete(old, key)
		} else {
			old[key] = merged(old[key], v, mode)
		}
	}
	out, _ := json.Marshal(old)
	return out
}
