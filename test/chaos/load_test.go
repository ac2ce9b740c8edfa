package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
	"github.com/redrive/redrive/workflow"
	"github.com/redrive/redrive/workflow/workflowtest"
)

const graphTasks = 20

// load is a fleet of a server and two workers under executions of random
// graphs, and what is known of each.
type load struct {
	t       *testing.T
	f       *fleet.Fleet
	journal string
	binary  string
	args    []string // of the workers
	graphs  []*workflow.Definition

	server  *fleet.Process
	workers [2]*fleet.Process
	kills   map[int]time.Time // when a worker, by pid, was killed
	outages int               // how often Redis itself was killed
	dynamic bool              // the graphs of its executions are not known beforehand

	client    redis.UniversalClient
	planned   int
	audits    int
	ids       []string       // of executions that were accepted
	graphOf   map[string]int // execution -> its graph
	collected map[string]*evidence
}

// evidence is what the API told of an ended execution.
type evidence struct {
	execution client.Execution
	events    []client.Event
	tasks     []client.Task
}

const concurrency = 10

func newLoad(t *testing.T, redisURL string, executions int, retention time.Duration, args ...string) *load {
	t.Helper()
	binary, err := fleet.Build(fleet.Journal)
	require.NoError(t, err)
	l := &load{
		t: t, f: fleet.New(t, redisURL, "--retention", retention.String(), "--log-level", "info"), journal: t.TempDir() + "/journal", binary: binary,
		args:  append([]string{"--allow-exec", "true", "--concurrency", fmt.Sprint(concurrency)}, args...),
		kills: map[int]time.Time{}, planned: executions, graphOf: map[string]int{}, collected: map[string]*evidence{},
	}
	l.client = l.f.Client()
	l.server = l.f.Server()
	for i := range l.workers {
		l.workers[i] = l.launch()
	}
	for seed := range 10 {
		d := chaotic(int64(seed))
		l.graphs = append(l.graphs, d)
		_, err := l.f.API.Publish(t.Context(), "default", d.Canonical(), false)
		require.NoError(t, err)
	}
	return l
}

func (l *load) launch() *fleet.Process {
	return l.f.LaunchWorker(l.binary, []string{"JOURNAL=" + l.journal}, l.args...)
}

// chaotic is a random graph of tasks of a few ms and two that are easy to hit.
func chaotic(seed int64) *workflow.Definition {
	d := workflowtest.Random(seed, graphTasks)
	d.Name = fmt.Sprintf("chaos-%d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	for i := range d.Tasks {
		t := &d.Tasks[i]
		switch kind := r.IntN(10); {
		case i%9 == 5:
			t.Type, t.With = "journal", json.RawMessage(`{"ms":150}`)
		case kind < 5:
			t.Type, t.With = "journal", json.RawMessage(fmt.Sprintf(`{"ms":%d}`, 1+r.IntN(20)))
		case kind < 7:
			t.Type, t.With = "transform", json.RawMessage(`{"value":[1,2,3],"jq":"add"}`)
		case kind < 8:
			t.Type, t.With = "exec", json.RawMessage(`{"command":["true"]}`)
		}
	}
	return d
}

// start asks for one more execution, the same one again after an answer that
// got lost, and says whether that was accepted.
func (l *load) start() bool {
	n := len(l.ids)
	graph := n % len(l.graphs)
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Second)
	defer cancel()
	x, _, err := l.f.API.Start(ctx, "default", client.StartRequest{
		Workflow: l.graphs[graph].Name, IdempotencyKey: fmt.Sprintf("chaos-%d", n), Input: client.JSON(`{"n":` + fmt.Sprint(n) + `}`),
	})
	if err != nil {
		return false
	}
	l.ids = append(l.ids, x.ID)
	l.graphOf[x.ID] = graph
	return true
}

// collect reads what is known of executions that have ended, before retention takes them.
func (l *load) collect() {
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	limit := 1000
	list, err := l.f.API.ExecutionPage(ctx, "default", &client.ListExecutionsParams{Limit: &limit})
	if err != nil {
		return // the server or Redis is being killed: later
	}
	read := 0
	for _, x := range list.Items {
		if x.EndedAt == nil || l.collected[x.ID] != nil {
			continue
		}
		e := &evidence{execution: x}
		for event, err := range l.f.API.History(ctx, x.ID) {
			if err != nil {
				return
			}
			e.events = append(e.events, event)
		}
		for task, err := range l.f.API.Tasks(ctx, x.ID) {
			if err != nil {
				return
			}
			e.tasks = append(e.tasks, task)
		}
		l.collected[x.ID] = e
		if read++; read == 25 {
			return
		}
	}
}

// plague is what happens to a load while it runs: every so often, until all has ended.
type plague struct {
	every time.Duration
	do    func(n int) // the n-th time, from 0
}

// run starts all executions, spread over a time, under a plague, and waits for their ends.
func (l *load) run(over time.Duration, plagues ...plague) {
	l.t.Helper()
	next := time.NewTicker(over / time.Duration(l.planned))
	defer next.Stop()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	due, counts := make([]time.Time, len(plagues)), make([]int, len(plagues))
	for i, p := range plagues {
		due[i] = time.Now().Add(p.every)
	}
	deadline := time.Now().Add(over + patience)
	for len(l.collected) < l.planned {
		if time.Now().After(deadline) {
			l.t.Fatalf("after %s %d of %d executions have ended; the others: %s", over+patience, len(l.collected), l.planned, l.missing())
		}
		select {
		case <-next.C:
			if len(l.ids) < l.planned {
				l.start()
			}
		case <-look.C:
			l.collect()
			l.audit()
		}
		for i, p := range plagues {
			if time.Now().After(due[i]) {
				due[i] = time.Now().Add(p.every)
				p.do(counts[i])
				counts[i]++
			}
		}
	}
}

// missing describes executions that have not ended.
func (l *load) missing() string {
	var b strings.Builder
	for _, id := range l.ids {
		if l.collected[id] != nil || b.Len() > 4000 {
			continue
		}
		x, err := l.f.API.Execution(context.Background(), id)
		if err != nil {
			fmt.Fprintf(&b, "\n%s: %v", id, err)
			continue
		}
		fmt.Fprintf(&b, "\n%s %s %v:", id, x.Status, x.TasksSummary)
		for task, err := range l.f.API.Tasks(context.Background(), id) {
			if err == nil && task.EndedAt == nil {
				fmt.Fprintf(&b, " %s=%s(%d/%d %s)", task.Ref, task.Status, task.Attempt, task.Dispatch, task.Reason)
			}
		}
	}
	return b.String()
}

// killWorker kills one of the workers and starts another in its place.
func (l *load) killWorker(n int) {
	i := n % len(l.workers)
	pid := l.workers[i].PID()
	l.kills[pid] = time.Now()
	l.workers[i].Kill()
	l.workers[i] = l.launch()
}

// killServer kills the server and starts it again.
func (l *load) killServer() {
	l.server.Kill()
	l.server = l.f.Server()
}

// needs is the Graphs of the load.
func (l *load) needs(id string) (map[string][]string, error) {
	if l.dynamic {
		return nil, nil
	}
	g, ok := l.graphOf[id]
	if !ok {
		return nil, fmt.Errorf("%s was never accepted", id)
	}
	needs := map[string][]string{}
	for _, t := range l.graphs[g].Tasks {
		needs[t.Name] = t.Needs
	}
	return needs, nil
}
