package examples

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func runForEach(t *testing.T, h *house) {
	x := h.start("for-each.yaml", input(t, "for-each.json"))
	h.succeeds(x, `{"total": {"lines": ["tea", "pot"], "sum": 43.5}, "shipped": ["1: box 7", "2: box 9"]}`)
	require.Equal(t, map[string]string{
		"price": "failed", "price[tea]": "succeeded", "price[cup]": "failed", "price[pot]": "succeeded",
		"total": "succeeded", "ship": "succeeded", "ship[box~207]": "succeeded", "ship[box~209]": "succeeded",
	}, h.statuses(x.ID))
	require.JSONEq(t, `[{"sku": "tea", "total": 13.5}, null, {"sku": "pot", "total": 30}]`, string(h.task(x, "price").Output))
	require.Equal(t, "items_failed", h.task(x, "price").Error.Code)

	x = h.start("for-each.yaml", `{"lines": [], "parcels": ["a", "broken", "c"]}`)
	require.Equal(t, "items_failed", h.ends(x, workflow.ExecutionFailed).Error.Code)
	require.Equal(t, map[string]string{
		"price": "succeeded", "total": "succeeded", "ship": "failed", "ship[a]": "succeeded", "ship[broken]": "failed", "ship[c]": "canceled",
	}, h.statuses(x.ID))
	require.Equal(t, "item_failed", h.task(x, "ship[c]").Reason)
}

func runNested(t *testing.T, h *house) {
	x := h.start("nested.yaml", input(t, "nested.json"))
	h.succeeds(x, `{"regions": 3, "total": 34.5}`)
	require.Equal(t, map[string]string{
		"rates": "succeeded", "region": "succeeded", "report": "succeeded",
		"region[eu]": "succeeded", "region[eu].open": "succeeded", "region[eu].city": "succeeded",
		"region[eu].city[oslo]": "succeeded", "region[eu].city[rome]": "succeeded", "region[eu].sum": "succeeded",
		"region[us]": "succeeded", "region[us].open": "succeeded", "region[us].city": "succeeded",
		"region[us].city[austin]": "succeeded", "region[us].sum": "succeeded",
		"region[moon]": "succeeded", "region[moon].open": "succeeded", "region[moon].city": "succeeded", "region[moon].sum": "skipped",
	}, h.statuses(x.ID))
	require.JSONEq(t, `{"city": "rome", "sales": 20.5}`, string(h.task(x, "region[eu].city[rome]").Output))
	require.JSONEq(t, `{"open": {}, "city": [], "sum": null}`, string(h.task(x, "region[moon]").Output))
}

func runLoop(t *testing.T, h *house) {
	x := h.start("loop.yaml", input(t, "loop.json"))
	h.succeeds(x, `{"rows": 6}`)
	all := h.statuses(x.ID)
	require.Equal(t, "succeeded", all["pages[1].pause"])
	require.Equal(t, "skipped", all["pages[3].pause"])
	require.NotContains(t, all, "pages[4]")
	require.JSONEq(t, `{"rows": [4, 5], "next": "c"}`, string(h.task(x, "pages[2].fetch").Output))

	x = h.start("loop.yaml", `{"pages": {"start": {"rows": [], "next": "start"}}, "pause": "0s"}`)
	require.Equal(t, "loop_exhausted", h.ends(x, workflow.ExecutionFailed).Error.Code)
	require.Equal(t, 50, h.task(x, "pages").Size)
}

func runGroupRetry(t *testing.T, h *house) {
	x := h.start("group-retry.yaml", `{}`)
	h.succeeds(x, `"sent with token-2"`)
	for _, ref := range []string{"upload", "upload.token", "upload.use"} {
		require.Equal(t, 2, h.task(x, ref).Attempt, ref)
	}
}

func runSubWorkflow(t *testing.T, h *house) {
	h.publish("sub-workflow-billing.yaml")
	x := h.start("sub-workflow.yaml", `{"customer": "Ada", "orders": [{"id": "a", "amount": 120}, {"id": "b", "amount": -1}, {"id": "c", "amount": 10}]}`)
	h.succeeds(x, `{"billed": 156, "failed": 1}`)
	require.Equal(t, "input_invalid", h.task(x, "bill[b]").Error.Code)
	inner, err := h.Execution(t.Context(), h.task(x, "bill[a]").Child)
	require.NoError(t, err)
	require.Equal(t, &engine.Parent{Execution: x.ID, Task: "bill[a]"}, inner.Parent)
	require.JSONEq(t, `{"total": 144.0}`, string(inner.Output))
}

func runBilling(_ *testing.T, h *house) {
	h.succeeds(h.start("sub-workflow-billing.yaml", `{"customer": "Ada", "amount": 50}`), `{"total": 60.0}`)
}

func runWait(t *testing.T, h *house) {
	now, err := h.store.Time(t.Context())
	require.NoError(t, err)
	opening := now.Add(30 * time.Hour).Format(time.RFC3339)

	x := h.start("wait.yaml", map[string]string{"not_before": opening})
	h.reaches(x, "cooling", workflow.TaskWaiting)
	h.pass(10 * time.Minute)
	h.reaches(x, "payment", workflow.TaskWaiting)
	require.JSONEq(t, `{"waited": "10m0s"}`, string(h.task(x, "cooling").Output))
	require.NoError(t, h.answer(x, `{"amount": 40}`))
	h.reaches(x, "opening", workflow.TaskWaiting)
	h.pass(30 * time.Hour)
	h.succeeds(x, `"shipped"`)
	require.Equal(t, workflow.TaskSkipped, h.task(x, "release").Status)

	x = h.start("wait.yaml", map[string]string{"not_before": opening})
	h.reaches(x, "cooling", workflow.TaskWaiting)
	h.pass(10 * time.Minute)
	h.reaches(x, "payment", workflow.TaskWaiting)
	h.pass(72 * time.Hour)
	h.succeeds(x, `"released"`)
	require.Equal(t, workflow.TaskSkipped, h.task(x, "ship").Status)
}

func runApproval(t *testing.T, h *house) {
	h.succeeds(h.start("approval.yaml", `{"who": "Ada", "amount": 500}`), `{"paid": true, "by": "nobody had to"}`)

	for answer, output := range map[string]string{
		`{"decision": "approve"}`:                     `{"paid": true, "by": "ann"}`,
		`{"decision": "refuse", "note": "too large"}`: `{"paid": false, "by": "ann"}`,
	} {
		x := h.start("approval.yaml", `{"who": "Ada", "amount": 1200}`)
		decide := h.reaches(x, "decide", workflow.TaskWaiting)
		require.Contains(t, string(decide.Input), "Ada asks for 1200")
		var refused *engine.Error
		require.ErrorAs(t, h.answer(x, `{"decision": "maybe"}`), &refused)
		require.Equal(t, "input.decision", refused.Problems[0].Field)
		require.NoError(t, h.answer(x, answer))
		h.succeeds(x, output)
		require.Error(t, h.answer(x, answer), "it is answered once")
	}

	x := h.start("approval.yaml", `{"who": "Ada", "amount": 1200}`)
	h.reaches(x, "decide", workflow.TaskWaiting)
	h.pass(48 * time.Hour)
	require.Equal(t, "timed_out", h.ends(x, workflow.ExecutionFailed).Error.Code)
}
