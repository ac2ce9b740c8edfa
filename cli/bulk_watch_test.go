package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// answering is a server without a network, so that a test owns the clock.
type answering func(r *http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func answer(status int, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: io.NopCloser(bytes.NewReader(text)),
	}, err
}

// watched follows a bulk operation as a server tells it, and answers what a person sees and the exit code.
func watched(ctx context.Context, t *testing.T, first client.Bulk, server answering) (code int, out, told string, took time.Duration) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{out: &stdout, err: &stderr, now: time.Now, http: &http.Client{Transport: server}}
	s, err := p.sessionAt("http://redrive.test", "", "default", formatTable)
	require.NoError(t, err)
	begin := time.Now()
	code, text := explain(s.followBulk(ctx, &first))
	return code, stdout.String(), stderr.String() + text, time.Since(begin)
}

func bulkIn(state client.BulkState, flying, succeeded int) client.Bulk {
	b := client.Bulk{ID: "b1", State: state, Total: 3, InFlight: flying, Succeeded: succeeded, Pending: 3 - flying - succeeded}
	if state == client.BulkCompleted || state == client.BulkAborted {
		b.EndedAt = &b.CreatedAt
	}
	return b
}

const reattach = "The bulk operation goes on. Watch it: redrive bulk watch b1\n"

func TestAWatchOutlivesAServer(t *testing.T) {
	for name, silence := range map[string]func() (*http.Response, error){
		"nobody listens": func() (*http.Response, error) { return nil, errors.New("connection refused") },
		"it is starting": func() (*http.Response, error) {
			return answer(http.StatusServiceUnavailable, client.Problem{Title: "Redis does not answer"})
		},
		"too many ask": func() (*http.Response, error) {
			return answer(http.StatusTooManyRequests, client.Problem{Title: "slower"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				code, out, told, _ := watched(t.Context(), t, bulkIn(client.BulkRunning, 3, 0), func(*http.Request) (*http.Response, error) {
					if time.Since(begin) < 29*time.Second {
						return silence()
					}
					return answer(http.StatusOK, bulkIn(client.BulkCompleted, 0, 3))
				})
				require.Equal(t, exitOK, code, told)
				require.Contains(t, out, "completed")
				require.Equal(t, 1, strings.Count(told, "It is asked again for 30s."), told)
				require.Contains(t, told, "The server answers again.\n")
				require.NotContains(t, told, reattach)
			})
			synctest.Test(t, func(t *testing.T) {
				code, _, told, took := watched(t.Context(), t, bulkIn(client.BulkRunning, 3, 0), func(*http.Request) (*http.Response, error) { return silence() })
				require.Equal(t, exitFailed, code)
				require.Contains(t, told, "error: no answer for 30s: ")
				require.Contains(t, told, reattach)
				require.InDelta(t, 30, took.Seconds(), 2)
			})
		})
	}
}

// A server that takes a question and says nothing is one that does not answer.
func TestAWatchDoesNotWaitForOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, _, told, took := watched(t.Context(), t, bulkIn(client.BulkRunning, 3, 0), func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		require.Equal(t, exitFailed, code)
		require.Contains(t, told, reattach)
		require.Less(t, took, time.Minute)
	})
}

func TestARefusalEndsAWatchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := func(status int) (int, string) {
			asked := 0
			code, _, told, _ := watched(t.Context(), t, bulkIn(client.BulkRunning, 3, 0), func(*http.Request) (*http.Response, error) {
				asked++
				return answer(status, client.Problem{Title: "no", Code: "no"})
			})
			require.Equal(t, 1, asked)
			return code, told
		}
		code, told := refused(http.StatusUnauthorized)
		require.Equal(t, exitFailed, code)
		require.Contains(t, told, "--api-key")
		require.Contains(t, told, reattach)
		code, told = refused(http.StatusNotFound)
		require.Equal(t, exitNotFound, code)
		require.NotContains(t, told, reattach, "there is none any more")
	})
}

func TestAnInterruptedWatchSaysHowToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, out, told, took := watched(ctx, t, bulkIn(client.BulkRunning, 3, 0), func(*http.Request) (*http.Response, error) {
			return answer(http.StatusOK, bulkIn(client.BulkRunning, 3, 0))
		})
		require.Empty(t, out)
		require.Contains(t, told, reattach)
		require.Equal(t, time.Minute, took)
	})
}

// What is in flight of a held operation may wait until it goes on: it is watched while anything of it moves.
func TestAWatchOfAHeldOperationEndsWhenNothingMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		code, out, told, took := watched(t.Context(), t, bulkIn(client.BulkHeld, 3, 0), func(*http.Request) (*http.Response, error) {
			if time.Since(begin) < 8*time.Second {
				return answer(http.StatusOK, bulkIn(client.BulkHeld, 3, 0))
			}
			return answer(http.StatusOK, bulkIn(client.BulkHeld, 2, 1))
		})
		require.Equal(t, exitPartial, code)
		require.Contains(t, out, "held")
		require.InDelta(t, 18, took.Seconds(), 1, "10 s after something moved")
		require.Contains(t, told, "In flight still: 2. Watch them: redrive bulk watch b1\n")
		require.Contains(t, told, "It is held. Go on: redrive bulk continue b1, or redrive bulk abort b1\n", "nothing failed that is worth a look")

		skipped := bulkIn(client.BulkCompleted, 0, 2)
		skipped.Skipped = 1
		_, _, told, _ = watched(t.Context(), t, skipped, nil)
		require.Equal(t, "completed  3/3  done 2  failed 0  skipped 1\nLook: redrive bulk report b1 --outcome skipped\n", told)

		_, _, told, took = watched(t.Context(), t, bulkIn(client.BulkHeld, 0, 1), nil)
		require.Zero(t, took, "nothing is in flight")
		require.NotContains(t, told, "In flight")

		begin = time.Now()
		_, _, _, took = watched(t.Context(), t, bulkIn(client.BulkRunning, 2, 1), func(*http.Request) (*http.Response, error) {
			if time.Since(begin) < time.Hour {
				return answer(http.StatusOK, bulkIn(client.BulkRunning, 2, 1))
			}
			return answer(http.StatusOK, bulkIn(client.BulkCompleted, 0, 3))
		})
		require.InDelta(t, time.Hour.Seconds(), took.Seconds(), 1, "one that runs is watched however long nothing moves")
	})
}
