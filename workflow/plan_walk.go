package workflow

import (
	"fmt"
	"slices"
)

// planner goes through an execution, a task behind what it needs, and says what becomes of each.
type planner struct {
	r      *Redrive
	c      *Case
	ch     *choice
	prefix string // of the refs of a sub-execution
	part   *Part
	out    *planning
	again  map[string]bool // refs that do not stay as they are
	unsure map[string]bool // of these, what may turn out to be skipped
	barred map[string]bool // of these, what is never reached, as something that it needs ended badly
}

// planning is what all planners of a plan add to.
type planning struct {
	Planned
	problems Problems
}

// setting says how the tasks beside each other begin.
type setting int

const (
	inMotion setting = iota // what holds them runs, or they are outermost ones: they begin by themselves
	atRest                  // what holds them begins again, and they with it
)

func (w *planner) row(at Place, past Past, action PlanAction, format string, args ...any) {
	w.out.Plan.Tasks = append(w.out.Plan.Tasks, PlanRow{
		Ref: w.prefix + at.Ref, Action: action, Reason: fmt.Sprintf(format, args...), Status: past.Status, Attempt: past.Attempt, Effects: at.Effects,
	})
	if action == PlanRun || action == PlanCancel || action == PlanUndecided {
		if at.Effects == EffectsUnsafe && past.Attempt > 0 && !at.Holds() {
			w.out.Plan.Asks(w.r, w.prefix+at.Ref)
		}
	}
}

// Asks wants a task acknowledged that has unsafe effects and happens again, where the request does not.
func (p *Plan) Asks(r *Redrive, ref string) {
	bare, _ := stripKeys(ref)
	if !slices.Contains(r.Acknowledge, ref) && !slices.Contains(r.Acknowledge, bare) && !slices.Contains(p.Acknowledge, bare) {
		p.Acknowledge = append(p.Acknowledge, bare)
	}
}

func (w *planner) step(s Step) { w.part.Steps = append(w.part.Steps, s) }

// body goes through tasks beside each other and says whether any does not stay as it is.
func (w *planner) body(holder string, nodes []*Node, in setting) (moved bool) {
	for _, n := range nodes {
		if w.task(Inside(holder, n.Task.Name), in) {
			moved = true
		}
	}
	return moved
}

// task says what becomes of a task, and whether it does not stay as it is.
func (w *planner) task(ref string, in setting) bool {
	at, _ := w.c.Target.Place(ref)
	past, there := w.c.Tasks[ref]
	why, chosen := w.ch.start[ref]
	up := w.upstream(at, past)
	other := w.c.Target != w.c.Program
	switch {
	case w.ch.skips[ref]:
		w.end(at, past, Step{Do: StepSkip, Reason: ReasonByHand}, PlanSkip, "an operator says so")
	case w.ch.pins[ref] != nil:
		w.end(at, past, Step{Do: StepPin, Output: string(w.ch.pins[ref])}, PlanPin, "its output was given")
	case chosen:
		w.reachable(at)
		w.run(at, past, in, true, why)
	case up != "":
		w.run(at, past, in, false, "it needs "+w.prefix+up+", which does not stay as it is")
	case w.anew() && there && !past.Status.Ended():
		w.run(at, past, in, false, "it has not ended")
	case other && past.Status == TaskPending && there && past.Began && at.Role != RoleTask:
		return w.open(at, past, in)
	case other && past.Status == TaskPending && there && !past.Began:
		w.run(at, past, in, false, "it was not reached yet, and runs under this version")
	case w.ch.around[ref] || w.ch.inside[ref] != nil:
		return w.open(at, past, in)
	case !there:
		w.run(at, past, in, false, "it is new in this version")
	case other && past.live():
		w.run(at, past, in, false, "it runs under the version before")
	case other && w.changedKind(at):
		w.run(at, past, in, false, "it is another kind of task in this version")
	case other && past.EndedWell() && w.grown(at):
		return w.open(at, past, in)
	default:
		w.keep(at, past)
		return false
	}
	return true
}

// anew reports whether another execution runs: in that nothing runs yet.
func (w *planner) anew() bool { return w.r.Identity == NewExecution }

// ReasonByHand is the reason of a task that an operator skipped after it had ended.
const ReasonByHand = "by_hand"

// upstream answers a need of the task that does not stay as it is.
func (w *planner) upstream(at Place, past Past) string {
	if w.r.Scope == ScopeOnly && past.Status != TaskPending {
		return ""
	}
	for _, need := range at.SiblingRefs(at.Needs) {
		if w.again[need] {
			return need
		}
	}
	return ""
}

// reachable refuses to run a task again that would never be reached.
func (w *planner) reachable(at Place) {
	if need := w.unreached(at); need != "" {
		allowed := "start from " + w.prefix + need + " as well"
		if of, _ := w.c.Target.Place(need); !of.Holds() {
			allowed += ", or give its output in outputs"
		}
		w.out.problems = append(w.out.problems, Problem{
			Field: "from", Code: "not_reached", Message: fmt.Sprintf("%s cannot run: it needs %s, which %s and does not run again", w.prefix+at.Ref, w.prefix+need, ended(w.c.Tasks[need].Status)),
			Allowed: allowed,
		})
	}
}

// end gives a task the end that the request says.
func (w *planner) end(at Place, past Past, s Step, action PlanAction, reason string) {
	w.again[at.Ref] = true
	w.unsure[at.Ref] = action == PlanSkip
	s.Ref, s.Attempt, s.Status = at.Ref, past.Attempt, past.Status
	w.step(s)
	w.row(at, past, action, "%s", reason)
	w.stop(at, false)
}

// run lets a task run again as a whole.
func (w *planner) run(at Place, past Past, in setting, chosen bool, why string) {
	if w.r.Scope == ScopeChanged && past.EndedWell() && w.same(at, past, in) {
		return
	}
	w.again[at.Ref] = true
	if past.Status == TaskQueued && w.c.Status == ExecutionQueued && !w.anew() && w.upstream(at, past) == "" {
		w.step(w.given(at, Step{Ref: at.Ref, Do: StepGive, Attempt: past.Attempt, Status: past.Status}))
		w.row(at, past, PlanRun, "nothing has begun yet: %s", why)
		return
	}
	s := w.reset(at, past, in)
	w.step(s)
	action := PlanRun
	switch {
	case past.live() && !w.anew():
		action = PlanCancel
		why = "its attempt is superseded: " + why
	case at.Conditional && !chosen:
		action, why = PlanUndecided, "its condition is evaluated again: "+why
		w.unsure[at.Ref] = true
	case w.unreached(at) != "":
		w.barred[at.Ref] = true
		action, why = PlanUndecided, "it is canceled again: it needs "+w.prefix+w.unreached(at)+", which does not run"
	case w.allUnsure(at):
		action = PlanUndecided
		w.unsure[at.Ref] = true
	}
	w.row(at, past, action, "%s", why)
	w.stop(at, true)
}

// unreached answers a need of a task that ended badly and does not run again, or is never reached itself.
func (w *planner) unreached(at Place) string {
	for _, need := range at.SiblingRefs(at.Needs) {
		if past := w.c.Tasks[need]; w.barred[need] || !w.again[need] && past.Status.Ended() && !past.EndedWell() {
			return need
		}
	}
	return ""
}

func (w *planner) allUnsure(at Place) bool {
	needs := at.SiblingRefs(at.Needs)
	return len(needs) > 0 && !slices.ContainsFunc(needs, func(need string) bool {
		return !w.unsure[need] && w.c.Tasks[need].Status != TaskSkipped
	}) && slices.ContainsFunc(needs, func(need string) bool { return w.unsure[need] })
}

// reset is the step that makes a task ready to be reached again.
func (w *planner) reset(at Place, past Past, in setting) Step {
	s := Step{Ref: at.Ref, Do: StepReset, Attempt: past.Attempt, Status: past.Status, Mode: "run"}
	if at.Conditional || at.Control() || at.Role == RoleEach {
		s.Mode = "decide"
	}
	if w.r.Budget == BudgetOne && past.Try > 0 {
		s.Try = min(past.Try, at.Retry.MaxAttempts-1)
	}
	s = w.given(at, s)
	switch {
	case in == atRest:
	case at.Item:
		s.Item = true
	default:
		s.Wait = true
		for _, need := range at.SiblingRefs(at.Needs) {
			if w.again[need] && w.ch.pins[need] == nil && !w.ch.skips[need] {
				s.Needs = append(s.Needs, need)
				continue
			}
			s.Others = append(s.Others, need)
			if w.c.Tasks[need].Status == TaskSkipped || w.ch.skips[need] {
				s.Mode = "decide"
			}
		}
	}
	return s
}

// given adds to a step the input that the request gives to its task.
func (w *planner) given(at Place, s Step) Step {
	if v, given := w.ch.given[at.Ref]; given {
		return s.give(v, w.r.InputMode)
	}
	return s
}

// stop ends what runs in a task that does not go on as it is, and lists it.
func (w *planner) stop(at Place, again bool) {
	w.within(at.Ref, func(inner Place, past Past) {
		switch {
		case past.Status.Ended() && again:
			if _, given := w.ch.given[inner.Ref]; given {
				w.step(w.given(inner, Step{Ref: inner.Ref, Do: StepGive, Attempt: past.Attempt, Status: past.Status}))
			}
			w.row(inner, past, PlanUndecided, "%s runs again as a whole", w.prefix+at.Ref)
		case past.Status.Ended():
			w.row(inner, past, PlanKeep, "it stays as history")
		case w.anew():
			w.row(inner, past, PlanUndecided, "%s runs again as a whole", w.prefix+at.Ref)
		default:
			w.step(w.given(inner, Step{Ref: inner.Ref, Do: StepReset, Attempt: past.Attempt, Status: past.Status}))
			action := PlanUndecided
			if past.live() {
				action = PlanCancel
			}
			w.row(inner, past, action, "%s runs again as a whole", w.prefix+at.Ref)
		}
	})
}

// within calls f for all that a task holds now, in order.
func (w *planner) within(holder string, f func(at Place, past Past)) {
	for _, ref := range w.c.allHeld(holder) {
		if past, there := w.c.Tasks[ref]; there {
			at, _ := w.c.Target.Place(ref)
			f(at, past)
			w.within(ref, f)
		}
	}
}

// allHeld is held with all iterations of a loop; one that has not begun again holds those that were made ready with it.
func (c *Case) allHeld(holder string) []string {
	at, ok := c.Target.Place(holder)
	if !ok || at.Role != RoleLoop {
		return c.held(holder)
	}
	var refs []string
	for n := 1; ; n++ {
		ref := IterationRef(holder, n)
		if past, there := c.Tasks[ref]; n > c.Tasks[holder].Size && (!there || past.Status.Ended()) {
			return refs
		}
		refs = append(refs, ref)
	}
}

// keep leaves a task and all that it holds as they are.
func (w *planner) keep(at Place, past Past) {
	w.kept(at, past)
	if Outside(at.Ref) == "" && w.prefix == "" && past.Status.Ended() && !past.EndedWell() {
		w.out.Plan.Warnings = append(w.out.Plan.Warnings, at.Ref+" "+ended(past.Status)+" and does not run again, so the execution cannot succeed")
	}
	if _, given := w.ch.given[at.Ref]; given && !past.Status.Ended() {
		w.step(w.given(at, Step{Ref: at.Ref, Do: StepGive, Attempt: past.Attempt, Status: past.Status}))
	}
	w.within(at.Ref, w.kept)
}

func (w *planner) kept(at Place, past Past) {
	switch {
	case past.live():
		w.row(at, past, PlanLeaveRunning, "%s", w.why())
	case past.Status == TaskPending:
		w.row(at, past, PlanLeaveRunning, "it was not reached yet, and goes on as it would")
	case past.EndedWell():
		w.row(at, past, PlanKeep, "it %s, and %s", word(past.Status), w.why())
	default:
		w.row(at, past, PlanKeep, "it %s, and was not named", ended(past.Status))
	}
}

// why says why a task is left as it is that was not named.
func (w *planner) why() string {
	if w.r.Scope == ScopeOnly {
		return "only the tasks that were named run"
	}
	return "nothing that it needs runs again"
}

func word(s TaskStatus) string {
	switch s {
	case TaskSucceeded:
		return "succeeded"
	case TaskSkipped:
		return "was skipped"
	}
	return ended(s) + " and was let go on"
}
