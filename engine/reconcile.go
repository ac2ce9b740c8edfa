package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

const (
	lookBudget  = 200              // jobs whose state asynq is asked for in one sweep
	lookAgain   = 30 * time.Second // between two looks at a job that waits
	youngJob    = 5 * time.Second  // a job that asynq knows and that is younger is not asked for
	claimTime   = 3 * time.Second  // a live worker has claimed a delivered job by then
	crashedCode = "worker_crashed"

	// lastDispatches of an attempt may still be known to asynq; earlier ones were delivered long ago.
	lastDispatches = 10
)

// allowance bounds what one sweep does of the things that can wait for the next
// one, however many there are: the urgent things of that one must not be late.
type allowance struct {
	looks int
	until time.Time
}

func (a *allowance) spent() bool { return a.looks <= 0 || !time.Now().Before(a.until) }

// urgent does what executions wait for in one shard, and leaves in d.Jobs what
// waits in asynq. One bad item never keeps the others from it.
func (e *Engine) urgent(ctx context.Context, d *Due) error {
	var errs []error
	for _, t := range d.Timers {
		e.timers.add(t.Kind, t.Fence, t.In)
	}
	errs = append(errs, e.takeOver(ctx, d))
	for _, id := range d.Decide {
		e.metrics.repaired("decide")
		errs = append(errs, e.Advance(ctx, id))
	}
	if len(d.Index) > 0 {
		turns, err := e.store.Index(ctx, d.Index)
		e.usher.add(ctx, turns)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// later does what can wait in one shard, as far as it is allowed.
func (e *Engine) later(ctx context.Context, d Due, a *allowance) error {
	var errs []error
	for _, f := range d.Jobs {
		if a.spent() {
			break
		}
		a.looks--
		errs = append(errs, e.lookAfter(ctx, f, d.Now))
	}
	for _, id := range d.Expire {
		if !time.Now().Before(a.until) {
			break
		}
		errs = append(errs, e.purge(ctx, id))
	}
	for _, id := range d.Building {
		e.metrics.repaired("building")
		errs = append(errs, harmless(e.store.Purge(ctx, id, false)))
	}
	return errors.Join(errs...)
}

// harmless drops the refusals of a transition that somebody else made first.
func harmless(err error) error {
	if errors.Is(err, ErrStale) || errors.Is(err, ErrGone) || errors.Is(err, ErrMoved) {
		return nil
	}
	return err
}

// expire takes a run from a worker that stopped beating: the same attempt is
// sent out again, or fails when too many workers died under it.
func (e *Engine) expire(ctx context.Context, f Fence, rec Record, d *Document, p *program) error {
	e.metrics.repaired("lease")
	at, ok := p.Place(f.Ref)
	e.log.Warn("a worker stopped beating; its task is taken over", "worker", rec.Worker,
		"execution", f.Execution, "task", f.Ref, "attempt", f.Attempt, "dispatch", f.Dispatch)
	if !ok || rec.Lost+1 < e.o.CrashLimit {
		return harmless(e.redispatch(ctx, f, WhyExpire))
	}
	failure := fingerprinted(at, &workflow.Error{
		Code: crashedCode, Message: fmt.Sprintf("%d workers died while they ran this attempt; look for what it does to them before you retry it", rec.Lost+1),
	})
	x := Result{Fence: f, Error: failure, Lost: true, Simple: p.simple}
	settled, err := e.fail(ctx, x, at, p)
	if err != nil {
		return harmless(err)
	}
	e.follow(ctx, f.Execution, d, p, settled)
	return nil
}

// takeOver takes runs from workers that stopped beating.
func (e *Engine) takeOver(ctx context.Context, d *Due) error {
	if len(d.Jobs) == 0 {
		return nil
	}
	recs, err := e.store.States(ctx, d.Jobs)
	if err != nil {
		return err
	}
	var errs []error
	var waiting []Fence
	for i, f := range d.Jobs {
		if recs[i].Status != workflow.TaskRunning || recs[i].Attempt != f.Attempt || recs[i].Dispatch != f.Dispatch {
			waiting = append(waiting, f)
			continue
		}
		document, p, err := e.document(ctx, f.Execution)
		switch {
		case err != nil:
		case recs[i].Deadline > 0 && d.Now.UnixMilli() >= recs[i].Deadline:
			err = e.expireDeadline(ctx, f, recs[i], document, p)
		default:
			err = e.expire(ctx, f, recs[i], document, p)
		}
		errs = append(errs, harmless(err))
	}
	d.Jobs = waiting
	return errors.Join(errs...)
}

// lookAfter sends out again what was never relayed or got lost on the way, and
// leaves alone what waits in asynq.
func (e *Engine) lookAfter(ctx context.Context, f Fence, now time.Time) error {
	d, p, err := e.document(ctx, f.Execution)
	if errors.Is(err, ErrGone) {
		return e.store.Look(ctx, f, lookAgain, "")
	}
	if err != nil {
		return err
	}
	recs, err := e.store.States(ctx, []Fence{f})
	if err != nil {
		return err
	}
	rec := recs[0]
	at, ok := p.Place(f.Ref)
	var w way
	if ok {
		w = e.fleet.way(d.Project, at.Node)
	}
	switch {
	case !ok || rec.Status != workflow.TaskQueued || rec.Attempt != f.Attempt || rec.Dispatch != f.Dispatch:
		return e.store.Look(ctx, f, lookAgain, "") // forgets what is not waiting
	case w == wayNone:
		return e.store.Look(ctx, f, 2*unservedPause, ReasonNoWorker)
	}
	j := job(d, at.Node, f)
	sent, err := e.send(ctx, j, w)
	if err != nil {
		return err
	}
	if sent {
		e.metrics.repaired("relay")
		return e.store.Look(ctx, f, lookAgain, "")
	}
	if w == wayRemote { // one that was taken and not claimed was not there any more
		return e.store.Look(ctx, f, lookAgain, "")
	}
	if now.Sub(time.UnixMilli(rec.Queued)) < youngJob {
		return e.store.Look(ctx, f, youngJob, "")
	}
	return e.lookIntoAsynq(ctx, j, rec)
}

func (e *Engine) lookIntoAsynq(ctx context.Context, j Job, rec Record) error {
	state, err := e.store.JobState(ctx, j)
	switch {
	case err != nil:
		return err
	case state == JobWaiting:
		return e.store.Look(ctx, j.Fence, lookAgain, "")
	case state == JobDelivered && rec.Reason != ReasonDelivered:
		return e.store.Look(ctx, j.Fence, claimTime, ReasonDelivered)
	}
	// A worker that dies between delivery and claim leaves no lease behind that
	// would end, and asynq itself gives the job back only after a minute or more.
	e.metrics.repaired("job")
	e.log.Warn("a job vanished from asynq and is sent out again", "job", j.JobID(), "state", state)
	if err := harmless(e.redispatch(ctx, j.Fence, WhyVanish)); err != nil {
		return err
	}
	if state == JobArchived {
		return e.store.DeleteJob(ctx, j)
	}
	next := j.Fence
	next.Dispatch++
	return e.store.Look(ctx, next, youngJob, "")
}

// purge removes an execution whose retention is over: its sub-executions first,
// then the jobs that asynq may still hold, its entries in the lists, and itself.
func (e *Engine) purge(ctx context.Context, id string) error {
	err := e.purgeTree(ctx, id, false)
	if errors.Is(err, errGoing) {
		return nil
	}
	return err
}

// errGoing says that a sub-execution has not ended: the tree stays until it has, or nobody would know of it.
var errGoing = errors.New("engine: a sub-execution has not ended")

func (e *Engine) purgeTree(ctx context.Context, id string, inner bool) error {
	x, err := e.store.Execution(ctx, id, false)
	if errors.Is(err, ErrGone) {
		return harmless(e.store.Purge(ctx, id, inner))
	}
	if err != nil {
		return err
	}
	switch {
	case x.Status.Ended():
	case inner:
		return errGoing
	default:
		return nil
	}
	children, err := e.store.Children(ctx, id)
	if err != nil {
		return err
	}
	if len(children) > 0 { // of what is redriven from here on nothing may be missing
		if err := e.store.Doom(ctx, id, inner); err != nil {
			return stays(err, inner)
		}
	}
	for _, child := range children {
		if err := e.purgeTree(ctx, child, true); err != nil {
			return err
		}
	}
	p, err := e.program(ctx, x.Project, x.DefinitionHash, x.ID)
	if err != nil {
		return err
	}
	recs, err := e.store.Records(ctx, id, nil)
	if err != nil {
		return err
	}
	d := &Document{Project: x.Project, Priority: x.Priority}
	for ref, rec := range recs {
		at, ok := p.Place(ref)
		if !ok {
			continue
		}
		fences, err := e.leftovers(ctx, id, ref, rec)
		if err != nil {
			return err
		}
		for _, f := range fences {
			for _, j := range everywhere(job(d, at.Node, f), at.Queue, x.Redrives > 0) {
				if err := e.recall(ctx, j); err != nil {
					e.log.Warn("a job of a purged execution stays in asynq", "job", f.JobID(), "error", err)
				}
			}
		}
	}
	e.documents.Remove(id)
	return stays(e.store.Purge(ctx, id, inner), inner)
}

// everywhere is a job in every lane in which it may lie: a redrive may have changed the priority of its execution.
func everywhere(j Job, queue string, redriven bool) []Job {
	if !redriven {
		return []Job{j}
	}
	var all []Job
	for _, lane := range Lanes(queue) {
		j.Queue = lane
		all = append(all, j)
	}
	return all
}

// stays says of a sub-execution that goes on, although its retention is over, that the tree stays.
func stays(err error, inner bool) error {
	if inner && errors.Is(err, ErrStale) {
		return errGoing
	}
	return harmless(err)
}

// leftovers are the deliveries of a task that asynq may still hold: archived
// ones of attempts that failed for good, and waiting ones of a canceled attempt.
func (e *Engine) leftovers(ctx context.Context, id, ref string, rec Record) ([]Fence, error) {
	var all []Fence
	if rec.Redrive > 0 || rec.Lost > 0 {
		former, err := e.store.Attempts(ctx, id, ref, rec.Attempt-1)
		if err != nil {
			return nil, err
		}
		for _, a := range former {
			if a.Final {
				all = append(all, Fence{Execution: id, Ref: ref, Attempt: a.Attempt, Dispatch: a.Dispatch})
			}
		}
	}
	if rec.Attempt > 0 && rec.Control == "" && (rec.Status != workflow.TaskSucceeded || rec.Dispatch > 1) {
		for dispatch := max(1, rec.Dispatch-lastDispatches+1); dispatch <= rec.Dispatch; dispatch++ {
			all = append(all, Fence{Execution: id, Ref: ref, Attempt: rec.Attempt, Dispatch: dispatch})
		}
	}
	return all, nil
}
