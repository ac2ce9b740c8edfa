package workflow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// choice is what a redrive asks of one execution.
type choice struct {
	start  map[string]string // refs -> why
	pins   map[string]json.RawMessage
	skips  map[string]bool
	given  map[string]json.RawMessage
	around map[string]bool    // tasks that hold something chosen
	inside map[string]*choice // of sub-executions, by the ref of their task
}

func newChoice() *choice {
	return &choice{
		start: map[string]string{}, pins: map[string]json.RawMessage{}, skips: map[string]bool{}, given: map[string]json.RawMessage{},
		around: map[string]bool{}, inside: map[string]*choice{},
	}
}

// mark notes that a ref is chosen, so that what holds it is opened.
func (c *choice) mark(ref string) {
	for up := Outside(ref); up != "" && !c.around[up]; up = Outside(up) {
		c.around[up] = true
	}
}

func (c *choice) choose(ref, why string) {
	if _, twice := c.start[ref]; !twice {
		c.start[ref] = why
	}
	c.mark(ref)
}

// below answers the choice in the sub-execution of a task.
func (c *choice) below(task string) *choice {
	if c.inside[task] == nil {
		c.inside[task] = newChoice()
	}
	c.mark(task)
	return c.inside[task]
}

// chooser reads a request.
type chooser struct {
	r        *Redrive
	top      *Case
	choice   *choice
	problems Problems
}

func (h *chooser) add(field, code, allowed, format string, args ...any) {
	h.problems = append(h.problems, Problem{Field: field, Code: code, Message: fmt.Sprintf(format, args...), Allowed: allowed})
}

// choose finds what a request means in an execution.
func (r *Redrive) choose(top *Case) (*choice, Problems) {
	h := &chooser{r: r, top: top, choice: newChoice()}
	for _, path := range slices.Sorted(maps.Keys(r.TaskInput)) {
		h.input("task_input."+path, path)
	}
	for i, path := range r.From {
		field := fmt.Sprintf("from[%d]", i)
		task, whole := strings.CutSuffix(path, "/")
		if c, ch, ref, ok := h.find(field, task); ok && whole {
			h.whole(field, c, ch, ref)
		} else if ok {
			h.from(field, c, ch, ref)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(r.Outputs)) {
		h.output("outputs."+path, path)
	}
	for i, path := range r.Acknowledge {
		first, _, _ := strings.Cut(path, "/")
		bare, _ := stripKeys(first)
		if top.Target.Node(bare) == nil {
			h.add(fmt.Sprintf("acknowledge[%d]", i), "unknown_ref", top.refs(""), "there is no task %q", path)
		}
	}
	if len(r.From) == 0 && r.Operation == OperationRetry {
		h.unsuccessful(top, h.choice, "")
	}
	if len(r.From) == 0 && r.Operation == OperationRerun {
		h.everything(top, h.choice)
	}
	h.fresh(top, h.choice, "")
	return h.choice, h.problems
}

// fresh refuses another input for a sub-execution that goes on: only a fresh one has it.
func (h *chooser) fresh(c *Case, ch *choice, path string) {
	for _, task := range slices.Sorted(maps.Keys(ch.inside)) {
		if past := c.Tasks[task]; past.another(ch.given[task]) && past.Status.Ended() {
			h.add("task_input."+path+task, "conflict", "the input of "+path+task+", or tasks in its sub-execution", "%q gets a fresh sub-execution with another input, and tasks of the one that is there are named", path+task)
			continue
		}
		h.fresh(c.Children[task], ch.inside[task], path+task+"/")
	}
}

// find follows a path through sub-executions to the task that it names.
func (h *chooser) find(field, path string) (*Case, *choice, string, bool) {
	c, ch, rest := h.top, h.choice, path
	for {
		task, inner, deeper := strings.Cut(rest, "/")
		at, known := c.Target.Place(task)
		if !known || !c.present(task) {
			h.add(field, "unknown_ref", c.refs(strings.TrimSuffix(path, rest)), "there is no task %q", path)
			return nil, nil, "", false
		}
		if task == HandlersPath || Within(HandlersPath, task) {
			h.add(field, "not_allowed", "tasks of the workflow itself", "%q is a failure handler; it runs again by itself when the execution fails again", path)
			return nil, nil, "", false
		}
		if !deeper {
			return c, ch, task, true
		}
		child := c.Children[task]
		if at.Type != TypeWorkflow || child == nil {
			h.add(field, "unknown_ref", c.refs(strings.TrimSuffix(path, rest)), "the task %q has no sub-execution that could be redriven", strings.TrimSuffix(path, "/"+inner))
			return nil, nil, "", false
		}
		c, ch, rest = child, ch.below(task), inner
	}
}

// present reports whether a task is a part of the execution: not an item that is
// no longer listed, nor an iteration that was not reached again.
func (c *Case) present(ref string) bool {
	if _, there := c.Tasks[ref]; !there {
		return c.Target != c.Program && Outside(ref) == "" // it is new
	}
	for ; ref != ""; ref = Outside(ref) {
		if up := Outside(ref); up != "" && !c.Tasks[up].Began {
			return false
		}
		switch at, _ := c.Target.Place(ref); {
		case at.Role == RoleIteration:
			if n, err := strconv.Atoi(Key(ref)); err != nil || n > c.Tasks[Outside(ref)].Size {
				return false
			}
		case at.Item:
			if !slices.Contains(c.Items[Outside(ref)], Key(ref)) {
				return false
			}
		}
	}
	return true
}

// refs lists the refs of an execution, for the message about one that is not there.
func (c *Case) refs(prefix string) string {
	const shown = 20
	var names []string
	for ref := range c.Tasks {
		if _, known := c.Target.Place(ref); known && !isHandler(ref) {
			names = append(names, prefix+ref)
		}
	}
	slices.Sort(names)
	if len(names) > shown {
		names = append(names[:shown], "...")
	}
	return strings.Join(names, ", ")
}

func isHandler(ref string) bool { return ref == HandlersPath || Within(HandlersPath, ref) }

// whole chooses a sub-execution as a whole.
func (h *chooser) whole(field string, c *Case, ch *choice, task string) {
	child := c.Children[task]
	if child == nil {
		h.add(field, "unknown_ref", c.refs(""), "the task %q has no sub-execution that could be redriven", task)
		return
	}
	below := ch.below(task)
	if h.r.Operation == OperationRetry {
		h.unsuccessful(child, below, "")
		return
	}
	h.everything(child, below)
}

// from chooses a task that was named.
func (h *chooser) from(field string, c *Case, ch *choice, ref string) {
	past := c.Tasks[ref]
	if h.r.Operation == OperationSkip {
		ch.skips[ref] = true
		ch.mark(ref)
		return
	}
	if h.r.Operation == OperationRetry {
		if !unsuccessful(past.TaskState) && !past.Continued {
			h.add(field, "not_failed", "tasks that failed, timed out or were canceled; rerun runs others again", "task %q is %s", ref, past.Status)
			return
		}
		h.retry(c, ch, ref, "it was named")
		return
	}
	if child := c.Children[ref]; child != nil && h.resumes(c, ch, ref) {
		below := ch.below(ref)
		if child.Status == ExecutionSucceeded {
			h.everything(child, below)
		} else {
			h.unsuccessful(child, below, "")
		}
		return
	}
	ch.choose(ref, "it was named")
}

// output chooses a task whose output is given.
func (h *chooser) output(field, path string) {
	c, ch, ref, ok := h.find(field, path)
	if !ok {
		return
	}
	at, _ := c.Target.Place(ref)
	if at.Holds() && (h.r.Operation != OperationComplete || string(h.r.Outputs[path]) != "null") {
		h.add(field, "not_allowed", "tasks that hold no others", "the output of %q is made of what it holds", path)
		return
	}
	if bad := at.CheckOutput(h.r.Outputs[path]); bad != nil {
		h.add(field, bad.Code, "a value that fits output_schema and the limits", "%s", bad.Message)
		return
	}
	ch.pins[ref] = h.r.Outputs[path]
	ch.mark(ref)
}

// input notes what is given as input of a task.
func (h *chooser) input(field, path string) {
	c, ch, ref, ok := h.find(field, path)
	if !ok {
		return
	}
	at, _ := c.Target.Place(ref)
	if at.Holds() {
		h.add(field, "not_allowed", "tasks that hold no others", "%q has no input of its own", path)
		return
	}
	value := h.r.TaskInput[path]
	if string(value) != "null" && h.r.InputMode != InputMerge {
		if problems := at.CheckGiven(value, field); problems != nil {
			h.problems = append(h.problems, problems...)
			return
		}
	}
	ch.given[ref] = value
}

// CheckGiven compares an input that is given as a whole with the schema of the task.
func (p Place) CheckGiven(value json.RawMessage, field string) Problems {
	if len(value) > p.limits.TaskValueBytes {
		return Problems{{Field: field, Code: CodeInputTooLarge, Message: fmt.Sprintf("has %d bytes", len(value)), Allowed: fmt.Sprintf("at most %d", p.limits.TaskValueBytes)}}
	}
	if p.Control() {
		if bad := p.checkControl(value); bad != nil {
			return Problems{{Field: field, Code: bad.Code, Message: bad.Message, Allowed: "what the task type " + p.Type + " accepts"}}
		}
	}
	if p.inputSchema == nil {
		return nil
	}
	problems := p.inputSchema.check(value, field, CodeInputInvalid)
	for i := range problems {
		problems[i].Allowed = "a value that fits the input_schema of the task"
	}
	return problems
}

// everything chooses all tasks of an execution.
func (h *chooser) everything(c *Case, ch *choice) {
	for _, n := range c.Target.Nodes {
		ch.choose(n.Path, "the whole execution runs again")
	}
}

// unsuccessful chooses what failed, timed out or was canceled among the tasks of a holder.
func (h *chooser) unsuccessful(c *Case, ch *choice, holder string) (found bool) {
	for _, ref := range c.held(holder) {
		if past, there := c.Tasks[ref]; there && unsuccessful(past.TaskState) {
			h.retry(c, ch, ref, "it "+ended(past.Status))
			found = true
		}
	}
	return found
}

func ended(s TaskStatus) string {
	switch s {
	case TaskFailed:
		return "failed"
	case TaskTimedOut:
		return "timed out"
	case TaskCanceled:
		return "was canceled"
	}
	return "is " + string(s)
}

// retry chooses a task that did not succeed or, where it holds others that did not, these.
func (h *chooser) retry(c *Case, ch *choice, ref, why string) {
	at, _ := c.Target.Place(ref)
	child := c.Children[ref]
	switch {
	case at.Holds() && c.Tasks[ref].Began && h.unsuccessful(c, ch, ref):
	case child != nil && child.Status.Ended() && child.Status != ExecutionSucceeded && h.resumes(c, ch, ref) && h.r.Identity != NewExecution:
		below := ch.below(ref)
		h.unsuccessful(child, below, "")
	default:
		ch.choose(ref, why)
	}
}

// resumes reports whether the sub-execution of a task goes on, with the input that it has.
func (h *chooser) resumes(c *Case, ch *choice, ref string) bool {
	return !c.Tasks[ref].another(ch.given[ref]) && h.r.Subworkflows == SubworkflowsResume
}

// another reports whether what is given as the input of a task gives it another one: null takes away what was given before.
func (p Past) another(given json.RawMessage) bool {
	return given != nil && (p.Given || string(given) != "null")
}

// held answers the refs directly inside a holder, in order, as they were; of a loop its last iteration.
func (c *Case) held(holder string) []string {
	if holder == "" {
		return refsIn("", c.Target.Nodes)
	}
	at, ok := c.Target.Place(holder)
	if !ok {
		return nil
	}
	switch at.Role {
	case RoleEach:
		refs := make([]string, len(c.Items[holder]))
		for i, key := range c.Items[holder] {
			refs[i] = ItemRef(holder, key)
		}
		return refs
	case RoleLoop:
		if n := c.Tasks[holder].Size; n > 0 {
			return []string{IterationRef(holder, n)}
		}
		return nil
	case RoleTask:
		return nil
	}
	return refsIn(holder, at.Body)
}

func refsIn(holder string, nodes []*Node) []string {
	refs := make([]string, len(nodes))
	for i, n := range nodes {
		refs[i] = Inside(holder, n.Task.Name)
	}
	return refs
}
