package engine_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// later puts off what is taken by up to an hour: it is in flight, and not sent out.
func later(r *engine.BulkRequest) { r.Jitter = time.Hour }

func (s *stage) steer(b *engine.Bulk, action engine.BulkAction) {
	s.t.Helper()
	_, err := s.ControlBulk(s.ctx(), "default", b.ID, action, engine.Request{By: "me"})
	require.NoError(s.t, err)
}

func (s *stage) redrives(all []*engine.Execution) (n int) {
	s.t.Helper()
	for _, x := range all {
		n += s.at(x).Redrives
	}
	return n
}

func TestWhatWasTakenAndNotSentOutWaitsWhileABulkOperationIsHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 4)
	b := s.bulk(retryAll(later))
	d := s.NewBulkDriver()
	require.NoError(t, d.Sweep(s.ctx()))
	require.Equal(t, 4, s.bulkNow(b).Counts.InFlight)
	s.steer(b, engine.BulkHold)
	s.offset += 2 * time.Hour // all were due by now
	for range 2 {
		require.NoError(t, d.Sweep(s.ctx()))
		require.NoError(t, s.NewBulkDriver().Sweep(s.ctx()), "another one knows nothing of it")
	}
	require.Equal(t, engine.BulkCounts{Total: 4, InFlight: 4}, s.bulkNow(b).Counts)
	require.Zero(t, s.redrives(all))
	s.steer(b, engine.BulkContinue)
	b = s.drive(b)
	require.Equal(t, engine.BulkCompleted, b.State)
	require.Equal(t, engine.BulkCounts{Total: 4, Succeeded: 4}, b.Counts)
}

func TestWhatWasTakenAndNotSentOutIsSkippedWhenABulkOperationIsAborted(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 4)
	b := s.bulk(retryAll(later))
	require.NoError(t, s.NewBulkDriver().Sweep(s.ctx()))
	s.steer(b, engine.BulkHold)
	s.steer(b, engine.BulkAbort)
	require.NoError(t, s.NewBulkDriver().Sweep(s.ctx()))
	b = s.bulkNow(b)
	require.NotNil(t, b.EndedAt, "nobody waits an hour for it")
	require.Equal(t, engine.BulkCounts{Total: 4, Skipped: 4}, b.Counts)
	for _, item := range s.items(b) {
		require.Equal(t, "aborted", item.Code)
	}
	s.offset += 2 * time.Hour
	require.Zero(t, s.redrives(all))
}

// A driver dies after it sent out what it took, and nobody else knows what that was.
func TestWhatWasSentOutIsLookedAfterWhenABulkOperationIsHeldOrAborted(t *testing.T) {
	t.Parallel()
	for _, action := range []engine.BulkAction{engine.BulkHold, engine.BulkAbort} {
		for _, identity := range []workflow.Identity{"", workflow.NewExecution} {
			s := newStage(t)
			s.fails(bulky, 3)
			b := s.bulk(retryAll(func(r *engine.BulkRequest) {
				if identity != "" {
					r.Operation, r.Redrive.Identity = engine.BulkRerun, identity
				}
			}))
			dies := s.NewBulkDriver()
			require.NoError(t, dies.Sweep(s.ctx()))
			require.NoError(t, dies.Sweep(s.ctx()))
			require.Equal(t, 3, s.bulkNow(b).Counts.InFlight)
			s.steer(b, action)
			s.lists()
			b = s.drive(b)
			require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 3}, b.Counts, "%s %s", action, identity)
		}
	}
}

func TestWhatWasPausedOrCanceledCountsWhenABulkOperationIsAborted(t *testing.T) {
	t.Parallel()
	for _, op := range []engine.BulkOperation{engine.BulkPause, engine.BulkCancel} {
		s := newStage(t)
		for range 3 {
			s.start(bulky, `{"n": 1}`)
		}
		b := s.bulk(engine.BulkRequest{Operation: op, Filter: engine.BulkFilter{Workflow: "bulky"}, Jitter: time.Hour})
		require.NoError(t, s.NewBulkDriver().Sweep(s.ctx()))
		flights, err := s.store.Flights(s.ctx(), engine.BulkName{Project: "default", ID: b.ID})
		require.NoError(t, err)
		require.Len(t, flights, 3)
		r := engine.Request{Token: flights[0].Token}
		if op == engine.BulkPause {
			_, err = s.Pause(s.ctx(), flights[0].Execution, r)
		} else {
			_, err = s.Cancel(s.ctx(), flights[0].Execution, r)
		}
		require.NoError(t, err)
		s.steer(b, engine.BulkAbort)
		d := s.NewBulkDriver()
		for range 3 {
			require.NoError(t, d.Sweep(s.ctx()))
			s.lists()
		}
		require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 1, Skipped: 2}, s.bulkNow(b).Counts, op)
	}
}

// onceAt calls a function when a command is sent for the first time.
type onceAt struct {
	is   func(cmd string) bool
	do   func()
	once sync.Once
}

func (o *onceAt) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (o *onceAt) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.is(cmd.String()) {
			o.once.Do(o.do)
		}
		return next(ctx, cmd)
	}
}

func (o *onceAt) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAHoldTakesEffectWhileExecutionsAreSentOut(t *testing.T) {
	t.Parallel()
	url := queuetest.URL(t)
	s, other := newStageOn(t, url), newStageOn(t, url)
	all := s.fails(bulky, 40)
	b := s.bulk(retryAll())
	asks := &onceAt{is: func(cmd string) bool { return strings.HasPrefix(cmd, "hget ") && strings.Contains(cmd, " t:") }}
	asks.do = func() { other.steer(b, engine.BulkHold) }
	s.store.Client().AddHook(asks)
	d := s.NewBulkDriver()
	require.NoError(t, d.Sweep(s.ctx()))
	require.NoError(t, d.Sweep(s.ctx()))
	require.Equal(t, engine.BulkHeld, s.bulkNow(b).State)
	require.Equal(t, 32, s.redrives(all), "those that were about to be sent out, and no others")
}
