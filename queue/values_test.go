package queue_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// big is JSON of about n bytes that is not the same everywhere.
func big(n int) json.RawMessage {
	var b strings.Builder
	for i := 0; b.Len() < n-40; i++ {
		fmt.Fprintf(&b, `"row %d has %d",`, i, i*i%977)
	}
	return json.RawMessage("[" + strings.TrimSuffix(b.String(), ",") + "]")
}

// values are the values of an execution as they lie in Redis.
func (h *house) values(id string) map[string]string {
	h.t.Helper()
	v, err := h.Client().HGetAll(h.t.Context(), queuetest.ShardKey(id, "v:"+id)).Result()
	require.NoError(h.t, err)
	return v
}

// counted holds the count of an execution's bytes to a recount.
func (h *house) counted(id string) {
	h.t.Helper()
	sum, v := 0, h.values(id)
	for field, value := range v {
		if kind, _, _ := strings.Cut(field, ":"); strings.HasPrefix(field, "in") || kind != field { // the rest is of the end, and made again at each
			sum += len(value)
		}
	}
	require.Equal(h.t, strconv.Itoa(sum), v["bytes"])
}

func largeValues(t *testing.T, h *house) {
	ctx, delay := t.Context(), workflow.Duration(time.Minute)
	output := big(250 << 10)
	d := &workflow.Definition{Name: "large", Tasks: tasksOf("a", "b a", "c b")}
	d.Tasks[0].Retry = &workflow.Retry{MaxAttempts: 2, Delay: &delay}
	d.Tasks[0].With = json.RawMessage(`{"head":"${workflow.input.rows[0]}","all":"${workflow.input.some}"}`)
	d.Tasks[1].With = json.RawMessage(`{"rows":"${tasks.a.output}"}`)
	d.Output = json.RawMessage(`{"all":"${tasks.a.output}","b":"${tasks.b.output}"}`)
	x := h.start(d, func(r *engine.StartRequest) {
		r.Input = json.RawMessage(`{"rows":` + string(big(900_000)) + `,"some":` + string(big(100_000)) + `}`)
	})
	h.counted(x.ID)
	a := h.take(x.ID, "a")
	require.Nil(t, a.Err)
	require.Contains(t, string(a.Input), "row 3000 has")
	_, err := h.Fail(ctx, a, &workflow.Error{Code: "boom", Message: strings.Repeat("it broke ", 1000), Retryable: true}, false)
	require.NoError(t, err)
	h.counted(x.ID)
	h.offset += time.Minute
	timers := h.sweep().Timers
	require.Len(t, timers, 1)
	_, _, err = h.Retry(ctx, timers[0].Fence)
	require.NoError(t, err)
	require.NoError(t, h.Complete(ctx, h.take(x.ID, "a"), output))
	b := h.take(x.ID, "b")
	require.Equal(t, `{"rows":`+string(output)+`}`, string(b.Input))
	_, err = h.Fail(ctx, b, &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	h.counted(x.ID)
	_, err = h.Redrive(ctx, x.ID, retrying())
	require.NoError(t, err)
	h.counted(x.ID)
	require.NoError(t, h.Complete(ctx, h.take(x.ID, "b"), json.RawMessage(`{"e":[],"n":12345678901234567890}`)))
	h.complete(x.ID, "c")
	h.counted(x.ID)
	h.audit(x.ID, d)
	end := h.now(x.ID)
	require.Equal(t, workflow.ExecutionSucceeded, end.Status)
	require.Equal(t, `{"all":`+string(output)+`,"b":{"e":[],"n":12345678901234567890}}`, string(end.Output))
	task, err := h.Task(ctx, x.ID, "a")
	require.NoError(t, err)
	require.Equal(t, string(output), string(task.Output))
	attempts, _, err := h.Attempts(ctx, x.ID, "a", engine.Page{})
	require.NoError(t, err)
	require.Contains(t, string(attempts[0].Input), "row 3000 has")
	require.Contains(t, attempts[0].Error.Message, "it broke it broke")
	plain, kept := len(x.Input)+len(output), 0
	for _, value := range h.values(x.ID) {
		kept += len(value)
	}
	require.Less(t, kept, plain/2, "what is kept is compressed")
}

func valuesAreLimited(t *testing.T, h *house) {
	ctx := t.Context()
	d := &workflow.Definition{Name: "full", Tasks: tasksOf("a", "b")}
	x := h.start(d)
	fits := engine.ValuesBytes - len(`"fits"`)
	require.NoError(t, h.Client().HSet(ctx, queuetest.ShardKey(x.ID, "v:"+x.ID), "bytes", fits).Err())
	require.NoError(t, h.Complete(ctx, h.take(x.ID, "a"), json.RawMessage(`"fits"`)))
	err := h.Complete(ctx, h.take(x.ID, "b"), json.RawMessage(`1`))
	var failure *workflow.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "values_limit", failure.Code)
	require.False(t, failure.Retryable)
	require.Contains(t, failure.Message, "more than 64 MiB")
	require.Contains(t, failure.Message, "hand on references")
	require.Equal(t, workflow.ExecutionFailed, h.now(x.ID).Status)
	h.audit(x.ID, d)

	e := &workflow.Definition{Name: "fails", Tasks: tasksOf("a")}
	e.Tasks[0].With = json.RawMessage(`{"some":"input"}`)
	y := h.start(e)
	require.NoError(t, h.Client().HSet(ctx, queuetest.ShardKey(y.ID, "v:"+y.ID), "bytes", engine.ValuesBytes-10).Err())
	_, err = h.Fail(ctx, h.take(y.ID, "a"), &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err, "why it failed is always kept")
	require.Contains(t, h.values(y.ID), "e:a#1")
	require.NotContains(t, h.values(y.ID), "i:a#1", "its input only where there is room")
}

func largeItems(t *testing.T, h *house) {
	ctx, row := t.Context(), big(9_000)
	_, err := h.Publish(ctx, "default", []byte(`
name: items
tasks:
  - name: each
    for_each: { items: "${workflow.input.rows}", key: "${index}" }
    type: noop
    with: { row: "${item}" }
  - name: after
    needs: [each]
    type: noop
    with: { rows: "${tasks.each.output}" }
`), false)
	require.NoError(t, err)
	x, _, err := h.Start(ctx, "default", engine.StartRequest{Workflow: "items", Input: json.RawMessage(`{"rows":[` + string(row) + `,` + string(row) + `]}`)})
	require.NoError(t, err)
	h.counted(x.ID)
	for _, ref := range []string{"each[0]", "each[1]"} {
		r := h.take(x.ID, ref)
		require.Nil(t, r.Err)
		require.Equal(t, `{"row":`+string(row)+`}`, string(r.Input))
		require.NoError(t, h.Complete(ctx, r, row))
	}
	h.counted(x.ID)
	r := h.take(x.ID, "after")
	require.Nil(t, r.Err)
	require.Equal(t, `{"rows":[`+string(row)+`,`+string(row)+`]}`, string(r.Input))
}
