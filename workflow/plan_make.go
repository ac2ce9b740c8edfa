package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Make plans a redrive of an execution: what becomes of every task, and the
// steps that do it. It looks at nothing but its arguments, and decides the same
// from the same. The problems name fields of the request.
func (r *Redrive) Make(top *Case) (*Planned, Problems) {
	if problems := r.Check(); len(problems) > 0 {
		return nil, problems
	}
	ch, problems := r.choose(top)
	if len(problems) > 0 {
		return nil, problems
	}
	out := &planning{}
	out.Plan = Plan{Operation: r.Operation, Execution: top.Execution, Revision: top.Revision, Identity: r.Identity, Warnings: []string{}, Acknowledge: []string{}, Tasks: make([]PlanRow, 0, len(top.Tasks))}
	w := &planner{r: r, c: top, ch: ch, part: &Part{Case: top}, out: out, again: map[string]bool{}, unsure: map[string]bool{}, barred: map[string]bool{}}
	out.Parts = append(out.Parts, w.part)
	w.whole()
	if len(out.problems) > 0 {
		return nil, out.problems
	}
	hash, err := r.hash(top, out.Plan.Tasks)
	if err != nil {
		return nil, Problems{{Field: "request", Code: CodeBadWith, Message: err.Error()}}
	}
	out.Plan.PlanHash = hash
	return &out.Planned, nil
}

// whole goes through all tasks of an execution.
func (w *planner) whole() {
	w.body("", w.c.Target.Nodes, inMotion)
	w.removed()
	w.handlers()
	w.gave()
	w.arrange()
	w.part.Named = len(w.ch.start) > 0
}

// removed ends what the definition that is to run does not have any more.
func (w *planner) removed() {
	if w.c.Target == w.c.Program {
		return
	}
	for _, ref := range slices.Sorted(maps.Keys(w.c.Tasks)) {
		past := w.c.Tasks[ref]
		if _, ok := w.c.Target.Place(ref); ok || past.Status.Ended() {
			continue
		}
		at, _ := w.c.Program.Place(ref)
		w.step(Step{Ref: ref, Do: StepSkip, Attempt: past.Attempt, Status: past.Status, Reason: ReasonRemoved})
		w.row(at, past, PlanSkip, "this version does not have it")
	}
}

// ReasonRemoved is the reason of a task that the version of a redrive does not have.
const ReasonRemoved = "removed"

// handlers makes the failure handlers ready to run when it fails again.
func (w *planner) handlers() {
	past, there := w.c.Tasks[HandlersPath]
	if !there || w.c.Target.Handlers == nil {
		return
	}
	at, _ := w.c.Target.Place(HandlersPath)
	w.step(Step{Ref: HandlersPath, Do: StepReset, Attempt: past.Attempt, Status: past.Status})
	w.row(at, past, PlanUndecided, "failure handlers run when it fails again")
	w.stop(at, true)
}

// gave refuses an input for a task that does not run again, and an output for one that cannot have it.
func (w *planner) gave() {
	given, ends := maps.Clone(w.ch.given), maps.Clone(w.ch.pins)
	for ref := range w.ch.skips {
		ends[ref] = nil
	}
	for _, s := range w.part.Steps {
		if s.Given != nil {
			delete(given, s.Ref)
		}
		if s.Do == StepPin || s.Do == StepSkip && s.Reason == ReasonByHand {
			delete(ends, s.Ref)
		}
	}
	for _, task := range slices.Sorted(maps.Keys(w.ch.inside)) { // what holds it runs as a whole
		w.lost(task+"/", w.ch.inside[task])
	}
	for _, ref := range slices.Sorted(maps.Keys(ends)) {
		w.refuse("outputs", ref)
	}
	for _, ref := range slices.Sorted(maps.Keys(given)) {
		past := w.c.Tasks[ref]
		if !past.Status.Ended() && past.Status != "" {
			w.step(Step{Ref: ref, Do: StepGive, Attempt: past.Attempt, Status: past.Status}.give(given[ref], w.r.InputMode))
			continue
		}
		w.out.problems = append(w.out.problems, Problem{
			Field: "task_input." + w.prefix + ref, Code: "not_run", Message: fmt.Sprintf("task %s does not run again", w.prefix+ref), Allowed: "tasks that run again; name it in from",
		})
	}
}

// lost refuses what is given to tasks of a sub-execution that does not go on, as another one takes its place.
func (w *planner) lost(prefix string, ch *choice) {
	for _, ref := range slices.Sorted(maps.Keys(ch.pins)) {
		w.refuse("outputs", prefix+ref)
	}
	for _, ref := range slices.Sorted(maps.Keys(ch.skips)) {
		w.refuse("outputs", prefix+ref)
	}
	for _, ref := range slices.Sorted(maps.Keys(ch.given)) {
		w.refuse("task_input", prefix+ref)
	}
	for _, task := range slices.Sorted(maps.Keys(ch.inside)) {
		w.lost(prefix+task+"/", ch.inside[task])
	}
}

func (w *planner) refuse(field, ref string) {
	w.out.problems = append(w.out.problems, Problem{
		Field: field + "." + w.prefix + ref, Code: "not_allowed", Message: "what holds task " + w.prefix + ref + " runs again as a whole, or has not begun", Allowed: "tasks that run again by themselves",
	})
}

// arrange puts the steps in the order in which they are applied: ends that were
// given first, then what runs and is superseded, whose result must find nobody that was reset and waits
// for it (nobody waits for an item), then dependents before what they need, what runs on last.
func (w *planner) arrange() {
	steps := w.part.Steps
	slices.Reverse(steps)
	rank := func(s Step) int {
		switch s.Do {
		case StepPin, StepSkip:
			return 0
		case StepTouch:
			return 3
		case StepReset:
			if at, ok := w.c.Target.Place(s.Ref); ok && !at.Holds() && !at.Inner() && s.Status.Active() {
				return 1
			}
		}
		return 2
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return rank(a) - rank(b) })
}

// Moves reports whether a part is a redrive of its execution: a task in it was named, or changes;
// one that runs on, and one that waits for it as it did, do not.
func (p *Part) Moves() bool {
	return p.Named || slices.ContainsFunc(p.Steps, func(s Step) bool {
		switch {
		case isHandler(s.Ref):
			return false
		case s.Do == StepTouch:
			return s.Size != s.Was
		case s.Do == StepReset:
			return s.Status != TaskPending || s.Given != nil
		}
		return true
	})
}

// hash is over what must not change between a preview and its execution.
func (r *Redrive) hash(top *Case, rows []PlanRow) (string, error) {
	request := *r
	request.Acknowledge = nil
	sum := sha256.New()
	e := json.NewEncoder(sum)
	if err := e.Encode(request); err != nil {
		return "", fmt.Errorf("the request cannot be encoded: %w", err)
	}
	fmt.Fprintf(sum, "%s %s %d\n", top.Execution, top.Target.Hash, top.Epoch)
	for _, row := range rows {
		if row.Action != PlanKeep && row.Action != PlanLeaveRunning {
			fmt.Fprintf(sum, "%s %s %d\n", row.Ref, row.Action, row.Attempt)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16]), nil
}

// Check compares a request with what its fields may be, and fills in what is left out.
func (r *Redrive) Check() Problems {
	var problems Problems
	one := func(field, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			problems = append(problems, Problem{Field: field, Code: "not_allowed", Message: fmt.Sprintf("%q is not possible", clip(value)), Allowed: list(allowed)})
		}
	}
	fill(&r.Scope, ScopeDownstream)
	fill(&r.InputMode, InputReplace)
	fill(&r.Identity, InPlace)
	fill(&r.Budget, BudgetFull)
	fill(&r.Definition, "same")
	if r.Subworkflows == "" {
		r.Subworkflows = SubworkflowsRestart
		if r.Operation == OperationRetry {
			r.Subworkflows = SubworkflowsResume
		}
	}
	operations := make([]string, len(Operations))
	for i, operation := range Operations {
		operations[i] = string(operation)
	}
	one("operation", string(r.Operation), operations...)
	one("scope", string(r.Scope), string(ScopeDownstream), string(ScopeOnly), string(ScopeChanged))
	one("input_mode", string(r.InputMode), string(InputReplace), string(InputMerge))
	one("identity", string(r.Identity), string(InPlace), string(NewExecution))
	one("budget", string(r.Budget), string(BudgetFull), string(BudgetOne))
	one("subworkflows", string(r.Subworkflows), string(SubworkflowsResume), string(SubworkflowsRestart))
	if r.Priority < 0 || r.Priority > 9 {
		problems = append(problems, Problem{Field: "priority", Code: CodeOutOfRange, Message: fmt.Sprintf("is %d", r.Priority), Allowed: "1 (lowest) to 9 (highest)"})
	}
	valid := func(field string, value json.RawMessage) {
		if value != nil && !json.Valid(value) {
			problems = append(problems, Problem{Field: field, Code: CodeSyntax, Message: "is not JSON", Allowed: "a JSON value"})
		}
	}
	valid("workflow_input", r.WorkflowInput)
	for _, ref := range slices.Sorted(maps.Keys(r.TaskInput)) {
		valid("task_input."+ref, r.TaskInput[ref])
	}
	for _, ref := range slices.Sorted(maps.Keys(r.Outputs)) {
		valid("outputs."+ref, r.Outputs[ref])
	}
	return problems
}

func fill[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}
