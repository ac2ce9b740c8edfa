package engine

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/workflow"
)

// follow does what a settled transition calls for. Nothing here may fail the
// caller: what is not done now, a sweep does.
func (e *Engine) follow(ctx context.Context, id string, d *Document, p *program, s Settled) {
	e.relay(ctx, d, p, s.Relay)
	switch s.State {
	case StateEnded:
		e.ended(ctx, id, d.Parent, workflow.ExecutionSucceeded)
	case StateDecide:
		if err := e.Advance(ctx, id); err != nil {
			e.log.Warn("an execution could not be advanced; a sweep will", "execution", id, "error", err)
		}
	}
}

func (e *Engine) ended(ctx context.Context, id, parent string, status workflow.ExecutionStatus) {
	if parent != "" && !isAdvancing(ctx, parent) {
		defer func() { // its end put it on the parent's agenda
			if err := e.Advance(ctx, parent); err != nil {
				e.log.Warn("an execution could not be advanced; a sweep will", "execution", parent, "error", err)
			}
		}()
	}
	e.documents.Remove(id)
	e.metrics.ended(status)
	if !e.lister.add(id, nil) {
		e.indexed(ctx, id)
	}
}

// ahead answers the jobs that are bound to become ready: those of tasks that wait
// for nothing else and need no decision, in an execution that was never redriven,
// where every task's first job has attempt 1 and dispatch 1.
func (e *Engine) ahead(d *Document, p *program, id string, list []Successor) []Job {
	if len(list) > StepSize {
		return nil
	}
	var jobs []Job
	for _, s := range list {
		if s.Decide || s.Join {
			continue
		}
		if n := p.Node(s.Ref); e.fleet.serves(n.Queue, n.Type) {
			jobs = append(jobs, job(d, n, Fence{Execution: id, Ref: s.Ref, Attempt: 1, Dispatch: 1}))
		}
	}
	return jobs
}

// job says how a delivery is sent out.
func job(d *Document, n *workflow.Node, f Fence) Job {
	return Job{Fence: f, Type: n.Type, Queue: Lane(n.Queue, n.Priority, d.Priority), Timeout: n.Timeout, Project: d.Project}
}

// Lane is the asynq queue of a task: its queue's high lane for priorities 7 to
// 9, its low lane for 1 to 3. The task's priority beats the execution's.
func Lane(queue string, task, execution int) string {
	p := task
	if p == 0 {
		p = execution
	}
	switch {
	case p >= 7:
		return queue + ".high"
	case p >= 1 && p <= 3:
		return queue + ".low"
	}
	return queue
}

// Lanes are the asynq queues that a queue consists of, the most urgent first.
func Lanes(queue string) []string { return []string{queue + ".high", queue, queue + ".low"} }

// relay sends jobs out; those that no live worker serves wait until one does.
func (e *Engine) relay(ctx context.Context, d *Document, p *program, fences []Fence) {
	if len(fences) == 0 {
		return
	}
	jobs := make([]Job, 0, len(fences))
	var offers []Job
	for _, f := range fences {
		at, ok := p.Place(f.Ref)
		if !ok {
			continue
		}
		switch e.way(ctx, d.Project, at.Node) {
		case wayNone:
			if err := e.store.Look(ctx, f, unservedPause, ReasonNoWorker); err != nil {
				e.log.Warn("a waiting task could not be noted", "execution", f.Execution, "task", f.Ref, "error", err)
			}
			e.unmet.add(f, d.Project, at.Node)
			if e.fleet.way(d.Project, at.Node) != wayNone { // somebody came just now
				e.sendUnmet(ctx)
			}
		case wayRemote:
			offers = append(offers, job(d, at.Node, f))
		case wayAsynq:
			jobs = append(jobs, job(d, at.Node, f))
		}
	}
	if _, err := e.store.Relay(ctx, jobs); err != nil {
		e.log.Warn("jobs could not be sent out; a sweep will", "execution", fences[0].Execution, "error", err)
	}
	if len(offers) == 0 {
		return
	}
	if _, err := e.store.Offer(ctx, offers); err != nil {
		e.log.Warn("jobs could not be offered to remote workers; a sweep will", "execution", fences[0].Execution, "error", err)
	}
}

// ReasonNoWorker is the reason of a queued task whose type and queue no live worker serves.
const ReasonNoWorker = "no_worker"

// ReasonDelivered is the reason of a queued task whose job a worker took and has not claimed.
const ReasonDelivered = "delivered"

const unservedPause = time.Second

// freshView is how old a look at the fleet may be to say that nobody serves a task.
const freshView = 200 * time.Millisecond

// way says how a task reaches a live worker. One that came only now is not
// overlooked: its first task would otherwise wait for sweeps.
func (e *Engine) way(ctx context.Context, project string, n *workflow.Node) way {
	if w := e.fleet.way(project, n); w != wayNone || !e.fleet.stale() {
		return w
	}
	if err := e.lookAtFleet(ctx); err != nil {
		e.log.Warn("the live workers could not be read", "error", err)
		return wayNone
	}
	return e.fleet.way(project, n)
}

// fleetView is what this process knows of the live workers.
type fleetView struct {
	mu     sync.RWMutex
	served map[string]struct{}        // queue + "\x00" + type, by worker processes
	remote map[string]map[string]bool // the same by remote workers -> the projects they take it of; nil = all
	queues []string
	looked time.Time
}

// stale answers true to one caller, who then looks again.
func (v *fleetView) stale() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.looked) < freshView {
		return false
	}
	v.looked = time.Now()
	return true
}

func (v *fleetView) serves(queue, taskType string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	_, ok := v.served[queue+"\x00"+taskType]
	return ok
}

func (v *fleetView) set(workers []Worker) {
	served, remote := map[string]struct{}{}, map[string]map[string]bool{}
	var queues []string
	for _, w := range workers {
		for q := range w.Queues {
			if !slices.Contains(queues, q) {
				queues = append(queues, q)
			}
		}
		if w.Remote {
			addRemote(remote, w)
			continue
		}
		for q := range w.Queues {
			for _, t := range w.Types {
				served[q+"\x00"+t] = struct{}{}
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.served, v.remote, v.queues, v.looked = served, remote, queues, time.Now()
}

// names are the queues that live workers serve, sorted.
func (v *fleetView) names() []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.Sorted(slices.Values(v.queues))
}

// catalog adds the types that live workers announced to those that are known with their schemas.
func (v *fleetView) catalog(known workflow.Catalog) workflow.Catalog {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := maps.Clone(known)
	if all == nil {
		all = workflow.Catalog{}
	}
	add := func(place string) {
		_, taskType, _ := strings.Cut(place, "\x00")
		if _, ok := all[taskType]; !ok {
			all[taskType] = nil
		}
	}
	for place := range v.served {
		add(place)
	}
	for place := range v.remote {
		add(place)
	}
	return all
}

// lookAtFleet refreshes what this process knows of the live workers, and sends out what waited for those that came.
func (e *Engine) lookAtFleet(ctx context.Context) error {
	workers, err := e.store.Workers(ctx)
	if err != nil {
		return err
	}
	e.fleet.set(workers)
	e.sendUnmet(ctx)
	return nil
}
