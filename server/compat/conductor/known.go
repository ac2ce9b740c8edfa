package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/redrive/redrive/engine"
)

// known is what a definition says to those who show its executions. It never changes.
type known struct {
	nodes      map[string]node   // by native name
	definition map[string]any    // as it was registered; nil = it was published natively
	tasks      map[string]any    // of it, by reference name
	forks      map[string]fork   // by the reference name of the join behind them
	domains    map[string]string // of its tasks, as the start said
	version    int
	part       bool
}

// shelfKey names a version of a workflow, or what an execution runs that has a definition of its own.
type shelfKey struct {
	project, name string
	version       int    // 0 = it is none
	hash          string // of a definition that is no version
}

// shelf remembers definitions; it starts anew when it is full.
type shelf struct {
	mu  sync.Mutex
	all map[shelfKey]*known
}

const shelfSize = 512

func (s *shelf) get(k shelfKey) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[k]
}

func (s *shelf) put(k shelfKey, v *known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= shelfSize {
		s.all = map[shelfKey]*known{}
	}
	s.all[k] = v
}

// known answers what a version of a workflow says; 0 is the newest.
func (h *handlers) known(ctx context.Context, project, name string, version int) (*known, error) {
	key := shelfKey{project: project, name: name, version: version}
	if k := h.shelf.get(key); k != nil && version > 0 {
		return k, nil
	}
	w, err := h.engine.Workflow(ctx, project, name, version)
	if err != nil {
		return nil, err
	}
	var d struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(w.Definition, &d); err != nil {
		return nil, fmt.Errorf("conductor: reading the definition of %s: %w", name, err)
	}
	k, err := readKnown(name, w.Version, d.Annotations)
	if err == nil {
		key.version = w.Version
		h.shelf.put(key, k)
	}
	return k, err
}

// runs answers what the definition says that an execution runs: a version of a workflow, or one that a task of its parent gave.
func (h *handlers) runs(ctx context.Context, x *engine.Execution) (*known, error) {
	if x.Version > 0 {
		return h.known(ctx, x.Project, x.Workflow, x.Version)
	}
	key := shelfKey{project: x.Project, hash: x.DefinitionHash}
	if k := h.shelf.get(key); k != nil {
		return k, nil
	}
	d, err := h.engine.ExecutionDefinition(ctx, x)
	if err != nil {
		return nil, err
	}
	k, err := readKnown(x.Workflow, x.Version, d.Annotations)
	if err == nil {
		h.shelf.put(key, k)
	}
	return k, err
}

func readKnown(name string, version int, annotations map[string]string) (*known, error) {
	k := &known{version: version, part: annotations[annotationPart] == "true", tasks: map[string]any{}, forks: map[string]fork{}}
	text, ok := annotations[annotationDefinition]
	if !ok {
		return k, nil
	}
	if err := decode([]byte(text), &k.definition); err != nil {
		return nil, fmt.Errorf("conductor: reading the definition of %s: %w", name, err)
	}
	if err := json.Unmarshal([]byte(annotations[annotationTasks]), &k.nodes); err != nil {
		return nil, fmt.Errorf("conductor: reading what the nodes of %s stand for: %w", name, err)
	}
	if said, ok := annotations[annotationDomains]; ok {
		if err := json.Unmarshal([]byte(said), &k.domains); err != nil {
			return nil, fmt.Errorf("conductor: reading where the tasks of %s go: %w", name, err)
		}
	}
	if n, ok := k.definition["version"].(json.Number); ok {
		k.version, _ = strconv.Atoi(string(n))
	}
	k.index(k.definition["tasks"])
	return k, nil
}

// source reads the definition once more: what is read fills in, and is changed by those who publish it.
func (k *known) source() (*source, error) {
	var full map[string]any
	if err := mold(k.definition, &full); err != nil {
		return nil, fmt.Errorf("conductor: copying a definition: %w", err)
	}
	return readDef(full)
}

// index finds the tasks of a definition by their reference names.
func (k *known) index(tasks any) {
	list, _ := tasks.([]any)
	var before map[string]any
	for _, v := range list {
		t, ok := v.(map[string]any)
		if !ok {
			continue
		}
		ref := refOf(t)
		k.tasks[ref] = t
		k.index(t["defaultCase"])
		k.index(t["loopOver"])
		if kind, _ := before["type"].(string); kind == "FORK_JOIN" || kind == "FORK_JOIN_DYNAMIC" {
			k.forks[ref] = forkBefore(before)
		}
		before = t
		if cases, ok := t["decisionCases"].(map[string]any); ok {
			for _, inner := range cases {
				k.index(inner)
			}
		}
		if forks, ok := t["forkTasks"].([]any); ok {
			for _, inner := range forks {
				k.index(inner)
			}
		}
	}
}

func refOf(t map[string]any) string {
	ref, _ := t["taskReferenceName"].(string)
	return ref
}

// forkBefore is the fork that a join comes behind.
func forkBefore(t map[string]any) fork {
	f := fork{ref: refOf(t)}
	branches, _ := t["forkTasks"].([]any)
	for _, branch := range branches {
		tasks, _ := branch.([]any)
		if len(tasks) == 0 {
			continue
		}
		if first, ok := tasks[0].(map[string]any); ok {
			f.firsts = append(f.firsts, refOf(first))
		}
	}
	return f
}

func texts(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, item := range list {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// node is what a native task stands for; one that was published natively stands for itself.
func (k *known) node(name, nativeType string) node {
	if n, ok := k.nodes[name]; ok {
		return n
	}
	if k.definition != nil {
		return node{Ref: name, Helper: true}
	}
	kind, ok := map[string]string{
		"http": "HTTP", "wait": "WAIT", "approval": "HUMAN", "workflow": "SUB_WORKFLOW", "loop": "DO_WHILE", "noop": "NOOP", "script": "INLINE",
		"transform": "JSON_JQ_TRANSFORM",
	}[nativeType]
	if !ok {
		kind = "SIMPLE"
	}
	return node{Ref: name, Type: kind, Name: name}
}

func (k *known) task(ref string) map[string]any {
	t, _ := k.tasks[ref].(map[string]any)
	return t
}

func (k *known) optional(ref string) bool {
	optional, _ := k.task(ref)["optional"].(bool)
	return optional
}
