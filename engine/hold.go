package engine

import (
	"context"
	"errors"
	"time"
)

const (
	// holdAfter is how often a plan is overtaken by what it is about before that is held.
	holdAfter = 4
	// holdFor is how long nothing starts in an execution while its redrive is planned; a crash lasts no longer.
	holdFor = 5 * time.Second
)

// hold lets a redrive catch up with an execution in which much happens at once:
// what runs goes on, and nothing new starts until the redrive is committed.
type hold struct {
	id    string // the execution, once it is known
	token string // "" = it is not held
}

func (h *hold) begin(ctx context.Context, e *Engine) {
	if h.id == "" || h.token != "" {
		return
	}
	token, err := newID()
	if err != nil {
		return
	}
	if err := e.store.Hold(ctx, h.id, token, holdFor); err != nil {
		e.log.Debug("an execution could not be held for its redrive", "execution", h.id, "error", err)
		return
	}
	h.token = token
}

func (h *hold) end(ctx context.Context, e *Engine) {
	if h.token == "" {
		return
	}
	ctx = context.WithoutCancel(ctx) // the caller may be gone: nothing would start for a while
	err := e.store.Hold(ctx, h.id, h.token, 0)
	if err == nil {
		err = e.Advance(ctx, h.id)
	}
	if err != nil {
		e.log.Warn("an execution is held for a redrive that did not happen; a sweep ends that", "execution", h.id, "error", err)
	}
}

// endHold ends a hold whose time is over; until then nothing is decided.
func (e *Engine) endHold(ctx context.Context, a *Agenda) (done bool, err error) {
	err = e.store.Hold(ctx, a.ID, "", 0)
	if errors.Is(err, ErrMoved) {
		return true, nil
	}
	return false, err
}
