package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Cap limits the runs of one task type in one project that remote workers are given by the polls that name it.
type Cap struct {
	Project, Type string
	Running       int           // held at once; 0 = any number
	Starts        int           // handed out within Per; 0 = any number
	Per           time.Duration // of Starts
}

// capPause is how long a poll waits that a cap let have nothing, until it looks again: nobody tells it that a run ended.
const capPause = 250 * time.Millisecond

// manyHeld is from how many places on also the first look of a poll asks no more often than each capPause who holds them.
const manyHeld = 100

// places answers how many runs a poll may be given, at most this many. Who was admitted holds a place for as long as the state of
// the task says that this very delivery runs: however a run ends, whoever ends it, and if nobody can say so any more, its place is free.
func (e *Engine) places(ctx context.Context, c *Cap, most int, first bool) (int, error) {
	if c == nil {
		return most, nil
	}
	free, held, err := e.store.Room(ctx, *c, most)
	if err != nil || free > 0 || held == 0 || (!first || held > manyHeld) && !e.remote.asks(*c) {
		return free, err
	}
	holders, err := e.store.Held(ctx, *c)
	if err != nil {
		return 0, err
	}
	gone, err := e.over(ctx, holders)
	if err != nil || len(gone) == 0 && len(holders) >= held {
		return 0, err
	}
	if err := e.store.Vacate(ctx, *c, gone); err != nil {
		return 0, err
	}
	free, _, err = e.store.Room(ctx, *c, most)
	return free, err
}

// over are those of some runs that hold no place any more. One whose record cannot be read keeps its own, and no other.
func (e *Engine) over(ctx context.Context, held []Fence) (gone []Fence, err error) {
	recs, err := e.store.States(ctx, held)
	refused, known := errors.AsType[*Error](err)
	switch {
	case err == nil:
		for i, rec := range recs {
			if f := held[i]; rec.Status != workflow.TaskRunning || rec.Attempt != f.Attempt || rec.Dispatch != f.Dispatch {
				gone = append(gone, f)
			}
		}
		return gone, nil
	case known && refused.Kind == KindUnavailable, ctx.Err() != nil:
		return nil, err
	case len(held) == 1:
		e.log.Warn("who holds a place of a cap cannot be read, and keeps it", "job", held[0].JobID(), "error", err)
		return nil, nil
	}
	for half := range slices.Chunk(held, (len(held)+1)/2) {
		more, err := e.over(ctx, half)
		if err != nil {
			return nil, err
		}
		gone = append(gone, more...)
	}
	return gone, nil
}

// asks reports whether it is time to look again who holds the places of a cap.
func (s *remoteState) asks(c Cap) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := c.Project+"\x00"+c.Type, time.Now()
	if now.Before(s.asked[key]) {
		return false
	}
	if s.asked == nil || len(s.asked) > 1000 {
		s.asked = map[string]time.Time{}
	}
	s.asked[key] = now.Add(capPause)
	return true
}

// admit counts a claimed run against the cap of its poll, if it is of that project. Two polls at once may have found the same place free: the later one gives its run back.
func (e *Engine) admit(ctx context.Context, c *Cap, r *RemoteRun) bool {
	if c == nil || r.Project != c.Project {
		return true
	}
	err := e.store.Admit(ctx, *c, r.Fence)
	if err == nil {
		return true
	}
	if !errors.Is(err, ErrMoved) {
		e.log.Warn("a claimed run could not be counted and is given back", "job", r.JobID(), "error", err)
	}
	e.GiveBack(ctx, []RemoteRun{*r})
	return false
}
