package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"github.com/redrive/redrive/engine"
)

// known is what a version of a workflow says to those who show its executions. It never changes.
type known struct {
	nodes      map[string]node // by native name
	definition map[string]any  // as it was registered; nil = it was published natively
	tasks      map[string]any  // of it, by reference name
	loops      map[string][]string
	joins      map[string][]string
	version    int
	part       bool
}

type versionKey struct {
	project, name string
	version       int
}

// shelf remembers versions; it starts anew when it is full.
type shelf struct {
	mu  sync.Mutex
	all map[versionKey]*known
}

const shelfSize = 512

func (s *shelf) get(k versionKey) *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[k]
}

func (s *shelf) put(k versionKey, v *known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= shelfSize {
		s.all = map[versionKey]*known{}
	}
	s.all[k] = v
}

// known answers what the version says that an execution runs.
func (h *handlers) known(ctx context.Context, project, name string, version int) (*known, error) {
	key := versionKey{project, name, version}
	if k := h.shelf.get(key); k != nil {
		return k, nil
	}
	w, err := h.engine.Workflow(ctx, project, name, version)
	if err != nil {
		return nil, err
	}
	k, err := readKnown(w)
	if err == nil {
		h.shelf.put(key, k)
	}
	return k, err
}

func readKnown(w *engine.Workflow) (*known, error) {
	annotations, err := annotationsOf(w.Definition)
	if err != nil {
		return nil, err
	}
	k := &known{version: w.Version, part: annotations[annotationPart] == "true", tasks: map[string]any{}, loops: map[string][]string{}, joins: map[string][]string{}}
	text, ok := annotations[annotationDefinition]
	if !ok {
		return k, nil
	}
	if err := decode([]byte(text), &k.definition); err != nil {
		return nil, fmt.Errorf("conductor: reading the definition of %s: %w", w.Name, err)
	}
	if err := json.Unmarshal([]byte(annotations[annotationTasks]), &k.nodes); err != nil {
		return nil, fmt.Errorf("conductor: reading what the nodes of %s stand for: %w", w.Name, err)
	}
	if n, ok := k.definition["version"].(json.Number); ok {
		k.version, _ = strconv.Atoi(string(n))
	}
	k.index(k.definition["tasks"])
	return k, nil
}

func annotationsOf(definition json.RawMessage) (map[string]string, error) {
	var d struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(definition, &d); err != nil {
		return nil, fmt.Errorf("conductor: reading a definition: %w", err)
	}
	return d.Annotations, nil
}

// index finds the tasks of a definition by their reference names.
func (k *known) index(tasks any) {
	list, _ := tasks.([]any)
	for _, v := range list {
		t, ok := v.(map[string]any)
		if !ok {
			continue
		}
		ref, _ := t["taskReferenceName"].(string)
		k.tasks[ref] = t
		k.joins[ref] = texts(t["joinOn"])
		k.index(t["defaultCase"])
		k.index(t["loopOver"])
		if inner, ok := t["loopOver"].([]any); ok {
			for _, in := range inner {
				if m, ok := in.(map[string]any); ok {
					name, _ := m["taskReferenceName"].(string)
					k.loops[ref] = append(k.loops[ref], name)
				}
			}
		}
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
