package prefect

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// TestWhatIsFinal: only what no later call could do takes a flow run away.
func TestWhatIsFinal(t *testing.T) {
	t.Parallel()
	for _, final := range []error{cannot("no"), refused{status: 422}, fmt.Errorf("writing: %w", &engine.Error{Kind: engine.KindInvalid})} {
		require.True(t, isFinal(final), final)
	}
	for _, passing := range []error{context.Canceled, &engine.Error{Kind: engine.KindUnavailable}, fmt.Errorf("redis: %w", context.DeadlineExceeded)} {
		require.False(t, isFinal(passing), passing)
	}
}
