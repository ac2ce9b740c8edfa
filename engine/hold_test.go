package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// TestARedriveCatchesUpWithAnExecutionThatMoves reruns a wide for_each while workers
// run through its items faster than its plan, of more than one step, is made.
func TestARedriveCatchesUpWithAnExecutionThatMoves(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const items = 1500
	var list []string
	for i := range items {
		list = append(list, fmt.Sprint(i))
	}
	input := `{"list": [` + strings.Join(list, ",") + `]}`
	x := s.start("name: wide\ntasks: [{ name: each, type: noop, for_each: { items: '${workflow.input.list}', max_parallel: 40 }, with: '${item}' }]", input)
	var workers sync.WaitGroup
	var next atomic.Int64
	stop := make(chan struct{})
	for range 4 {
		workers.Go(func() { s.work(x, &next, items, stop) })
	}
	still := sync.OnceFunc(func() {
		close(stop)
		workers.Wait()
	})
	defer still()
	_, err := s.Redrive(s.ctx(), x.ID, engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRerun, From: []string{"each"}}})
	require.NoError(t, err)
	require.Equal(t, 1, s.at(x).Redrives)
	still()
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, 2, s.task(x, "each").Attempt)
	require.JSONEq(t, "["+strings.Join(list, ",")+"]", string(s.task(x, "each").Output))
}

// TestStepsWithValuesAreAppliedInParts gives more inputs than one call applies: a step and its value stay together.
func TestStepsWithValuesAreAppliedInParts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const items = 700
	inputs, list, want := map[string]json.RawMessage{}, make([]string, items), make([]string, items)
	for i := range items {
		list[i], want[i] = fmt.Sprint(i), fmt.Sprint(i)
		if i%3 != 0 { // so that the first part ends between a step and its value
			want[i] = fmt.Sprint(1000 + i)
			inputs[fmt.Sprintf("each[%d]", i)] = json.RawMessage(want[i])
		}
	}
	s.run = func(*engine.Run) (json.RawMessage, *workflow.Error) {
		return nil, &workflow.Error{Code: "boom", Message: "it broke"}
	}
	x := s.start("name: wide\ntasks: [{ name: each, type: noop, for_each: { items: '${workflow.input.list}', max_parallel: 700 }, with: '${item}' }]",
		`{"list": [`+strings.Join(list, ",")+`]}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	_, err := s.Redrive(s.ctx(), x.ID, engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry, TaskInput: inputs}})
	require.NoError(t, err)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, "["+strings.Join(want, ",")+"]", string(s.task(x, "each").Output))
}

// work runs the items of a for_each, one after the other, as one of several workers.
func (s *stage) work(x *engine.Execution, next *atomic.Int64, items int64, stop <-chan struct{}) {
	for i := next.Add(1) - 1; i < items; i = next.Add(1) - 1 {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := s.Claim(s.t.Context(), engine.Fence{Execution: x.ID, Ref: fmt.Sprintf("each[%d]", i), Attempt: 1, Dispatch: 1}, "w")
			if err != nil {
				continue // it has not begun, or is held
			}
			if err := s.Complete(s.t.Context(), r, r.Input); err != nil && !errors.Is(err, engine.ErrStale) {
				s.t.Error(err)
			}
			break
		}
	}
}
