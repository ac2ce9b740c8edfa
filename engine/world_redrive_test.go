package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// doAnyRedrive previews a redrive of any kind and mostly does it.
func (g *globe) doAnyRedrive() {
	c := g.anyCourse()
	r := engine.RedriveRequest{Redrive: g.request(c), Reason: "because", By: "ann"}
	s, refused := c.cut(r.Redrive)
	asked, _ := json.Marshal(r.Redrive)
	g.t.Logf("%s of %s: %s\n%s", r.Operation, c.p.Definition.Name, asked, g.root)
	plan := g.preview(c.id, r, s, refused)
	if refused != nil || chance(g.t, "only a preview", 5) {
		return
	}
	if rapid.Bool().Draw(g.t, "hash") {
		r.PlanHash = plan.PlanHash
	}
	if rapid.Bool().Draw(g.t, "key") {
		r.IdempotencyKey = uuid.NewString()
	}
	if rapid.Bool().Draw(g.t, "remember") {
		g.remember()
	}
	id := c.id
	done := g.redrive(id, r)
	if r.PlanHash != "" || r.IdempotencyKey != "" { // whoever asks again finds out what became of it
		g.calmly(id, r, !done)
	}
}

// redrive does what the request says, on both sides.
func (g *globe) redrive(id string, r engine.RedriveRequest) (done bool) {
	return g.do(string(r.Operation)+" again", func(w *world) error {
		c := w.find(id)
		s, refused := c.cut(r.Redrive)
		if refused != nil {
			return refused
		}
		s.apply()
		return nil
	}, func(p *process) error {
		_, err := p.Redrive(g.ctx, id, r)
		return err
	})
}

// calmly asks for the same redrive again, which changes something only where it was not done yet.
func (g *globe) calmly(id string, r engine.RedriveRequest, open bool) {
	if open {
		c := g.find(id)
		s, refused := c.cut(r.Redrive)
		require.NoError(g.t, refused)
		s.apply()
	}
	_, err := g.procs[1].Redrive(g.ctx, id, r)
	require.NoError(g.t, err, "the same redrive again")
	g.compare("the same " + string(r.Operation) + " again")
}

// preview holds a dry run to the rules: it changes nothing, and says what would happen.
func (g *globe) preview(id string, r engine.RedriveRequest, s *shears, refused error) *workflow.Plan {
	p := rapid.SampledFrom(g.procs).Draw(g.t, "previewer")
	before := g.dump()
	plan, err := p.Plan(g.ctx, id, r)
	g.agree("a preview of a "+string(r.Operation), err, refused)
	if refused != nil {
		_, err := p.Redrive(g.ctx, id, r)
		g.agree("a "+string(r.Operation), err, refused)
		g.count.add(string(r.Operation)+" again", refused)
	}
	require.Equal(g.t, before, g.dump(), "a preview, or a refusal, changed something")
	if refused == nil {
		g.rows(g.find(id), s, plan)
	}
	return plan
}

// agree holds the answer of a redrive to what it is by the rules.
func (g *globe) agree(what string, got, want error) {
	if want == nil {
		require.NoError(g.t, got, what)
		return
	}
	var no *engine.Error
	require.ErrorAs(g.t, got, &no, "%s is refused as %v", what, want)
	codes := []string{no.Code}
	for _, p := range no.Problems {
		codes = append(codes, p.Code)
	}
	if no.Code == "runs_alone" || no.Code == "about_to_run" {
		return // this is found out before the refs are looked at
	}
	require.Contains(g.t, codes, want.Error(), what)
}

// rows holds the rows of a plan to what is done to the tasks.
func (g *globe) rows(c *course, s *shears, plan *workflow.Plan) {
	actions := map[string]workflow.PlanAction{}
	for _, row := range plan.Tasks {
		require.NotContains(g.t, actions, row.Ref, "the rows of the plan")
		actions[row.Ref] = row.Action
	}
	s.each(c, "", func(x *course, k *cut, path, ref string) {
		action, there := actions[path]
		for y, at := x, ref; y != nil; y, at = y.parent, y.parentTask {
			if k := s.cuts[y]; k != nil && k.relisted(workflow.Outside(at)) {
				return // whether it stays on the list is said, too
			}
		}
		require.True(g.t, there, "the plan says nothing of %s", path)
		t := x.tasks[ref]
		output, ends := k.ends[ref]
		switch {
		case ends && output == nil:
			require.Equal(g.t, workflow.PlanSkip, action, path)
		case ends:
			require.Equal(g.t, workflow.PlanPin, action, path)
		case k.again[ref] && t.status.Active():
			require.Equal(g.t, workflow.PlanCancel, action, path)
		case k.again[ref]:
			require.Contains(g.t, []workflow.PlanAction{workflow.PlanRun, workflow.PlanUndecided}, action, path)
		case k.open[ref] && t.child != nil && t.status == workflow.TaskRunning:
			require.Equal(g.t, workflow.PlanLeaveRunning, action, path)
		case k.open[ref]:
			require.Equal(g.t, workflow.PlanRun, action, path)
		case !k.touches(x, ref):
			require.Contains(g.t, []workflow.PlanAction{workflow.PlanKeep, workflow.PlanLeaveRunning}, action, path)
		}
	})
}

// each calls f for every task that is a part of an execution, and for those in its sub-executions that are cut.
func (s *shears) each(c *course, prefix string, f func(x *course, k *cut, path, ref string)) {
	k := s.of(c)
	for ref := range c.tasks {
		if isHandler(ref) || !c.present(ref) {
			continue
		}
		f(c, k, prefix+ref, ref)
		if k.inner[ref] != nil {
			s.each(c.tasks[ref].child, prefix+ref+"/", f)
		}
	}
}

// touches says whether a task lies in one that runs again as a whole, or behind an iteration at which a loop goes on.
func (k *cut) touches(c *course, ref string) bool {
	for up := ref; up != ""; up = workflow.Outside(up) {
		_, ends := k.ends[up]
		if ends || k.again[up] || k.later(c, up) {
			return true
		}
	}
	return false
}

// relisted says whether a task lies in a for_each whose list is evaluated again.
func (k *cut) relisted(ref string) bool {
	for ; ref != "" && !k.lists[ref]; ref = workflow.Outside(ref) {
	}
	return ref != ""
}

// paths are the refs of an execution and of those in it, as a request names them.
func (c *course) paths(prefix string, keep func(t *act) bool) (paths []string) {
	for ref, t := range c.tasks {
		if keep(t) {
			paths = append(paths, prefix+ref)
		}
		if t.child != nil {
			paths = append(paths, t.child.paths(prefix+ref+"/", keep)...)
		}
	}
	slices.Sort(paths)
	return paths
}

// request draws what is asked of an execution.
func (g *globe) request(c *course) workflow.Redrive {
	r := workflow.Redrive{Operation: rapid.SampledFrom([]workflow.Operation{workflow.OperationRetry, workflow.OperationRerun}).Draw(g.t, "operation")}
	all := func(*act) bool { return true }
	named := all
	if r.Operation == workflow.OperationRetry && !chance(g.t, "any status", 5) {
		named = func(t *act) bool { return unsuccessful(t) || t.continued }
	}
	for range rapid.SampledFrom([]int{0, 1, 1, 2}).Draw(g.t, "from") {
		if paths := c.paths("", named); len(paths) > 0 {
			r.From = append(r.From, rapid.SampledFrom(paths).Draw(g.t, "ref"))
		}
	}
	if chance(g.t, "unknown", 10) {
		r.From = append(r.From, "nothing")
	}
	if chance(g.t, "only", 5) {
		r.Scope = workflow.ScopeOnly
	}
	if chance(g.t, "one", 3) {
		r.Budget = workflow.BudgetOne
	}
	r.Subworkflows = rapid.SampledFrom([]workflow.Subworkflows{"", "", workflow.SubworkflowsResume, workflow.SubworkflowsRestart}).Draw(g.t, "subworkflows")
	if chance(g.t, "output", 5) {
		path := rapid.SampledFrom(c.paths("", all)).Draw(g.t, "pinned")
		r.Outputs = map[string]json.RawMessage{path: json.RawMessage(`{"pinned":true}`)}
	}
	g.inputs(c, &r)
	return r
}

// inputs draws what is given as input.
func (g *globe) inputs(c *course, r *workflow.Redrive) {
	if chance(g.t, "merge", 3) {
		r.InputMode = workflow.InputMerge
	}
	if chance(g.t, "workflow input", 5) {
		r.WorkflowInput = json.RawMessage(rapid.SampledFrom([]string{
			`{"n":1,"list":["b","c"]}`, `{"n":0,"list":[]}`, `{"n":1,"list":"a"}`, `{"list":["a","c"]}`,
		}).Draw(g.t, "input"))
	}
	if chance(g.t, "task input", 5) {
		path := rapid.SampledFrom(c.paths("", func(*act) bool { return true })).Draw(g.t, "given")
		input := rapid.SampledFrom([]string{`{"given":1}`, `{"given":2}`, `null`}).Draw(g.t, "value")
		if x, ref, err := (&shears{}).find(c, path); err == nil {
			switch x.place(ref).Type {
			case workflow.TypeWorkflow:
				input = `{"name":"low","input":{"n":1,"list":["b"]}}`
			case workflow.TypeWait, workflow.TypeApproval:
				return // what they accept is another matter
			}
		}
		r.TaskInput = map[string]json.RawMessage{path: json.RawMessage(input)}
	}
}

// doHandAgain lets an operator end a task that ended: that is a redrive.
func (g *globe) doHandAgain(c *course, ref string, to workflow.TaskStatus) {
	id, path := c.id, ref
	request := engine.HandRequest{To: to, By: "ann"}
	r := workflow.Redrive{Operation: workflow.OperationSkip, From: []string{path}}
	if to == workflow.TaskSucceeded {
		request.Output = json.RawMessage(`{"by":"hand"}`)
		if c.place(ref).Holds() {
			request.Output = json.RawMessage("null")
		}
		r = workflow.Redrive{Operation: workflow.OperationComplete, Outputs: map[string]json.RawMessage{path: request.Output}}
	}
	refused := c.mayEnd(ref, to)
	if refused == nil {
		_, refused = c.cut(r)
	}
	g.t.Logf("%s of %s of %s by hand: %v", to, ref, c.p.Definition.Name, refused)
	if refused != nil {
		before := g.dump()
		_, err := g.procs[0].SettleByHand(g.ctx, id, ref, request)
		var no *engine.Error
		require.ErrorAs(g.t, err, &no, "%s by hand", to)
		require.Equal(g.t, before, g.dump(), "a refusal changed something")
		return
	}
	g.do(string(r.Operation)+" again", func(w *world) error {
		c := w.find(id)
		s, err := c.cut(r)
		if err == nil {
			s.apply()
		}
		return err
	}, func(p *process) error {
		_, err := p.SettleByHand(g.ctx, id, ref, request)
		return err
	})
}

// mayEnd says whether an operator may say something else of a task that ended.
func (c *course) mayEnd(ref string, to workflow.TaskStatus) error {
	t := c.tasks[ref]
	if to == workflow.TaskFailed || !unsuccessful(t) && !t.continued {
		return refusal("task_ended")
	}
	return nil
}

// String is the state of an execution with those in it, for a failure of the test.
func (c *course) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %d:", c.p.Definition.Name, c.id, c.status, c.epoch)
	for _, ref := range slices.Sorted(maps.Keys(c.tasks)) {
		t := c.tasks[ref]
		fmt.Fprintf(&b, " %s %s %d", ref, t.status, t.attempt)
		if t.child != nil {
			fmt.Fprintf(&b, " %s", t.child.id)
		}
	}
	for _, child := range c.children {
		fmt.Fprintf(&b, "\n%s", child)
	}
	return b.String()
}
