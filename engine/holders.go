package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/redrive/redrive/workflow"
)

// errPostponed says that a task does not begin as long as its execution is paused.
var errPostponed = errors.New("engine: it begins when the execution is resumed")

// undecided is one open task of an execution, with its state.
type undecided struct {
	a   *Agenda
	p   *program
	d   *Document
	at  workflow.Place
	rec Record
}

func (u *undecided) close(c Close) Close {
	c.Epoch, c.Attempt = u.a.Epoch, u.rec.Attempt
	c = c.of(u.at, u.p)
	if c.From == nil {
		c.From = []workflow.TaskStatus{workflow.TaskRunning}
	}
	return c
}

// of says what ends, and what follows from it.
func (c Close) of(at workflow.Place, p *program) Close {
	c.Ref, c.OnFailure, c.Simple, c.Successors = at.Ref, onward(at, p), p.simple, p.next(at)
	if c.To == workflow.TaskSkipped {
		c.Successors = skipped(c.Successors)
	}
	return c
}

// decideControl settles an open task that no worker runs: it begins it, or finds
// out how it goes on once what is in it rests.
func (e *Engine) decideControl(ctx context.Context, a *Agenda, p *program, at workflow.Place) error {
	recs, err := e.store.Records(ctx, a.ID, []string{at.Ref})
	if err != nil {
		return err
	}
	u := &undecided{a: a, p: p, d: documentOf(a), at: at, rec: recs[at.Ref]}
	switch {
	case u.rec.Status == workflow.TaskPending && a.Status == workflow.ExecutionPaused:
		return errPostponed
	case u.rec.Status == workflow.TaskPending:
		return e.beginTask(ctx, u)
	case u.rec.Status == workflow.TaskRunning && u.rec.Child != "":
		return e.settleChild(ctx, u)
	case u.rec.Status == workflow.TaskRunning:
		return e.settleHolder(ctx, u)
	}
	return e.store.Dismiss(ctx, a.ID, at.Ref)
}

// beginTask decides whether a task that no worker runs is to begin, and begins it.
func (e *Engine) beginTask(ctx context.Context, u *undecided) error {
	if u.rec.Rearmed == "" && u.rec.Keep == workflow.KeepNothing && !u.at.Inner() { // one that goes on asks no condition again
		v, err := e.verdict(ctx, u)
		if err != nil {
			return err
		}
		if v.Action != workflow.ActionRun {
			return e.applyVerdict(ctx, u, v)
		}
	}
	if v, err := e.unlessSame(ctx, u, workflow.Verdict{Action: workflow.ActionRun}); err != nil || v.Action == workflow.ActionKeep {
		if err != nil {
			return err
		}
		return e.applyVerdict(ctx, u, v)
	}
	err := e.beginRole(ctx, u)
	if errors.Is(err, ErrValuesFull) {
		err = valuesFull("its input, or its list of items, is to be kept")
	}
	if failed, ok := errors.AsType[*workflow.Error](err); ok {
		return e.applyVerdict(ctx, u, workflow.Verdict{Action: workflow.ActionFail, Error: failed})
	}
	return err
}

func (e *Engine) beginRole(ctx context.Context, u *undecided) error {
	b := Begin{Ref: u.at.Ref, Epoch: u.a.Epoch, Limit: u.at.Timeout}
	var inside []Inside
	switch u.at.Role {
	case workflow.RoleEach:
		return e.beginEach(ctx, u, b)
	case workflow.RoleGroup, workflow.RoleIteration:
		inside, b.Roots = bodyOf(u.at)
		if u.rec.Keep != workflow.KeepNothing {
			return e.reopenBody(ctx, u, b)
		}
	case workflow.RoleLoop:
		if u.rec.Keep != workflow.KeepNothing {
			return e.reopenLoop(ctx, u, b)
		}
		inside = []Inside{{Ref: workflow.IterationRef(u.at.Ref, 1)}}
		b.Roots = []Successor{{Ref: inside[0].Ref, Decide: true}}
	default:
		if u.at.Type == workflow.TypeWorkflow {
			return e.beginChild(ctx, u, b)
		}
		return e.beginGate(ctx, u, b)
	}
	if u.at.Role == workflow.RoleIteration {
		b.Limit = 0 // the loop's timeout spans them all
	}
	return e.beginHolding(ctx, u, b, inside, false)
}

// bodyOf answers what a group or an iteration holds, and what of it is set in motion.
func bodyOf(at workflow.Place) (inside []Inside, roots []Successor) {
	for _, n := range at.Body {
		ref := workflow.Inside(at.Ref, n.Task.Name)
		t := Inside{Ref: ref}
		for _, need := range n.Needs {
			t.Needs = append(t.Needs, workflow.Inside(at.Ref, need))
		}
		inside = append(inside, t)
		if len(n.Needs) == 0 {
			roots = append(roots, Successor{Ref: ref, Decide: needsGo(n) || len(roots) >= StepSize})
		}
	}
	return inside, roots
}

func (e *Engine) beginEach(ctx context.Context, u *undecided, b Begin) error {
	b.Limit, b.Parallel, b.Decide = 0, u.at.Each.MaxParallel, u.at.Control() // a timeout is one item's
	if u.rec.Keep == workflow.KeepInside {
		return e.reopenEach(ctx, u, b)
	}
	scope, _, err := e.look(ctx, u.a.ID, u.d, u.p, sight{at: u.at, reads: u.at.ItemsReads})
	if bad := e.tooLarge(err); bad != nil {
		return bad
	}
	if err != nil {
		return err
	}
	items, bad := u.at.Items(scope)
	if bad != nil {
		return bad
	}
	inside, keys := make([]Inside, len(items)), make([]string, len(items))
	for i, item := range items {
		context, err := json.Marshal(item)
		if err != nil {
			return fmt.Errorf("engine: encoding item %d of %s: %w", i, u.at.Ref, err)
		}
		ref := item.Ref(u.at.Ref)
		inside[i], keys[i] = Inside{Ref: ref, Context: context}, workflow.Key(ref)
	}
	if b.Keys, err = json.Marshal(keys); err != nil {
		return fmt.Errorf("engine: encoding the keys of %s: %w", u.at.Ref, err)
	}
	if u.rec.Keep == workflow.KeepListed {
		return e.relistEach(ctx, u, b, inside)
	}
	return e.beginHolding(ctx, u, b, inside, true)
}

// beginHolding begins a task that holds others, in parts where it holds many.
func (e *Engine) beginHolding(ctx context.Context, u *undecided, b Begin, inside []Inside, items bool) error {
	for _, t := range inside {
		if len(t.Ref) > workflow.MaxRef {
			return &workflow.Error{
				Code: workflow.CodeRefTooLong, Message: fmt.Sprintf("the ref of a task in it has %d bytes, at most %d are possible; use shorter names or keys: %s", len(t.Ref), workflow.MaxRef, t.Ref),
			}
		}
	}
	if err := e.room(ctx, u, inside); err != nil {
		return err
	}
	b.Size = len(inside)
	return e.growAndBegin(ctx, u, b, inside, items)
}

// growAndBegin begins a task with tasks inside that are written, or made ready, with it.
func (e *Engine) growAndBegin(ctx context.Context, u *undecided, b Begin, inside []Inside, items bool) error {
	if items {
		b.Turns = len(inside)
	}
	first := 0
	for len(inside) > StepSize {
		if err := e.store.Grow(ctx, u.a.ID, u.at.Ref, u.a.Epoch, Part{Tasks: inside[:StepSize], Items: items, First: first}); err != nil {
			return err
		}
		inside, first = inside[StepSize:], first+StepSize
	}
	b.Part = Part{Tasks: inside, Items: items, First: first}
	return e.commence(ctx, u, b)
}

// room makes sure that what a task is to hold may be there: what an earlier
// attempt held is made ready again, and what is no longer part of it dropped.
func (e *Engine) room(ctx context.Context, u *undecided, inside []Inside) error {
	total := len(inside)
	for _, n := range u.a.TasksSummary {
		total += n
	}
	if u.rec.Attempt == 0 && total <= e.o.Limits.Instances {
		return nil
	}
	recs, err := e.store.Records(ctx, u.a.ID, nil)
	if err != nil {
		return err
	}
	if err := e.roomFor(u, recs, inside); err != nil || u.rec.Attempt == 0 {
		return err
	}
	var former []string
	for ref, rec := range recs {
		if workflow.Within(u.at.Ref, ref) && rec.Status != workflow.TaskPending {
			former = append(former, ref)
		}
	}
	if err := e.renew(ctx, u, former, recs); err != nil {
		return err
	}
	return e.forget(ctx, u, recs, inside)
}

// roomFor makes sure that an execution may have the tasks that one is to hold.
func (e *Engine) roomFor(u *undecided, recs map[string]Record, inside []Inside) error {
	total := len(recs)
	for _, t := range inside {
		if _, there := recs[t.Ref]; !there { // it is there from an earlier attempt, or from who began this one before
			total++
		}
	}
	if total <= e.o.Limits.Instances {
		return nil
	}
	return &workflow.Error{
		Code:    workflow.CodeTooManyTasks,
		Message: fmt.Sprintf("%s would bring the execution to %d tasks, %d are possible; let sub-workflows take some", u.at.Ref, total, e.o.Limits.Instances),
	}
}

// renew makes what an earlier attempt of a task held ready to be reached again.
func (e *Engine) renew(ctx context.Context, u *undecided, former []string, recs map[string]Record) error {
	slices.Sort(former)
	for part := range slices.Chunk(former, StepSize) {
		if err := e.store.Reset(ctx, u.a.ID, u.at.Ref, u.a.Epoch, part); err != nil {
			return err
		}
	}
	e.clearArchive(ctx, u, former, recs)
	return nil
}

// clearArchive removes the archived jobs of attempts that begin again: running
// one of them by hand would mean nothing any more.
func (e *Engine) clearArchive(ctx context.Context, u *undecided, refs []string, recs map[string]Record) {
	var jobs []Job
	for _, ref := range refs {
		at, ok := u.p.Place(ref)
		rec := recs[ref]
		if ok && !at.Control() && rec.Attempt > 0 && (rec.Status == workflow.TaskFailed || rec.Status == workflow.TaskTimedOut) {
			jobs = append(jobs, job(u.d, at.Node, Fence{Execution: u.a.ID, Ref: ref, Attempt: rec.Attempt, Dispatch: rec.Dispatch}))
		}
	}
	e.recallAll(ctx, jobs)
}

// forget skips what an earlier attempt held and this one does not: items that are
// no longer on the list, and iterations until they are reached again.
func (e *Engine) forget(ctx context.Context, u *undecided, recs map[string]Record, inside []Inside) error {
	if u.at.Role != workflow.RoleEach && u.at.Role != workflow.RoleLoop {
		return nil
	}
	stays := make(map[string]bool, len(inside))
	for _, t := range inside {
		stays[t.Ref] = true
	}
	var gone []string
	for ref := range recs {
		if workflow.Within(u.at.Ref, ref) && !stays[outermost(u.at.Ref, ref)] {
			gone = append(gone, ref)
		}
	}
	_, err := e.dropRefs(ctx, u.a, u.drop(workflow.TaskSkipped, workflow.ReasonNotInside, DropIfWaits, gone))
	return err
}

// outermost answers the item or iteration of a task that a ref inside it belongs to.
func outermost(holder, ref string) string {
	for {
		up := workflow.Outside(ref)
		if up == holder || up == "" {
			return ref
		}
		ref = up
	}
}

// commence begins the task and does what follows.
func (e *Engine) commence(ctx context.Context, u *undecided, b Begin) error {
	settled, err := e.store.BeginTask(ctx, u.a.ID, b)
	if err != nil {
		return err
	}
	u.rec.Attempt, u.rec.Try, u.rec.Dispatch, u.rec.Child, u.rec.Started = u.rec.Attempt+1, u.rec.Try+1, 1, b.Child, settled.Now.UnixMilli()
	f := Fence{Execution: u.a.ID, Ref: b.Ref, Attempt: u.rec.Attempt}
	if b.Wakes {
		in := b.Wake
		if !b.WakeAt.IsZero() {
			in = b.WakeAt.Sub(settled.Now)
		}
		e.timers.add(TimerWake, f, in)
	}
	if b.Limit > 0 {
		e.timers.add(TimerLimit, f, b.Limit)
	}
	e.relay(ctx, u.d, u.p, settled.Relay)
	return nil
}

// beginGate arms a wait or an approval.
func (e *Engine) beginGate(ctx context.Context, u *undecided, b Begin) error {
	input, err := e.recorded(ctx, u)
	if err != nil {
		return err
	}
	b.Input, b.InputHash = input, inputHash(input)
	gate, bad := u.at.Gate(input)
	if bad != nil {
		return bad
	}
	b.Waiting, b.Limit = true, gate.Timeout
	if !gate.Open {
		b.Wakes, b.Wake, b.WakeAt = true, gate.For, gate.Until
		if !gate.Until.IsZero() && gate.For > 0 {
			now, err := e.store.Time(ctx)
			if err != nil {
				return err
			}
			if by := now.Add(gate.For); by.Before(gate.Until) {
				b.WakeAt = by
			}
		}
	}
	return e.commence(ctx, u, b)
}

// recorded resolves the input of a task as it is recorded.
func (e *Engine) recorded(ctx context.Context, u *undecided) (json.RawMessage, error) {
	scope, _, err := e.look(ctx, u.a.ID, u.d, u.p, sight{at: u.at, reads: u.at.InputReads})
	if bad := e.tooLarge(err); bad != nil {
		return nil, bad
	}
	if err != nil {
		return nil, err
	}
	var given json.RawMessage
	if u.rec.Given != "" {
		if given, err = e.store.Given(ctx, u.a.ID, u.at.Ref); err != nil {
			return nil, err
		}
	}
	input, bad := recordedInput(u.at, scope, given)
	if bad != nil {
		return nil, bad
	}
	return input, nil
}

// inputHash is the same for inputs that are the same JSON value, however they are written.
func inputHash(input json.RawMessage) string { return hashOf(workflow.CanonicalJSON(input)) }

func hashOf(input []byte) string {
	sum := sha256.Sum256(input)
	return hex.EncodeToString(sum[:])
}

// childID makes an id in the shard of the parent, which its last two digits choose.
func childID(parent string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("engine: making an id: %w", err)
	}
	s := id.String()
	return s[:len(s)-2] + parent[len(parent)-2:], nil
}
