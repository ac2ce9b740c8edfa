package engine

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pollers are the long polls that wait in this process. An offer wakes one of
// those that may take it, so that a thousand idle ones cost Redis nothing; one
// that leaves without having looked hands its wake-up on.
type pollers struct {
	mu      sync.Mutex
	waiting map[Shelf]map[*poller]struct{}
	first   chan struct{} // closed when somebody polls for the first time
}

// poller is one long poll.
type poller struct {
	shelves  []Shelf
	projects []string     // empty = all
	woken    chan Offered // capacity 1
	capped   bool         // its last look was at its cap: it looks again soon, and a wake-up would be lost on it
}

func (p *pollers) began() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first == nil {
		p.first = make(chan struct{})
	}
	return p.first
}

func (p *pollers) join(shelves []Shelf, projects []string) *poller {
	w := &poller{shelves: shelves, projects: projects, woken: make(chan Offered, 1)}
	first := p.began()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[Shelf]map[*poller]struct{}{}
		close(first)
	}
	for _, at := range shelves {
		if p.waiting[at] == nil {
			p.waiting[at] = map[*poller]struct{}{}
		}
		p.waiting[at][w] = struct{}{}
	}
	return w
}

func (p *pollers) leave(w *poller) {
	p.mu.Lock()
	for _, at := range w.shelves {
		delete(p.waiting[at], w)
		if len(p.waiting[at]) == 0 {
			delete(p.waiting, at)
		}
	}
	p.mu.Unlock()
	select {
	case o := <-w.woken:
		p.wake(o)
	default:
	}
}

// atCap notes whether the last look of a poller was at its cap.
func (p *pollers) atCap(w *poller, capped bool) {
	p.mu.Lock()
	w.capped = capped
	p.mu.Unlock()
}

// wake wakes one poller that may take what was offered; everybody, when it is not known what.
func (p *pollers) wake(o Offered) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.Lane == "" {
		for at, waiting := range p.waiting {
			for w := range waiting {
				w.poke(Offered{Shelf: at})
			}
		}
		return
	}
	var limited []*poller
	for w := range p.waiting[o.Shelf] {
		switch {
		case w.capped:
		case len(w.projects) > 0 && o.Project == "":
			limited = append(limited, w)
		case w.takes(o.Project) && w.poke(o):
			return
		}
	}
	for _, w := range limited { // whose the offer is, is not known: one that may not take it must not be the only one to look
		w.poke(o)
	}
}

func (w *poller) takes(project string) bool {
	return len(w.projects) == 0 || slices.Contains(w.projects, project)
}

// poke answers false when the poller was woken already and has not looked yet.
func (w *poller) poke(o Offered) bool {
	select {
	case w.woken <- o:
		return true
	default:
		return false
	}
}

// followOffers wakes the pollers of this process until ctx ends. It listens from
// the first poll on: most processes never see one.
func (e *Engine) followOffers(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-e.remote.pollers.began():
	}
	for ctx.Err() == nil {
		offers, err := e.store.Offers(ctx)
		if err == nil {
			e.remote.pollers.wake(Offered{}) // what was missed meanwhile
			for o := range offers {
				e.remote.pollers.wake(o)
			}
			continue
		}
		if ctx.Err() == nil {
			e.log.Warn("remote workers cannot be woken; they find their work by looking every so often", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
