package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// startSurely starts an execution however often the answer gets lost.
func (l *load) startSurely(workflow, key, input string) (id string) {
	l.t.Helper()
	fleet.Await(l.t, patience, "an execution of "+workflow+" is accepted", func() bool {
		ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
		defer cancel()
		x, _, err := l.f.API.Start(ctx, "default", client.StartRequest{Workflow: workflow, IdempotencyKey: key, Input: client.JSON(input)})
		if err == nil {
			id = x.ID
		}
		return err == nil
	})
	return id
}

// gather reads an execution once it has ended, and nil before.
func (l *load) gather(id string) *evidence {
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	x, err := l.f.API.Execution(ctx, id)
	if err != nil || x.EndedAt == nil {
		return nil
	}
	e := &evidence{execution: *x}
	for task, err := range l.f.API.Tasks(ctx, id) {
		if err != nil {
			return nil
		}
		e.tasks = append(e.tasks, task)
	}
	return e
}

// outlive waits for the ends of executions under plagues, and answers what is known of each and of its sub-executions.
func (l *load) outlive(ids []string, plagues ...plague) map[string]*evidence {
	l.t.Helper()
	known := map[string]*evidence{}
	due, counts := make([]time.Time, len(plagues)), make([]int, len(plagues))
	for i, p := range plagues {
		due[i] = time.Now().Add(p.every)
	}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(form(patience, 3*patience)); ; {
		if time.Now().After(deadline) {
			l.ids, l.collected = ids, known
			l.t.Fatalf("%d of %d executions have ended; the others: %s", len(known), len(ids), l.missing())
		}
		<-look.C
		var wanted []string
		for _, id := range ids {
			if known[id] == nil {
				wanted = append(wanted, id)
			}
		}
		for len(wanted) > 0 {
			id := wanted[0]
			wanted = wanted[1:]
			e := l.gather(id)
			if e == nil {
				break // one at a time
			}
			known[id] = e
			children, err := l.client.SMembers(l.t.Context(), queuetest.ShardKey(id, "k:"+id)).Result()
			require.NoError(l.t, err)
			wanted, ids = append(wanted, children...), append(ids, children...)
		}
		if len(known) == len(ids) {
			return known
		}
		for i, p := range plagues {
			if time.Now().After(due[i]) {
				p.do(counts[i])
				due[i] = time.Now().Add(p.every)
				counts[i]++
			}
		}
	}
}

// judgeAll holds every task of every execution to one success at its first
// attempt, and what the handlers wrote to that and to what was in flight at the kills.
func (l *load) judgeAll(known map[string]*evidence) figures {
	l.t.Helper()
	g := figures{executions: len(known), kills: len(l.kills)}
	ran := map[string]int{}
	for _, e := range l.entries() {
		if e.What == "start" {
			ran[e.attempt()]++
			g.starts++
		}
	}
	for id, e := range known {
		require.EqualValues(l.t, "succeeded", e.execution.Status, "%s: %+v, tasks: %s", id, e.execution.Error, failures(e.tasks))
		for _, task := range e.tasks {
			require.EqualValues(l.t, "succeeded", task.Status, "%s %s", id, task.Ref)
			require.Equal(l.t, []int{1, 1}, []int{task.Attempt, task.Try}, "a crash costs no try: %s %s", id, task.Ref)
			if task.Type == "journal" && !holds(e.tasks, task.Ref) {
				g.accepted++
				key := fmt.Sprintf("%s:%s:1", id, task.Ref)
				require.NotZero(l.t, ran[key], "%s succeeded and never ran", key)
				delete(ran, key)
			}
		}
	}
	require.Empty(l.t, ran, "what ran is of no task")
	require.LessOrEqual(l.t, g.starts, g.accepted+len(l.kills)*concurrency, "more handlers started than were in flight at the kills")
	return g
}

func failures(tasks []client.Task) string {
	var b strings.Builder
	for _, task := range tasks {
		if task.Status != "succeeded" {
			fmt.Fprintf(&b, "\n%s %s %s %+v", task.Ref, task.Status, task.Reason, task.Error)
		}
	}
	return b.String()
}

// holds reports whether a task is a for_each with items.
func holds(tasks []client.Task, ref string) bool {
	return slices.ContainsFunc(tasks, func(t client.Task) bool { return strings.HasPrefix(t.Ref, ref+"[") })
}

// TestKillsUnderAWideForEach kills the workers of one execution of many items.
func TestKillsUnderAWideForEach(t *testing.T) {
	parallel(t)
	items, kills := form(200, 1000), form(2, 6)
	l := newLoad(t, queuetest.URL(t), 0, 30*time.Second)
	l.dynamic = true
	l.f.Publish(`
name: wide
tasks: [{ name: each, type: journal, for_each: { items: "${lists.range(workflow.input.n)}" }, with: { ms: 100 } }]
`)
	began := time.Now()
	id := l.startSurely("wide", "wide", fmt.Sprintf(`{"n": %d}`, items))
	known := l.outlive([]string{id}, plague{form(700*time.Millisecond, time.Second), func(n int) {
		if n < kills {
			l.killWorker(n)
		}
	}})
	took := time.Since(began)
	require.Len(t, known[id].tasks, 1+items)
	g := l.judgeAll(known)
	require.Equal(t, items, g.accepted)
	require.Positive(t, g.kills)
	l.settle()
	l.vanish()
	t.Logf("SUMMARY %s in %s: %s", t.Name(), round(took), g)
}

// nest runs executions of everything in everything while workers and the server are killed.
func nest(t *testing.T, redisURL string) {
	t.Helper()
	l := newLoad(t, redisURL, 0, 30*time.Second)
	l.dynamic = true
	l.f.Publish(`
name: inner
tasks: [{ name: work, type: journal, with: { ms: 20 } }, { name: more, needs: [work], type: journal, for_each: { items: [1, 2] }, with: { ms: "${item}" } }]
`)
	l.f.Publish(`
name: nest
tasks:
  - name: each
    type: group
    for_each: { items: [1, 2, 3, 4], max_parallel: 3 }
    tasks:
      - name: poll
        type: loop
        until: "${iteration.number >= 3}"
        tasks: [{ name: pause, type: wait, with: { duration: 100ms } }, { name: step, needs: [pause], type: journal, with: { ms: 50 } }]
      - { name: sub, needs: [poll], type: workflow, with: { name: inner } }
      - { name: last, needs: [sub], type: journal, with: { ms: 10 } }
`)
	began := time.Now()
	var ids []string
	for n := range form(6, 40) {
		ids = append(ids, l.startSurely("nest", fmt.Sprintf("nest-%d", n), `{}`))
	}
	kills := form(4, 16)
	known := l.outlive(ids, plague{form(600*time.Millisecond, 2*time.Second), func(n int) {
		if n < kills {
			l.killWorker(n)
			if n%2 == 1 {
				l.killServer()
			}
		}
	}})
	took := time.Since(began)
	g := l.judgeAll(known)
	require.Len(t, known, 5*len(ids), "each of them had four sub-workflows")
	require.Positive(t, g.kills)
	l.settle()
	l.vanish()
	t.Logf("SUMMARY %s in %s: %s", t.Name(), round(took), g)
}

func TestKillsUnderNesting(t *testing.T) {
	parallel(t)
	nest(t, queuetest.URL(t))
}

func TestKillsUnderNestingOnCluster(t *testing.T) {
	parallel(t)
	nest(t, queuetest.Cluster(t))
}
