package queue

import "time"

// SetPatience says how long callers wait for a trip that does not return.
func (r *Redis) SetPatience(d time.Duration) { r.trips.patience = d }

// Waiting counts the callers that wait for a trip.
func (r *Redis) Waiting() int {
	r.trips.mu.Lock()
	defer r.trips.mu.Unlock()
	return len(r.trips.waiting)
}

// SetPace says how long a finished job counts, and how long one that was taken ahead may wait.
func (c *Claims) SetPace(span, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.span, c.wait = span, wait
}

// Waits says whether the server's dequeue waits.
func (h *WakeHook) Waits() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed != nil
}

// Ahead counts the jobs that were taken ahead and wait for asynq.
func (c *Claims) Ahead() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ahead)
}
