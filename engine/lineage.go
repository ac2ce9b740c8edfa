package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Relation is what an execution is to the one that it comes from.
type Relation string

// The relations.
const (
	RelationSubWorkflow Relation = "sub_workflow" // it is a part of it
	RelationRetry       Relation = "retry"        // a redrive of it into a new execution made it
	RelationRerun       Relation = "rerun"
)

// Origin is the execution whose redrive made this one.
type Origin struct {
	Execution string   `json:"execution"`
	Relation  Relation `json:"relation"` // retry or rerun
}

// Lineage is a family of executions: those that redrives made from each other, with their sub-executions.
type Lineage struct {
	Root      string        `json:"root"`
	Nodes     []LineageNode `json:"nodes"`     // the root first, each behind the one that it comes from, older ones first
	Truncated bool          `json:"truncated"` // there are more than are shown; the one that was asked for is shown
}

// LineageNode is one execution of a lineage.
type LineageNode struct {
	Execution string                   `json:"execution"`
	Number    int64                    `json:"number"`
	Workflow  string                   `json:"workflow"`
	Version   int                      `json:"version"`
	Status    workflow.ExecutionStatus `json:"status"`
	Parent    string                   `json:"parent,omitempty"`   // the execution that it comes from; "" for the root
	Relation  Relation                 `json:"relation,omitempty"` // to Parent
	Task      string                   `json:"task,omitempty"`     // of a sub-workflow: the ref of its task in Parent
	Redrives  int                      `json:"redrives"`
	CreatedAt time.Time                `json:"created_at"`
	EndedAt   *time.Time               `json:"ended_at"`
}

// maxLineage is how many executions of a lineage are shown.
const maxLineage = 1000

// Lineage answers the family that an execution belongs to.
func (e *Engine) Lineage(ctx context.Context, id string) (*Lineage, error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, err
	}
	r := relatives{store: e.store, most: maxLineage, found: map[string]*Branch{}}
	if err := r.read(ctx, full); err != nil {
		return nil, err
	}
	x := r.found[full]
	if x == nil {
		return nil, NotFound("execution", id)
	}
	if err := r.climb(ctx); err != nil { // first, so that a large family does not push out what leads to it
		return nil, err
	}
	family, err := e.store.Family(ctx, x.Project, x.Root, maxLineage+1)
	if err != nil {
		return nil, err
	}
	if err := r.read(ctx, append([]string{x.Root}, family...)...); err != nil {
		return nil, err
	}
	if err := r.climb(ctx); err != nil { // an origin may be a sub-execution
		return nil, err
	}
	if err := r.descend(ctx); err != nil {
		return nil, err
	}
	return &Lineage{Root: x.Root, Nodes: r.inOrder(x.Root), Truncated: r.more}, nil
}

// relatives are the executions of a lineage that were found so far.
type relatives struct {
	store Lineages
	most  int
	found map[string]*Branch // nil for one that is gone, or for which there is no room
	order []*Branch
	more  bool
}

// read adds executions, in this order, as long as there is room.
func (r *relatives) read(ctx context.Context, ids ...string) error {
	ids = slices.DeleteFunc(ids, func(id string) bool {
		_, seen := r.found[id]
		if !seen {
			r.found[id] = nil
		}
		return seen
	})
	for len(ids) > 0 {
		if len(r.order) >= r.most {
			r.more = true
			return nil
		}
		part := ids[:min(len(ids), r.most-len(r.order))]
		ids = ids[len(part):]
		branches, err := r.store.Branches(ctx, part)
		if err != nil {
			return err
		}
		for i, b := range branches {
			if b != nil {
				r.found[part[i]], r.order = b, append(r.order, b)
			}
		}
	}
	return nil
}

// climb adds what those that were found come from.
func (r *relatives) climb(ctx context.Context) error {
	for from := 0; from < len(r.order); {
		var above []string
		for _, b := range r.order[from:] {
			if from, _ := b.comesFrom(); from != "" {
				above = append(above, from)
			}
		}
		from = len(r.order)
		if err := r.read(ctx, above...); err != nil {
			return err
		}
	}
	return nil
}

// descend adds the sub-executions of those that were found.
func (r *relatives) descend(ctx context.Context) error {
	for from := 0; from < len(r.order); {
		var below []string
		for _, b := range r.order[from:] {
			below = append(below, b.Children...)
		}
		from = len(r.order)
		if err := r.read(ctx, below...); err != nil {
			return err
		}
	}
	return nil
}

// comesFrom answers the execution that this one comes from, "" for none.
func (x *Execution) comesFrom() (id string, relation Relation) {
	switch {
	case x.Parent != nil:
		return x.Parent.Execution, RelationSubWorkflow
	case x.Origin != nil:
		return x.Origin.Execution, x.Origin.Relation
	}
	return "", ""
}

// inOrder answers each execution behind the one that it comes from.
func (r *relatives) inOrder(root string) []LineageNode {
	slices.SortFunc(r.order, func(a, b *Branch) int {
		switch root {
		case a.ID:
			return -1
		case b.ID:
			return 1
		}
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	below := map[string][]*Branch{}
	for _, b := range r.order {
		from, _ := b.comesFrom()
		if r.found[from] == nil {
			from = ""
		}
		below[from] = append(below[from], b)
	}
	nodes := make([]LineageNode, 0, len(r.order))
	var add func(from string)
	add = func(from string) {
		for _, b := range below[from] {
			n := b.node()
			if from == "" {
				n.Parent, n.Relation, n.Task = "", "", ""
			}
			nodes = append(nodes, n)
			add(b.ID)
		}
	}
	add("")
	return nodes
}

func (x *Execution) node() LineageNode {
	n := LineageNode{
		Execution: x.ID, Number: x.Number, Workflow: x.Workflow, Version: x.Version, Status: x.Status,
		Redrives: x.Redrives, CreatedAt: x.CreatedAt, EndedAt: x.EndedAt,
	}
	n.Parent, n.Relation = x.comesFrom()
	if x.Parent != nil {
		n.Task = x.Parent.Task
	}
	return n
}
