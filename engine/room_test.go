package engine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func atMost(instances int) func(*engine.Options) {
	return func(o *engine.Options) { o.Limits.Instances = instances }
}

func TestAnotherAttemptKeepsTheLimitOfTasks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second string
		status workflow.ExecutionStatus
		code   string
	}{
		"what was there counts once": {`[1, 2, 3, 4, 5, 6, 7]`, workflow.ExecutionSucceeded, ""},
		"more than there may be":     {`[1, 2, 3, 4, 5, 6, 7, 8]`, workflow.ExecutionFailed, workflow.CodeTooManyTasks},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, atMost(10))
			s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
				switch {
				case r.Ref == "g.list" && r.Attempt == 1:
					return json.RawMessage(`[1, 2, 3, 4, 5]`), nil
				case r.Ref == "g.list":
					return json.RawMessage(c.second), nil
				case r.Attempt == 1 && r.Ref == "g.each[1]":
					return nil, &workflow.Error{Code: "boom", Message: "it broke", Retryable: true}
				}
				return r.Input, nil
			}
			x := s.start(`
name: w
tasks:
  - name: g
    type: group
    retry: { max_attempts: 2, delay: 0s }
    tasks:
      - { name: list, type: noop }
      - { name: each, needs: [list], type: noop, for_each: { items: "${tasks.list.output}" } }
`, `{}`)
			s.settle()
			s.pass(0)
			now := s.ends(x, c.status)
			if c.code != "" {
				require.Equal(t, c.code, now.Error.Code)
				attempts, _, err := s.Attempts(s.ctx(), x.ID, "g.each", engine.Page{Limit: 10})
				require.NoError(t, err)
				require.Len(t, attempts, 2)
				require.Equal(t, workflow.CodeItemsFailed, attempts[0].Error.Code, "the former attempt keeps its error")
				require.Equal(t, c.code, attempts[1].Error.Code)
			}
		})
	}
}

// Whoever finds a for_each that was begun in part does not count that part twice.
func TestWhatWasGrownBeforeACrashCountsOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, atMost(10))
	x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: each, needs: [a], type: noop, for_each: { items: [1, 2, 3, 4, 5, 6, 7, 8] } }
`, `{}`)
	s.completeOnly(x, "a", "each")
	var part engine.Part
	part.Items = true
	for i := range 5 {
		context := fmt.Sprintf(`{"item":%d,"key":"%d","index":%d}`, i+1, i+1, i)
		part.Tasks = append(part.Tasks, engine.Inside{Ref: fmt.Sprintf("each[%d]", i+1), Context: json.RawMessage(context)})
	}
	require.NoError(t, s.store.Grow(s.ctx(), x.ID, "each", 0, part))
	s.repair()
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestABodyWithManyNeedsBegins(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var b strings.Builder
	b.WriteString("name: w\ntasks:\n  - name: g\n    type: group\n    tasks:\n")
	var needs []string
	for i := range 70 {
		fmt.Fprintf(&b, "      - { name: a%d, type: noop }\n", i)
		needs = append(needs, fmt.Sprintf("a%d", i))
	}
	for i := range 70 {
		fmt.Fprintf(&b, "      - { name: b%d, type: noop, needs: [%s] }\n", i, strings.Join(needs, ", "))
	}
	x := s.start(b.String(), `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
}

// The order in which tasks end never changes what follows.
func TestOnlyWhatRunsAfterAFailureSeesIt(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"a", "b"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
				if r.Ref == "a" {
					return nil, &workflow.Error{Code: "boom", Message: "it broke"}
				}
				return r.Input, nil
			}
			x := s.start(`
name: w
tasks:
  - { name: a, type: noop }
  - { name: b, type: noop }
  - { name: c, needs: [b], type: noop, if: "${workflow.error == null}", with: { error: "${workflow.error}" } }
on_failure: [{ name: d, type: noop, if: "${workflow.error.code == 'boom'}" }]
`, `{}`)
			s.deliver(engine.Fence{Execution: x.ID, Ref: first, Attempt: 1, Dispatch: 1})
			s.settle()
			s.ends(x, workflow.ExecutionFailed)
			require.Equal(t, map[string]string{"a": "failed", "b": "succeeded", "c": "succeeded", "on_failure": "succeeded", "on_failure.d": "succeeded"}, s.tasks(x))
		})
	}
}
