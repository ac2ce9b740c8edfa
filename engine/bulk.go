package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redrive/redrive/workflow"
)

const (
	previewTime   = 3 * time.Second // in which a preview counts
	bulkSamples   = 5               // of which a preview shows plans
	abandonedBulk = time.Minute     // after which one is removed whose executions somebody began to name
	listedItems   = 500             // of a snapshot in one trip
)

// PreviewBulk answers what a bulk operation would do, and does nothing. It counts for a while only: AtLeast says that there may be more.
func (e *Engine) PreviewBulk(ctx context.Context, project string, r BulkRequest) (*BulkPreview, error) {
	a, err := e.checkBulk(ctx, project, r)
	if err != nil {
		return nil, err
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return nil, err
	}
	p := &BulkPreview{}
	groups := map[BulkGroup]int{}
	whole, err := e.chosen(ctx, project, a, now, time.Now().Add(e.previewTime), func(page []*Execution, missing int) {
		for _, x := range page {
			if x.Unreadable != nil {
				continue
			}
			groups[BulkGroup{Workflow: x.Workflow, Version: x.Version, Status: x.Status}]++
			if len(p.Samples) < bulkSamples {
				p.Samples = append(p.Samples, BulkSample{Execution: x.ID, Status: x.Status})
			}
		}
		p.Count += len(page)
		p.Missing += missing
	})
	if err != nil {
		return nil, err
	}
	p.AtLeast = !whole
	for g, n := range groups {
		g.Count = n
		p.Groups = append(p.Groups, g)
	}
	slices.SortFunc(p.Groups, func(a, b BulkGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Workflow, b.Workflow), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Status, b.Status))
	})
	if !r.Operation.redrives() {
		return p, nil
	}
	for i := range p.Samples {
		s := &p.Samples[i]
		request, refused, err := e.bulkRedrive(ctx, s.Execution, &a.spec, a.overrides)
		if err == nil && refused == nil {
			s.Plan, err = e.Plan(ctx, s.Execution, request)
		}
		if err != nil && !errors.As(err, &refused) {
			return nil, err
		}
		s.Refused = refused
	}
	return p, nil
}

// chosen walks the executions that a request means, page by page, and reports whether it came to the end before the time was up.
func (e *Engine) chosen(ctx context.Context, project string, a *bulkAsked, now, until time.Time, f func(page []*Execution, missing int)) (whole bool, err error) {
	n := 0
	for cursor := ""; ; {
		page, missing, next, err := e.chosenPage(ctx, project, a, now, cursor)
		if err != nil {
			return false, err
		}
		f(page, missing)
		if n += len(page); n > MaxBulk {
			return false, Invalid("bulk_invalid", "the bulk operation cannot be made", workflow.Problem{
				Field: "filter", Code: "too_many", Message: tooManyChosen, Allowed: fmt.Sprintf("at most %d: narrow it, by time for example, and make several bulk operations", MaxBulk),
			})
		}
		if next == "" || !time.Now().Before(until) {
			return next == "", nil
		}
		cursor = next
	}
}

// chosenPage answers some of the executions that a request means, and how many of the named ones are not there.
func (e *Engine) chosenPage(ctx context.Context, project string, a *bulkAsked, now time.Time, cursor string) (page []*Execution, missing int, next string, err error) {
	if a.spec.Named == 0 {
		page, next, err = e.choose(ctx, project, a.spec.Filter, now, cursor)
		return page, 0, next, err
	}
	from, err := seq(cursor)
	if err != nil {
		return nil, 0, "", err
	}
	to := min(int(from)+listedItems, len(a.ids))
	heads, err := e.store.Heads(ctx, a.ids[from:to])
	if err != nil {
		return nil, 0, "", err
	}
	page = slices.DeleteFunc(heads, func(x *Execution) bool { return x == nil || x.Unreadable == nil && x.Project != project })
	if to < len(a.ids) {
		next = strconv.Itoa(to)
	}
	return page, to - int(from) - len(page), next, nil
}

var tooManyChosen = fmt.Sprintf("chooses more than %d executions", MaxBulk)

// StartBulk makes a bulk operation, or answers the one that the idempotency key made before.
func (e *Engine) StartBulk(ctx context.Context, project string, r BulkRequest) (b *Bulk, created bool, err error) {
	a, err := e.checkBulk(ctx, project, r)
	if err != nil {
		return nil, false, err
	}
	rec := BulkRecord{Project: project, BulkPace: a.pace}
	if rec.Spec, err = json.Marshal(a.spec); err != nil {
		return nil, false, fmt.Errorf("engine: encoding a bulk operation: %w", err)
	}
	if rec.ID, err = newID(); err != nil {
		return nil, false, err
	}
	if r.IdempotencyKey != "" {
		hash, err := a.hash()
		if err != nil {
			return nil, false, err
		}
		heldBy, heldHash, err := e.store.Reserve(ctx, project, "bulk:"+r.IdempotencyKey, rec.ID, hash)
		if err != nil {
			return nil, false, err
		}
		if heldHash != hash {
			return nil, false, Invalid("idempotency_key_reused", "the idempotency key was used for another request", workflow.Problem{
				Field: "idempotency_key", Code: "idempotency_key_reused", Message: "it already made bulk operation " + heldBy + " with another body",
				Allowed: "the same request again, or a new key",
			})
		}
		created, rec.ID = heldBy == rec.ID, heldBy
	} else {
		created = true
	}
	look := time.Duration(0)
	if a.spec.Named > 0 {
		look = abandonedBulk
	}
	if err := e.store.CreateBulk(ctx, rec, look); err != nil {
		return nil, false, err
	}
	if a.spec.Named > 0 {
		if err := e.nameItems(ctx, BulkName{project, rec.ID}, a.ids); err != nil {
			return nil, false, err
		}
	}
	b, err = e.Bulk(ctx, project, rec.ID)
	return b, created, err
}

// nameItems collects the executions that a request named. Another call with the same idempotency key may do so, too.
func (e *Engine) nameItems(ctx context.Context, n BulkName, ids []string) error {
	for {
		rec, err := e.store.Bulk(ctx, n)
		if err != nil {
			return err
		}
		if rec == nil {
			return Conflict("bulk_abandoned", "the bulk operation was removed before its executions were all named; ask for it again")
		}
		if rec.State != BulkCreating {
			return nil
		}
		from := rec.Counts.Total
		part := ids[from:min(from+listedItems, len(ids))]
		to := from + len(part)
		err = e.store.AddToBulk(ctx, n, BulkAdd{From: rec.Cursor, To: strconv.Itoa(to), IDs: part, Last: to == len(ids)}, abandonedBulk)
		var status *StatusError
		if err != nil && !errors.Is(err, ErrMoved) && !errors.Is(err, ErrGone) && !errors.As(err, &status) {
			return err
		}
	}
}

// Bulk answers a bulk operation.
func (e *Engine) Bulk(ctx context.Context, project, id string) (*Bulk, error) {
	rec, err := e.store.Bulk(ctx, BulkName{project, id})
	if err != nil {
		return nil, err
	}
	if rec == nil {
		return nil, NotFound("bulk", id)
	}
	return openBulk(*rec)
}

// Bulks answers a page of a project's bulk operations, newest first.
func (e *Engine) Bulks(ctx context.Context, project string, page Page) ([]Bulk, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	recs, next, err := e.store.Bulks(ctx, project, page.filled())
	if err != nil {
		return nil, "", err
	}
	all := make([]Bulk, 0, len(recs))
	for _, rec := range recs {
		b, err := openBulk(rec)
		if err != nil {
			return nil, "", err
		}
		all = append(all, *b)
	}
	return all, next, nil
}

// Recovery counts bulk operations, the outcomes of their executions, and groups of open failures of a project.
func (e *Engine) Recovery(ctx context.Context, project string) (Recovery, error) {
	return e.store.Recovery(ctx, project)
}

// ControlBulk holds a bulk operation, lets it go on or aborts it; the same again changes nothing.
func (e *Engine) ControlBulk(ctx context.Context, project, id string, action BulkAction, r Request) (*Bulk, error) {
	if err := checkReason(r.Reason); err != nil {
		return nil, err
	}
	why := map[BulkAction]string{BulkHold: "held", BulkAbort: "aborted"}[action]
	if r.By != "" {
		why += " by " + r.By
	}
	if r.Reason != "" {
		why += ": " + r.Reason
	}
	err := e.store.ControlBulk(ctx, BulkName{project, id}, action, why)
	var status *StatusError
	switch {
	case errors.Is(err, ErrGone):
		return nil, NotFound("bulk", id)
	case errors.As(err, &status):
		return nil, Conflict("bulk_"+string(status.Status), "bulk operation %s is %s; %s is possible when it is %s", id, status.Status, action, bulkPossible[action])
	case err != nil:
		return nil, err
	}
	return e.Bulk(ctx, project, id)
}

var bulkPossible = map[BulkAction]string{
	BulkHold: "running or canary", BulkContinue: "held", BulkAbort: "creating, canary, running or held",
}

// BulkItems answers executions of a bulk operation in the order in which they are taken, of the outcome only, if one is
// named. A page that the outcome thins out may be short; the list ends where the cursor is "".
func (e *Engine) BulkItems(ctx context.Context, project, id string, outcome BulkOutcome, page Page) ([]BulkItem, string, error) {
	page = page.filled()
	from, err := seq(page.Cursor)
	if err != nil {
		return nil, "", err
	}
	b, err := e.Bulk(ctx, project, id)
	if err != nil {
		return nil, "", err
	}
	const readThrough = 20_000 // of a snapshot, for one page
	items := []BulkItem{}
	for at := int(from); at < b.Counts.Total; {
		if at-int(from) >= readThrough {
			return items, strconv.Itoa(at), nil
		}
		entries, err := e.store.BulkEntries(ctx, BulkName{project, id}, at, listedItems)
		if err != nil {
			return nil, "", err
		}
		if len(entries) == 0 {
			break
		}
		for _, entry := range entries {
			at++
			if item := itemOf(entry); outcome == "" || item.Outcome == outcome {
				if items = append(items, item); len(items) == page.Limit {
					if at >= b.Counts.Total {
						return items, "", nil
					}
					return items, strconv.Itoa(at), nil
				}
			}
		}
	}
	return items, "", nil
}

func itemOf(e BulkEntry) BulkItem {
	i := BulkItem{Place: e.Place, Execution: e.Execution, Outcome: OutcomePending}
	switch {
	case e.Result != nil:
		r := e.Result
		i.Outcome, i.Before, i.After, i.Into, i.Code, i.Message, i.At = r.Outcome, r.Before, r.After, r.Into, r.Code, r.Message, &r.At
	case e.Flight != nil:
		i.Outcome, i.Before = OutcomeInFlight, e.Flight.Before
	}
	return i
}
