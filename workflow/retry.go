package workflow

import (
	"math"
	"slices"
	"time"
)

// apply lets what the author wrote win over what the policy says.
func (r *RetryPolicy) apply(w *Retry) {
	if w == nil {
		return
	}
	r.MaxAttempts = first(w.MaxAttempts, r.MaxAttempts)
	r.Backoff = first(w.Backoff, r.Backoff)
	r.MaxDelay = first(time.Duration(w.MaxDelay), r.MaxDelay)
	if w.Delay != nil {
		r.Delay = time.Duration(*w.Delay)
	}
	if w.Jitter != nil {
		r.Jitter = *w.Jitter
	}
	if w.NonRetryable != nil {
		r.NonRetryable = w.NonRetryable
	}
}

// Next says whether a try that failed is followed by another, and after how long.
//
// The pause after try n is delay (fixed), n times delay (linear) or 2^(n-1) times
// delay (exponential), at most max_delay; jitter then shortens it by up to its
// share: pause * (1 - jitter*random), with random in [0, 1). The answer is in whole
// milliseconds, and at least one unless delay is 0.
func (r RetryPolicy) Next(try int, e *Error, random float64) (delay time.Duration, again bool) {
	if e == nil || !e.Retryable || try >= r.MaxAttempts || slices.Contains(r.NonRetryable, e.Code) {
		return 0, false
	}
	if r.Delay <= 0 {
		return 0, true
	}
	pause := float64(r.Delay)
	switch n := float64(max(try, 1)); r.Backoff {
	case BackoffLinear:
		pause *= n
	case BackoffExponential:
		pause *= math.Exp2(n - 1)
	}
	longest := float64(max(r.MaxDelay, time.Millisecond))
	pause = min(pause, longest) * (1 - r.Jitter*random)
	delay = time.Duration(min(pause, math.MaxInt64/2)).Truncate(time.Millisecond)
	return max(delay, time.Millisecond), true
}
