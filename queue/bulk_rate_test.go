package queue_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
)

// TestABulkOperationKeepsItsRate asks for more again and again while time passes: no more are taken than the rate and an
// unused second allow.
func TestABulkOperationKeepsItsRate(t *testing.T) {
	b := newBench(t, queuetest.URL(t))
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		rate := rapid.SampledFrom([]float64{0.5, 1, 3, 20, 500}).Draw(t, "rate")
		n := engine.BulkName{Project: "default", ID: uuid.Must(uuid.NewV7()).String()}
		require.NoError(t, b.CreateBulk(ctx, bulkOf(n.ID, engine.BulkPace{Rate: rate, Most: 100_000, Tolerated: -1}), 0))
		ids := make([]string, 2000)
		for i := range ids {
			ids[i] = strconv.Itoa(i)
		}
		require.NoError(t, b.AddToBulk(ctx, n, engine.BulkAdd{To: "1", IDs: ids, Last: true}, 0))
		began := time.Now().Add(b.offset)
		taken := 0
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			b.offset += time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
			want := min(100, len(ids)-taken)
			if want == 0 {
				return
			}
			got, wait, err := b.TakeBulk(ctx, n, taken, flying(taken, ids[taken:taken+want]...))
			require.NoError(t, err)
			require.True(t, got > 0 || wait > 0, "it says how long to wait")
			taken += got
			passed := time.Now().Add(b.offset).Sub(began).Seconds()
			require.LessOrEqual(t, float64(taken), rate*(passed+1)+2)
		}
	})
}
