package engine

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/redrive/redrive/workflow"
)

// lookingAtOnce is how many tasks are evaluated at once to foresee what they would see.
const lookingAtOnce = 16

// foresight evaluates what tasks of an execution would see now.
type foresight struct {
	e     *Engine
	m     *redriving
	c     *workflow.Case
	f     *facts
	d     *Document
	given map[string]json.RawMessage // inputs that the request gives, by ref
	input workflow.DecodedInput
	mu    sync.Mutex
	items map[string]*workflow.Item // as they would be, by ref
}

// foresee evaluates, as far as it can be known, the lists of for_each tasks and the
// inputs of tasks as they would be now: what their predecessors gave, with the new input.
func (e *Engine) foresee(ctx context.Context, m *redriving, c *workflow.Case, r *workflow.Redrive) error {
	changed := r.Scope == workflow.ScopeChanged
	relists := r.Operation == workflow.OperationRetry && (c.InputChanged || c.Target != c.Program)
	if !changed && !relists {
		return nil
	}
	f := m.cases[c]
	if err := e.compareVersions(ctx, f, c); err != nil {
		return err
	}
	c.Lists, c.Hashes = map[string][]string{}, map[string]string{}
	v := &foresight{e: e, m: m, c: c, f: f, d: documentOf(&Agenda{Execution: *f.x, Epoch: f.x.Redrives}), items: map[string]*workflow.Item{}}
	v.d.Input = f.x.Input
	if f.x.ID == m.asked.ID {
		v.given = m.r.TaskInput
		if m.input != nil {
			v.d.Input = m.input
		}
	}
	var lists, leaves []string
	for ref, rec := range f.recs {
		at, ok := f.p.Place(ref)
		switch {
		case !ok || !rec.Status.Ended():
		case at.Role == workflow.RoleEach:
			lists = append(lists, ref)
		case changed && at.Role == workflow.RoleTask && rec.Status == workflow.TaskSucceeded && rec.Hash != "":
			leaves = append(leaves, ref)
		}
	}
	slices.SortFunc(lists, func(a, b string) int { return len(a) - len(b) }) // those around others first
	for _, ref := range lists {
		if err := v.list(ctx, ref); err != nil {
			return err
		}
	}
	return v.hashes(ctx, leaves)
}

// compareVersions says of each task whether its newest attempt ran the definition that is to run now.
func (e *Engine) compareVersions(ctx context.Context, f *facts, c *workflow.Case) error {
	hashes := map[string]string{} // by definition and path
	for ref, past := range c.Tasks {
		at, ok := f.p.Place(ref)
		if !ok || past.Attempt == 0 {
			continue
		}
		former, _ := f.x.definitionAt(f.recs[ref].Redrive)
		if former == f.p.Hash {
			continue
		}
		p, err := e.program(ctx, f.x.Project, former, f.x.ID)
		if err != nil {
			return err
		}
		key := former + " " + at.Path
		if _, known := hashes[key]; !known {
			hashes[key] = ""
			if n := p.Node(at.Path); n != nil {
				hashes[key] = ownHash(n)
			}
		}
		past.Same = hashes[key] == ownHash(at.Node)
		c.Tasks[ref] = past
	}
	return nil
}

// scope is what the expressions of a task would see now.
func (v *foresight) scope(ctx context.Context, at workflow.Place, reads workflow.Reads) (workflow.Scope, bool, error) {
	scope, _, err := v.e.look(ctx, v.f.x.ID, v.d, v.f.p, sight{at: at, reads: reads})
	if bad := v.e.tooLarge(err); bad != nil {
		return scope, false, nil
	}
	scope.Workflow.Decoded = &v.input
	v.mu.Lock()
	defer v.mu.Unlock()
	if item := v.items[v.f.p.ItemOf(at.Ref)]; item != nil {
		scope.Item = item
	}
	return scope, err == nil, err
}

func (v *foresight) list(ctx context.Context, ref string) error {
	at, _ := v.f.p.Place(ref)
	scope, ok, err := v.scope(ctx, at, at.ItemsReads)
	if !ok || err != nil {
		return err
	}
	items, bad := at.Items(scope)
	if bad == nil { // else it would fail with that, and its list is not known
		keys := make([]string, len(items))
		for i := range items {
			item := items[i].Ref(ref)
			keys[i] = workflow.Key(item)
			v.items[item] = &items[i]
		}
		v.c.Lists[ref] = keys
	}
	return nil
}

// hashes evaluates the inputs of tasks, several at once.
func (v *foresight) hashes(ctx context.Context, refs []string) error {
	var group sync.WaitGroup
	var first error
	for part := range slices.Chunk(refs, max(1, (len(refs)+lookingAtOnce-1)/lookingAtOnce)) {
		group.Go(func() {
			for _, ref := range part {
				if err := v.hash(ctx, ref); err != nil {
					v.mu.Lock()
					first = err
					v.mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	return first
}

// recordedInput resolves the input of a task as it is stored; given is what a redrive gave as it, if it did.
func recordedInput(at workflow.Place, scope workflow.Scope, given json.RawMessage) (json.RawMessage, *workflow.Error) {
	if given != nil {
		return at.Given(scope, false, given)
	}
	return at.Recorded(scope)
}

func (v *foresight) hash(ctx context.Context, ref string) error {
	at, _ := v.f.p.Place(ref)
	if at.Conditional && v.c.InputChanged && at.IfReads.Workflow {
		return nil // its condition is asked when it is reached
	}
	scope, ok, err := v.scope(ctx, at, at.InputReads)
	if !ok || err != nil {
		return err
	}
	given := v.given[ref]
	if given == nil && v.f.recs[ref].Given != "" {
		if given, err = v.e.store.Given(ctx, v.f.x.ID, ref); err != nil {
			return err
		}
	} else if given != nil {
		given = workflow.Give(given, v.m.r.InputMode)
	}
	if input, bad := recordedInput(at, scope, given); bad == nil { // else it would fail with that
		v.mu.Lock()
		v.c.Hashes[ref] = inputHash(input)
		v.mu.Unlock()
	}
	return nil
}
