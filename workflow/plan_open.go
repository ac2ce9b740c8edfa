package workflow

import "strconv"

// open lets a task go on that holds something which does not stay as it is.
func (w *planner) open(at Place, past Past, in setting) bool {
	switch {
	case past.Status == TaskPending && !past.Began:
		w.keep(at, past) // it has not begun: it will run as a whole
		return false
	case w.ch.inside[at.Ref] != nil:
		return w.openChild(at, past, in)
	}
	w.again[at.Ref] = true
	s, inner := w.reopened(at, past, in)
	if at.Role == RoleLoop {
		return w.openLoop(at, past, s, inner)
	}
	why := "tasks in it run again"
	if at.Role == RoleEach && s.Do == StepReset && w.relists(at, past) {
		s.Keep, why = KeepListed, "its list is evaluated again, and tasks in it run again"
	}
	w.step(s)
	w.row(at, past, PlanRun, "%s", why)
	switch {
	case at.Role != RoleEach:
		w.body(at.Ref, at.Body, inner)
	case s.Keep == KeepListed:
		w.relisted(at, inner)
	default:
		for _, key := range w.c.Items[at.Ref] {
			w.task(ItemRef(at.Ref, key), inner)
		}
	}
	return true
}

// reopened is the step that lets a holder go on, and how what it holds begins then.
func (w *planner) reopened(at Place, past Past, in setting) (Step, setting) {
	if past.Status == TaskRunning && !w.anew() {
		return Step{Ref: at.Ref, Do: StepTouch, Attempt: past.Attempt, Status: past.Status}, inMotion
	}
	s := w.reset(at, past, in)
	s.Keep, s.Mode = KeepInside, "decide"
	return s, atRest
}

// relists reports whether the list of a for_each that goes on may be another one now.
func (w *planner) relists(at Place, past Past) bool {
	return w.r.Operation == OperationRetry && unsuccessful(past.TaskState) &&
		(w.c.InputChanged && at.ItemsReads.Workflow || w.c.Target != w.c.Program)
}

// relisted goes through the items of a for_each whose list is evaluated again.
func (w *planner) relisted(at Place, in setting) {
	list, known := w.c.Lists[at.Ref]
	former := w.c.Items[at.Ref]
	if !known {
		list = former
	}
	on, was := make(map[string]bool, len(list)), make(map[string]bool, len(former))
	for _, key := range former {
		was[key] = true
	}
	for _, key := range list {
		on[key] = true
		ref := ItemRef(at.Ref, key)
		if _, there := w.c.Tasks[ref]; !there || known && !was[key] {
			item, _ := w.c.Target.Place(ref)
			w.row(item, w.c.Tasks[ref], PlanRun, "it is new on the list")
			continue
		}
		from := len(w.out.Plan.Tasks)
		w.task(ref, in)
		for i := from; !known && i < len(w.out.Plan.Tasks); i++ {
			w.out.Plan.Tasks[i].Stays = w.out.Plan.Tasks[i].Action == PlanKeep
			w.out.Plan.Tasks[i].Action = PlanUndecided
			w.out.Plan.Tasks[i].Reason += ", if it is still on the list"
		}
	}
	for _, key := range former {
		if !on[key] {
			item, _ := w.c.Target.Place(ItemRef(at.Ref, key))
			w.row(item, w.c.Tasks[item.Ref], PlanSkip, "it is no longer on the list")
			w.within(item.Ref, func(at Place, past Past) { w.row(at, past, PlanSkip, "its item is no longer on the list") })
		}
	}
}

// openLoop lets a loop go on at the first iteration that does not stay as it is.
func (w *planner) openLoop(at Place, past Past, s Step, in setting) bool {
	first := past.Size
	for n := past.Size; n > 0; n-- {
		ref := IterationRef(at.Ref, n)
		if _, chosen := w.ch.start[ref]; chosen || w.ch.around[ref] {
			first = n
		}
	}
	s.Size = first
	if s.Do == StepTouch {
		s.Was = past.Size
	}
	w.step(s)
	w.row(at, past, PlanRun, "it goes on at iteration %d", first)
	for n := 1; n <= past.Size; n++ {
		ref := IterationRef(at.Ref, n)
		iteration, _ := w.c.Target.Place(ref)
		then := w.c.Tasks[ref]
		switch {
		case n < first:
			w.keep(iteration, then)
		case n == first:
			w.task(ref, in)
		default:
			w.supersede(iteration, then, "the loop goes on at iteration "+strconv.Itoa(first)+" and may reach it again")
		}
	}
	return true
}

// supersede takes a task out until it is reached again, with all that it holds.
func (w *planner) supersede(at Place, past Past, why string) {
	one := func(at Place, past Past) {
		w.step(Step{Ref: at.Ref, Do: StepSkip, Attempt: past.Attempt, Status: past.Status, Reason: ReasonNotInside})
		w.row(at, past, PlanUndecided, "%s", why)
	}
	one(at, past)
	w.within(at.Ref, one)
}

// ReasonNotInside is the reason of what only an earlier attempt of a for_each or loop held.
const ReasonNotInside = "not_inside"

// openChild lets the sub-execution of a task go on.
func (w *planner) openChild(at Place, past Past, in setting) bool {
	child := w.c.Children[at.Ref]
	part := &Part{Case: child, Above: w.part}
	if past.live() && past.Status != TaskRetrying {
		w.row(at, past, PlanLeaveRunning, "its sub-execution runs, and goes on with tasks that run again")
	} else {
		w.again[at.Ref] = true
		s := w.reset(at, past, in)
		s.Mode, s.Keep, s.Child, part.Task = "decide", KeepInside, past.Child, at.Ref
		w.step(s)
		w.row(at, past, PlanRun, "its sub-execution goes on in place")
	}
	inner := &planner{
		r: w.r, c: child, ch: w.ch.inside[at.Ref], prefix: w.prefix + at.Ref + "/", part: part, out: w.out,
		again: map[string]bool{}, unsure: map[string]bool{}, barred: map[string]bool{},
	}
	w.out.Parts = append(w.out.Parts, part)
	delete(w.ch.inside, at.Ref)
	inner.whole()
	return true
}

// changedKind reports whether a task cannot keep its results under the definition that is to run.
func (w *planner) changedKind(at Place) bool {
	former, ok := w.c.Program.Place(at.Ref)
	return !ok || former.Role != at.Role || former.Type != at.Type && (former.Control() || at.Control())
}

// grown reports whether a task that ended well holds tasks that it did not have.
func (w *planner) grown(at Place) bool {
	switch at.Role {
	case RoleGroup, RoleIteration:
		for _, ref := range refsIn(at.Ref, at.Body) {
			inner, _ := w.c.Target.Place(ref)
			past, there := w.c.Tasks[ref]
			if !there || w.changedKind(inner) || past.EndedWell() && w.grown(inner) {
				return true
			}
		}
	case RoleEach:
		for _, ref := range w.c.held(at.Ref) {
			if inner, ok := w.c.Target.Place(ref); ok && w.grown(inner) {
				return true
			}
		}
	}
	return false
}
