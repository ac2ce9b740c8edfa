package engine_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// pickTask draws a task for which keep holds, mostly; now and then any.
func (g *globe) pickTask(keep func(*act) bool) (*course, string) {
	type spot struct {
		c   *course
		ref string
	}
	var some, all []spot
	for _, c := range g.root.all() {
		for _, ref := range slices.Sorted(maps.Keys(c.tasks)) {
			all = append(all, spot{c, ref})
			if keep(c.tasks[ref]) && c.going() {
				some = append(some, spot{c, ref})
			}
		}
	}
	if len(some) == 0 || chance(g.t, "any", 10) {
		some = all
	}
	s := some[rapid.IntRange(0, len(some)-1).Draw(g.t, "task")]
	return s.c, s.ref
}

func is(statuses ...workflow.TaskStatus) func(*act) bool {
	return func(t *act) bool { return slices.Contains(statuses, t.status) }
}

func (g *globe) fence(c *course, ref string) engine.Fence {
	return engine.Fence{Execution: c.id, Ref: ref, Attempt: c.tasks[ref].attempt, Dispatch: c.tasks[ref].dispatch}
}

func (g *globe) live() {
	actions := map[string]func(){
		"claim": g.doClaim, "complete": g.doComplete, "fail": g.doFail, "expire": g.doExpire, "timer": g.doTimer,
		"answer": g.doAnswer, "hand": g.doHand, "redrive": g.doAnyRedrive, "deadline": g.doDeadline, "control": g.doControl,
		"jump": func() {
			g.clock.offset += machineJump
			g.now += machineJump
		},
		"forget": func() { rapid.SampledFrom(g.procs).Draw(g.t, "process").Forget() },
	}
	all := slices.Sorted(maps.Keys(actions))
	for range steps {
		names := all
		if !chance(g.t, "whatever", 5) {
			names = g.useful()
		}
		actions[rapid.SampledFrom(names).Draw(g.t, "action")]()
		g.note()
	}
}

// useful are the actions that would bring the world on, and redrives.
func (g *globe) useful() []string {
	names := []string{"redrive"}
	found := map[string]bool{}
	for _, c := range g.root.all() {
		if !c.going() {
			continue
		}
		for _, t := range c.tasks {
			found["claim"] = found["claim"] || t.status == workflow.TaskQueued
			found["complete"] = found["complete"] || t.status == workflow.TaskRunning && !t.control
			found["answer"] = found["answer"] || t.status == workflow.TaskWaiting && t.asked
			found["timer"] = found["timer"] || t.due > 0
		}
	}
	for _, name := range []string{"claim", "complete", "answer", "timer"} {
		if found[name] {
			names = append(names, name, name)
		}
	}
	switch {
	case found["complete"]:
		names = append(names, "fail")
	case found["timer"]:
		names = append(names, "jump")
	}
	return append(names, "hand")
}

// note counts what the world has come to hold.
func (g *globe) note() {
	for _, c := range g.root.all() {
		if c.parent != nil {
			g.count.taken["child"]++
		}
		for ref := range c.tasks {
			switch at := c.place(ref); {
			case at.Item:
				g.count.taken["item"]++
			case at.Role == workflow.RoleIteration:
				g.count.taken["iteration"]++
			case isHandler(ref):
				g.count.taken["handler"]++
			}
		}
	}
}

func (g *globe) doClaim() {
	c, ref := g.pickTask(is(workflow.TaskQueued))
	id, f := c.id, g.fence(c, ref)
	var input json.RawMessage
	g.do("claim", func(w *world) error {
		c := w.find(id)
		t := c.tasks[ref]
		if !c.going() || t.status != workflow.TaskQueued {
			return errNo
		}
		if c.status == workflow.ExecutionPaused {
			t.held = true
			return errNo
		}
		c.move(ref, workflow.EventClaim)
		t.leased = w.now + w.lease
		at := c.place(ref)
		input, _ = c.recorded(at)
		return nil
	}, func(p *process) error {
		r, err := p.Claim(g.ctx, f, "w")
		if err == nil {
			g.runs = append(g.runs, r)
			require.JSONEq(g.t, string(input), string(r.Input), "the input of %s", ref)
		}
		return err
	})
}

// withRun draws a claim of the past, mostly one that still holds.
func (g *globe) withRun(do func(c *course, r *engine.Run, holds bool)) {
	if len(g.runs) == 0 {
		return
	}
	holds := func(r *engine.Run) bool {
		c := g.find(r.Execution)
		t := c.tasks[r.Ref]
		return c.going() && t != nil && t.status == workflow.TaskRunning && t.attempt == r.Attempt && t.dispatch == r.Dispatch && !t.control
	}
	r := rapid.SampledFrom(g.runs).Draw(g.t, "run")
	if i := slices.IndexFunc(g.runs, holds); i >= 0 && !chance(g.t, "late", 5) {
		r = g.runs[i]
	}
	do(g.find(r.Execution), r, holds(r))
}

func (g *globe) doComplete() {
	g.withRun(func(_ *course, r *engine.Run, holds bool) {
		output := json.RawMessage(rapid.SampledFrom([]string{`{"v":1}`, `[]`, `["a","c"]`, `null`, `"x"`, `9007199254740993`}).Draw(g.t, "output"))
		g.do("complete", func(w *world) error {
			if !holds {
				return errNo
			}
			c := w.find(r.Execution)
			c.move(r.Ref, workflow.EventComplete)
			c.tasks[r.Ref].output = output
			c.over(r.Ref)
			c.settle()
			return nil
		}, func(p *process) error { return p.Complete(g.ctx, r, output) })
	})
}

func (g *globe) doFail() {
	g.withRun(func(_ *course, r *engine.Run, holds bool) {
		failure := &workflow.Error{Code: "boom", Message: "it broke", Retryable: !chance(g.t, "final", 3)}
		timedOut := rapid.Bool().Draw(g.t, "timed out")
		g.do("fail", func(w *world) error {
			if !holds {
				return errNo
			}
			c := w.find(r.Execution)
			t, at := c.tasks[r.Ref], c.place(r.Ref)
			if delay, again := at.Retry.Next(t.try, failure, 0); again {
				c.move(r.Ref, workflow.EventBackOff)
				t.due = w.now + delay
				return nil
			}
			event := workflow.EventFail
			if timedOut {
				event = workflow.EventTimeOut
			}
			c.move(r.Ref, event)
			c.failed(at, failure, false)
			c.settle()
			return nil
		}, func(p *process) error {
			_, err := p.Fail(g.ctx, r, failure, timedOut)
			return err
		})
	})
}

// doExpire is the end of a lease: the same attempt is sent out again.
func (g *globe) doExpire() {
	if chance(g.t, "late", 2) {
		g.clock.offset += 2 * machineJump
		g.now += 2 * machineJump
	}
	c, ref := g.pickTask(is(workflow.TaskRunning))
	id, f := c.id, g.fence(c, ref)
	g.do("expire", func(w *world) error {
		c := w.find(id)
		t := c.tasks[ref]
		if !c.going() || t.status != workflow.TaskRunning || t.control || t.leased > w.now {
			return errNo
		}
		c.move(ref, workflow.EventLose)
		t.dispatch++
		t.held = c.status == workflow.ExecutionPaused
		return nil
	}, func(p *process) error {
		_, _, err := p.store.Redispatch(g.ctx, f, engine.WhyExpire, time.Second)
		return err
	})
}

// doTimer fires a timer of a task, due or not.
func (g *globe) doTimer() {
	c, ref := g.pickTask(func(t *act) bool { return t.due > 0 || t.limit > 0 })
	t := c.tasks[ref]
	kind := engine.TimerWake
	switch {
	case t.status == workflow.TaskRetrying:
		kind = engine.TimerRetry
	case t.limit > 0 && (t.due == 0 || t.limit < t.due):
		kind = engine.TimerLimit
	}
	g.fire(c, ref, kind)
}

func (g *globe) fire(c *course, ref string, kind engine.TimerKind) {
	id, f := c.id, g.fence(c, ref)
	g.do(string(kind), func(w *world) error {
		w.find(id).fire(ref, kind)
		return nil
	}, func(p *process) error {
		p.Fire(g.ctx, kind, f)
		return nil
	})
}

// fire is what becomes of a task whose timer fires.
func (c *course) fire(ref string, kind engine.TimerKind) {
	t, at := c.tasks[ref], c.place(ref)
	if !c.going() || t.status == workflow.TaskWaiting && c.status == workflow.ExecutionPaused {
		return
	}
	switch kind {
	case engine.TimerRetry:
		if t.status != workflow.TaskRetrying || t.due > c.w.now {
			return
		}
		t.due = 0
		if t.control {
			c.move(ref, workflow.EventRearm)
			c.open[ref], t.rearmed, t.stale = true, true, true
			break
		}
		c.move(ref, workflow.EventRetry)
		c.enqueue(ref)
	case engine.TimerWake:
		if t.status != workflow.TaskWaiting || t.due == 0 || t.due > c.w.now {
			return
		}
		t.output = json.RawMessage(`{"waited":"6m40s"}`)
		t.due, t.limit = 0, 0
		c.move(ref, workflow.EventAnswer)
		c.over(ref)
	case engine.TimerLimit:
		if t.limit == 0 || t.limit > c.w.now {
			return
		}
		if t.status == workflow.TaskWaiting {
			c.failControl(at, &workflow.Error{Code: engine.CodeTimedOut, Retryable: true}, true)
			break
		}
		t.timed, t.limit = true, 0
		c.open[ref] = true
	}
	c.settle()
}

func (g *globe) doAnswer() {
	c, ref := g.pickTask(func(t *act) bool { return t.status == workflow.TaskWaiting && t.asked })
	id := c.id
	input := json.RawMessage(`{"ok":true}`)
	g.do("answer", func(w *world) error {
		c := w.find(id)
		t := c.tasks[ref]
		if !c.going() || t.status != workflow.TaskWaiting || !t.asked {
			return errNo
		}
		t.due, t.limit = 0, 0
		c.move(ref, workflow.EventAnswer)
		t.output = input
		c.over(ref)
		c.settle()
		return nil
	}, func(p *process) error {
		_, err := p.AnswerGate(g.ctx, id, engine.Answer{Task: ref, Input: input})
		return err
	})
}

// doHand lets an operator end a task.
func (g *globe) doHand() {
	c, ref := g.pickTask(func(t *act) bool { return !t.status.Ended() })
	id, to := c.id, rapid.SampledFrom([]workflow.TaskStatus{workflow.TaskSucceeded, workflow.TaskFailed, workflow.TaskSkipped}).Draw(g.t, "to")
	if c.tasks[ref].status.Ended() {
		g.doHandAgain(c, ref, to)
		return
	}
	word := map[workflow.TaskStatus]string{workflow.TaskSucceeded: "complete by hand", workflow.TaskFailed: "fail by hand", workflow.TaskSkipped: "skip by hand"}[to]
	var output json.RawMessage
	if to == workflow.TaskSucceeded && !c.place(ref).Holds() {
		output = json.RawMessage(`{"by":"hand"}`)
	}
	g.do(word, func(w *world) error {
		c := w.find(id)
		t := c.tasks[ref]
		holder := c.tasks[workflow.Outside(ref)]
		if !c.going() || t.status.Ended() || holder != nil && holder.status != workflow.TaskRunning {
			return errNo
		}
		if t.control && t.status == workflow.TaskRunning {
			t.to, t.said, t.limit = to, output, 0
			c.open[ref] = true
		} else {
			c.byHand(c.place(ref), to, output)
		}
		c.settle()
		return nil
	}, func(p *process) error {
		_, err := p.SettleByHand(g.ctx, id, ref, engine.HandRequest{To: to, Output: output, By: "ann"})
		return err
	})
}

func (g *globe) anyCourse() *course {
	all := g.root.all()
	if rapid.Bool().Draw(g.t, "root") {
		return g.root
	}
	return rapid.SampledFrom(all).Draw(g.t, "execution")
}

func (g *globe) doControl() {
	id := g.anyCourse().id
	switch rapid.SampledFrom([]string{"pause", "resume", "pause", "resume", "resume", "cancel"}).Draw(g.t, "control") {
	case "pause":
		g.do("pause", func(w *world) error { return w.find(id).pause(false) }, func(p *process) error {
			_, err := p.Pause(g.ctx, id, engine.Request{})
			return err
		})
	case "resume":
		g.do("resume", func(w *world) error { return w.find(id).resume() }, func(p *process) error {
			_, err := p.Resume(g.ctx, id, engine.Request{})
			return err
		})
	default:
		if !chance(g.t, "really", 3) {
			return
		}
		g.do("cancel", func(w *world) error {
			c := w.find(id)
			if !c.going() {
				return errNo
			}
			c.cancel()
			return nil
		}, func(p *process) error {
			_, err := p.Cancel(g.ctx, id, engine.Request{})
			return err
		})
	}
}

func (c *course) pause(cascaded bool) error {
	if c.status != workflow.ExecutionRunning {
		return errNo
	}
	c.status, c.cascaded = workflow.ExecutionPaused, cascaded
	if c.deadline > 0 {
		c.left, c.deadline = max(c.deadline-c.w.now, 1), 0
	}
	for _, t := range c.tasks {
		if t.child != nil && t.status == workflow.TaskRunning {
			_ = t.child.pause(true)
		}
	}
	return nil
}

func (c *course) resume() error {
	if c.status != workflow.ExecutionPaused {
		return errNo
	}
	c.status, c.cascaded = workflow.ExecutionRunning, false
	if c.left > 0 {
		c.deadline, c.left = c.w.now+c.left, 0
	}
	for _, t := range c.tasks {
		if t.child != nil && t.status == workflow.TaskRunning && t.child.cascaded {
			_ = t.child.resume()
		}
	}
	c.settle()
	return nil
}

// doDeadline fires the deadline of an execution, due or not.
func (g *globe) doDeadline() {
	id := g.anyCourse().id
	g.do("deadline", func(w *world) error {
		c := w.find(id)
		if c.status == workflow.ExecutionRunning && c.deadline > 0 && c.deadline <= w.now {
			c.ending, c.deadline = workflow.ExecutionTimedOut, 0
			c.failure = &workflow.Error{Code: engine.CodeTimedOut}
			c.settle()
		}
		return nil
	}, func(p *process) error {
		p.Fire(g.ctx, engine.TimerExpire, engine.Fence{Execution: id})
		return nil
	})
}

// drain lets everything come to its end.
func (g *globe) drain() {
	for range 300 {
		if !slices.ContainsFunc(g.root.all(), func(c *course) bool { return !c.status.Ended() }) {
			break
		}
		moved := false
		for _, c := range g.root.all() {
			for _, ref := range slices.Sorted(maps.Keys(c.tasks)) {
				if t := c.tasks[ref]; t != nil {
					moved = g.push(c.id, ref) || moved
				}
			}
		}
		if !moved {
			g.clock.offset += machineJump
			g.now += machineJump
		}
	}
	for _, c := range g.root.all() {
		require.True(g.t, c.status.Ended(), "%s is still %s", c.p.Definition.Name, c.status)
	}
}

// push does for a task whatever brings it on.
func (g *globe) push(id, ref string) bool {
	p := g.procs[0]
	c := g.find(id)
	t := c.tasks[ref]
	if t == nil || !c.going() {
		return false
	}
	if c.status == workflow.ExecutionPaused {
		_, err := p.Resume(g.ctx, id, engine.Request{})
		require.NoError(g.t, err)
		require.NoError(g.t, c.resume())
		g.count.add("resume", nil)
		g.compare("resume")
		return true
	}
	switch {
	case t.status == workflow.TaskQueued:
		r, err := p.Claim(g.ctx, g.fence(c, ref), "w")
		require.NoError(g.t, err)
		require.NoError(g.t, p.Complete(g.ctx, r, json.RawMessage(`{"v":1}`)))
		c.move(ref, workflow.EventClaim)
		g.finishRun(c, ref)
	case t.status == workflow.TaskRunning && !t.control:
		i := slices.IndexFunc(g.runs, func(r *engine.Run) bool { return r.Fence == g.fence(c, ref) })
		if i < 0 { // its claim's answer got lost
			_, _, err := p.store.Redispatch(g.ctx, g.fence(c, ref), engine.WhyRelease, time.Second)
			require.NoError(g.t, err)
			c.move(ref, workflow.EventRelease)
			t.dispatch++
			break
		}
		require.NoError(g.t, p.Complete(g.ctx, g.runs[i], json.RawMessage(`{"v":1}`)))
		g.finishRun(c, ref)
	case t.status == workflow.TaskWaiting && t.asked:
		_, err := p.AnswerGate(g.ctx, id, engine.Answer{Task: ref, Input: json.RawMessage(`{}`)})
		require.NoError(g.t, err)
		t.due, t.limit = 0, 0
		c.move(ref, workflow.EventAnswer)
		t.output = json.RawMessage(`{}`)
		c.over(ref)
		c.settle()
	case t.due > 0 && t.due <= g.now:
		kind := engine.TimerWake
		if t.status == workflow.TaskRetrying {
			kind = engine.TimerRetry
		}
		p.Fire(g.ctx, kind, g.fence(c, ref))
		c.fire(ref, kind)
	default:
		return false
	}
	g.compare("pushing " + ref)
	return true
}

func (g *globe) finishRun(c *course, ref string) {
	c.move(ref, workflow.EventComplete)
	c.tasks[ref].output = json.RawMessage(`{"v":1}`)
	c.over(ref)
	c.settle()
}

// purge ends the retention of the whole tree; nothing of it may be left.
func (g *globe) purge() {
	p := g.procs[1]
	_, err := p.store.Index(g.ctx, []string{g.root.id})
	require.NoError(g.t, err)
	g.clock.offset += machineKeep
	require.NoError(g.t, p.Repair(g.ctx, engine.Due{Now: time.Now(), Expire: []string{g.root.id}}))
	keys, err := queuetest.Keys(g.ctx, p.store.Client(), "redrive:")
	require.NoError(g.t, err)
	keys = slices.DeleteFunc(keys, func(key string) bool { // keys of redrives, and what was written for one that was not made, have ends of their own
		own := strings.Contains(key, ":idempotency:") || strings.Contains(key, ":q:")
		return own && p.store.Client().PTTL(g.ctx, key).Val() > 0
	})
	for _, c := range g.root.all() {
		for _, key := range keys {
			require.NotContains(g.t, key, c.id)
		}
		for _, name := range []string{"jobs", "timers", "decide", "index", "expire"} {
			members, err := p.store.Client().ZRange(g.ctx, queuetest.ShardKey(c.id, name), 0, -1).Result()
			require.NoError(g.t, err)
			for _, m := range members {
				require.NotContains(g.t, m, c.id, name)
			}
		}
	}
}
