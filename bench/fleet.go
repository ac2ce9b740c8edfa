package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
)

const project = engine.DefaultProject

// fleet is Redrive at its default settings: engine, pump and one worker.
type fleet struct {
	store  *queue.Redis
	waker  *queue.Waker
	engine *engine.Engine
	pump   *engine.Pump
	worker *worker.Worker
	ended  chan struct{} // one per execution, from its last task
	once   sync.Once
}

func newFleet(ctx context.Context, url string) (*fleet, error) {
	f := &fleet{ended: make(chan struct{}, 1<<16)}
	o := queue.DefaultOptions()
	o.URL = url
	var err error
	if f.store, err = queue.Open(ctx, o); err != nil {
		return nil, err
	}
	f.waker = queue.NewWaker(f.store.Client(), nil)
	if err := f.waker.Start(ctx); err != nil {
		return nil, err
	}
	f.store.UseWaker(f.waker)
	eo := engine.DefaultOptions()
	eo.Store = f.store
	types, err := f.types()
	if err != nil {
		return nil, err
	}
	eo.Catalog = types.Catalog()
	if f.engine, err = engine.New(eo); err != nil {
		return nil, err
	}
	f.pump = engine.NewPump(f.engine)
	if err := f.pump.Start(ctx); err != nil {
		return nil, err
	}
	wo := worker.DefaultOptions()
	wo.Concurrency, wo.Types, wo.Engine, wo.Client, wo.NewClient, wo.Waker = concurrency, types, f.engine, f.store.Client(), f.store.NewClient, f.waker
	wo.Claims = f.store.Claims(wo.ID, wo.Lease)
	if f.worker, err = worker.New(wo); err != nil {
		return nil, err
	}
	if err := f.worker.Start(ctx); err != nil {
		return nil, err
	}
	return f, f.publish(ctx)
}

// types are a no-op and one that says that its execution came to its end.
func (f *fleet) types() (*tasks.Registry, error) {
	handler := func(name string, run func()) tasks.Type {
		return tasks.Type{Name: name, Handler: tasks.HandlerFunc(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
			run()
			return job.Input, nil
		})}
	}
	return tasks.NewRegistry(handler("step", func() {}), handler("last", func() { f.ended <- struct{}{} }), tasks.New("clock", func(_ context.Context, _ *tasks.Job, _ struct{}) (int64, error) { return time.Now().UnixMicro(), nil }))
}

func (f *fleet) publish(ctx context.Context) error {
	var chain, fan strings.Builder
	chain.WriteString("name: chain\ntasks:\n  - { name: t0, type: step }\n")
	for i := 1; i < chainLength; i++ {
		kind := "step"
		if i == chainLength-1 {
			kind = "last"
		}
		fmt.Fprintf(&chain, "  - { name: t%d, type: %s, needs: [t%d] }\n", i, kind, i-1)
	}
	fan.WriteString("name: fan\ntasks:\n  - { name: root, type: step }\n")
	leaves := make([]string, fanWidth)
	for i := range leaves {
		leaves[i] = fmt.Sprintf("leaf%d", i)
		fmt.Fprintf(&fan, "  - { name: %s, type: step, needs: [root] }\n", leaves[i])
	}
	fmt.Fprintf(&fan, "  - { name: join, type: last, needs: [%s] }\n", strings.Join(leaves, ", "))
	for _, source := range []string{chain.String(), fan.String(), "name: hop\ntasks:\n  - { name: t, type: clock }\n"} {
		if _, err := f.engine.Publish(ctx, project, []byte(source), false); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) run(ctx context.Context, name string, n int) error {
	for range n {
		if _, _, err := f.engine.Start(ctx, project, engine.StartRequest{Workflow: name}); err != nil {
			return err
		}
	}
	for range n {
		<-f.ended
	}
	return nil
}

// hop answers how long after it was asked for a task began to run, in µs.
func (f *fleet) hop(ctx context.Context) (int64, error) {
	began := time.Now().UnixMicro()
	x, _, err := f.engine.Start(ctx, project, engine.StartRequest{Workflow: "hop"})
	if err != nil {
		return 0, err
	}
	for after := ""; ; {
		events, ended, err := f.engine.Watch(ctx, x.ID, after)
		if err != nil {
			return 0, err
		}
		if ended {
			break
		}
		after = events[len(events)-1].Seq
	}
	task, err := f.engine.Task(ctx, x.ID, "t")
	if err != nil {
		return 0, err
	}
	var at int64
	if err := json.Unmarshal(task.Output, &at); err != nil {
		return 0, fmt.Errorf("the hop did not run: %s: %w", task.Status, err)
	}
	return at - began, nil
}

func (f *fleet) stop() {
	f.once.Do(func() {
		ctx := context.Background()
		if f.worker != nil {
			_ = f.worker.Stop(ctx)
		}
		_ = f.pump.Stop(ctx)
		_ = f.waker.Stop(ctx)
		_ = f.store.Close()
	})
}
