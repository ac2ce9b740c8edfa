package server

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
)

func TestPollAnswers(t *testing.T) {
	r := newRig(t)
	w := r.do(call{method: "POST", path: "/v1/remote/poll", key: "rdr_write", body: `{"types":["render"],"worker":"py","max":5,"wait":"1m","lease":"90s"}`})
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.JSONEq(t, `{"items":[{"token":"token","execution":"`+idDefault+`","number":41,"project":"default","workflow":"hello","ref":"a",
		"type":"render","attempt":1,"try":1,"dispatch":1,"input":{"n":1},"timeout":"1m0s","lease":"30s","heartbeat_seconds":10,
		"started_at":"2026-01-31T08:00:00Z","deadline":"2026-01-31T08:01:00Z","idempotency_key":""}]}`, w.Body.String())
	require.Equal(t, engine.Poll{Worker: "py", Types: []string{"render"}, Max: 5, Wait: time.Minute, Lease: 90 * time.Second}, r.fake.seen())

	r.do(call{method: "POST", path: "/v1/remote/poll", key: "rdr_other", body: `{"types":["render"],"worker":"py"}`})
	require.Equal(t, engine.Poll{Worker: "py", Types: []string{"render"}, Projects: []string{"other"}, Key: "k4"}, r.fake.seen())
}

func TestReportsReachTheEngine(t *testing.T) {
	r := newRig(t)
	run := "/v1/remote/" + idDefault + "/each%5Beu%5D.load"
	w := r.do(call{method: "POST", path: run + "/heartbeat", key: "rdr_write", body: `{"token":"t"}`})
	require.JSONEq(t, `{"canceled":false,"lease":"30s"}`, w.Body.String())
	r.do(call{method: "POST", path: run + "/heartbeat", key: "rdr_write", body: `{"token":"t","progress":{"rows":1}}`})
	require.Equal(t, json.RawMessage(`{"rows":1}`), r.fake.seen())
	w = r.do(call{method: "POST", path: run + "/complete", key: "rdr_write", body: `{"token":"t","output":{"n":12345678901234567890}}`})
	require.JSONEq(t, `{"status":"succeeded","error":null}`, w.Body.String())
	require.Equal(t, json.RawMessage(`{"n":12345678901234567890}`), r.fake.seen())
	w = r.do(call{method: "POST", path: run + "/fail", key: "rdr_write", body: `{"token":"t","error":{"code":"c","message":"m"}}`})
	require.JSONEq(t, `{"status":"retrying","error":{"code":"c","message":"m","retryable":true}}`, w.Body.String())
	w = r.do(call{method: "POST", path: run + "/fail", key: "rdr_write", body: `{"token":"t","error":{"code":"c","message":"m","retryable":false}}`})
	require.JSONEq(t, `{"status":"retrying","error":{"code":"c","message":"m","retryable":false}}`, w.Body.String())
}

// TestProgressCostsNoLease: what cannot be kept is said once the lease is extended, and a run that was canceled is told so whatever it gives.
func TestProgressCostsNoLease(t *testing.T) {
	r := newRig(t)
	path := "/v1/remote/" + idDefault + "/a/heartbeat"
	w := r.do(call{method: "POST", path: path, key: "rdr_write", body: `{"token":"large","progress":{"rows":1}}`})
	require.Equal(t, http.StatusUnprocessableEntity, w.Code, w.Body.String())
	require.Equal(t, json.RawMessage(`{"rows":1}`), r.fake.seen())
	require.Equal(t, 1, r.fake.beats)
	w = r.do(call{method: "POST", path: path, key: "rdr_write", body: `{"token":"canceled","progress":{"rows":2}}`})
	require.JSONEq(t, `{"canceled":true,"lease":"30s"}`, w.Body.String())
	require.Equal(t, json.RawMessage(`{"rows":1}`), r.fake.seen(), "nobody wants it any more")
}

func TestLinesReachTheLog(t *testing.T) {
	r := newRig(t)
	long := time.Now().Add(-48 * time.Hour).Format(time.RFC3339)
	w := r.do(call{method: "POST", path: "/v1/remote/" + idDefault + "/a/log", key: "rdr_write",
		body: `{"token":"t","lines":[{"message":"plain"},{"level":"warn","time":"` + long + `","message":"old"},{"time":"2999-01-01T00:00:00Z","message":"early"}]}`})
	require.Equal(t, http.StatusNoContent, w.Code, w.Body.String())
	require.Equal(t, []engine.LogLine{
		{Level: engine.LogInfo, Message: "plain"}, {Level: engine.LogWarn, Ago: time.Hour, Message: "old"}, {Level: engine.LogInfo, Message: "early"},
	}, r.fake.seen())
}

// TestAPollOutlivesTheTimeouts: the server's deadlines are for requests that end soon.
func TestAPollOutlivesTheTimeouts(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Read, o.Write = 100*time.Millisecond, 100*time.Millisecond })
	c, _ := r.listen("rdr_write")
	runs, err := c.PollRemote(t.Context(), client.PollRequest{Types: []string{"none"}, Worker: "py", Wait: "500ms"})
	require.NoError(t, err)
	require.Empty(t, runs)
}

func TestAStoppingServerLetsPollersGo(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_write")
	done := make(chan error, 1)
	go func() {
		runs, err := c.PollRemote(t.Context(), client.PollRequest{Types: []string{"none"}, Worker: "py", Wait: "60s"})
		if err == nil && len(runs) > 0 {
			err = engine.ErrMoved
		}
		done <- err
	}()
	<-r.fake.polls
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	require.NoError(t, r.server.Stop(ctx))
	require.NoError(t, <-done, "it was answered, with nothing")
}

func TestRunsOfAPollerThatWentAwayAreGivenBack(t *testing.T) {
	r := newRig(t)
	c, _ := r.listen("rdr_write")
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.PollRemote(ctx, client.PollRequest{Types: []string{"late"}, Worker: "py", Wait: "60s"})
		done <- err
	}()
	<-r.fake.polls
	leave()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Eventually(t, func() bool {
		defer r.fake.lock()()
		return len(r.fake.givenBack) == 1
	}, 30*time.Second, 5*time.Millisecond)
}

func TestTooManyPollersAreTurnedAway(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pollers = 1 })
	c, _ := r.listen("rdr_write")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.PollRemote(ctx, client.PollRequest{Types: []string{"none"}, Worker: "py", Wait: "60s"})
	}()
	<-r.fake.polls
	w := r.do(call{method: "POST", path: "/v1/remote/poll", key: "rdr_write", body: `{"types":["render"],"worker":"py"}`})
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "too_many_pollers", problemOf(t, w).Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	leave()
	<-done
	require.Eventually(t, func() bool {
		w := r.do(call{method: "POST", path: "/v1/remote/poll", key: "rdr_write", body: `{"types":["render"],"worker":"py"}`})
		return w.Code == http.StatusOK
	}, 30*time.Second, 5*time.Millisecond)
}

// TestAFailingPollGivesItsSlotBack: a slot that got lost would turn workers away for good.
func TestAFailingPollGivesItsSlotBack(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Pollers = 1 })
	for range 3 {
		w := r.do(call{method: "POST", path: "/v1/remote/poll", key: "rdr_write", body: `{"types":["broken"],"worker":"py"}`})
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "redis_unavailable", problemOf(t, w).Code)
	}
}
