package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	bulksDue      = 1000                  // of one project in one look
	bulksAtATime  = 4                     // in parallel
	bulkStep      = time.Second           // of one before the lead, and the others, are looked at
	bulkPause     = 20 * time.Millisecond // between looks while something happens
	actsAtATime   = 16                    // executions of one bulk operation, in parallel
	takenAtOnce   = 100
	actsBetween   = 32 // of one bulk operation, between looks at whether it was held or aborted
	settledAtOnce = 200
	bulkTries     = 10 // of an execution that cannot be acted on for a reason that may pass, in about two minutes
	bulkAgain     = 250 * time.Millisecond
	bulkAgainMost = 30 * time.Second
)

// bulks drives bulk operations. Whatever it does is fenced in the store: two processes that drive one do no harm.
type bulks struct {
	e    *Engine
	sent map[BulkName]map[int]sending // by place, of what is in flight
}

// bulks drives the bulk operations of the projects that this process looks after.
func (p *Pump) bulks(ctx context.Context) {
	d := &bulks{e: p.e, sent: map[BulkName]map[int]sending{}}
	mine := func(project string) bool { return p.led.Load()&(1<<groupOf(project)) != 0 }
	for pause := bulkPause; ; {
		moved, err := d.sweep(ctx, mine)
		if err != nil && ctx.Err() == nil {
			p.e.log.Warn("a part of the bulk operations could not be driven; the next look goes on", "error", err)
		}
		switch {
		case moved:
			pause = min(bulkPause, p.e.o.Sweep)
		case err != nil:
			pause = p.e.o.Sweep
		default:
			pause = min(2*pause, p.e.o.Sweep)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// sweep drives what is due for a while and reports whether anything went on.
func (d *bulks) sweep(ctx context.Context, mine func(project string) bool) (bool, error) {
	due, err := d.e.store.DueBulks(ctx, mine, bulksDue)
	if err != nil {
		return false, err
	}
	d.forget(due)
	errs, moved := make([]error, len(due)), make([]bool, len(due))
	parallel(bulksAtATime, len(due), func(i int) {
		var err error
		if moved[i], err = d.step(ctx, due[i]); err != nil {
			errs[i] = fmt.Errorf("bulk operation %s of project %s: %w", due[i].ID, due[i].Project, err)
		}
	})
	return slices.Contains(moved, true), errors.Join(errs...)
}

// parallel calls f for 0 to n-1, so many at a time, and waits for all.
func parallel(most, n int, f func(i int)) {
	slots := make(chan struct{}, most)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}

// forget drops what is remembered of bulk operations that are over, or that others drive now.
func (d *bulks) forget(but []BulkName) {
	kept := make(map[BulkName]map[int]sending, len(but))
	for _, n := range but {
		if sent := d.sent[n]; sent != nil {
			kept[n] = sent
		} else {
			kept[n] = map[int]sending{}
		}
	}
	d.sent = kept
}

// step drives one bulk operation for a while.
func (d *bulks) step(ctx context.Context, n BulkName) (moved bool, err error) {
	for until := time.Now().Add(bulkStep); time.Now().Before(until); {
		rec, err := d.e.store.Bulk(ctx, n)
		if err != nil {
			return moved, err
		}
		if rec == nil {
			return moved, harmless(d.e.store.DropBulk(ctx, n))
		}
		b, err := openBulk(*rec)
		if err != nil {
			return moved, err
		}
		switch {
		case b.State == BulkCreating && b.Named == 0:
			if err := d.collect(ctx, n, b); err != nil {
				return moved, err
			}
			moved = true
			continue
		case b.State == BulkCreating || b.EndedAt != nil:
			return moved, harmless(d.e.store.DropBulk(ctx, n))
		}
		landed, stuck := d.land(ctx, n, b)
		taken, err := d.takeOff(ctx, n, b)
		moved = moved || landed+taken > 0
		if err = errors.Join(stuck, err); err != nil || landed+taken == 0 {
			return moved, err
		}
		if taken < takenAtOnce { // what is in flight is not asked for over and over
			select {
			case <-ctx.Done():
				return moved, ctx.Err()
			case <-time.After(bulkPause):
			}
		}
	}
	return moved, nil
}

// collect adds a page of the executions that the filter chooses to the snapshot.
func (d *bulks) collect(ctx context.Context, n BulkName, b *Bulk) error {
	found, next, err := d.e.choose(ctx, n.Project, b.Filter, b.CreatedAt, b.Cursor)
	if err != nil {
		return err
	}
	a := BulkAdd{From: b.Cursor, To: next, Last: next == ""}
	for _, x := range found {
		a.IDs = append(a.IDs, x.ID)
	}
	if b.Counts.Total+len(a.IDs) > MaxBulk {
		err = d.e.store.ControlBulk(ctx, n, BulkAbort, "the filter "+tooManyChosen+"; nothing was done")
	} else {
		err = d.e.store.AddToBulk(ctx, n, a, 0)
	}
	return passed(err)
}

// passed drops the refusals of a bulk operation that moved on: another process, or an operator, was first.
func passed(err error) error {
	if _, ok := errors.AsType[*StatusError](err); ok {
		return nil
	}
	return harmless(err)
}

// takeOff takes the next executions, as many as the pace allows, and says how many.
func (d *bulks) takeOff(ctx context.Context, n BulkName, b *Bulk) (int, error) {
	want := min(takenAtOnce, b.Most-b.Counts.InFlight, b.Counts.Pending)
	if b.Rate > 0 {
		want = min(want, max(1, int(b.Rate)))
	}
	if want <= 0 || !b.State.goes() {
		return 0, nil
	}
	from := b.Counts.Total - b.Counts.Pending
	ids, err := d.e.store.BulkIDs(ctx, n, from, want)
	if err != nil {
		return 0, err
	}
	heads, err := d.e.store.Heads(ctx, ids)
	if err != nil {
		return 0, err
	}
	open, err := d.e.stillOpen(ctx, n.Project, b.Filter.Fingerprint, ids)
	if err != nil {
		return 0, err
	}
	now, err := d.e.store.Time(ctx)
	if err != nil {
		return 0, err
	}
	next := make([]BulkEntry, len(ids))
	for i, id := range ids {
		next[i] = BulkEntry{Place: from + i, Execution: id}
		x := heads[i]
		if r := changed(b, id, x, open[i]); r != nil {
			r.Place, r.At = from+i, now
			next[i].Result = r
			continue
		}
		token, err := newID()
		if err != nil {
			return 0, err
		}
		next[i].Flight = &Flight{
			Place: from + i, Execution: id, Token: token, Before: string(x.Status), Epoch: x.Redrives, Unseen: x.Unreadable != nil,
			Due: now.Add(time.Duration(rand.Float64() * float64(b.Jitter))),
		}
	}
	taken, _, err := d.e.store.TakeBulk(ctx, n, from, next)
	return taken, passed(err)
}

// stillOpen reports which executions are open failures of a group. Without a group all are.
func (e *Engine) stillOpen(ctx context.Context, project, fingerprint string, ids []string) ([]bool, error) {
	if fingerprint == "" {
		return slices.Repeat([]bool{true}, len(ids)), nil
	}
	return e.store.StillOpen(ctx, project, fingerprint, ids)
}

// changed answers why an execution is no longer one that was chosen; nil when it is, or cannot be read.
func changed(b *Bulk, id string, x *Execution, open bool) *BulkResult {
	if x != nil && x.Unreadable != nil {
		return nil
	}
	if x == nil || x.Project != b.Project {
		return &BulkResult{Outcome: OutcomeSkipped, Code: "execution_not_found", Message: "there is no execution " + id + " any more"}
	}
	if want := b.Filter.Status; len(want) > 0 && !slices.Contains(want, x.Status) {
		return &BulkResult{
			Outcome: OutcomeSkipped, Before: string(x.Status), After: string(x.Status), Code: "status_changed",
			Message: fmt.Sprintf("it is %s by now, and was chosen when it was another one", x.Status),
		}
	}
	if !open {
		return &BulkResult{
			Outcome: OutcomeSkipped, Before: string(x.Status), After: string(x.Status), Code: "not_open",
			Message: "it is no open failure of the group any more: it failed in another way since, or an execution made of it succeeded",
		}
	}
	return nil
}

// see looks at an execution that could not be read when it was taken, and completes its flight, or says why it is not to be acted on.
func (e *Engine) see(ctx context.Context, b *Bulk, f *Flight) (*BulkResult, error) {
	if !f.Unseen {
		return nil, nil
	}
	if done, err := e.doneTo(ctx, b, *f); done || err != nil {
		return nil, err
	}
	ids := []string{f.Execution}
	heads, err := e.store.Heads(ctx, ids)
	if err != nil {
		return nil, err
	}
	x := heads[0]
	if x != nil && x.Unreadable != nil {
		return nil, x.Unreadable
	}
	open, err := e.stillOpen(ctx, b.Project, b.Filter.Fingerprint, ids)
	if err != nil {
		return nil, err
	}
	if r := changed(b, f.Execution, x, open[0]); r != nil {
		return r, nil
	}
	f.Before, f.Epoch = string(x.Status), x.Redrives
	return nil, nil
}
