package conductor_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// What Conductor's own server fails at, or does only where nothing races: reruns of tasks that hold or choose others, of tasks
// in workflows in workflows, and what retries and clocks do.

func TestRerunFromAForkOrItsJoin(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", forked(simple("a", "a"), simple("b", "b"))+","+joined("a", "b")+","+simple("c", "c"))
	id := r.begin("w", `{}`)
	r.does("a", "b", "c")
	w := r.ends(id, "COMPLETED")
	require.Equal(t, []string{"f COMPLETED", "a COMPLETED", "b COMPLETED", "j COMPLETED", "c COMPLETED"}, w.lines())

	r.rerun(id, w.task("j").TaskID)
	c := r.works("c")
	w = r.get(id)
	require.Equal(t, []string{"a COMPLETED", "b COMPLETED", "j COMPLETED", "c IN_PROGRESS"}, []string{
		"a " + w.task("a").Status, "b " + w.task("b").Status, "j " + w.task("j").Status, "c " + w.task("c").Status,
	})
	require.Equal(t, map[string]any{"a": map[string]any{"by": "a"}, "b": map[string]any{"by": "b"}}, w.task("j").OutputData)
	require.Zero(t, w.task("a").RetryCount, "branches are not run again")
	r.report(c, "COMPLETED")
	r.ends(id, "COMPLETED")

	r.rerun(id, w.task("f").TaskID)
	r.does("a")
	b := r.works("b")
	require.Equal(t, "IN_PROGRESS", r.get(id).task("j").Status)
	r.report(b, "COMPLETED")
	r.does("c")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []int{1, 1, 2}, []int{w.task("a").RetryCount, w.task("b").RetryCount, w.task("c").RetryCount})
}

func TestRerunFromASwitchChoosesAgain(t *testing.T) {
	t.Parallel()
	r := worked(t)
	choice := `{"name":"s","taskReferenceName":"s","type":"SWITCH","evaluatorType":"value-param","expression":"kind","inputParameters":{"kind":"${workflow.input.kind}"},
	  "decisionCases":{"x":[` + simple("x", "x") + `],"y":[` + simple("y", "y") + `]},"defaultCase":[` + simple("z", "z") + `]}`
	r.define("w", choice)
	id := r.begin("w", `{"kind":"x"}`)
	r.does("x")
	w := r.ends(id, "COMPLETED")
	require.Equal(t, []string{"s COMPLETED", "x COMPLETED"}, w.lines())
	r.rerun(id, w.task("s").TaskID, `,"taskInput":{"kind":"y"}`)
	r.does("y")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []string{"s CANCELED", "x CANCELED", "s COMPLETED", "y COMPLETED"}, w.lines())
	require.Equal(t, map[string]any{"kind": "y", "case": "y"}, w.task("s").InputData)
	require.Equal(t, map[string]any{"evaluationResult": []any{"y"}, "selectedCase": "y"}, w.task("s").OutputData)

	r.define("loop", `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.l['iteration'] < 2","loopOver":[`+choice+`]},`+simple("end", "end"))
	id = r.begin("loop", `{"kind":"x"}`)
	r.does("x", "x", "end")
	w = r.ends(id, "COMPLETED")
	r.rerun(id, w.task("s__2").TaskID, `,"taskInput":{"kind":"other"}`)
	r.does("z", "end")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []string{"x__1 COMPLETED 0", "s__2 COMPLETED 1", "z__2 COMPLETED 0", "l COMPLETED 1", "end COMPLETED 1"}, w.newest("x__1", "s__2", "z__2", "l", "end"))
	require.Equal(t, "CANCELED", w.task("x__2").Status)
	require.Equal(t, 2, w.task("l").Iteration)
}

func TestRerunFromALoopBeginsItAnew(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", `{"name":"l","taskReferenceName":"l","type":"DO_WHILE","loopCondition":"$.l['iteration'] < 3","loopOver":[`+simple("a", "a")+`]},`+simple("end", "end"))
	id := r.begin("w", `{}`)
	r.does("a", "a", "a", "end")
	w := r.ends(id, "COMPLETED")
	require.Equal(t, []string{"l COMPLETED", "a__1 COMPLETED", "a__2 COMPLETED", "a__3 COMPLETED", "end COMPLETED"}, w.lines())
	r.rerun(id, w.task("l").TaskID)
	a := r.works("a")
	require.Equal(t, []any{"a__1", 1}, []any{a.ReferenceTaskName, a.Iteration})
	w = r.get(id)
	require.Equal(t, []any{"IN_PROGRESS", 1}, []any{w.task("l").Status, w.task("l").Iteration})
	require.Equal(t, []string{"CANCELED", "CANCELED", "CANCELED"}, []string{w.task("a__2").Status, w.task("a__3").Status, w.task("end").Status})
	r.report(a, "COMPLETED")
	r.does("a", "a", "end")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []string{"a__1 COMPLETED 1", "a__2 COMPLETED 1", "a__3 COMPLETED 1", "end COMPLETED 1"}, w.newest("a__1", "a__2", "a__3", "end"))
	require.Equal(t, 3, w.task("l").Iteration)
}

func TestRerunFromAWaitWaitsAsLongAgain(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", simple("a", "a")+`,{"name":"nap","taskReferenceName":"nap","type":"WAIT","inputParameters":{"duration":"10 minutes"}}`)
	id := r.begin("w", `{}`)
	r.does("a")
	due := func() (started, due time.Time) {
		r.until(id, "it waits", func(w wireRun) bool { return w.task("nap").Status == "IN_PROGRESS" })
		nap, err := r.engine.Task(t.Context(), id, "nap")
		require.NoError(t, err)
		require.Equal(t, 10*time.Minute, nap.NextAttemptAt.Sub(*nap.StartedAt))
		return *nap.StartedAt, *nap.NextAttemptAt
	}
	_, first := due()
	require.NotEmpty(t, r.must("POST", "/tasks/"+id+"/nap/COMPLETED", `{}`))
	w := r.ends(id, "COMPLETED")
	r.rerun(id, w.task("nap").TaskID)
	began, second := due()
	require.True(t, second.After(first))
	require.GreaterOrEqual(t, began.UnixMilli(), w.EndTime)
	require.Equal(t, []string{"a COMPLETED 0", "nap IN_PROGRESS 1"}, r.get(id).newest("a", "nap"))
}

func TestRerunOfATaskTwoLevelsDown(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.levels()
	top, mid, leaf, bad := r.failed()
	require.Equal(t, []string{"FAILED", "FAILED"}, []string{r.get(mid).Status, r.get(leaf).Status})
	r.rerun(top, bad.TaskID, `,"taskInput":{"n":2}`) // the id in the path is what is answered
	l2 := r.works("l2")
	require.Equal(t, []any{leaf, map[string]any{"n": 2.0}, 1}, []any{l2.WorkflowInstanceID, l2.InputData, l2.RetryCount})
	for _, id := range []string{top, mid, leaf} {
		w := r.get(id)
		require.Equal(t, "RUNNING", w.Status)
		require.Empty(t, w.ReasonForIncompletion)
		require.Positive(t, w.LastRetriedTime)
	}
	require.Equal(t, "IN_PROGRESS", r.get(top).task("child").Status)
	r.report(l2, "COMPLETED")
	r.does("m2", "end")
	w := r.ends(top, "COMPLETED")
	require.Equal(t, mid, w.task("child").SubWorkflowID, "in place")
	require.Equal(t, leaf, r.get(mid).task("inner").SubWorkflowID)
	require.Equal(t, []string{"m1 COMPLETED 0", "m2 COMPLETED 0"}, r.get(mid).newest("m1", "m2"))

	// Of what has ended well, through the workflow between; what comes behind it runs again in all of them.
	r.rerun(mid, bad.TaskID)
	r.does("l2", "m2", "end")
	require.Equal(t, mid, r.ends(top, "COMPLETED").task("child").SubWorkflowID)

	message := fmt.Sprintf("Task %s not found", r.get(top).task("end").TaskID) // it is around it
	status := r.ask("POST", "/api/workflow/"+leaf+"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, r.get(top).task("end").TaskID))
	require.Equal(t, 400, status.Code)
	require.Contains(t, status.Body.String(), message)
}

func TestRerunOfASubWorkflowTaskStartsAFreshOne(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("kid", simple("k", "k"))
	r.define("w", sub("child", "kid", `,"inputParameters":{"n":1}`)+","+simple("end", "end"))
	id := r.begin("w", `{}`)
	seen := map[string]bool{r.does("k").WorkflowInstanceID: true}
	r.does("end")
	for range 2 {
		w := r.ends(id, "COMPLETED")
		r.rerun(id, w.task("child").TaskID)
		k := r.works("k")
		require.False(t, seen[k.WorkflowInstanceID], "a new id")
		seen[k.WorkflowInstanceID] = true
		require.Equal(t, k.WorkflowInstanceID, r.get(id).task("child").SubWorkflowID)
		require.Equal(t, "IN_PROGRESS", r.get(id).task("child").Status)
		r.report(k, "COMPLETED")
		r.does("end")
	}
	r.ends(id, "COMPLETED")
	for former := range seen {
		require.Equal(t, "COMPLETED", r.get(former).Status)
	}
}

func TestRerunBesideAChildThatRunsOrNeverBegan(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("one", simple("o", "o"))
	r.define("two", simple("t1", "t1")+","+simple("t2", "t2"))
	r.define("w", forked(sub("s1", "one"), sub("s2", "two"))+","+joined("s1", "s2")+","+sub("later", "one"))
	id := r.begin("w", `{}`)
	o := r.does("o")
	running := r.works("t1")
	r.until(id, "one has ended", func(w wireRun) bool { return w.task("s1").Status == "COMPLETED" })
	r.rerun(id, o.TaskID)
	require.Equal(t, running.WorkflowInstanceID, r.get(id).task("s2").SubWorkflowID)
	r.report(running, "COMPLETED") // nobody took it from its worker
	again := r.does("o")
	require.Equal(t, o.WorkflowInstanceID, again.WorkflowInstanceID)
	r.report(r.works("t2"), "FAILED")
	w := r.ends(id, "FAILED")
	require.Empty(t, w.task("later").TaskID)
	t2 := r.get(running.WorkflowInstanceID).task("t2")
	r.rerun(id, t2.TaskID) // the one that never began is not in the way
	r.does("t2", "o")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []string{"s1 COMPLETED 1", "s2 COMPLETED 1", "j COMPLETED 0", "later COMPLETED 0"}, w.newest("s1", "s2", "j", "later"))
	require.Equal(t, running.WorkflowInstanceID, w.task("s2").SubWorkflowID)
}

func TestAnOptionalChildLeavesItsParentAlone(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("kid", simple("k", "k"))
	r.define("w", sub("child", "kid", `,"optional":true`)+","+simple("end", "end"))
	id := r.begin("w", `{}`)
	k := r.works("k")
	r.report(k, "FAILED")
	r.does("end")
	before := r.ends(id, "COMPLETED")
	require.Equal(t, []string{"child COMPLETED_WITH_ERRORS", "end COMPLETED"}, before.lines())
	kid := k.WorkflowInstanceID
	r.rerun(kid, k.TaskID)
	r.does("k")
	r.ends(kid, "COMPLETED")
	require.Equal(t, before, r.get(id))
	require.Equal(t, []any{http.StatusNoContent, "", ""}, r.says("POST", "/workflow/"+kid+"/restart", ""))
	r.does("k")
	require.Zero(t, r.ends(kid, "COMPLETED").LastRetriedTime)
	require.Equal(t, before, r.get(id))

	// One that another took the place of is nobody's child any more.
	r.define("strict", sub("child", "kid"))
	id = r.begin("strict", `{}`)
	orphan := r.does("k")
	r.rerun(id, r.ends(id, "COMPLETED").task("child").TaskID)
	r.does("k")
	before = r.ends(id, "COMPLETED")
	r.rerun(orphan.WorkflowInstanceID, orphan.TaskID)
	r.does("k")
	r.ends(orphan.WorkflowInstanceID, "COMPLETED")
	require.Equal(t, before, r.get(id))
}

func TestRetryOfThreeLevels(t *testing.T) {
	t.Parallel()
	for query, fresh := range map[string]bool{"": true, "?resumeSubworkflowTasks=false": true, "?resumeSubworkflowTasks=true": false} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			r := worked(t)
			r.levels()
			top, mid, leaf, bad := r.failed()
			require.Equal(t, []any{http.StatusNoContent, "", ""}, r.says("POST", "/workflow/"+top+"/retry"+query, ""))
			if fresh {
				r.does("m1", "l1")
			}
			l2 := r.works("l2")
			require.Equal(t, fresh, l2.WorkflowInstanceID != leaf)
			if !fresh {
				require.Equal(t, []any{bad.TaskID, 1}, []any{l2.RetriedTaskID, l2.RetryCount})
			}
			r.report(l2, "COMPLETED")
			r.does("m2", "end")
			w := r.ends(top, "COMPLETED")
			now := w.task("child").SubWorkflowID
			require.Equal(t, fresh, now != mid)
			require.Positive(t, w.LastRetriedTime)
			require.Equal(t, []string{"m1 COMPLETED", "m2 COMPLETED"}, []string{r.get(now).lines()[0], r.get(now).lines()[len(r.get(now).Tasks)-1]})
			for _, ref := range []string{"m1", "m2"} { // none is there twice
				require.Zero(t, r.get(now).task(ref).RetryCount)
			}
		})
	}
}

func TestATimeoutCountsAnewAfterRetryAndRerun(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", simple("a", "a")+`,{"name":"h","taskReferenceName":"h","type":"HUMAN"}`, `,"timeoutSeconds":100,"timeoutPolicy":"TIME_OUT_WF"`)
	id := r.begin("w", `{}`)
	r.does("a")
	r.until(id, "h is there", func(w wireRun) bool { return w.task("h").Status == "IN_PROGRESS" })
	r.later(101 * time.Second)
	w := r.ends(id, "TIMED_OUT")
	require.Equal(t, []string{"a COMPLETED", "h CANCELED"}, w.lines(), "no task failed")
	for _, ask := range [][2]string{{"/retry", ""}, {"/rerun", fmt.Sprintf(`{"reRunFromTaskId":%q}`, w.task("h").TaskID)}} {
		before := r.get(id)
		r.must("POST", "/workflow/"+id+ask[0], ask[1])
		r.until(id, "h is there again", func(w wireRun) bool { return w.Status == "RUNNING" && w.task("h").Status == "IN_PROGRESS" })
		r.later(101 * time.Second)
		w = r.until(id, "its time is over again", func(w wireRun) bool { return w.Status == "TIMED_OUT" && w.EndTime > before.EndTime })
		require.GreaterOrEqual(t, w.LastRetriedTime, before.EndTime)
		require.GreaterOrEqual(t, w.EndTime, w.LastRetriedTime+100_000)
		require.Equal(t, "a COMPLETED 0", w.newest("a")[0])
		require.Equal(t, before.task("h").RetryCount+1, w.task("h").RetryCount)
	}
}

func TestJoinsOverPermissiveAndOptionalTasks(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", forked(simple("p", "p", `,"permissive":true`), simple("o", "o", `,"optional":true`), simple("b", "b"))+","+joined("p", "o", "b")+","+simple("end", "end"))
	id := r.begin("w", `{}`)
	r.report(r.works("p"), "FAILED")
	r.report(r.works("o"), "FAILED")
	b := r.works("b")
	w := r.get(id)
	require.Equal(t, []string{"RUNNING", "FAILED", "COMPLETED_WITH_ERRORS", "IN_PROGRESS"}, []string{w.Status, w.task("p").Status, w.task("o").Status, w.task("b").Status})
	r.report(b, "COMPLETED")
	w = r.ends(id, "FAILED")
	require.Equal(t, []string{"p FAILED 0", "o COMPLETED_WITH_ERRORS 0", "b COMPLETED 0"}, w.newest("p", "o", "b"))
	_, hits := r.answered("/api/workflow/search", map[string]string{"query": "workflowId=" + id})
	require.Equal(t, []string{"p"}, fieldsOf(hits, "failedReferenceTaskNames"))
	require.Equal(t, []string{"[p]"}, fieldsOf(hits, "failedTaskNames"))
	require.Equal(t, []any{http.StatusNoContent, "", ""}, r.says("POST", "/workflow/"+id+"/retry", ""))
	r.does("p", "end")
	w = r.ends(id, "COMPLETED")
	require.Equal(t, []string{"p COMPLETED 1", "o COMPLETED_WITH_ERRORS 0", "b COMPLETED 0", "end COMPLETED 0"}, w.newest("p", "o", "b", "end"))
	require.Equal(t, "COMPLETED", w.task("j").Status)
}

// TestWhatARerunReadsAgain: a task reads its input anew, also what the workflow was given with the rerun, but one that was given
// an input of its own keeps that.
func TestWhatARerunReadsAgain(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", simple("a", "a", `,"inputParameters":{"n":"${workflow.input.n}"}`)+","+simple("b", "b", `,"inputParameters":{"n":"${workflow.input.n}"}`))
	id := r.begin("w", `{"n":1}`)
	a := r.does("a")
	r.does("b")
	r.ends(id, "COMPLETED")
	input := func(n float64) map[string]any { return map[string]any{"n": n} }
	for _, c := range []struct {
		more string
		a, b float64
	}{{`,"workflowInput":{"n":2}`, 2, 2}, {`,"workflowInput":{"n":3},"taskInput":{"n":30}`, 30, 3}, {``, 30, 3}, {`,"workflowInput":{"n":4},"taskInput":{"n":40}`, 40, 4}} {
		r.rerun(id, a.TaskID, c.more)
		require.Equal(t, input(c.a), r.does("a").InputData, c.more)
		require.Equal(t, input(c.b), r.does("b").InputData, c.more)
		r.ends(id, "COMPLETED")
	}
}

func TestATerminatedChildAndATerminatedParent(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("kid", simple("k", "k"))
	r.define("w", sub("child", "kid")+","+simple("end", "end"))
	id := r.begin("w", `{}`)
	kid := r.works("k").WorkflowInstanceID
	require.Equal(t, []any{http.StatusOK, "", ""}, r.says("DELETE", "/workflow/"+kid+"?reason=enough", ""))
	w := r.ends(id, "TERMINATED")
	require.Equal(t, []string{"child CANCELED"}, w.lines())
	require.Equal(t, "enough", r.get(kid).ReasonForIncompletion)
	require.Equal(t, []any{http.StatusNoContent, "", ""}, r.says("POST", "/workflow/"+id+"/retry?resumeSubworkflowTasks=true", ""))
	k := r.works("k")
	require.Equal(t, kid, k.WorkflowInstanceID)

	require.Equal(t, []any{http.StatusOK, "", ""}, r.says("DELETE", "/workflow/"+id+"?reason=all+of+it", ""))
	w = r.ends(id, "TERMINATED")
	require.Equal(t, "all of it", w.ReasonForIncompletion)
	inner := r.ends(kid, "TERMINATED")
	require.Equal(t, "Parent workflow has been terminated with reason: all of it", inner.ReasonForIncompletion)
	require.Equal(t, "CANCELED", inner.task("k").Status)
	r.report(k, "COMPLETED") // too late
	require.Equal(t, "CANCELED", r.get(kid).task("k").Status)
}

// TestWhyAChildEnded: what ended the parent later is no reason of it.
func TestWhyAChildEnded(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("kid", simple("k", "k"))
	r.define("w", sub("child", "kid")+","+simple("end", "end"))
	id := r.begin("w", `{}`)
	kid := r.works("k").WorkflowInstanceID
	_, err := r.engine.SettleByHand(t.Context(), id, "child", engine.HandRequest{To: workflow.TaskSucceeded})
	require.NoError(t, err)
	own := r.ends(kid, "TERMINATED").ReasonForIncompletion
	require.Equal(t, "a part of another execution: superseded", own)
	r.works("end")
	r.must("DELETE", "/workflow/"+id+"?reason=enough", "")
	r.ends(id, "TERMINATED")
	require.Equal(t, own, r.get(kid).ReasonForIncompletion)
}

func TestWhatAPauseHolds(t *testing.T) {
	t.Parallel()
	r := worked(t)
	r.define("w", forked(simple("a", "a"), simple("b", "b"))+","+joined("a", "b")+","+simple("c", "c"))
	id := r.begin("w", `{}`)
	a := r.works("a")
	r.until(id, "b is there", func(w wireRun) bool { return w.task("b").Status == "SCHEDULED" })
	require.Equal(t, []any{http.StatusOK, "", ""}, r.says("PUT", "/workflow/"+id+"/pause", ""))
	r.report(a, "COMPLETED") // what a worker has it may end
	require.Equal(t, []any{http.StatusNoContent, "", ""}, r.says("GET", "/tasks/poll/b?workerid=w", ""))
	w := r.get(id)
	require.Equal(t, []string{"PAUSED", "COMPLETED", "SCHEDULED"}, []string{w.Status, w.task("a").Status, w.task("b").Status})
	require.Equal(t, []any{http.StatusOK, "", ""}, r.says("PUT", "/workflow/"+id+"/resume", ""))
	r.does("b", "c")
	require.Positive(t, r.ends(id, "COMPLETED").LastRetriedTime)
}
