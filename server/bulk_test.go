package server

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func (f *fake) bulk(project, id string) *engine.Bulk {
	b := &engine.Bulk{
		BulkRecord: engine.BulkRecord{
			Project: project, ID: id, State: engine.BulkHeld, Counts: engine.BulkCounts{Total: 3, Pending: 1, Succeeded: 1, Failed: 1},
			CreatedAt: epoch, StartedAt: &epoch, BulkPace: engine.BulkPace{Rate: 2.5, Most: 100, Canary: 2, Tolerated: 0.05},
		},
		BulkSpec: engine.BulkSpec{Operation: engine.BulkRetry, Filter: engine.BulkFilter{Workflow: "hello", LabelKey: "a", LabelValue: "b=c", SinceAgo: time.Hour}, Lane: engine.LaneLow},
		Why:      "1 of 2 executions of the canary failed, and at most 5% may",
	}
	b.Redrive.Operation = workflow.OperationRetry
	return b
}

func (f *fake) PreviewBulk(context.Context, string, engine.BulkRequest) (*engine.BulkPreview, error) {
	return &engine.BulkPreview{
		Count: 1, AtLeast: true, Groups: []engine.BulkGroup{{Workflow: "hello", Version: 1, Status: workflow.ExecutionFailed, Count: 1}},
		Samples: []engine.BulkSample{{Execution: idDefault, Status: workflow.ExecutionFailed, Refused: engine.Conflict("not_retryable", "no")}},
	}, nil
}

func (f *fake) StartBulk(_ context.Context, project string, r engine.BulkRequest) (*engine.Bulk, bool, error) {
	defer f.lock()()
	f.write(r)
	return f.bulk(project, "b1"), true, nil
}

func (f *fake) Bulk(_ context.Context, project, id string) (*engine.Bulk, error) {
	if id == "none" {
		return nil, engine.NotFound("bulk", id)
	}
	return f.bulk(project, id), f.err
}

func (f *fake) Bulks(_ context.Context, project string, _ engine.Page) ([]engine.Bulk, string, error) {
	return []engine.Bulk{*f.bulk(project, "b1")}, "b1", f.err
}

func (f *fake) ControlBulk(_ context.Context, project, id string, action engine.BulkAction, r engine.Request) (*engine.Bulk, error) {
	defer f.lock()()
	f.write([]string{string(action), r.Reason, r.By})
	return f.bulk(project, id), nil
}

func (f *fake) BulkItems(_ context.Context, _, _ string, outcome engine.BulkOutcome, page engine.Page) ([]engine.BulkItem, string, error) {
	all := []engine.BulkItem{
		{Execution: idDefault, Outcome: engine.OutcomeSucceeded, Before: "failed", After: "succeeded", At: &epoch},
		{Place: 1, Execution: idOther, Outcome: engine.OutcomeFailed, Before: "failed", After: "failed", Code: "boom", Message: "a \"b\",\nc", At: &epoch},
		{Place: 2, Execution: idOther, Outcome: engine.OutcomePending},
	}
	if outcome != "" {
		return all[1:2], "", nil
	}
	if page.Cursor == "" {
		return all[:2], "2", nil
	}
	return all[2:], "", nil
}

const bulkPath = "/v1/projects/default/bulk"

func TestABulkRequestArrivesWhole(t *testing.T) {
	r := newRig(t)
	w := r.do(call{method: "POST", path: bulkPath, key: "rdr_write", body: `{"operation": "rerun", "rate": 2.5, "max_in_flight": 7, "jitter": "5s",
		"filter": {"workflow": "hello", "version": 2, "status": ["failed"], "label": "a=b=c", "since": "2026-01-31T00:00:00Z", "until_ago": "90m", "fingerprint": "f1"},
		"lane": "same", "canary": 3, "max_error_rate": 0, "reason": "why", "idempotency_key": "k",
		"redrive": {"from": ["load"], "workflow_input": {"n": "${workflow.input.n}"}, "input_mode": "merge"}}`})
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	none := 0.0
	require.Equal(t, engine.BulkRequest{
		Operation: engine.BulkRerun, Rate: 2.5, MaxInFlight: 7, Jitter: 5 * time.Second, Lane: engine.LaneSame, Canary: 3, MaxErrorRate: &none,
		Reason: "why", By: r.fake.last.(engine.BulkRequest).By, IdempotencyKey: "k",
		Filter: engine.BulkFilter{
			Workflow: "hello", Version: 2, Status: []workflow.ExecutionStatus{"failed"}, LabelKey: "a", LabelValue: "b=c",
			Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), UntilAgo: 90 * time.Minute, Fingerprint: "f1",
		},
		Redrive: workflow.Redrive{From: []string{"load"}, WorkflowInput: json.RawMessage(`{"n": "${workflow.input.n}"}`), InputMode: workflow.InputMerge},
	}, r.fake.last)
	require.Contains(t, w.Body.String(), `"since_ago":"1h0m0s"`)
	require.Contains(t, w.Body.String(), `"why":"1 of 2 executions of the canary failed, and at most 5% may"`)

	written := r.fake.written()
	w = r.do(call{method: "POST", path: bulkPath + "?dry_run=true", key: "rdr_write", body: `{"operation": "retry", "filter": {"workflow": "hello"}}`})
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.Contains(t, w.Body.String(), `"refused":{"code":"not_retryable","message":"no"}`)
	require.Contains(t, w.Body.String(), `"count":1`)
	require.Contains(t, w.Body.String(), `"at_least":true`)
	for _, body := range []string{
		`{}`, `{"operation": "again"}`, `{"operation": "retry", "filter": {"since_ago": "yesterday"}}`, `{"operation": "retry", "filter": {"workflow": "w", "until_ago": "-1h"}}`, `{"operation": "retry", "jitter": "soon", "filter": {"workflow": "w"}}`,
		`{"operation": "retry", "redrive": {"plan_hash": "h"}, "filter": {"workflow": "w"}}`,
	} {
		w = r.do(call{method: "POST", path: bulkPath, key: "rdr_write", body: body})
		require.Equal(t, http.StatusUnprocessableEntity, w.Code, "%s: %s", body, w.Body.String())
	}
	require.Equal(t, written, r.fake.written())

	ids := strings.Repeat(`"`+idDefault+`",`, 100_000)
	w = r.do(call{method: "POST", path: bulkPath, key: "rdr_write", body: `{"operation": "pause", "ids": [` + strings.TrimSuffix(ids, ",") + `]}`})
	require.Equal(t, http.StatusAccepted, w.Code, "100,000 ids fit into a request")
}

func TestABulkReportHasEveryExecution(t *testing.T) {
	r := newRig(t)
	report := func(format string) string {
		w := r.do(call{method: "GET", path: bulkPath + "/b1/report" + format, key: "rdr_read"})
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		return w.Body.String()
	}
	rows, err := csv.NewReader(strings.NewReader(report(""))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{
		{"index", "execution", "outcome", "before", "after", "into", "code", "message", "at"},
		{"0", idDefault, "succeeded", "failed", "succeeded", "", "", "", "2026-01-31T08:00:00Z"},
		{"1", idOther, "failed", "failed", "failed", "", "boom", "a \"b\",\nc", "2026-01-31T08:00:00Z"},
		{"2", idOther, "pending", "", "", "", "", "", ""},
	}, rows)
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(report("?format=json")), &list))
	require.Len(t, list, 3)
	lines := strings.Split(strings.TrimSpace(report("?format=jsonl")), "\n")
	require.Len(t, lines, 3)
	require.JSONEq(t, `{"index":2,"execution":"`+idOther+`","outcome":"pending"}`, lines[2])
	require.Equal(t, http.StatusNotFound, r.do(call{method: "GET", path: bulkPath + "/none/report", key: "rdr_read"}).Code)
	require.Equal(t, http.StatusUnprocessableEntity, r.do(call{method: "GET", path: bulkPath + "/b1/report?format=pdf", key: "rdr_read"}).Code)

	w := r.do(call{method: "GET", path: bulkPath + "/b1/items?outcome=failed", key: "rdr_read"})
	require.Contains(t, w.Body.String(), `"code":"boom"`)
	for verb, action := range map[string]string{"pause": "hold", "resume": "continue", "abort": "abort"} {
		w := r.do(call{method: "POST", path: bulkPath + "/b1/" + verb, key: "rdr_write", body: `{"reason": "why"}`})
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		require.Equal(t, []string{action, "why"}, r.fake.last.([]string)[:2])
	}
}
