package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Chain is the place of an execution among those that redrives made of one another. Each
// execution counts, and each redrive of one in place.
type Chain struct {
	Attempt int  // 1 = the first
	Total   int  // so far
	Last    bool // none was made after it
}

// Chain answers the place of an execution in its chain.
func (e *Engine) Chain(ctx context.Context, x *Execution) (Chain, error) {
	alone := Chain{Attempt: 1 + x.Redrives, Total: 1 + x.Redrives, Last: true}
	family, err := e.store.Family(ctx, x.Project, x.Root, maxFamily)
	if err != nil || len(family) == 0 && x.Origin == nil {
		return alone, err
	}
	r := relatives{store: e.store, most: maxLineage, found: map[string]*Branch{}}
	if err := r.read(ctx, append([]string{x.ID}, family...)...); err != nil {
		return alone, err
	}
	if err := r.climb(ctx); err != nil {
		return alone, err
	}
	first := r.first(x.ID)
	chain := slices.DeleteFunc(r.order, func(b *Branch) bool { return r.first(b.ID) != first || b.Redrives < 0 })
	slices.SortFunc(chain, func(a, b *Branch) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	var c Chain
	for i, b := range chain {
		c.Total += 1 + b.Redrives
		if b.ID == x.ID {
			c.Attempt, c.Last = c.Total, i == len(chain)-1
		}
	}
	return c, nil
}

// first follows redrives back to the execution that began a chain.
func (r *relatives) first(id string) string {
	for {
		b := r.found[id]
		if b == nil || b.Origin == nil || r.found[b.Origin.Execution] == nil {
			return id
		}
		id = b.Origin.Execution
	}
}
