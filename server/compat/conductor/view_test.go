package conductor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// retried is an engine with a task that was tried once.
type retried struct{ Engine }

func (retried) Attempts(context.Context, string, string, engine.Page) ([]engine.Attempt, string, error) {
	return []engine.Attempt{{Attempt: 1, Status: workflow.TaskFailed}}, "", nil
}

// TestWhileARestartIsApplied: the execution has begun anew, and its tasks are still as they were.
func TestWhileARestartIsApplied(t *testing.T) {
	due := time.Now()
	waits := engine.Task{Ref: "a", Name: "a", Type: "http", Status: workflow.TaskRetrying, Attempt: 1, NextAttemptAt: &due}
	h, x, other := handlersOver(retried{}), &engine.Execution{ID: "x", Version: 1, Redrives: 1}, shown{task: task{Ref: "b", Status: "FAILED"}}
	for _, before := range [][]shown{nil, {other}} {
		all, err := h.gatherTask(t.Context(), x, &known{}, "x", waits, past{whole: 1}, before)
		require.NoError(t, err)
		require.Equal(t, before, all)
	}
	all, err := h.gatherTask(t.Context(), x, &known{}, "x", waits, past{}, nil)
	require.NoError(t, err)
	require.Len(t, all, 2)
}

// TestWhatBeganAnew: what a redrive into another execution began there is no part of this one.
func TestWhatBeganAnew(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	redrives := []engine.Redriven{
		{Number: 1, Operation: workflow.OperationRetry, At: at(1), Request: []byte(`{"operation":"retry"}`)},
		{Number: 2, Operation: workflow.OperationRerun, At: at(2), Request: []byte(`{"operation":"rerun"}`)},
		{Operation: workflow.OperationRerun, At: at(3), Request: []byte(`{"operation":"rerun"}`)},
	}
	require.Equal(t, past{operations: map[int]workflow.Operation{1: "retry", 2: "rerun"}, whole: 2}, pastOf(redrives))
	require.Zero(t, lastRetried(&engine.Execution{}, redrives))
	require.EqualValues(t, 1000, lastRetried(&engine.Execution{}, redrives[:1]))
}
