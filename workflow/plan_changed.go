package workflow

import "slices"

// same says of a task that ended well, in a redrive of what changed, whether it
// stays as it is, or that this turns out when it is reached; false = it runs again.
func (w *planner) same(at Place, past Past, in setting) bool {
	if !past.Same || past.Status != TaskSucceeded {
		return false
	}
	moved := w.upstream(at, past) != ""
	switch at.Role {
	case RoleLoop, RoleIteration:
		if moved || w.c.InputChanged && readsInput(at.Node) {
			return false
		}
	case RoleGroup, RoleEach:
		list, known := w.c.Lists[at.Ref]
		if moved || at.Role == RoleEach && !known {
			w.maybeHolder(at, past, in)
			return true
		}
		return w.sameInside(at, past, in, list)
	default:
		now, known := w.c.Hashes[at.Ref]
		switch {
		case moved || !known && past.Hash != "":
			w.maybe(at, past, in)
			return true
		case past.Hash == "" && w.c.InputChanged && at.InputReads.Workflow, known && now != past.Hash:
			return false
		}
	}
	w.row(at, past, PlanKeep, "it would see the same as before")
	w.within(at.Ref, func(at Place, past Past) { w.row(at, past, PlanKeep, "it would see the same as before") })
	return true
}

// readsInput reports whether a node, or one inside it, reads the execution's input.
func readsInput(n *Node) bool {
	if n.IfReads.Workflow || n.InputReads.Workflow || n.UntilReads.Workflow || n.ItemsReads.Workflow {
		return true
	}
	return slices.ContainsFunc(n.Body, readsInput)
}

const seenAgain = "it runs again only if it would see something else than before"

// maybe lets a task stay as it is when its input turns out to be the same.
func (w *planner) maybe(at Place, past Past, in setting) {
	w.again[at.Ref] = true
	s := w.reset(at, past, in)
	s.Maybe = past.Hash != ""
	w.step(s)
	w.row(at, past, PlanUndecided, seenAgain)
}

// maybeHolder lets a task begin again in which each task stays that would see the same.
func (w *planner) maybeHolder(at Place, past Past, in setting) {
	w.again[at.Ref] = true
	s := w.reset(at, past, in)
	s.Mode, s.Keep = "decide", KeepInside
	if at.Role == RoleEach {
		s.Keep = KeepListed
	}
	w.step(s)
	w.row(at, past, PlanUndecided, "tasks in it run again only if they would see something else than before")
	for _, ref := range w.c.held(at.Ref) {
		inner, _ := w.c.Target.Place(ref)
		then, there := w.c.Tasks[ref]
		switch {
		case !there:
		case inner.Role == RoleGroup || inner.Role == RoleEach:
			w.maybeHolder(inner, then, atRest)
		case inner.Role == RoleTask && then.Status == TaskSucceeded && then.Same:
			w.maybe(inner, then, atRest)
		default:
			w.again[ref] = true
			w.step(w.reset(inner, then, atRest))
			w.row(inner, then, PlanUndecided, "%s", seenAgain)
			w.stop(inner, true)
		}
	}
}

// sameInside goes through what a task holds whose own needs stay as they are.
func (w *planner) sameInside(at Place, past Past, in setting, list []string) bool {
	first, steps := len(w.out.Plan.Tasks), len(w.part.Steps)
	w.row(at, past, PlanKeep, "nothing in it would see anything else than before")
	moved := false
	if at.Role == RoleEach {
		for _, key := range w.c.Items[at.Ref] {
			w.ch.choose(ItemRef(at.Ref, key), seenElse)
		}
		listed := len(w.out.Plan.Tasks)
		w.relisted(at, atRest)
		for _, row := range w.out.Plan.Tasks[listed:] {
			moved = moved || row.Action != PlanKeep
		}
		moved = moved || len(list) != len(w.c.Items[at.Ref])
	} else {
		for _, ref := range refsIn(at.Ref, at.Body) {
			w.ch.choose(ref, seenElse)
		}
		moved = w.body(at.Ref, at.Body, atRest)
	}
	if !moved {
		w.part.Steps = w.part.Steps[:steps]
		return true
	}
	w.again[at.Ref] = true
	s := w.reset(at, past, in)
	s.Mode, s.Keep = "decide", KeepInside
	if at.Role == RoleEach {
		s.Keep = KeepListed
	}
	w.step(s)
	w.out.Plan.Tasks[first].Action, w.out.Plan.Tasks[first].Reason = PlanRun, "tasks in it run again"
	return true
}

const seenElse = "it would see something else than before"
