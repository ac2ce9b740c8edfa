package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/redrive/redrive/workflow"
)

// maxUnmet bounds what a process remembers; it starts anew when it is full.
const maxUnmet = 1_000

// unmet are deliveries that no live worker served when they were to be sent out. Whoever comes to serve them
// gets them as soon as this process knows of it. It is a hint: what is forgotten, or was met by another process, a sweep finds.
type unmet struct {
	mu  sync.Mutex
	all map[Fence]waitingNode
}

type waitingNode struct {
	project string
	node    *workflow.Node
}

func (u *unmet) add(f Fence, project string, n *workflow.Node) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil || len(u.all) >= maxUnmet {
		u.all = map[Fence]waitingNode{}
	}
	u.all[f] = waitingNode{project, n}
}

// take takes out what is served now.
func (u *unmet) take(v *fleetView) []Fence {
	u.mu.Lock()
	defer u.mu.Unlock()
	var fences []Fence
	for f, w := range u.all {
		if v.way(w.project, w.node) != wayNone {
			fences = append(fences, f)
			delete(u.all, f)
		}
	}
	return fences
}

// sendUnmet sends out what live workers have come to serve.
func (e *Engine) sendUnmet(ctx context.Context) {
	for _, f := range e.unmet.take(&e.fleet) {
		d, p, err := e.document(ctx, f.Execution)
		switch {
		case errors.Is(err, ErrGone):
		case err != nil:
			e.log.Warn("a waiting task could not be sent out; a sweep will", "execution", f.Execution, "task", f.Ref, "error", err)
		default:
			e.relay(ctx, d, p, []Fence{f})
		}
	}
}
