package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// ask says something of a redrive that is asked for.
type ask = func(*engine.RedriveRequest)

func from(refs ...string) ask {
	return func(r *engine.RedriveRequest) { r.From = refs }
}

func only(r *engine.RedriveRequest)    { r.Scope = workflow.ScopeOnly }
func changed(r *engine.RedriveRequest) { r.Scope = workflow.ScopeChanged }
func latest(r *engine.RedriveRequest)  { r.Definition = "latest" }
func anew(r *engine.RedriveRequest)    { r.Identity = workflow.NewExecution }
func restart(r *engine.RedriveRequest) { r.Subworkflows = workflow.SubworkflowsRestart }
func merge(r *engine.RedriveRequest)   { r.InputMode = workflow.InputMerge }
func oneTry(r *engine.RedriveRequest)  { r.Budget = workflow.BudgetOne }

func input(value string) ask {
	return func(r *engine.RedriveRequest) { r.WorkflowInput = json.RawMessage(value) }
}

func taskInput(ref, value string) ask {
	return func(r *engine.RedriveRequest) { r.TaskInput = given(r.TaskInput, ref, value) }
}

func output(ref, value string) ask {
	return func(r *engine.RedriveRequest) { r.Outputs = given(r.Outputs, ref, value) }
}

func given(m map[string]json.RawMessage, ref, value string) map[string]json.RawMessage {
	if m == nil {
		m = map[string]json.RawMessage{}
	}
	m[ref] = json.RawMessage(value)
	return m
}

func acknowledge(refs ...string) ask {
	return func(r *engine.RedriveRequest) { r.Acknowledge = refs }
}

func key(k string) ask { return func(r *engine.RedriveRequest) { r.IdempotencyKey = k } }

func asked(op workflow.Operation, asks []ask) engine.RedriveRequest {
	r := engine.RedriveRequest{Redrive: workflow.Redrive{Operation: op}}
	for _, f := range asks {
		f(&r)
	}
	return r
}

// failing lets these tasks fail; the others give their input.
func failing(refs ...string) func(*engine.Run) (json.RawMessage, *workflow.Error) {
	return func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if slices.Contains(refs, r.Ref) {
			return nil, &workflow.Error{Code: "boom", Message: r.Ref + " broke", Retryable: true}
		}
		return r.Input, nil
	}
}

// giving lets tasks give these outputs; the others give their input.
func giving(outputs map[string]string) func(*engine.Run) (json.RawMessage, *workflow.Error) {
	return func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if value, ok := outputs[r.Ref]; ok {
			return json.RawMessage(value), nil
		}
		return r.Input, nil
	}
}

// seen is what one task shows, with all of its attempts.
type seen struct {
	execution string
	task      engine.Task
	attempts  []engine.Attempt
}

// String is all of it that does not depend on the definition.
func (v seen) String() string {
	t := v.task
	t.Needs, t.Type, t.MaxAttempts, t.Queue, t.Effects, t.Size = nil, "", 0, "", "", 0
	return v.execution + inJSON(t) + inJSON(v.attempts)
}

func inJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// shot is what all tasks of an execution and its sub-executions show. Those of a
// sub-execution stand behind its task and a slash, as in a plan.
type shot map[string]seen

func (s *stage) shot(x *engine.Execution) shot {
	s.t.Helper()
	all := shot{}
	s.shoot(x.ID, "", all)
	return all
}

func (s *stage) shoot(id, path string, all shot) {
	s.t.Helper()
	for ref := range s.tasks(&engine.Execution{ID: id}) {
		v := s.see(id, ref)
		all[path+ref] = v
		if v.task.Child != "" {
			s.shoot(v.task.Child, path+ref+"/", all)
		}
	}
}

func (s *stage) see(id, ref string) seen {
	s.t.Helper()
	attempts, next, err := s.Attempts(s.ctx(), id, ref, engine.Page{Limit: 1000})
	require.NoError(s.t, err, ref)
	require.Empty(s.t, next)
	return seen{execution: id, task: *s.task(&engine.Execution{ID: id}, ref), attempts: attempts}
}

// dump is everything in Redis.
func (s *stage) dump() map[string]string {
	s.t.Helper()
	keys, err := queuetest.Keys(s.ctx(), s.store.Client(), "")
	require.NoError(s.t, err)
	all := make(map[string]string, len(keys))
	for _, k := range keys {
		all[k], err = s.store.Client().Dump(s.ctx(), k).Result()
		require.NoError(s.t, err)
	}
	return all
}

// same expects nothing in Redis to have changed.
func (s *stage) same(before map[string]string, why string) {
	s.t.Helper()
	var moved []string
	after := s.dump()
	for k := range maps.Keys(before) {
		if after[k] != before[k] {
			moved = append(moved, k)
		}
	}
	for k := range maps.Keys(after) {
		if _, ok := before[k]; !ok {
			moved = append(moved, k)
		}
	}
	require.Empty(s.t, moved, why)
}

// plan asks twice what a redrive would do, and expects one answer and no change.
func (s *stage) plan(x *engine.Execution, op workflow.Operation, asks ...ask) *workflow.Plan {
	s.t.Helper()
	before := s.dump()
	p, err := s.Plan(s.ctx(), x.ID, asked(op, asks))
	require.NoError(s.t, err)
	require.NotNil(s.t, p)
	again, err := s.Plan(s.ctx(), x.ID, asked(op, asks))
	require.NoError(s.t, err)
	require.Equal(s.t, inJSON(p), inJSON(again))
	require.Equal(s.t, op, p.Operation)
	require.Equal(s.t, x.ID, p.Execution)
	require.True(s.t, strings.HasPrefix(p.PlanHash, fmt.Sprintf("%d-", p.Revision)), p.PlanHash)
	for _, row := range p.Tasks {
		require.NotEmpty(s.t, row.Reason, row.Ref)
	}
	s.same(before, "a plan changes nothing")
	return p
}

// rows are the actions of a plan by ref; with refs only theirs.
func rows(p *workflow.Plan, refs ...string) map[string]string {
	all := map[string]string{}
	for _, row := range p.Tasks {
		if len(refs) == 0 || slices.Contains(refs, row.Ref) {
			all[row.Ref] = string(row.Action)
		}
	}
	return all
}

// refuses expects that neither the plan nor the redrive is possible, and that nothing changed.
func (s *stage) refuses(x *engine.Execution, op workflow.Operation, code string, asks ...ask) *engine.Error {
	s.t.Helper()
	before := s.dump()
	_, err := s.Plan(s.ctx(), x.ID, asked(op, asks))
	require.Contains(s.t, codes(s.t, err), code)
	_, err = s.Redrive(s.ctx(), x.ID, asked(op, asks))
	require.Contains(s.t, codes(s.t, err), code)
	s.same(before, "a refused redrive changes nothing")
	return refusalOf(s.t, err)
}

// codes are all codes of a refusal.
func codes(t *testing.T, err error) []string {
	t.Helper()
	refused := refusalOf(t, err)
	all := []string{refused.Code}
	for _, p := range refused.Problems {
		all = append(all, p.Code)
		require.NotEmpty(t, p.Field)
		require.NotEmpty(t, p.Allowed)
	}
	return all
}

// redone is a redrive, with what there was before it.
type redone struct {
	plan   *workflow.Plan
	before shot
	now    *engine.Execution
}

// begin redrives an execution exactly as planned; s.starts counts from here.
func (s *stage) begin(x *engine.Execution, op workflow.Operation, asks ...ask) *redone {
	s.t.Helper()
	was := s.at(x)
	d := &redone{before: s.shot(x), plan: s.plan(x, op, asks...)}
	r := asked(op, asks)
	r.PlanHash = d.plan.PlanHash
	now, err := s.Redrive(s.ctx(), x.ID, r)
	require.NoError(s.t, err)
	if r.Identity == workflow.NewExecution {
		require.NotEqual(s.t, x.ID, now.ID)
		require.Equal(s.t, was.Redrives, s.at(x).Redrives)
		require.Zero(s.t, now.Redrives)
	} else {
		require.Equal(s.t, x.ID, now.ID)
		require.Equal(s.t, was.Redrives+1, now.Redrives)
	}
	d.now = now
	s.starts, s.order = map[string]int{}, nil
	s.holds(d)
	return d
}

// retry retries and runs what can run without time passing.
func (s *stage) retry(x *engine.Execution, asks ...ask) *redone {
	s.t.Helper()
	d := s.begin(x, workflow.OperationRetry, asks...)
	s.settle()
	s.holds(d)
	return d
}

// rerun reruns and runs what can run without time passing.
func (s *stage) rerun(x *engine.Execution, asks ...ask) *redone {
	s.t.Helper()
	d := s.begin(x, workflow.OperationRerun, asks...)
	s.settle()
	s.holds(d)
	return d
}

// holds expects that things are as the plan of a redrive said: what is kept shows
// what it showed, and nothing else has a new attempt than what was to run. No
// attempt that there ever was is lost or changed.
func (s *stage) holds(d *redone) {
	s.t.Helper()
	action, after, placed := rows(d.plan), s.shot(d.now), d.plan.Identity != workflow.NewExecution
	for path, was := range d.before {
		s.remembers(was)
		is, there := after[path]
		switch {
		case !placed:
			require.Equal(s.t, was.String(), s.see(was.execution, was.task.Ref).String(), "%s of the former execution", path)
			if action[path] == string(workflow.PlanKeep) {
				require.True(s.t, there, path)
				require.Equal(s.t, was.task.Status, is.task.Status, path)
				require.Equal(s.t, string(was.task.Output), string(is.task.Output), path)
			}
		case action[path] == string(workflow.PlanKeep):
			require.Equal(s.t, was.String(), is.String(), "%s is kept", path)
		case there && is.execution == was.execution && is.task.Attempt > was.task.Attempt:
			require.NotContains(s.t, []string{"", string(workflow.PlanSkip)}, action[path], "%s ran again", path)
		}
	}
	for _, id := range executions(after) {
		s.audit(&engine.Execution{ID: id})
	}
}

func executions(of shot) []string {
	var ids []string
	for _, v := range of {
		ids = append(ids, v.execution)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// remembers expects every attempt of a task to be readable still.
func (s *stage) remembers(was seen) {
	s.t.Helper()
	now, _, err := s.Attempts(s.ctx(), was.execution, was.task.Ref, engine.Page{Limit: 1000})
	require.NoError(s.t, err, was.task.Ref)
	require.GreaterOrEqual(s.t, len(now), len(was.attempts), was.task.Ref)
	for i, a := range now {
		require.Equal(s.t, i+1, a.Attempt, was.task.Ref)
		if i < len(was.attempts) && was.attempts[i].Status.Ended() {
			require.Equal(s.t, inJSON(was.attempts[i]), inJSON(a), "%s, attempt %d", was.task.Ref, i+1)
		}
	}
}

// claim takes the delivery of a task that waits.
func (s *stage) claim(x *engine.Execution, ref string) *engine.Run {
	s.t.Helper()
	task := s.task(x, ref)
	run, err := s.Claim(s.ctx(), engine.Fence{Execution: x.ID, Ref: ref, Attempt: task.Attempt, Dispatch: task.Dispatch}, "w")
	require.NoError(s.t, err, "%s is %s", ref, task.Status)
	s.starts[ref]++
	return run
}

// complete ends a run well, with what it was given.
func (s *stage) complete(run *engine.Run) {
	s.t.Helper()
	require.NoError(s.t, s.Complete(s.ctx(), run, run.Input))
}

// stale expects that nothing a worker says of a run counts any more.
func (s *stage) stale(run *engine.Run) {
	s.t.Helper()
	before := s.shot(&engine.Execution{ID: run.Execution})
	require.ErrorIs(s.t, s.Heartbeat(s.ctx(), []*engine.Run{run})[0], engine.ErrStale)
	require.ErrorIs(s.t, s.Complete(s.ctx(), run, json.RawMessage(`"late"`)), engine.ErrStale)
	_, err := s.Fail(s.ctx(), run, &workflow.Error{Code: "late"}, false)
	require.ErrorIs(s.t, err, engine.ErrStale)
	require.ErrorIs(s.t, s.Release(s.ctx(), run), engine.ErrStale)
	require.Equal(s.t, before, s.shot(&engine.Execution{ID: run.Execution}))
	s.audit(&engine.Execution{ID: run.Execution})
}

// child is the sub-execution of a task.
func (s *stage) child(x *engine.Execution, ref string) *engine.Execution {
	s.t.Helper()
	return s.at(&engine.Execution{ID: s.task(x, ref).Child})
}

// attempts are the statuses of all attempts of a task, oldest first.
func (s *stage) attempts(x *engine.Execution, ref string) (all []string) {
	s.t.Helper()
	for _, a := range s.see(x.ID, ref).attempts {
		all = append(all, string(a.Status))
	}
	return all
}

// gave expects the output of a task, byte for byte.
func (s *stage) gave(x *engine.Execution, ref, output string) {
	s.t.Helper()
	require.Equal(s.t, output, string(s.task(x, ref).Output), ref)
}

// once are starts of one attempt each.
func once(refs ...string) map[string]int {
	all := map[string]int{}
	for _, ref := range refs {
		all[ref] = 1
	}
	return all
}
