package prefect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

func TestNothingIsPausedThatHasNoState(t *testing.T) {
	r := &run{x: &engine.Execution{}}
	for name, said := range map[string]string{"Paused": "Cannot pause flows with no state.", "Suspended": "Cannot suspend flows with no state.", "Mine": "Cannot pause flows with no state."} {
		require.Equal(t, ruling{status: abort, reason: said}, r.rule(nil, &state{Type: paused, Name: name}, false, time.Now()))
	}
	for _, kind := range stateTypes {
		if kind != paused {
			require.Equal(t, accept, r.rule(nil, &state{Type: kind}, false, time.Now()).status, kind)
		}
	}
}
