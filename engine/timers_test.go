package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// A timer in memory was reckoned by a clock of Redis that was set since then.
func TestATimerThatTurnsOutToBeDueEarlierIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := engine.RunTimers(t.Context(), func(add func(in time.Duration)) {
			add(time.Hour)
			add(59*time.Minute + 59*time.Second + 990*time.Millisecond) // what a sweep finds once more
			add(time.Minute)
			add(2 * time.Hour)
		}, 3*time.Hour)
		require.Equal(t, []time.Duration{time.Minute}, fired)
	})
}
