package engine_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const bulky = `
name: bulky
input_schema: {type: object, properties: {n: {type: integer}, region: {enum: [eu, us]}}}
tasks:
  - {name: a, type: noop, with: {n: "${workflow.input.n}"}}
  - {name: b, type: noop, needs: [a]}
`

// fails starts executions of which task a fails.
func (s *stage) fails(source string, n int) (all []*engine.Execution) {
	s.t.Helper()
	was := s.run
	s.run = failing("a")
	for i := range n {
		all = append(all, s.start(source, fmt.Sprintf(`{"n": %d}`, i)))
	}
	s.settle()
	s.run = was
	s.lists()
	for _, x := range all {
		require.Equal(s.t, workflow.ExecutionFailed, s.at(x).Status)
	}
	return all
}

// lists brings the lists up to date.
func (s *stage) lists() {
	s.t.Helper()
	for _, due := range s.due() {
		require.NoError(s.t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Decide: due.Decide, Index: due.Index}))
	}
}

func (s *stage) bulk(r engine.BulkRequest) *engine.Bulk {
	s.t.Helper()
	s.lists()
	b, created, err := s.StartBulk(s.ctx(), "default", r)
	require.NoError(s.t, err)
	require.True(s.t, created)
	return b
}

// drive lets a bulk operation go on, and workers run, until nothing moves any more.
func (s *stage) drive(b *engine.Bulk) *engine.Bulk {
	s.t.Helper()
	d := s.NewBulkDriver()
	var before engine.BulkCounts
	for still := 0; still < 3; still++ {
		require.NoError(s.t, d.Sweep(s.ctx()))
		s.settle()
		now := s.bulkNow(b)
		if now.Counts != before || now.State != b.State {
			still = 0
		}
		before, b = now.Counts, now
	}
	return b
}

func (s *stage) bulkNow(b *engine.Bulk) *engine.Bulk {
	s.t.Helper()
	now, err := s.Bulk(s.ctx(), "default", b.ID)
	require.NoError(s.t, err)
	c := now.Counts
	require.Equal(s.t, c.Total, c.Pending+c.InFlight+c.Succeeded+c.Failed+c.Skipped)
	return now
}

func (s *stage) items(b *engine.Bulk) (all []engine.BulkItem) {
	s.t.Helper()
	for page := (engine.Page{Limit: 2}); ; {
		items, next, err := s.BulkItems(s.ctx(), "default", b.ID, "", page)
		require.NoError(s.t, err)
		all = append(all, items...)
		if next == "" {
			return all
		}
		page.Cursor = next
	}
}

func retryAll(change ...func(*engine.BulkRequest)) engine.BulkRequest {
	r := engine.BulkRequest{Operation: engine.BulkRetry, Filter: engine.BulkFilter{Workflow: "bulky"}, Reason: "fixed", By: "me"}
	for _, f := range change {
		f(&r)
	}
	return r
}

func TestABulkRetryTellsWhatBecameOfEach(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 5)
	other := s.fails(`{name: other, tasks: [{name: a, type: noop}]}`, 1)[0]
	b := s.bulk(retryAll(func(r *engine.BulkRequest) { r.MaxInFlight = 1 }))
	later := s.fails(bulky, 1)[0]
	require.NoError(t, s.NewBulkDriver().Sweep(s.ctx()))
	_, err := s.Redrive(s.ctx(), all[1].ID, retrying()) // somebody is faster
	require.NoError(t, err)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Execution == all[2].ID {
			return nil, &workflow.Error{Code: "boom", Message: "again"}
		}
		return r.Input, nil
	}
	b = s.drive(b)
	require.Equal(t, engine.BulkCompleted, b.State)
	require.NotNil(t, b.EndedAt)
	require.Equal(t, engine.BulkCounts{Total: 5, Succeeded: 3, Failed: 1, Skipped: 1}, b.Counts)
	for i, item := range s.items(b) {
		require.Equal(t, all[i].ID, item.Execution, "the oldest first")
		require.Equal(t, i, item.Place)
		switch i {
		case 1:
			require.Equal(t, []string{"skipped", "succeeded", "status_changed"}, []string{string(item.Outcome), item.Before, item.Code})
		case 2:
			require.Equal(t, []string{"failed", "failed", "failed", "boom", "again"}, []string{string(item.Outcome), item.Before, item.After, item.Code, item.Message})
		default:
			require.Equal(t, []string{"succeeded", "failed", "succeeded"}, []string{string(item.Outcome), item.Before, item.After})
			now := s.ends(all[i], workflow.ExecutionSucceeded)
			require.Equal(t, 1, now.Redrives)
			require.Equal(t, 2, now.Priority, "others go first")
		}
	}
	require.Zero(t, s.at(other).Redrives, "another workflow")
	require.Zero(t, s.at(later).Redrives, "it failed after the snapshot was made")
	failed, _, err := s.BulkItems(s.ctx(), "default", b.ID, engine.OutcomeFailed, engine.Page{})
	require.NoError(t, err)
	require.Len(t, failed, 1)
}

func TestACanaryHoldsABulkRetryWhoseCauseIsNotFixed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 12)
	s.run = failing("a")
	b := s.drive(s.bulk(retryAll(func(r *engine.BulkRequest) { r.Canary = 3 })))
	require.Equal(t, engine.BulkHeld, b.State)
	require.Contains(t, b.Why, "executions of the canary failed, and at most 5% may")
	require.LessOrEqual(t, b.Counts.Failed, 3)
	require.Zero(t, b.Counts.InFlight)
	touched := 0
	for _, x := range all {
		touched += s.at(x).Redrives
	}
	require.Equal(t, b.Counts.Failed, touched, "no other execution was touched")

	s.run = nil // it is fixed
	_, err := s.ControlBulk(s.ctx(), "default", b.ID, engine.BulkContinue, engine.Request{})
	require.NoError(t, err)
	failed := b.Counts.Failed
	b = s.drive(b)
	require.Equal(t, engine.BulkCompleted, b.State)
	require.Equal(t, engine.BulkCounts{Total: 12, Succeeded: 12 - failed, Failed: failed}, b.Counts)
}

func TestABulkRetryHoldsItselfWhenTooManyFailLater(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fails(bulky, 40)
	rate := 0.2
	n := 0
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if n++; r.Ref == "a" && n > 30 {
			return nil, &workflow.Error{Code: "boom", Message: "again"}
		}
		return r.Input, nil
	}
	b := s.drive(s.bulk(retryAll(func(r *engine.BulkRequest) { r.Canary, r.MaxErrorRate, r.MaxInFlight = 5, &rate, 4 })))
	require.Equal(t, engine.BulkHeld, b.State)
	require.Contains(t, b.Why, "latest executions failed, and at most 20% may")
	require.Positive(t, b.Counts.Pending)
	_, err := s.ControlBulk(s.ctx(), "default", b.ID, engine.BulkAbort, engine.Request{By: "me", Reason: "not today"})
	require.NoError(t, err)
	b = s.drive(b)
	require.Equal(t, engine.BulkAborted, b.State)
	require.Equal(t, "aborted by me: not today", b.Why)
	_, err = s.ControlBulk(s.ctx(), "default", b.ID, engine.BulkContinue, engine.Request{})
	refusedAs(t, err, "bulk_aborted")
}

func refusedAs(t *testing.T, err error, code string) {
	t.Helper()
	var refused *engine.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, err)
}

func TestOverridesOfABulkRerunAreMadeOfEachExecution(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 4)
	r := engine.BulkRequest{Operation: engine.BulkRerun, IDs: []string{all[0].ID, fmt.Sprint(all[1].Number), all[0].ID, all[2].ID}, Lane: engine.LaneSame}
	r.Redrive = workflow.Redrive{WorkflowInput: json.RawMessage(`{"n": "${workflow.input.n * 10}", "region": "${workflow.input.n == 2 ? 'mars' : 'eu'}"}`), InputMode: workflow.InputMerge}
	preview, err := s.PreviewBulk(s.ctx(), "default", r)
	require.NoError(t, err)
	require.Equal(t, 3, preview.Count)
	require.Equal(t, []engine.BulkGroup{{Workflow: "bulky", Version: 1, Status: workflow.ExecutionFailed, Count: 3}}, preview.Groups)
	require.Contains(t, string(preview.Samples[1].Plan.InputDiff), `"value":10`)
	require.Equal(t, "request_invalid", preview.Samples[2].Refused.Code, "mars is no region")

	b := s.drive(s.bulk(r))
	require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 2, Failed: 1}, b.Counts)
	require.JSONEq(t, `{"n": 10, "region": "eu"}`, string(s.at(all[1]).Input))
	require.Equal(t, 5, s.at(all[1]).Priority)
	item := s.items(b)[2]
	require.Equal(t, []string{"failed", "request_invalid", "failed"}, []string{string(item.Outcome), item.Code, item.After})
	require.Contains(t, item.Message, "workflow_input.region")
	require.Zero(t, s.at(all[2]).Redrives)
	require.Zero(t, s.at(all[3]).Redrives)
}

func TestABulkOperationIsMadeOnceForItsKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fails(bulky, 2)
	r := retryAll(func(r *engine.BulkRequest) { r.IdempotencyKey = "monday" })
	b := s.bulk(r)
	again, created, err := s.StartBulk(s.ctx(), "default", r)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, b.ID, again.ID)
	r.Canary = 1
	_, _, err = s.StartBulk(s.ctx(), "default", r)
	refusedAs(t, err, "idempotency_key_reused")
	all, next, err := s.Bulks(s.ctx(), "default", engine.Page{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Empty(t, next)
}

func TestABulkRequestIsRefusedWithEveryProblem(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	rate := 1.5
	_, _, err := s.StartBulk(s.ctx(), "default", engine.BulkRequest{
		Operation: "again", Rate: -1, MaxInFlight: 5000, Canary: -1, Jitter: -1, Lane: "fast", MaxErrorRate: &rate,
	})
	refusedAs(t, err, "bulk_invalid")
	for _, field := range []string{"operation", "filter", "rate", "max_in_flight", "canary", "jitter", "lane", "max_error_rate"} {
		require.ErrorContains(t, err, field)
	}
	r := retryAll()
	r.Redrive.WorkflowInput = json.RawMessage(`{"x": "${tasks.a.output}", "y": "${secrets.z}"}`)
	_, _, err = s.StartBulk(s.ctx(), "default", r)
	require.ErrorContains(t, err, "workflow_input.x")
	require.ErrorContains(t, err, "workflow_input.y")
	_, _, err = s.StartBulk(s.ctx(), "default", engine.BulkRequest{Operation: engine.BulkRetry, IDs: []string{"x", "999999"}})
	require.ErrorContains(t, err, "ids[0]")
	require.ErrorContains(t, err, "ids[1]")
	_, _, err = s.PutProject(s.ctx(), engine.Project{Name: "other"})
	require.NoError(t, err)
	mine := s.start("name: mine\ntasks: [{ name: a, type: noop }]\n", `{}`)
	_, _, err = s.StartBulk(s.ctx(), "other", engine.BulkRequest{Operation: engine.BulkRetry, IDs: []string{strconv.FormatInt(mine.Number, 10)}})
	require.ErrorContains(t, err, "names no execution", "that another project has one of that number is nobody's business")
	_, err = s.Bulk(s.ctx(), "default", "nothing")
	refusedAs(t, err, "bulk_not_found")
}

// What is a part of another execution goes on with it; named by its workflow, or its id, it takes that one along.
func TestABulkRetryOfPartsOfOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const inner, outer = `{name: inner, tasks: [{name: a, type: noop}]}`, `{name: outer, tasks: [{name: c, type: workflow, with: {name: inner}}]}`
	s.publish(inner)
	s.run = failing("a")
	x := s.start(outer, `{}`)
	s.settle()
	s.run = nil
	s.lists()
	require.Equal(t, workflow.ExecutionFailed, s.at(x).Status)
	preview, err := s.PreviewBulk(s.ctx(), "default", engine.BulkRequest{Operation: engine.BulkRetry, Filter: engine.BulkFilter{Status: []workflow.ExecutionStatus{workflow.ExecutionFailed}}})
	require.NoError(t, err)
	require.Equal(t, 1, preview.Count)
	b := s.drive(s.bulk(engine.BulkRequest{Operation: engine.BulkRetry, Filter: engine.BulkFilter{Workflow: "inner"}}))
	require.Equal(t, engine.BulkCounts{Total: 1, Succeeded: 1}, b.Counts)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestBulkPauseResumeAndCancel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var all []*engine.Execution
	for range 3 {
		all = append(all, s.start(bulky, `{"n": 1}`))
	}
	d := s.NewBulkDriver()
	does := func(op engine.BulkOperation, status workflow.ExecutionStatus) {
		t.Helper()
		b := s.bulk(engine.BulkRequest{Operation: op, Filter: engine.BulkFilter{Workflow: "bulky"}})
		for range 5 {
			require.NoError(t, d.Sweep(s.ctx()))
			s.lists()
		}
		require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 3}, s.bulkNow(b).Counts)
		for _, x := range all {
			require.Equal(t, status, s.at(x).Status)
		}
	}
	does(engine.BulkPause, workflow.ExecutionPaused)
	does(engine.BulkResume, workflow.ExecutionRunning)
	does(engine.BulkCancel, workflow.ExecutionCanceled)
}

// A preview counts for a while; what it did not come to is said, and nothing else is different.
func TestAPreviewIsBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 2)
	ids := []string{all[0].ID, all[1].ID}
	for range 600 {
		ids = append(ids, uuid.NewString())
	}
	named := engine.BulkRequest{Operation: engine.BulkRetry, IDs: ids}
	preview := func(r engine.BulkRequest) *engine.BulkPreview {
		t.Helper()
		s.lists()
		p, err := s.PreviewBulk(s.ctx(), "default", r)
		require.NoError(t, err)
		return p
	}
	p := preview(named)
	require.Equal(t, []any{2, 600, false}, []any{p.Count, p.Missing, p.AtLeast})
	s.publish(bulky)
	for range 501 {
		s.start(bulky, `{"n": 1}`)
	}
	filter := engine.BulkRequest{Operation: engine.BulkCancel, Filter: engine.BulkFilter{Workflow: "bulky"}}
	p = preview(filter)
	require.Equal(t, []any{501, false}, []any{p.Count, p.AtLeast})

	s.PreviewWithin(0)
	p = preview(named)
	require.Equal(t, []any{2, 498, true}, []any{p.Count, p.Missing, p.AtLeast}, "one page is counted in any case")
	require.Len(t, p.Samples, 2)
	require.NotNil(t, p.Samples[0].Plan)
	p = preview(filter)
	require.Equal(t, []any{500, true}, []any{p.Count, p.AtLeast})
	require.Equal(t, 500, p.Groups[0].Count)
	p = preview(retryAll())
	require.Equal(t, []any{2, false}, []any{p.Count, p.AtLeast}, "it came to the end")
}

// A time before now is the same request whenever it is made, and counts from when the operation is made.
func TestABulkRequestOfTheLastHourIsTheSameLater(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.fails(bulky, 1)[0]
	s.offset += 2 * time.Hour
	count := func(f engine.BulkFilter) int {
		t.Helper()
		f.Workflow = "bulky"
		p, err := s.PreviewBulk(s.ctx(), "default", engine.BulkRequest{Operation: engine.BulkRetry, Filter: f})
		require.NoError(t, err)
		return p.Count
	}
	s.lists()
	require.Equal(t, []int{0, 1}, []int{count(engine.BulkFilter{SinceAgo: time.Hour}), count(engine.BulkFilter{SinceAgo: 3 * time.Hour})})
	require.Equal(t, []int{1, 0}, []int{count(engine.BulkFilter{UntilAgo: time.Hour}), count(engine.BulkFilter{UntilAgo: 3 * time.Hour})})

	r := retryAll(func(r *engine.BulkRequest) { r.Filter.SinceAgo, r.IdempotencyKey = 3*time.Hour, "hourly" })
	b := s.bulk(r)
	s.offset += time.Hour + time.Minute
	again, created, err := s.StartBulk(s.ctx(), "default", r)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, b.ID, again.ID)
	b = s.drive(b)
	require.Equal(t, engine.BulkCounts{Total: 1, Succeeded: 1}, b.Counts, "three hours before it was made, not before they were collected")
	require.Equal(t, 1, s.at(x).Redrives)
	r.Filter.SinceAgo = 2 * time.Hour
	_, _, err = s.StartBulk(s.ctx(), "default", r)
	refusedAs(t, err, "idempotency_key_reused")

	_, _, err = s.StartBulk(s.ctx(), "default", retryAll(func(r *engine.BulkRequest) {
		r.Filter = engine.BulkFilter{SinceAgo: time.Hour, UntilAgo: 2 * time.Hour}
	}))
	require.ErrorContains(t, err, "filter.until_ago")
	_, _, err = s.StartBulk(s.ctx(), "default", retryAll(func(r *engine.BulkRequest) {
		r.Filter = engine.BulkFilter{Since: time.Now(), SinceAgo: time.Hour, UntilAgo: -1}
	}))
	require.ErrorContains(t, err, "filter.since_ago: is given beside since")
	require.ErrorContains(t, err, "filter.until_ago: is -1ns")
	for field, f := range map[string]engine.BulkFilter{
		"filter.until":     {SinceAgo: time.Hour, Until: time.Now().Add(-24 * time.Hour)},
		"filter.until_ago": {Since: time.Now().Add(-time.Hour), UntilAgo: 24 * time.Hour},
	} {
		_, err = s.PreviewBulk(s.ctx(), "default", retryAll(func(r *engine.BulkRequest) { r.Filter = f }))
		require.ErrorContains(t, err, field+": it ends before it begins")
	}
}

// Overrides that can no longer be made of an execution, because the redrive changed its input, are no failure of one that was redriven.
func TestADriverThatDiedLeavesNoFailedOverrides(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(`{name: moved, tasks: [{name: a, type: noop}]}`, 2)
	for _, identity := range []workflow.Identity{workflow.NewExecution, workflow.InPlace} {
		b := s.bulk(engine.BulkRequest{Operation: engine.BulkRerun, IDs: []string{all[0].ID, all[1].ID}, Redrive: workflow.Redrive{
			WorkflowInput: json.RawMessage(`{"region": "${workflow.input.n == 0 ? 'eu' : 'us'}"}`), Identity: identity,
		}})
		died := s.NewBulkDriver()
		require.NoError(t, died.Sweep(s.ctx()))
		require.Equal(t, 2, s.bulkNow(b).Counts.InFlight)
		b = s.drive(b) // by one that remembers nothing
		require.Equal(t, engine.BulkCounts{Total: 2, Succeeded: 2}, b.Counts)
	}
	require.JSONEq(t, `{"region": "eu"}`, string(s.at(all[0]).Input))
	require.JSONEq(t, `{"region": "us"}`, string(s.at(all[1]).Input))
	require.Equal(t, 1, s.at(all[0]).Redrives)
}
