package engine_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func (s *stage) compare(a, b *engine.Execution) *engine.Compared {
	s.t.Helper()
	c, err := s.CompareExecutions(s.ctx(), a.ID, b.ID)
	require.NoError(s.t, err)
	return c
}

// paired writes a pair as: ref a>b, and what differs.
func paired(c *engine.Compared) (lines []string) {
	for _, t := range c.Tasks {
		line := fmt.Sprintf("%s %s>%s", t.Ref, t.A, t.B)
		if t.Input {
			line += " input"
		}
		if t.Output {
			line += " output"
		}
		if t.Error {
			line += " error"
		}
		lines = append(lines, line)
	}
	return lines
}

const compared = `
name: compared
tasks:
  - { name: same, type: noop, with: { a: 1 } }
  - { name: load, needs: [same], type: noop, with: "${workflow.input.n}" }
  - { name: after, needs: [load], type: noop }
output: "${tasks.load.output}"
`

func TestComparedExecutionsThatAreEqual(t *testing.T) {
	s := newStage(t)
	a, b := s.start(compared, `{"n": 1, "m": [2]}`), s.start(compared, `{"m":[2],"n":1}`)
	s.settle()
	c := s.compare(a, b)
	require.Equal(t, []string{a.ID, b.ID}, []string{c.A.Execution, c.B.Execution})
	require.Equal(t, []json.RawMessage{nil, nil, nil, nil}, []json.RawMessage{c.Input, c.Output, c.Error, c.Definition})
	require.Empty(t, c.Tasks)
	require.False(t, c.Truncated)
}

func TestComparedExecutions(t *testing.T) {
	s := newStage(t)
	a, b := s.start(compared, `{"n": 9007199254740992}`), s.start(compared, `{"n": 9007199254740993}`)
	s.step()
	s.offset += 3 * time.Second
	s.settle()
	c := s.compare(a, b)
	require.Equal(t, `[{"value":9007199254740993,"op":"replace","path":"/n"}]`, string(c.Input))
	require.Equal(t, `[{"value":9007199254740993,"op":"replace","path":""}]`, string(c.Output))
	require.Equal(t, []string{"load succeeded>succeeded input output"}, paired(c))

	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "load" {
			s.offset += 2 * time.Second
			return nil, &workflow.Error{Code: "boom", Message: "it broke"}
		}
		return r.Input, nil
	}
	b = s.start(compared, `{"n": 9007199254740992}`)
	s.settle()
	now := s.ends(b, workflow.ExecutionFailed)
	c = s.compare(a, b)
	require.Nil(t, c.Input)
	require.Equal(t, `[{"value":null,"op":"add","path":""}]`, string(c.Output))
	var failure []struct{ Value workflow.Error }
	require.NoError(t, json.Unmarshal(c.Error, &failure))
	require.Equal(t, *now.Error, failure[0].Value)
	require.Equal(t, engine.Side{Execution: a.ID, Version: 1, Status: "succeeded", Duration: c.A.Duration}, c.A)
	require.GreaterOrEqual(t, c.A.Duration, 3.0)
	require.Equal(t, engine.Side{Execution: b.ID, Version: 1, Status: "failed", Error: now.Error, Duration: c.B.Duration}, c.B)
	require.Equal(t, []string{"load succeeded>failed output error", "after succeeded>canceled output"}, paired(c))
	require.GreaterOrEqual(t, c.Tasks[0].DurationB, 2.0)
	require.Less(t, c.Tasks[0].DurationA, 2.0)
	require.Zero(t, c.Tasks[1].DurationB, "it never ran")
}

func TestComparedExecutionsOfTwoVersions(t *testing.T) {
	s := newStage(t)
	each := func(items, tasks string) string {
		return "name: v\ntasks:\n  - { name: a, type: noop }\n" + tasks +
			"  - { name: each, type: noop, for_each: { items: " + items + " }, with: \"${item}\" }\n  - { name: z, type: noop }\n"
	}
	a := s.start(each("[eu, us]", "  - { name: gone, needs: [a], type: noop }\n"), `{}`)
	s.settle()
	b := s.start(each("[asia, us]", "  - { name: new, needs: [a], type: noop }\n"), `{}`)
	s.settle()
	c := s.compare(a, b)
	require.Equal(t, []int{1, 2}, []int{c.A.Version, c.B.Version})
	require.JSONEq(t, `[
		{"op": "replace", "path": "/tasks/1/name", "value": "new"},
		{"op": "replace", "path": "/tasks/2/for_each/items/0", "value": "asia"}
	]`, string(c.Definition))
	require.ElementsMatch(t, []string{
		"each[asia] >succeeded input output", "each[eu] succeeded> input output", "gone succeeded> output", "new >succeeded output",
	}, paired(c), "a for_each has no output of its own")
	order := map[string]int{}
	for i, pair := range c.Tasks {
		order[pair.Ref] = i
	}
	require.Less(t, order["each[asia]"], order["each[eu]"], "what is new stands where it stood")
}

func TestManyTasksThatDifferAreCut(t *testing.T) {
	s := newStage(t)
	source := "name: wide\ntasks: [{ name: each, type: noop, for_each: { items: \"${lists.range(workflow.input.n)}\", max_parallel: 1 } }]"
	few, exact, many := s.start(source, `{"n": 1}`), s.start(source, `{"n": 1001}`), s.start(source, `{"n": 1002}`)
	c := s.compare(few, exact)
	require.Len(t, c.Tasks, 1000)
	require.False(t, c.Truncated)
	c = s.compare(few, many)
	require.Len(t, c.Tasks, 1000)
	require.True(t, c.Truncated)
	require.Equal(t, "each[1]", c.Tasks[0].Ref)
	require.Equal(t, "each[1000]", c.Tasks[999].Ref)
}

func TestComparedExecutionsAreOfOneProject(t *testing.T) {
	s := newStage(t)
	a := s.start(compared, `{"n": 1}`)
	_, _, err := s.PutProject(s.ctx(), engine.Project{Name: "other"})
	require.NoError(t, err)
	_, err = s.Publish(s.ctx(), "other", []byte(compared), false)
	require.NoError(t, err)
	b, _, err := s.Start(s.ctx(), "other", engine.StartRequest{Workflow: "compared", Input: json.RawMessage(`{"n": 1}`)})
	require.NoError(t, err)
	_, err = s.CompareExecutions(s.ctx(), a.ID, b.ID)
	require.Equal(t, engine.NotFound("execution", b.ID), err)
	_, err = s.CompareExecutions(s.ctx(), "4711", a.ID)
	require.Equal(t, engine.NotFound("execution", "4711"), err)
}

func TestComparedAttempts(t *testing.T) {
	s := newStage(t)
	s.publish("name: inner\ntasks: [{ name: a, type: noop, with: { n: 1 }, retry: { max_attempts: 3, delay: 1s } }]")
	tries := 0
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		s.offset += time.Second
		if tries++; tries < 3 {
			return nil, &workflow.Error{Code: "boom", Message: fmt.Sprintf("time %d", tries), Retryable: true}
		}
		return json.RawMessage(`{"id": 9007199254740993}`), nil
	}
	x := s.start("name: outer\ntasks: [{ name: sub, type: workflow, with: { name: inner } }]", `{}`)
	s.settle()
	s.pass(time.Minute)
	s.pass(time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
	child := s.task(x, "sub").Child

	c, err := s.CompareAttempts(s.ctx(), x.ID, "sub/a", 1, 3)
	require.NoError(t, err)
	require.Equal(t, engine.Side{
		Execution: child, Ref: "a", Attempt: 1, Version: 1, Status: "failed", Duration: c.A.Duration, Error: c.A.Error,
	}, c.A)
	require.Equal(t, "time 1", c.A.Error.Message)
	require.Equal(t, engine.Side{Execution: child, Ref: "a", Attempt: 3, Version: 1, Status: "succeeded", Duration: c.B.Duration}, c.B)
	require.GreaterOrEqual(t, c.A.Duration, 1.0)
	require.GreaterOrEqual(t, c.B.Duration, 1.0)
	require.Nil(t, c.Input)
	require.Nil(t, c.Definition)
	require.JSONEq(t, `[{"op": "add", "path": "", "value": null}]`, string(c.Error))
	require.Contains(t, string(c.Output), `{"id":9007199254740993}`)

	c, err = s.CompareAttempts(s.ctx(), child, "a", 2, 1)
	require.NoError(t, err)
	require.Nil(t, c.Output)
	require.Contains(t, string(c.Error), `{"value":"time 1","op":"replace","path":"/message"}`)
	c, err = s.CompareAttempts(s.ctx(), child, "a", 3, 3)
	require.NoError(t, err)
	require.Equal(t, c.A, c.B)
	require.Nil(t, c.Output)

	for _, wrong := range []struct {
		ref, code string
		attempt   int
	}{
		{"sub/a", "attempt_not_found", 4}, {"sub/a", "attempt_not_found", 0},
		{"sub/b", "task_not_found", 1}, {"sub/a/b", "task_not_found", 1}, {"b", "task_not_found", 1},
	} {
		var refused *engine.Error
		_, err = s.CompareAttempts(s.ctx(), x.ID, wrong.ref, 1, wrong.attempt)
		require.ErrorAs(t, err, &refused, "%v", wrong)
		require.Equal(t, []any{engine.KindNotFound, wrong.code}, []any{refused.Kind, refused.Code}, "%v", wrong)
	}
}
