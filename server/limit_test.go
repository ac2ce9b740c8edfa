package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// slow is an engine whose Redis does not answer.
type slow struct{ *fake }

func (slow) Project(ctx context.Context, _ string) (*engine.Project, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestSlowRequestsAreAnswered(t *testing.T) {
	r := newRig(t, open, func(o *Options) { o.Engine, o.Write = slow{o.Engine.(*fake)}, 20*time.Millisecond })
	answer := r.do(call{path: "/v1/projects/default"})
	require.Equal(t, http.StatusServiceUnavailable, answer.Code, answer.Body)
	require.Contains(t, answer.Body.String(), `"code":"timeout"`)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
}
