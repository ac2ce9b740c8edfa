package worker

import (
	"context"
	"sync"
	"time"
)

// slots bounds the handlers that run at once. asynq frees its own place as soon
// as a result is reported; the slot stays taken until the handler has returned.
type slots struct {
	free chan struct{}

	mu      sync.Mutex
	zombies int // handlers that ignore the end of their context
	hold    func()
	resume  func()
	freed   func()
}

func newSlots(n int, hold, resume, freed func()) *slots {
	return &slots{free: make(chan struct{}, n), hold: hold, resume: resume, freed: freed}
}

// slotWait is how long a job waits for a handler that ignores its context
// before another worker may have it.
const slotWait = time.Second

func (s *slots) acquire(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case s.free <- struct{}{}:
		s.adjust(0)
		return true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	select {
	case s.free <- struct{}{}:
		s.adjust(0)
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *slots) release() {
	<-s.free
	s.adjust(0)
	s.freed()
}

// adjust changes the number of zombies, and keeps asynq from taking jobs while
// they leave no slot free. Without zombies asynq counts for itself.
func (s *slots) adjust(zombies int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.zombies
	s.zombies += zombies
	switch {
	case s.zombies > 0 && len(s.free) == cap(s.free):
		s.hold()
	case before > 0:
		s.resume()
	}
}
