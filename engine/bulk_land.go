package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/workflow"
)

// sending is what this process knows of an execution in flight.
type sending struct {
	done  bool      // the operation was done to it, and its end is looked for
	asked bool      // since the last try, and its token was not used
	tries int       // that failed
	again time.Time // when it is tried again
}

// stuck is an execution in flight that could not be acted on, or asked about.
type stuck struct {
	flight Flight
	why    error
}

// land sends out what was taken, looks for the outcomes of what was sent out before, and says how many there were.
// Of a bulk operation that is held or aborted nothing is sent out. An execution that cannot be acted on stops no other one.
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
		switch s := sent[f.Place]; {
		case s.again.After(now):
		case s.done:
			up = append(up, f)
		case !b.State.goes() || !f.Due.After(now):
			out = append(out, f)
		}
	}
	l := &landing{e: d.e, b: b, sent: sent}
	if b.State.goes() {
		err = l.act(ctx, n, out)
	} else {
		l.ground(ctx, out)
	}
	err = errors.Join(err, l.look(ctx, up))
	if len(l.stuck) > 0 {
		l.results = append(l.results, l.retries(now)...)
		first := l.stuck[0]
		err = errors.Join(err, fmt.Errorf("%d executions could not be acted on, among them %s: %w", len(l.stuck), first.flight.Execution, first.why))
	}
	return len(l.results), errors.Join(err, d.settle(ctx, n, l.results, now))
}

// settle keeps results, some at once.
func (d *bulks) settle(ctx context.Context, n BulkName, results []BulkResult, now time.Time) error {
	sent := d.sent[n]
	for i := range results {
		results[i].At = now
	}
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

// landing is one look at the executions of a bulk operation that are in flight.
type landing struct {
	e       *Engine
	b       *Bulk
	sent    map[int]sending
	mu      sync.Mutex // of the rest, and sent
	results []BulkResult
	stuck   []stuck
}

// note keeps what became of an execution: an error, a result, or that it goes on as it is said.
func (l *landing) note(f Flight, r *BulkResult, goesOn sending, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		s := l.sent[f.Place]
		s.asked = false // it may have been done all the same
		l.sent[f.Place] = s
		l.stuck = append(l.stuck, stuck{f, err})
	case r != nil:
		r.Place = f.Place
		l.results = append(l.results, *r)
	default:
		l.sent[f.Place] = goesOn
	}
}

// retries puts off what could not be acted on, and answers the results of what was tried often enough.
func (l *landing) retries(now time.Time) (over []BulkResult) {
	for _, s := range l.stuck {
		tried := l.sent[s.flight.Place]
		tried.again = now.Add(min(bulkAgain<<tried.tries, bulkAgainMost))
		if !outage(s.why) {
			tried.tries++
		}
		l.sent[s.flight.Place] = tried
		if tried.tries < bulkTries {
			continue
		}
		r := BulkResult{Place: s.flight.Place, Outcome: OutcomeFailed, Before: s.flight.Before, Code: "internal_error", Message: shortened(s.why.Error(), messageKept)}
		if refused, ok := errors.AsType[*Error](s.why); ok {
			r.Code = refused.Code
		}
		if tried.done {
			r.Code, r.Message = "outcome_unknown", shortened("it was done, and what became of it cannot be read: "+s.why.Error(), messageKept)
			if l.b.Redrive.Identity == workflow.NewExecution {
				r.Into = s.flight.Token
			}
		}
		over = append(over, r)
	}
	return over
}

// act does what the operation does to each execution, once however often it is asked for: the token sees to that.
// What goes on has no result yet. It stops when the operation is held or aborted meanwhile.
func (l *landing) act(ctx context.Context, n BulkName, out []Flight) error {
	overrides, err := l.e.bulkOverrides(l.b)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(out, actsBetween) {
		if rec, err := l.e.store.Bulk(ctx, n); err != nil || rec == nil || !rec.State.goes() {
			return err
		}
		parallel(actsAtATime, len(part), func(i int) {
			f := part[i]
			r, err := l.e.see(ctx, l.b, &f)
			if r == nil && err == nil {
				r, err = l.e.actOn(ctx, l.b, f, overrides)
			}
			l.note(f, r, sending{done: true}, err)
		})
	}
	return nil
}

// ground sees to what is not known to be sent out when nothing may be sent out any more. What was done to nevertheless,
// by a process that is gone or a call whose answer was lost, is looked after; the others stay, or are skipped for good.
func (l *landing) ground(ctx context.Context, out []Flight) {
	out = slices.DeleteFunc(out, func(f Flight) bool { return l.b.State == BulkHeld && l.sent[f.Place].asked })
	parallel(actsAtATime, len(out), func(i int) {
		r, done, err := l.groundOne(ctx, out[i])
		l.note(out[i], r, sending{done: done, asked: !done}, err)
	})
}

func (l *landing) groundOne(ctx context.Context, f Flight) (r *BulkResult, done bool, err error) {
	done, err = l.e.doneTo(ctx, l.b, f)
	switch {
	case err != nil:
	case done && (l.b.Operation == BulkPause || l.b.Operation == BulkResume): // their outcome is that they were done
		r, err = l.e.actOn(ctx, l.b, f, nil)
	case !done && l.b.State == BulkAborted:
		r = &BulkResult{Outcome: OutcomeSkipped, Before: f.Before, Code: "aborted", Message: "the bulk operation was aborted before it came to this execution"}
	}
	return r, done, err
}

// look finds the outcomes of what was sent out.
func (l *landing) look(ctx context.Context, up []Flight) error {
	ids := make([]string, len(up))
	for i, f := range up {
		ids[i] = f.watched(l.b)
	}
	heads, err := l.e.store.Heads(ctx, ids)
	if err != nil {
		return err
	}
	for i, f := range up {
		if x := heads[i]; x != nil && x.Unreadable != nil {
			l.note(f, nil, sending{}, x.Unreadable)
			continue
		}
		r, err := l.e.outcomeOf(ctx, l.b, f, heads[i])
		l.note(f, r, sending{done: true}, err)
	}
	return nil
}

// outage reports whether an error says that Redis is away, or takes nothing: that is waited for, however long.
func outage(err error) bool {
	refused, ok := errors.AsType[*Error](err)
	return ok && refused.Code == "redis_unavailable"
}

// watched is the execution whose end is the outcome.
func (f Flight) watched(b *Bulk) string {
	if b.Redrive.Identity == workflow.NewExecution {
		return f.Token
	}
	return f.Execution
}
