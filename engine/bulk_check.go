package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/redrive/redrive/workflow"
)

// bulkStatuses are those in which an operation is possible, and which it chooses when no other ones are named.
var bulkStatuses = map[BulkOperation][]workflow.ExecutionStatus{
	BulkRetry:  {workflow.ExecutionFailed, workflow.ExecutionTimedOut},
	BulkResume: {workflow.ExecutionPaused},
	BulkPause:  {workflow.ExecutionQueued, workflow.ExecutionRunning},
	BulkCancel: {workflow.ExecutionQueued, workflow.ExecutionRunning, workflow.ExecutionPaused},
}

// bulkAsked is a request that was checked.
type bulkAsked struct {
	spec      BulkSpec
	pace      BulkPace
	ids       []string // that were named, each once
	overrides *workflow.Overrides
}

// hash is of what was asked for, whoever asked.
func (a *bulkAsked) hash() (string, error) {
	spec := a.spec
	spec.By = ""
	text, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("engine: encoding a bulk operation: %w", err)
	}
	return hashOf(fmt.Appendf(text, " %v %s", a.pace, strings.Join(a.ids, " "))), nil
}

// checkBulk checks a request, fills its defaults and finds the ids of numbers.
func (e *Engine) checkBulk(ctx context.Context, project string, r BulkRequest) (*bulkAsked, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	c := &bulkCheck{}
	a := &bulkAsked{
		spec: BulkSpec{Operation: r.Operation, Filter: r.Filter, Redrive: r.Redrive, Jitter: r.Jitter, Lane: r.Lane, Reason: r.Reason, By: r.By},
		pace: BulkPace{Rate: r.Rate, Most: r.MaxInFlight, Canary: r.Canary, Tolerated: -1},
	}
	if !slices.Contains(BulkOperations, r.Operation) {
		c.add("operation", "not_allowed", strconv.Quote(string(r.Operation))+" is none", "retry, rerun, resume, pause or cancel")
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return nil, err
	}
	c.filter(r, &a.spec, now)
	c.pace(r, a)
	if len(r.Reason) > maxReason {
		c.add("reason", "too_long", fmt.Sprintf("has %d bytes", len(r.Reason)), fmt.Sprintf("at most %d", maxReason))
	}
	if len(r.IdempotencyKey) > maxLabelBytes {
		c.add("idempotency_key", "too_long", fmt.Sprintf("has %d bytes", len(r.IdempotencyKey)), fmt.Sprintf("at most %d", maxLabelBytes))
	}
	if r.Operation.redrives() {
		a.spec.Redrive.Operation = workflow.Operation(r.Operation)
		var problems workflow.Problems
		if a.overrides, problems = workflow.CompileOverrides(a.spec.Redrive, e.o.Limits); len(problems) > 0 {
			for _, p := range problems {
				p.Field = "redrive." + p.Field
				c.problems = append(c.problems, p)
			}
		}
	}
	if err := e.namedIDs(ctx, c, project, r.IDs, a); err != nil {
		return nil, err
	}
	if len(c.problems) > 0 {
		return nil, Invalid("bulk_invalid", "the bulk operation cannot be made", c.problems...)
	}
	return a, nil
}

type bulkCheck struct{ problems workflow.Problems }

func (c *bulkCheck) add(field, code, message, allowed string) {
	c.problems = append(c.problems, workflow.Problem{Field: field, Code: code, Message: message, Allowed: allowed})
}

func (c *bulkCheck) filter(r BulkRequest, spec *BulkSpec, now time.Time) {
	f := r.Filter
	narrow := len(f.Status) > 0 || f.Workflow != "" || f.CorrelationID != "" || f.LabelKey != "" || !f.Since.IsZero() || f.SinceAgo != 0 || f.Fingerprint != ""
	switch {
	case len(r.IDs) > 0 && (narrow || f.Version != 0 || !f.Until.IsZero() || f.UntilAgo != 0):
		c.add("filter", "conflict", "is given beside ids", "one of them: a filter chooses executions, ids name them")
	case len(r.IDs) == 0 && !narrow:
		c.add("filter", "required", "names nothing", "at least one of status, workflow, correlation_id, label, since, since_ago or fingerprint; or ids")
	}
	if f.Fingerprint != "" && !workflow.ValidFingerprint(f.Fingerprint) {
		c.add("filter.fingerprint", "format", strconv.Quote(f.Fingerprint)+" is none", "the fingerprint of a group of failures")
	}
	if f.Version != 0 && f.Workflow == "" {
		c.add("filter.version", "conflict", "is of no workflow", "with filter.workflow")
	}
	c.ago("since", f.Since, f.SinceAgo)
	c.ago("until", f.Until, f.UntilAgo)
	from, to := f.span(now)
	switch {
	case from.IsZero() || to.IsZero() || from.Before(to):
	case f.UntilAgo > 0:
		c.add("filter.until_ago", "out_of_range", "it ends before it begins", "a time after that of since or since_ago")
	default:
		c.add("filter.until", "out_of_range", "it ends before it begins", "a time after that of since or since_ago")
	}
	for _, s := range f.Status {
		if !slices.Contains(workflow.ExecutionStatuses, s) {
			c.add("filter.status", "not_allowed", strconv.Quote(string(s))+" is none", "a status of executions")
		}
	}
	if len(f.Status) == 0 && len(r.IDs) == 0 {
		spec.Filter.Status = bulkStatuses[r.Operation]
	}
}

func (c *bulkCheck) ago(field string, at time.Time, ago time.Duration) {
	switch {
	case ago < 0:
		c.add("filter."+field+"_ago", "out_of_range", "is "+ago.String(), "more than 0s")
	case ago > 0 && !at.IsZero():
		c.add("filter."+field+"_ago", "conflict", "is given beside "+field, "one of them")
	}
}

func (c *bulkCheck) pace(r BulkRequest, a *bulkAsked) {
	if r.Rate < 0 || r.Rate > maxRate || math.IsNaN(r.Rate) || r.Rate > 0 && r.Rate < 0.0001 {
		c.add("rate", "out_of_range", fmt.Sprintf("is %g", r.Rate), fmt.Sprintf("0.0001 to %d executions a second, or 0 for any number", maxRate))
	}
	if r.MaxInFlight == 0 {
		a.pace.Most = defaultFlights
	}
	if a.pace.Most < 1 || a.pace.Most > maxInFlight {
		c.add("max_in_flight", "out_of_range", fmt.Sprintf("is %d", r.MaxInFlight), fmt.Sprintf("1 to %d", maxInFlight))
	}
	if r.Canary < 0 || r.Canary > maxCanary {
		c.add("canary", "out_of_range", fmt.Sprintf("is %d", r.Canary), fmt.Sprintf("1 to %d, or 0 for none", maxCanary))
	}
	if r.Jitter < 0 || r.Jitter > bulkJitter {
		c.add("jitter", "out_of_range", "is "+r.Jitter.String(), "0s to "+bulkJitter.String())
	}
	switch rate := r.MaxErrorRate; {
	case rate != nil && (*rate < 0 || *rate > 1 || math.IsNaN(*rate)):
		c.add("max_error_rate", "out_of_range", fmt.Sprintf("is %g", *rate), "0 to 1; 0.05 is 5 %")
	case rate != nil:
		a.pace.Tolerated = *rate
	case r.Canary > 0:
		a.pace.Tolerated = defaultErrors
	}
	switch r.Lane {
	case "":
		a.spec.Lane = LaneLow
	case LaneLow, LaneSame:
	default:
		c.add("lane", "not_allowed", strconv.Quote(string(r.Lane))+" is none", "low, or same")
	}
}

// numbered answers the ids of those names that are numbers of a project's executions.
func (e *Engine) numbered(ctx context.Context, project string, names []string) (map[string]string, error) {
	var numbers []int64
	for _, name := range names {
		if n, err := strconv.ParseInt(strings.TrimSpace(name), 10, 64); err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	ids := make(map[string]string, len(numbers))
	for part := range slices.Chunk(numbers, listedItems) {
		found, err := e.store.Numbered(ctx, project, part)
		if err != nil {
			return nil, err
		}
		for i, id := range found {
			ids[strconv.FormatInt(part[i], 10)] = id
		}
	}
	return ids, nil
}

// namedIDs reads the executions that were named one by one.
func (e *Engine) namedIDs(ctx context.Context, c *bulkCheck, project string, named []string, a *bulkAsked) error {
	const mostShown = 20
	if len(named) > MaxBulkNamed {
		c.add("ids", "too_many", fmt.Sprintf("names %d executions", len(named)), fmt.Sprintf("at most %d; a filter takes up to %d", MaxBulkNamed, MaxBulk))
		return nil
	}
	numbers, err := e.numbered(ctx, project, named)
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(named))
	wrong := 0
	for i, name := range named {
		id := strings.TrimSpace(name)
		if found, is := numbers[id]; is {
			id = found
		}
		if parsed, err := uuid.Parse(id); err != nil || parsed.String() != id {
			if wrong++; wrong <= mostShown {
				c.add(fmt.Sprintf("ids[%d]", i), "execution_not_found", fmt.Sprintf("%q names no execution", name), "ids, or numbers of executions")
			}
			continue
		}
		if !seen[id] {
			seen[id] = true
			a.ids = append(a.ids, id)
		}
	}
	if wrong > mostShown {
		c.add("ids", "execution_not_found", fmt.Sprintf("%d more name no execution", wrong-mostShown), "ids, or numbers of executions")
	}
	a.spec.Named = len(a.ids)
	return nil
}

// span is the time of creation that a filter made at a moment means; zero where it has no bound.
func (f BulkFilter) span(made time.Time) (since, until time.Time) {
	since, until = f.Since, f.Until
	if f.SinceAgo > 0 {
		since = made.Add(-f.SinceAgo)
	}
	if f.UntilAgo > 0 {
		until = made.Add(-f.UntilAgo)
	}
	return since, until
}

// executions is the filter, of an operation that is made then, as the lists know it.
func (f BulkFilter) executions(made time.Time) ExecutionFilter {
	out := ExecutionFilter{
		Status: f.Status, Workflow: f.Workflow, Version: f.Version, CorrelationID: f.CorrelationID,
		LabelKey: f.LabelKey, LabelValue: f.LabelValue,
	}
	out.Since, out.Until = f.span(made)
	if out.Until.IsZero() || out.Until.After(made) {
		out.Until = made // what begins later was not meant
	}
	return out
}

// choose answers a page of the executions that a filter means, oldest first. What is a part of another execution goes on
// with that one, and is chosen only where its workflow is named. One that cannot be read is chosen, so that its result says why.
func (e *Engine) choose(ctx context.Context, project string, f BulkFilter, made time.Time, cursor string) ([]*Execution, string, error) {
	filter := f.executions(made)
	page := Page{Limit: listedItems, Cursor: cursor}
	var found []*Execution
	if f.Fingerprint == "" {
		all, next, err := e.store.Choose(ctx, project, filter, page)
		for i := range all {
			if x := &all[i]; x.Parent == nil || f.Workflow != "" {
				found = append(found, x)
			}
		}
		return found, next, err
	}
	ids, next, err := e.store.OpenFailures(ctx, project, f.Fingerprint, page)
	if err != nil {
		return nil, "", err
	}
	heads, err := e.store.Heads(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	for _, x := range heads {
		if x != nil && (x.Unreadable != nil || x.Project == project && filter.Matches(x) && !x.CreatedAt.Before(filter.Since) && x.CreatedAt.Before(filter.Until)) {
			found = append(found, x)
		}
	}
	return found, next, nil
}
