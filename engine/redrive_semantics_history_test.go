package engine_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// broken is an execution of fork in which b failed.
func broken(t *testing.T, change ...func(*engine.Options)) (*stage, *engine.Execution) {
	t.Helper()
	s := newStage(t, change...)
	s.run = failing("b")
	x := s.start(fork, `{"n": 1}`)
	s.settle()
	s.ends(x, workflow.ExecutionFailed)
	s.run = nil
	return s, x
}

// won counts the calls that were not refused with one of these codes.
func won(t *testing.T, errs []error, refusals ...string) (n int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			n++
			continue
		}
		require.Contains(t, refusals, refusalOf(t, err).Code)
	}
	return n
}

func TestSemantics16RedrivesAreLinearizable(t *testing.T) {
	t.Parallel()
	const callers = 6
	all := func(s *stage, x *engine.Execution, op workflow.Operation, asks ...ask) []error {
		errs := make([]error, callers)
		together(callers, func(i int) { _, errs[i] = s.Redrive(s.ctx(), x.ID, asked(op, asks)) })
		return errs
	}
	t.Run("identical retries", func(t *testing.T) {
		t.Parallel()
		s, x := broken(t)
		require.Equal(t, 1, won(t, all(s, x, workflow.OperationRetry), "not_retryable", "plan_changed"))
		require.Equal(t, 1, s.at(x).Redrives)
		s.settle()
		require.Equal(t, 2, s.starts["b"])
		s.ends(x, workflow.ExecutionSucceeded)
	})
	t.Run("retries with one key", func(t *testing.T) {
		t.Parallel()
		s, x := broken(t)
		require.Equal(t, callers, won(t, all(s, x, workflow.OperationRetry, key("k"))))
		require.Equal(t, 1, s.at(x).Redrives)
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		again, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRetry, []ask{key("k")}))
		require.NoError(t, err)
		require.Equal(t, x.ID, again.ID)
		require.Equal(t, 1, s.at(x).Redrives)
	})
	t.Run("reruns are as many redrives", func(t *testing.T) {
		t.Parallel()
		s, x := broken(t)
		n := won(t, all(s, x, workflow.OperationRerun, from("b")), "plan_changed")
		require.Positive(t, n)
		require.Equal(t, n, s.at(x).Redrives)
		s.settle()
		s.ends(x, workflow.ExecutionSucceeded)
		require.Equal(t, n+1, s.task(x, "b").Attempt)
	})
	t.Run("reruns with one key into a new execution", func(t *testing.T) {
		t.Parallel()
		s, x := broken(t)
		ids := make([]string, callers)
		together(callers, func(i int) {
			now, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{key("k"), anew}))
			if err == nil {
				ids[i] = now.ID
			}
		})
		for _, id := range ids {
			require.Equal(t, ids[0], id)
			require.NotEqual(t, x.ID, id)
		}
	})
	for name, other := range map[string]func(*stage, *engine.Execution, *engine.Run) error{
		"a completion": func(s *stage, _ *engine.Execution, run *engine.Run) error { return s.Complete(s.ctx(), run, run.Input) },
		"a failure": func(s *stage, _ *engine.Execution, run *engine.Run) error {
			_, err := s.Fail(s.ctx(), run, &workflow.Error{Code: "boom"}, false)
			return err
		},
		"a cancel": func(s *stage, x *engine.Execution, _ *engine.Run) error {
			_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
			return err
		},
		"a pause": func(s *stage, x *engine.Execution, _ *engine.Run) error {
			_, err := s.Pause(s.ctx(), x.ID, engine.Request{})
			return err
		},
		"another rerun": func(s *stage, x *engine.Execution, _ *engine.Run) error {
			_, err := s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{from("a")}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			for range 15 {
				raceWith(t, s, other)
			}
		})
	}
}

// raceWith lets a rerun of b race something else while b runs.
func raceWith(t *testing.T, s *stage, other func(*stage, *engine.Execution, *engine.Run) error) {
	t.Helper()
	x := s.start(fork, `{"n": 1}`)
	s.complete(s.claim(x, "a"))
	run := s.claim(x, "b")
	errs := make([]error, 2)
	together(2, func(i int) {
		if i == 0 {
			_, errs[0] = s.Redrive(s.ctx(), x.ID, asked(workflow.OperationRerun, []ask{from("b")}))
		} else {
			errs[1] = other(s, x, run)
		}
	})
	for _, err := range errs {
		require.True(t, lost(err), "%v", err)
	}
	s.audit(x)
	if _, err := s.Resume(s.ctx(), x.ID, engine.Request{}); err != nil {
		conflict(t, err, "not_paused")
	}
	s.settle()
	now := s.at(x)
	require.True(t, now.Status.Ended(), "%v", s.tasks(x))
	s.ends(x, now.Status)
	if errs[0] == nil && now.Status != workflow.ExecutionCanceled {
		s.ends(x, workflow.ExecutionSucceeded)
		require.Positive(t, now.Redrives)
		require.GreaterOrEqual(t, s.task(x, "b").Attempt, 2)
	}
}

func TestSemantics17ARetryOfASuccessIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run = failing("extra")
	x := s.start("name: w\ntasks: [{ name: a, type: noop }, { name: extra, type: noop, on_failure: continue }]", `{}`)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	for range 2 {
		s.refuses(x, workflow.OperationRetry, "nothing_to_retry")
	}
	s.rerun(x)
	require.Equal(t, once("a", "extra"), s.starts)
	s.refuses(x, workflow.OperationRetry, "nothing_to_retry")
}

func TestSemantics17OnlyTheOutputOrTheDeadlineFailed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start("name: w\ntasks: [{ name: a, type: noop }]\noutput: { v: '${workflow.input.list[0]}' }", `{"list": []}`)
	s.settle()
	require.Equal(t, "output_failed", s.ends(x, workflow.ExecutionFailed).Error.Code)
	d := s.retry(x)
	require.Equal(t, map[string]string{"a": "keep"}, rows(d.plan))
	require.Equal(t, "output_failed", s.ends(x, workflow.ExecutionFailed).Error.Code)
	s.retry(x, input(`{"list": [7]}`))
	require.Empty(t, s.starts)
	require.JSONEq(t, `{"v": 7}`, string(s.ends(x, workflow.ExecutionSucceeded).Output))

	x = s.start("name: late\ntimeout: 1h\ntasks: [{ name: a, type: noop }, { name: b, needs: [a], type: wait, with: { external: true } }]", `{}`)
	s.settle()
	s.pass(2 * time.Hour)
	s.ends(x, workflow.ExecutionTimedOut)
	d = s.retry(x)
	require.Equal(t, map[string]string{"a": "keep", "b": "run"}, rows(d.plan))
	_, err := s.AnswerGate(s.ctx(), x.ID, engine.Answer{Input: json.RawMessage(`1`)})
	require.NoError(t, err)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics18ARefusedRedriveChangesNothing(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	retry, rerun := workflow.OperationRetry, workflow.OperationRerun
	for name, c := range map[string]struct {
		op    workflow.Operation
		code  string
		field string
		asks  []ask
	}{
		"unknown ref":            {rerun, "unknown_ref", "from[1]", []ask{from("a", "nope")}},
		"empty ref":              {rerun, "unknown_ref", "from[0]", []ask{from("")}},
		"unknown item":           {rerun, "unknown_ref", "from[0]", []ask{from("a[1]")}},
		"unknown inner task":     {rerun, "unknown_ref", "from[0]", []ask{from("a/b")}},
		"retry of a success":     {retry, "not_failed", "from[0]", []ask{from("a")}},
		"task_input of nothing":  {rerun, "unknown_ref", "task_input.nope", []ask{taskInput("nope", `1`)}},
		"output of nothing":      {rerun, "unknown_ref", "outputs.nope", []ask{output("nope", `1`)}},
		"acknowledge of nothing": {rerun, "unknown_ref", "acknowledge[0]", []ask{acknowledge("nope")}},
		"no definition":          {rerun, "not_allowed", "definition", []ask{func(r *engine.RedriveRequest) { r.Definition = "newest" }}},
		"no scope":               {rerun, "not_allowed", "scope", []ask{func(r *engine.RedriveRequest) { r.Scope = "upstream" }}},
		"no mode":                {rerun, "not_allowed", "input_mode", []ask{func(r *engine.RedriveRequest) { r.InputMode = "append" }}},
		"no identity":            {rerun, "not_allowed", "identity", []ask{func(r *engine.RedriveRequest) { r.Identity = "old" }}},
		"no budget":              {rerun, "not_allowed", "budget", []ask{func(r *engine.RedriveRequest) { r.Budget = "two" }}},
		"no way of children":     {rerun, "not_allowed", "subworkflows", []ask{func(r *engine.RedriveRequest) { r.Subworkflows = "both" }}},
		"no operation":           {"redo", "not_allowed", "operation", nil},
		"a name without session": {rerun, "no_session", "attempt_name", []ask{anew, func(r *engine.RedriveRequest) { r.AttemptName = "x" }}},
		"a broken input":         {rerun, workflow.CodeSyntax, "workflow_input", []ask{input(`{"n":`)}},
	} {
		refused := s.refuses(x, c.op, c.code, c.asks...)
		require.Equal(t, engine.KindInvalid, refused.Kind, name)
		require.Equal(t, c.field, refused.Problems[0].Field, name)
	}
	refused := s.refuses(x, rerun, "unknown_ref", from("nope"))
	require.Contains(t, refused.Problems[0].Allowed, "a, b, c, d, e, f")
	s.refuses(x, rerun, "version_not_found", func(r *engine.RedriveRequest) { r.Definition = "9" })
	missing := &engine.Execution{ID: "0190a000-0000-7000-8000-000000000000"}
	require.Equal(t, engine.KindNotFound, s.refuses(missing, rerun, "execution_not_found").Kind)
	s.retry(x)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics19HistoryIsNeverDestroyed(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	first := s.shot(x)
	zombie := (*engine.Run)(nil)
	for _, redrive := range []func(){
		func() { s.run = failing("b"); s.retry(x) },
		func() { s.run = nil; s.retry(x, taskInput("b", `"two"`)) },
		func() { s.begin(x, workflow.OperationRerun); s.complete(s.claim(x, "a")); zombie = s.claim(x, "b") },
		func() { s.rerun(x, from("b"), input(`{"n": 5}`)) },
		func() { s.rerun(x, from("d"), output("d", `"by hand"`)) },
	} {
		redrive()
		for _, was := range first {
			s.remembers(was)
		}
	}
	s.stale(zombie)
	s.ends(x, workflow.ExecutionSucceeded)
	var told []string
	for _, a := range s.see(x.ID, "b").attempts {
		told = append(told, string(a.Status)+" "+string(a.Input)+" "+string(a.Output))
		require.NotNil(t, a.QueuedAt)
		require.NotNil(t, a.EndedAt)
		require.Equal(t, a.Status == workflow.TaskFailed, a.Error != nil)
	}
	require.Equal(t, []string{"failed 1 ", "failed 1 ", `succeeded "two" "two"`, "canceled  ", `succeeded "two" "two"`}, told)
	require.Equal(t, []int{0, 1, 2, 3, 4}, redrivesOf(s, x, "b"))
	s.gave(x, "d", `"by hand"`)

	list, _, err := s.Redrives(s.ctx(), x.ID, engine.Page{})
	require.NoError(t, err)
	require.Len(t, list, 5)
	for i, r := range list {
		require.Equal(t, i+1, r.Number)
		require.NotNil(t, r.Plan)
		for _, row := range r.Plan.Tasks {
			require.NotContains(t, []workflow.PlanAction{workflow.PlanKeep, workflow.PlanLeaveRunning}, row.Action)
		}
		require.Equal(t, 6, r.Kept+len(r.Plan.Tasks), "redrive %d", r.Number)
	}
}

func redrivesOf(s *stage, x *engine.Execution, ref string) (numbers []int) {
	for _, a := range s.see(x.ID, ref).attempts {
		numbers = append(numbers, a.Redrive)
	}
	return numbers
}

func TestSemantics19WhatANewerDefinitionLacksStaysReadable(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	was := s.see(x.ID, "e")
	s.publish("name: w\ntasks: [{ name: a, type: noop }, { name: b, needs: [a], type: noop, with: 2 }, { name: new, needs: [b], type: noop }]")
	s.retry(x, latest)
	require.Equal(t, once("b", "new"), s.starts)
	s.remembers(was)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestSemantics20ExecutingAPlanTwiceIsIdempotent(t *testing.T) {
	t.Parallel()
	s, x := broken(t)
	p := s.plan(x, workflow.OperationRetry)
	execute := func() error {
		now, err := s.Redrive(s.ctx(), x.ID, engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry}, PlanHash: p.PlanHash})
		if err == nil {
			require.Equal(t, x.ID, now.ID)
			require.Equal(t, 1, now.Redrives)
		}
		return err
	}
	errs := make([]error, 6)
	together(len(errs), func(i int) { errs[i] = execute() })
	require.NoError(t, errors.Join(errs...))
	s.settle()
	require.Equal(t, 2, s.starts["b"])
	s.ends(x, workflow.ExecutionSucceeded)
	before := s.dump()
	require.NoError(t, execute(), "even when it has ended since")
	s.same(before, "nothing happens the second time")

	p = s.plan(x, workflow.OperationRerun, anew)
	again := engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRerun, Identity: workflow.NewExecution}, PlanHash: p.PlanHash}
	first, err := s.Redrive(s.ctx(), x.ID, again)
	require.NoError(t, err)
	second, err := s.Redrive(s.ctx(), x.ID, again)
	require.NoError(t, err)
	require.Equal(t, first.ID, second.ID)
}

func TestSemanticsHistoryIsBounded(t *testing.T) {
	t.Parallel()
	s, x := broken(t, func(o *engine.Options) { o.Limits.Attempts = 3 })
	for range 2 {
		s.rerun(x)
	}
	require.Equal(t, 3, s.task(x, "a").Attempt)
	require.Contains(t, s.refuses(x, workflow.OperationRerun, "history_full").Message, "a")
	s.rerun(x, from("d"))
	s.ends(x, workflow.ExecutionSucceeded)
}
