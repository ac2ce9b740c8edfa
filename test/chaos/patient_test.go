package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

const (
	workshopPart = `
name: part
tasks: [{ name: work, type: journal, with: { ms: 150, until: "${workflow.input.until}" } }, { name: more, needs: [work], type: journal, with: { ms: 5 } }]
output: "${tasks.more.output}"
`
	workshop = `
name: workshop
tasks:
  - { name: load, type: journal, with: { ms: 100 } }
  - { name: each, needs: [load], type: journal, for_each: { items: "${workflow.input.items}", key: "${item.id}", max_parallel: 3 }, with: { ms: "${item.ms}", until: "${item.until}" } }
  - { name: sub, needs: [load], type: workflow, with: { name: part, input: { until: "${workflow.input.until}" } } }
  - { name: sum, needs: [each, sub], type: journal, with: { ms: "${tasks.each.output[1]}" } }
`
)

// mending is one way to redrive an execution of the workshop, and what is to come of it.
type mending struct {
	breaks  [2]bool // item b, the sub-workflow
	thrown  bool    // the switch, before it is redriven
	request func(input func(ms int) client.JSON) (rerun bool, r client.RedriveRequest)
	// attempts of tasks in the end, those of the sub-workflow behind "sub/"; 1 for all others.
	attempts map[string]int
	anew     bool
}

var mendings = map[string]mending{
	"retry": {
		breaks: [2]bool{true, true}, thrown: true,
		request:  func(func(int) client.JSON) (bool, client.RedriveRequest) { return false, client.RedriveRequest{} },
		attempts: map[string]int{"each": 2, "each[b]": 2, "sub": 2, "sub/work": 2},
	},
	"rerun from an item": {
		request: func(func(int) client.JSON) (bool, client.RedriveRequest) {
			return true, client.RedriveRequest{From: []string{"each[b]"}}
		},
		attempts: map[string]int{"each": 2, "each[b]": 2, "sum": 2},
	},
	"rerun what changed": {
		request: func(input func(int) client.JSON) (bool, client.RedriveRequest) {
			return true, client.RedriveRequest{Scope: "changed", WorkflowInput: input(333)}
		},
		attempts: map[string]int{"each": 2, "each[b]": 2, "sum": 2},
	},
	"retry with overrides": {
		breaks: [2]bool{true, false},
		request: func(func(int) client.JSON) (bool, client.RedriveRequest) {
			return false, client.RedriveRequest{
				From: []string{"each[b]"}, TaskInput: map[string]client.JSON{"each[b]": client.JSON(`{"ms":7}`)}, Reason: "by another way",
			}
		},
		attempts: map[string]int{"each": 2, "each[b]": 2},
	},
	"into a new execution": {
		breaks: [2]bool{true, false}, thrown: true, anew: true,
		request: func(func(int) client.JSON) (bool, client.RedriveRequest) {
			return false, client.RedriveRequest{Identity: "new_execution"}
		},
	},
}

// patient is one execution that is redriven once, by two callers who know nothing of each other.
type patient struct {
	mending
	what   string
	number int
	api    *client.Client
	file   string // the switch

	named atomic.Value // id, for others

	id, made string // the execution, and the one that ran in the end
	source   *evidence
	final    *evidence
	inner    *evidence // its sub-execution
	redrives []client.Redriven
}

func (p *patient) input(ms int) client.JSON {
	until := map[bool]string{true: p.file}
	return client.JSON(fmt.Sprintf(`{"until": %q, "items": [{"id": "a", "ms": 100, "until": ""}, {"id": "b", "ms": %d, "until": %q}, {"id": "c", "ms": 150, "until": ""}, {"id": "d", "ms": 50, "until": ""}]}`,
		until[p.breaks[1]], ms, until[p.breaks[0]]))
}

// insist calls until there is an answer; a refusal ends it.
func insist(ctx context.Context, call func(context.Context) (done bool, err error)) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		done, err := call(one)
		cancel()
		var refused *client.Error
		if done && err == nil || errors.As(err, &refused) && refused.Status < 500 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last answer: %w", ctx.Err(), err)
		case <-again.C:
		}
	}
}

// live starts it, breaks it, redrives it and waits for its end.
func (p *patient) live(ctx context.Context) error {
	err := insist(ctx, func(ctx context.Context) (bool, error) {
		x, _, err := p.api.Start(ctx, "default", client.StartRequest{Workflow: "workshop", IdempotencyKey: fmt.Sprintf("start-%d", p.number), Input: p.input(200)})
		if err == nil {
			p.id = x.ID
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	p.named.Store(p.id)
	first := map[bool]string{false: "succeeded", true: "failed"}[p.breaks != [2]bool{}]
	if p.source, err = p.ends(ctx, p.id, first); err != nil {
		return fmt.Errorf("the first time: %w", err)
	}
	if p.thrown {
		if err := os.WriteFile(p.file, nil, 0o600); err != nil {
			return fmt.Errorf("throwing the switch: %w", err)
		}
	}
	if err := p.redrive(ctx); err != nil {
		return fmt.Errorf("redriving %s: %w", p.id, err)
	}
	if p.anew { // the former one goes when its retention is over
		if err := p.gather(ctx, p.source); err != nil {
			return err
		}
	}
	if p.final, err = p.ends(ctx, p.made, "succeeded"); err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	if p.anew {
		return nil
	}
	return p.gather(ctx, p.final)
}

// redrive asks twice at once, each until there is an answer, and a third time when it has one.
func (p *patient) redrive(ctx context.Context) error {
	rerun, r := p.request(p.input)
	r.IdempotencyKey = fmt.Sprintf("redrive-%d", p.number)
	ask := func(made *string) error {
		return insist(ctx, func(ctx context.Context) (bool, error) {
			do := p.api.Retry
			if rerun {
				do = p.api.Rerun
			}
			x, err := do(ctx, p.id, r)
			if err == nil {
				*made = x.ID
			}
			return true, err
		})
	}
	var made [3]string
	var errs [2]error
	var both sync.WaitGroup
	for i := range errs {
		both.Go(func() { errs[i] = ask(&made[i]) })
	}
	both.Wait()
	if err := errors.Join(errs[0], errs[1], ask(&made[2])); err != nil {
		return err
	}
	if p.made = made[0]; made[1] != p.made || made[2] != p.made || p.anew != (p.made != p.id) {
		return fmt.Errorf("one key made %v", made)
	}
	return nil
}

// ends waits for the end of an execution, and answers what is known of it then.
func (p *patient) ends(ctx context.Context, id, status string) (e *evidence, err error) {
	err = insist(ctx, func(ctx context.Context) (bool, error) {
		x, err := p.api.Execution(ctx, id)
		if err != nil || x.EndedAt == nil {
			return false, err
		}
		e = &evidence{execution: *x}
		for task, err := range p.api.Tasks(ctx, id) {
			if err != nil {
				return false, err
			}
			e.tasks = append(e.tasks, task)
		}
		for event, err := range p.api.History(ctx, id) {
			if err != nil {
				return false, err
			}
			e.events = append(e.events, event)
		}
		return true, nil
	})
	if err == nil && string(e.execution.Status) != status {
		err = fmt.Errorf("%s is %s: %+v%s", id, e.execution.Status, e.execution.Error, failures(e.tasks))
	}
	return e, err
}

// gather reads what there is beside the execution: its sub-execution, and its redrives.
func (p *patient) gather(ctx context.Context, of *evidence) (err error) {
	for _, task := range of.tasks {
		if task.Ref != "sub" {
			continue
		}
		if p.inner, err = p.ends(ctx, task.Child, "succeeded"); err != nil {
			return fmt.Errorf("its sub-execution: %w", err)
		}
	}
	return insist(ctx, func(ctx context.Context) (bool, error) {
		p.redrives = nil
		for r, err := range p.api.Redrives(ctx, p.id) {
			if err != nil {
				return false, err
			}
			p.redrives = append(p.redrives, r)
		}
		return true, nil
	})
}

// judge holds what became of it to one redrive with one effect, and takes from ran what its handlers started.
func (p *patient) judge(t *testing.T, ran map[string]int) (accepted int) {
	t.Helper()
	what := p.what + " " + p.id
	require.Len(t, p.redrives, 1, what)
	attempts := map[string]int{}
	redriven := map[string]int{}
	for _, e := range []*evidence{p.final, p.inner} {
		prefix := ""
		if e == p.inner {
			prefix = "sub/"
		}
		for _, task := range e.tasks {
			attempts[prefix+task.Ref] = task.Attempt
			require.EqualValues(t, "succeeded", task.Status, "%s %s", what, task.Ref)
			require.LessOrEqual(t, task.Try, 1, "a crash costs no try: %s %s", what, task.Ref)
			if task.Type != "journal" || task.Ref == "each" {
				continue
			}
			first := 1
			if p.anew && kept(p.source, task.Ref) {
				first = task.Attempt + 1 // it ran in the former execution
			}
			for n := first; n <= task.Attempt; n++ {
				key := fmt.Sprintf("%s:%s:%d", e.execution.ID, task.Ref, n)
				require.NotZero(t, ran[key], "%s: attempt %d of %s never ran", what, n, task.Ref)
				delete(ran, key)
				accepted++
			}
		}
		for _, event := range e.events {
			if event.Type == "execution.redriven" {
				redriven[prefix]++
			}
		}
	}
	want := map[string]int{"load": 1, "each": 1, "each[a]": 1, "each[b]": 1, "each[c]": 1, "each[d]": 1, "sub": 1, "sum": 1, "sub/work": 1, "sub/more": 1}
	maps.Copy(want, p.attempts)
	require.Equal(t, want, attempts, what)
	inner := 0
	if p.breaks[1] {
		inner = 1
	}
	require.Equal(t, inner, redriven["sub/"], what)
	if !p.anew {
		require.Equal(t, []int{1, 1}, []int{p.final.execution.Redrives, redriven[""]}, what)
		return accepted
	}
	require.Equal(t, p.made, p.redrives[0].Into, what)
	require.Zero(t, p.source.execution.Redrives, what)
	for _, task := range p.source.tasks {
		if key := fmt.Sprintf("%s:%s:%d", p.id, task.Ref, task.Attempt); task.Type == "journal" && ran[key] > 0 {
			delete(ran, key)
			accepted++
		}
	}
	return accepted
}

func kept(e *evidence, ref string) bool {
	return slices.ContainsFunc(e.tasks, func(t client.Task) bool { return t.Ref == ref && t.Status == "succeeded" })
}
