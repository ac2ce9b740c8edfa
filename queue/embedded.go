package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embeddedTick is how often the embedded Redis' TTLs advance: it does not do so by itself.
const embeddedTick = 500 * time.Millisecond

// Embedded is a Redis inside this process. What it holds is gone when it stops.
type Embedded struct {
	server *miniredis.Miniredis
	stop   chan struct{}
	wg     sync.WaitGroup
	once   sync.Once
}

// StartEmbedded starts a Redis on addr, host:port; "" is a free port on loopback.
func StartEmbedded(addr string) (*Embedded, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	e := &Embedded{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	if err := e.server.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("queue: starting the embedded Redis on %s: %w", addr, err)
	}
	e.wg.Add(1)
	go e.tick()
	return e, nil
}

func (e *Embedded) tick() {
	defer e.wg.Done()
	ticker := time.NewTicker(embeddedTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			e.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// URL is how to reach it.
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() }

// Stop ends it. It may be called twice.
func (e *Embedded) Stop(context.Context) error {
	e.once.Do(func() {
		close(e.stop)
		e.wg.Wait()
		e.server.Close()
	})
	return nil
}
