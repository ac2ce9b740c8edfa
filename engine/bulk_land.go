package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redrive/redrive/workflow"
)

// sending is what this process knows of an execution in flight.
type sending struct {
	done  bool // the operation was done to it, and its end is looked for
	tries int  // that failed
	asked bool // since the last try, and its token was not used
}

// land sends out what was taken, looks for the outcomes of what was sent out before, and says how many there were.
// Of a bulk operation that is held or aborted nothing is sent out.
func (d *bulks) land(ctx context.Context, n BulkName, b *Bulk) (int, error) {
	if b.Counts.InFlight == 0 {
		return 0, nil
	}
	flights, err := d.e.store.Flights(ctx, n)
	if err != nil {
		return 0, err
	}
	now, err := d.e.store.Time(ctx)
	if err != nil {
		return 0, err
	}
	sent := d.sent[n]
	var out, up []Flight
	for _, f := range flights {
		switch {
		case sent[f.Place].done:
			up = append(up, f)
		case !b.State.goes() || !f.Due.After(now):
			out = append(out, f)
		}
	}
	var results []BulkResult
	if b.State.goes() {
		results, err = d.act(ctx, n, b, out, sent)
	} else {
		results, err = d.ground(ctx, b, out, sent)
	}
	if err != nil {
		return 0, errors.Join(err, d.settle(ctx, n, results))
	}
	ended, err := d.look(ctx, b, up)
	results = append(results, ended...)
	for i := range results {
		results[i].At = now
	}
	return len(results), errors.Join(err, d.settle(ctx, n, results))
}

// settle keeps results, some at once.
func (d *bulks) settle(ctx context.Context, n BulkName, results []BulkResult) error {
	sent := d.sent[n]
	for len(results) > 0 {
		part := results[:min(settledAtOnce, len(results))]
		results = results[len(part):]
		if _, err := d.e.store.SettleBulk(ctx, n, part); err != nil {
			return harmless(err)
		}
		for _, r := range part {
			delete(sent, r.Place)
		}
	}
	return nil
}

// act does what the operation does to each execution, once however often it is asked for: the token sees to that.
// What goes on has no result yet. It stops when the operation is held or aborted meanwhile.
func (d *bulks) act(ctx context.Context, n BulkName, b *Bulk, out []Flight, sent map[int]sending) ([]BulkResult, error) {
	overrides, err := d.e.bulkOverrides(b)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var results []BulkResult
	var errs []error
	for part := range slices.Chunk(out, actsBetween) {
		if rec, err := d.e.store.Bulk(ctx, n); err != nil || rec == nil || !rec.State.goes() {
			errs = append(errs, err)
			break
		}
		parallel(actsAtATime, len(part), func(i int) {
			f := part[i]
			r, err := d.e.actOn(ctx, b, f, overrides)
			mu.Lock()
			defer mu.Unlock()
			tries := sent[f.Place].tries
			switch {
			case err != nil && ctx.Err() == nil && !unavailable(err) && tries >= bulkTries:
				r = &BulkResult{Outcome: OutcomeFailed, Before: f.Before, Code: "internal_error", Message: err.Error()}
			case err != nil:
				if !unavailable(err) {
					tries++
				}
				sent[f.Place] = sending{tries: tries}
				errs = append(errs, fmt.Errorf("execution %s: %w", f.Execution, err))
				return
			case r == nil:
				sent[f.Place] = sending{done: true}
				return
			}
			r.Place = f.Place
			results = append(results, *r)
		})
	}
	return results, errors.Join(errs...)
}

func unavailable(err error) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Kind == KindUnavailable
}

// ground sees to what is not known to be sent out when nothing may be sent out any more. What was done to nevertheless,
// by a process that is gone or a call whose answer was lost, is looked after; the others stay, or are skipped for good.
func (d *bulks) ground(ctx context.Context, b *Bulk, out []Flight, sent map[int]sending) ([]BulkResult, error) {
	out = slices.DeleteFunc(out, func(f Flight) bool { return b.State == BulkHeld && sent[f.Place].asked })
	var mu sync.Mutex
	var results []BulkResult
	var errs []error
	parallel(actsAtATime, len(out), func(i int) {
		f := out[i]
		r, done, err := d.groundOne(ctx, b, f)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("execution %s: %w", f.Execution, err))
		case r != nil:
			r.Place = f.Place
			results = append(results, *r)
		default:
			sent[f.Place] = sending{done: done, tries: sent[f.Place].tries, asked: !done}
		}
	})
	return results, errors.Join(errs...)
}

func (d *bulks) groundOne(ctx context.Context, b *Bulk, f Flight) (r *BulkResult, done bool, err error) {
	done, err = d.e.doneTo(ctx, b, f)
	switch {
	case err != nil:
	case done && (b.Operation == BulkPause || b.Operation == BulkResume): // their outcome is that they were done
		r, err = d.e.actOn(ctx, b, f, nil)
	case !done && b.State == BulkAborted:
		r = &BulkResult{Outcome: OutcomeSkipped, Before: f.Before, Code: "aborted", Message: "the bulk operation was aborted before it came to this execution"}
	}
	return r, done, err
}

// look finds the outcomes of what was sent out.
func (d *bulks) look(ctx context.Context, b *Bulk, up []Flight) ([]BulkResult, error) {
	ids := make([]string, len(up))
	for i, f := range up {
		ids[i] = f.watched(b)
	}
	heads, err := d.e.store.Heads(ctx, ids)
	if err != nil {
		return nil, err
	}
	var results []BulkResult
	for i, f := range up {
		r, err := d.e.outcomeOf(ctx, b, f, heads[i])
		if err != nil {
			return results, err
		}
		if r != nil {
			r.Place = f.Place
			results = append(results, *r)
		}
	}
	return results, nil
}

// watched is the execution whose end is the outcome.
func (f Flight) watched(b *Bulk) string {
	if b.Redrive.Identity == workflow.NewExecution {
		return f.Token
	}
	return f.Execution
}
