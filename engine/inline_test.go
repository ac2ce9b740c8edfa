package engine_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// The task make gives the definition that sub runs.
const inlines = `
name: w
tasks:
  - { name: make, type: noop }
  - { name: sub, needs: [make], type: workflow, with: { definition: "${tasks.make.output}", input: { n: 21 } } }
  - { name: after, needs: [sub], type: noop, with: "${tasks.sub.output}" }
`

// made is a definition with a task of that name in the middle.
func made(task string) string {
	return fmt.Sprintf(`{"name":"dyn","input_schema":{"type":"object","required":["n"]},"tasks":[{"name":"a","type":"noop"},{"name":%q,"type":"noop","needs":["a"],"with":"${workflow.input.n * 2}"},
		{"name":"z","type":"noop","needs":[%q],"with":"${[workflow.name, workflow.version, tasks.%s.output]}"}],"output":"${tasks.z.output}"}`, task, task, task)
}

// inlined runs a workflow whose task make gives the definition.
func inlined(t *testing.T, definition string, fails ...string) (*stage, *engine.Execution) {
	t.Helper()
	s := newStage(t)
	x := s.start(inlines, `{}`)
	s.makes(definition, fails...)
	s.settle()
	return s, x
}

// makes lets the task make give the definition, and these tasks fail.
func (s *stage) makes(definition string, fails ...string) {
	failing := failing(fails...)
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Ref == "make" {
			return json.RawMessage(definition), nil
		}
		return failing(r)
	}
}

func TestATaskGivesTheDefinitionOfItsChild(t *testing.T) {
	t.Parallel()
	s, x := inlined(t, made("b"))
	s.ends(x, workflow.ExecutionSucceeded)
	s.gave(x, "after", `["dyn",0,42]`)
	inner := s.child(x, "sub")
	require.Equal(t, "dyn", inner.Workflow)
	require.Zero(t, inner.Version)
	require.Equal(t, &engine.Parent{Execution: x.ID, Task: "sub"}, inner.Parent)
	s.audit(inner)
	_, err := s.Workflow(s.ctx(), "default", "dyn", 0)
	require.ErrorAs(t, err, new(*engine.Error), "it is not published")
	s.Forget() // what compiled it is not what reads it
	require.Equal(t, map[string]string{"a": "succeeded", "b": "succeeded", "z": "succeeded"}, s.tasks(inner))
	s.vanishes()
}

func TestADefinitionThatCannotRunFailsItsTask(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		definition string
		code       string
		says       []string
	}{
		"everything at once": {`{"name":"a/b","tasks":[{"name":"a","type":"noop","needs":["b"]},{"name":"c","tpye":"noop"}]}`, "invalid_definition", []string{
			"with.definition.name:", "with.definition.tasks[0].needs[0]:", "with.definition.tasks[1].tpye:",
		}},
		"a cycle":            {`{"name":"d","tasks":[{"name":"a","type":"noop","needs":["a"]}]}`, "invalid_definition", []string{"with.definition.tasks"}},
		"nothing in it":      {`{}`, "invalid_definition", []string{"with.definition.name"}},
		"a bad expression":   {`{"name":"d","tasks":[{"name":"a","type":"noop","with":"${tasks.b.output}"}]}`, "invalid_definition", []string{"with.definition.tasks[0].with"}},
		"a limit":            {`{"name":"d","concurrency":{"max_running":1},"tasks":[{"name":"a","type":"noop"}]}`, "invalid_definition", []string{"with.definition.concurrency"}},
		"no object":          {`"name: d"`, "input_invalid", []string{"with.definition"}},
		"input that is none": {`{"name":"d","input_schema":{"type":"string"},"tasks":[{"name":"a","type":"noop"}]}`, "input_invalid", []string{"input"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, x := inlined(t, c.definition)
			failure := s.ends(x, workflow.ExecutionFailed).Error
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.False(t, failure.Retryable)
			for _, says := range c.says {
				require.Contains(t, failure.Message, says)
			}
		})
	}
}

func TestARetryKeepsTheDefinitionOfTheChild(t *testing.T) {
	t.Parallel()
	s, x := inlined(t, made("b"), "b")
	s.ends(x, workflow.ExecutionFailed)
	inner := s.child(x, "sub")
	s.Forget()
	s.makes(made("c")) // a retry does not ask again
	d := s.retry(x)
	require.Equal(t, map[string]string{"make": "keep", "sub": "run", "after": "run", "sub/a": "keep", "sub/b": "run", "sub/z": "run"}, rows(d.plan))
	require.Equal(t, once("b", "z", "after"), s.starts)
	s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, inner.ID, s.child(x, "sub").ID)
	s.rerun(x, from("sub/z"))
	require.Equal(t, once("z", "after"), s.starts)
	require.Equal(t, inner.ID, s.child(x, "sub").ID)
	s.vanishes()
}

func TestARerunOfWhatMakesTheDefinitionGivesANewOne(t *testing.T) {
	t.Parallel()
	s, x := inlined(t, made("b"))
	inner := s.child(x, "sub")
	s.makes(made("c"))
	s.rerun(x, from("make"))
	s.ends(x, workflow.ExecutionSucceeded)
	fresh := s.child(x, "sub")
	require.NotEqual(t, inner.ID, fresh.ID)
	s.Forget()
	require.Contains(t, s.tasks(fresh), "c")
	require.Contains(t, s.tasks(inner), "b", "the former one stays readable")
	s.vanishes()
}

func TestAChildWithItsOwnDefinitionIsRedriven(t *testing.T) {
	t.Parallel()
	s, x := inlined(t, made("b"), "b")
	inner := s.child(x, "sub")
	s.run = nil
	_, err := s.Redrive(s.ctx(), inner.ID, asked(workflow.OperationRetry, []ask{latest}))
	refused := new(engine.Error)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "definition", refused.Problems[0].Field)

	s.Forget()
	s.retry(inner)
	require.Equal(t, once("b", "z", "after"), s.starts)
	s.ends(inner, workflow.ExecutionSucceeded)
	s.ends(x, workflow.ExecutionSucceeded)
	s.vanishes()
}

func TestTheNameOfADefinitionIsNotThatOfAPublishedWorkflow(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	held := s.start("name: dyn\nconcurrency: { max_running: 1, when_full: reject }\ntasks: [{ name: only, type: wait, with: { external: true } }]", `{}`)
	x := s.start(inlines, `{}`)
	s.makes(made("b"), "b")
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	require.Equal(t, workflow.ExecutionRunning, s.at(held).Status)
	s.run = nil
	s.retry(x) // a child that goes on takes no slot, either
	s.ends(x, workflow.ExecutionSucceeded)
	s.gave(x, "after", `["dyn",0,42]`)
}

// TestAChildWithItsOwnDefinitionBeginsWhole lets the process die at every trip to Redis between the end of the task that gives
// a definition and the beginning of the execution that runs it.
func TestAChildWithItsOwnDefinitionBeginsWhole(t *testing.T) {
	t.Parallel()
	url := queuetest.URL(t)
	dies, goes := newStageOn(t, url), newStageOn(t, url)
	faults := &queuetest.Faults{}
	dies.store.Client().AddHook(faults)
	x := goes.start(inlines, `{}`)
	run := goes.claim(x, "make")
	start, offset := goes.save(), goes.offset
	rounds := 0
	for trips, broke := 0, true; broke; trips++ {
		for _, after := range []bool{false, true} {
			rounds++
			goes.load(start)
			goes.offset, dies.offset = offset, offset
			goes.Forget()
			dies.Forget()
			faults.Arm(trips, after)
			err := dies.Complete(t.Context(), run, json.RawMessage(made("b")))
			broke = faults.Disarm() || err != nil
			goes.auditAll()
			if err := goes.Complete(t.Context(), run, json.RawMessage(made("b"))); err != nil { // as whoever got no answer does
				require.ErrorIs(t, err, engine.ErrStale)
			}
			goes.sweeps()
			goes.settle()
			goes.sweeps()
			goes.settle()
			goes.ends(x, workflow.ExecutionSucceeded)
			goes.gave(x, "after", `["dyn",0,42]`)
			goes.auditAll()
			goes.vanishes()
		}
	}
	t.Logf("it died %d times", rounds-2)
	require.Greater(t, rounds, 10)
}
