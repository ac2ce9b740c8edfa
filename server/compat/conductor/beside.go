package conductor

import (
	"context"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// A rerun from a task, and a retry of a sub-workflow, run again, too, what did not end well beside it: what failed, and what was canceled because of a
// failure. Without, the workflow could only end as it did before.
//
//	the workflow of the task       its tasks that do not come behind the task and ended badly
//	the workflows around it        theirs; a sub-workflow among them goes on where it failed

// around finds the outermost execution that a rerun of a task concerns. One that runs something else in the place of
// the execution by now, or goes on without it, is none of them.
func (h *handlers) around(ctx context.Context, x *engine.Execution, path string) (*engine.Execution, string, error) {
	for x.Parent != nil {
		parent, err := h.engine.Execution(ctx, x.Parent.Execution)
		if compat.IsMissing(err) {
			return x, path, nil
		}
		if err != nil {
			return nil, "", err
		}
		t, err := h.engine.Task(ctx, parent.ID, x.Parent.Task)
		if err != nil {
			return nil, "", err
		}
		k, err := h.runs(ctx, parent)
		if err != nil {
			return nil, "", err
		}
		if t.Child != x.ID || k.optional(k.node(t.Name, t.Type).Ref) {
			return x, path, nil
		}
		path, x = x.Parent.Task+"/"+path, parent
	}
	return x, path, nil
}

// besides is what a retry of a sub-workflow runs again in the outermost execution around it: what did not end well in it,
// and beside it. Nothing where no other waits for it, or where the others have not ended.
func (h *handlers) besides(ctx context.Context, x *engine.Execution, resume bool) (*engine.Execution, []string, error) {
	outer, path, err := h.around(ctx, x, "")
	if err != nil || outer == x || !outer.Status.Ended() {
		return x, nil, err
	}
	from, err := h.unwell(ctx, outer, path, resume)
	return outer, from, err
}

// unwell finds what did not end well beside the task at a path, in the executions on the way there; at the end of a path
// that names none, all of that. resume goes into its sub-workflows there, too.
func (h *handlers) unwell(ctx context.Context, x *engine.Execution, path string, resume bool) ([]string, error) {
	var found []string
	prefix := ""
	for ref, rest, more := strings.Cut(path, "/"); ; ref, rest, more = strings.Cut(rest, "/") {
		refs, err := h.unwellIn(ctx, x, ref, more || resume)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			found = append(found, prefix+r)
		}
		if !more {
			return found, nil
		}
		t, err := h.engine.Task(ctx, x.ID, ref)
		if err != nil {
			return nil, err
		}
		if x, err = h.engine.Execution(ctx, t.Child); err != nil {
			return nil, err
		}
		prefix += ref + "/"
	}
}

// unwellIn finds what did not end well in an execution and does not come behind a task of it. resume goes into the
// sub-workflows among it, which else start anew.
func (h *handlers) unwellIn(ctx context.Context, x *engine.Execution, target string, resume bool) ([]string, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	d, err := h.engine.ExecutionDefinition(ctx, x)
	if err != nil {
		return nil, err
	}
	var bad []engine.Task
	for page := (engine.Page{Limit: 1000}); ; {
		tasks, next, err := h.engine.Tasks(ctx, x.ID, page)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if endedBadly(t) && !k.optional(k.node(t.Name, t.Type).Ref) && !follows(d.Tasks, target, t.Ref) {
				bad = append(bad, t)
			}
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	var refs []string
	for _, t := range bad {
		if slices.ContainsFunc(bad, func(inner engine.Task) bool {
			return strings.HasPrefix(inner.Ref, t.Ref+"[") || strings.HasPrefix(inner.Ref, t.Ref+".")
		}) {
			continue // what is in it says where it goes on
		}
		inner, err := h.unwellChild(ctx, t, resume || k.node(t.Name, t.Type).Inner)
		if err != nil {
			return nil, err
		}
		refs = append(refs, inner...)
	}
	return refs, nil
}

// unwellChild is a task, or what did not end well in the sub-execution that goes on in its place.
func (h *handlers) unwellChild(ctx context.Context, t engine.Task, resume bool) ([]string, error) {
	if !resume || t.Child == "" {
		return []string{t.Ref}, nil
	}
	child, err := h.engine.Execution(ctx, t.Child)
	if compat.IsMissing(err) {
		return []string{t.Ref}, nil
	}
	if err != nil {
		return nil, err
	}
	refs, err := h.unwellIn(ctx, child, "", true)
	if err != nil || len(refs) == 0 {
		return []string{t.Ref}, err
	}
	for i := range refs {
		refs[i] = t.Ref + "/" + refs[i]
	}
	return refs, nil
}

func endedBadly(t engine.Task) bool {
	if t.Ref == workflow.HandlersPath || workflow.Within(workflow.HandlersPath, t.Ref) {
		return false // it runs again by itself, where it is to
	}
	switch t.Status {
	case workflow.TaskFailed, workflow.TaskTimedOut, workflow.TaskCanceled:
		return t.Attempt > 0
	}
	return false
}

// follows reports whether a task is the target, holds it, comes behind it, or belongs to an iteration that does.
func follows(tasks []workflow.Task, target, ref string) bool {
	if target == "" {
		return false
	}
	to, toMore := first(target)
	at, atMore := first(ref)
	if name(to) != name(at) {
		return behind(tasks, name(to), name(at))
	}
	if to != at || toMore == "" || atMore == "" {
		return true
	}
	i := slices.IndexFunc(tasks, func(t workflow.Task) bool { return t.Name == name(to) })
	return i < 0 || follows(tasks[i].Tasks, toMore, atMore)
}

// first cuts a ref behind its first task: "loop[2].a" is "loop[2]" and "a".
func first(ref string) (string, string) {
	head, rest, _ := strings.Cut(ref, ".")
	return head, rest
}

func name(part string) string {
	own, _, _ := strings.Cut(part, "[")
	return own
}

// behind reports whether a task needs another one, by way of others, too.
func behind(tasks []workflow.Task, before, ref string) bool {
	after := map[string]bool{before: true}
	for range tasks {
		for _, t := range tasks {
			after[t.Name] = after[t.Name] || slices.ContainsFunc(t.Needs, func(need string) bool { return after[need] })
		}
	}
	return after[ref]
}
