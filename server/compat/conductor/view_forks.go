package conductor

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
)

// fork is what a join comes behind.
type fork struct {
	ref    string
	firsts []string // of its branches
}

// openJoin adds a join whose turn has not come: Conductor shows it from the fork on.
func (h *handlers) openJoin(x *engine.Execution, k *known, n node, id string, t engine.Task, gone int, all []shown) []shown {
	if _, ok := k.forks[n.Ref]; !ok || n.Inner || n.Type != "JOIN" {
		return all
	}
	w := wireTask(x, k, n, t, engine.Attempt{Attempt: t.Attempt + 1})
	w.WorkflowInstanceID, w.order, w.open, w.Status = id, 2*len(all), true, "IN_PROGRESS"
	w.RetryCount -= gone
	if t.Attempt > gone {
		w.RetriedTaskID = taskID(x.ID, t.Ref, t.Attempt)
	}
	if x.Status.Ended() {
		w.Status, w.EndTime = "CANCELED", millis(x.EndedAt)
	}
	return append(all, w)
}

// inOnePass puts a fork's first tasks and its join where Conductor has them: it schedules them in one pass with the fork. A join
// whose fork has not run is not there yet.
func inOnePass(all []shown) []shown {
	for i := range all {
		if all[i].node.Type != "JOIN" && all[i].node.Type != "EXCLUSIVE_JOIN" {
			continue
		}
		join := &all[i]
		if f := forkOf(all, join); f != nil {
			scheduleAfter(all, f, join)
			join.open = false
		}
	}
	return slices.DeleteFunc(all, func(w shown) bool { return w.open })
}

// forkOf finds the run of a join's fork that it belongs to; nil = it has none, or that has not run.
func forkOf(all []shown, join *shown) *shown {
	for i := range slices.Backward(all) {
		f := &all[i]
		if f.Ref == join.fork.ref+suffix(join) && f.Status == "COMPLETED" && f.WorkflowInstanceID == join.WorkflowInstanceID &&
			(join.ScheduledTime == 0 || f.EndTime <= join.ScheduledTime) {
			return f
		}
	}
	return nil
}

// suffix is what the iterations that it is in add to the reference name of a task.
func suffix(w *shown) string { return strings.TrimPrefix(w.Ref, w.node.Ref) }

// scheduleAfter says that a join and the first runs of what its fork began were scheduled when the fork ended.
func scheduleAfter(all []shown, f, join *shown) {
	begun := map[string]bool{}
	last := f.order
	for i := range all {
		w := &all[i]
		first := w.within == join.Ref || slices.ContainsFunc(join.fork.firsts, func(ref string) bool { return w.Ref == ref+suffix(join) })
		if !first || begun[w.Ref] || w.ScheduledTime < f.EndTime {
			continue
		}
		begun[w.Ref] = true
		w.ScheduledTime = f.EndTime
		last = max(last, w.order)
	}
	if join.ScheduledTime == 0 || join.ScheduledTime >= f.EndTime {
		join.ScheduledTime, join.StartTime, join.order = f.EndTime, f.EndTime, last+1
		join.UpdateTime = max(join.UpdateTime, join.ScheduledTime)
	}
}

// forkInput is the input of a dynamic fork: what it was given, and what it made of that.
func forkInput(all []shown, f *shown) json.RawMessage {
	refs, defs := branches(all, joinOf(all, f)), []any{}
	for _, ref := range refs {
		i := slices.IndexFunc(all, func(w shown) bool { return w.Ref == ref })
		defs = append(defs, all[i].WorkflowTask)
	}
	in := fields(f.InputData)
	if in == nil {
		in = map[string]json.RawMessage{}
	}
	in["forkedTasks"], in["forkedTaskDefs"] = encoded(refs), encoded(defs)
	return encoded(in)
}

// branches are the reference names of what runs in a dynamic fork, by that of its join.
func branches(all []shown, join string) []string {
	refs := []string{}
	for i := range all {
		if w := &all[i]; join != "" && w.within == join && !slices.Contains(refs, w.Ref) {
			refs = append(refs, w.Ref)
		}
	}
	return refs
}

// joinOf is the reference name of the join behind a fork; "" = it is not there yet.
func joinOf(all []shown, f *shown) string {
	for i := range all {
		if w := &all[i]; w.fork.ref != "" && w.fork.ref+suffix(w) == f.Ref {
			return w.Ref
		}
	}
	return ""
}
