package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// key is one that Redis has of an execution.
func (s *stage) key(kind string, x *engine.Execution) string {
	s.t.Helper()
	keys, err := s.store.Client().Keys(s.ctx(), "*}:"+kind+":"+x.ID).Result()
	require.NoError(s.t, err)
	require.Len(s.t, keys, 1)
	return keys[0]
}

// spoil makes what Redis has of an execution unreadable, and answers what mends it.
func (s *stage) spoil(x *engine.Execution) (mend func()) {
	s.t.Helper()
	key := s.key("x", x)
	was, err := s.store.Client().HGet(s.ctx(), key, "failed").Result()
	require.NoError(s.t, err)
	require.NoError(s.t, s.store.Client().HSet(s.ctx(), key, "failed", "1 [").Err())
	return func() { require.NoError(s.t, s.store.Client().HSet(s.ctx(), key, "failed", was).Err()) }
}

// clobber puts something else in the place of a key.
func (s *stage) clobber(key string) {
	s.t.Helper()
	require.NoError(s.t, s.store.Client().Set(s.ctx(), key, "something else", 0).Err())
}

// minutes lets a driver go on for so long, whatever cannot be driven.
func (s *stage) minutes(d *engine.BulkDriver, b *engine.Bulk, n int) *engine.Bulk {
	s.t.Helper()
	for range n {
		_ = d.Sweep(s.ctx())
		s.settle()
		s.offset += time.Minute
	}
	return s.bulkNow(b)
}

func TestAnExecutionThatCannotBeActedOnStopsNoOther(t *testing.T) {
	t.Parallel()
	breaks := map[string]struct {
		at    int
		spoil func(*stage, *engine.Execution)
	}{
		"Redis refuses its tasks":      {spoil: func(s *stage, x *engine.Execution) { s.clobber(s.key("t", x)) }},
		"Redis refuses it":             {spoil: func(s *stage, x *engine.Execution) { s.clobber(s.key("x", x)) }},
		"it cannot be read":            {spoil: func(s *stage, x *engine.Execution) { s.spoil(x) }},
		"it cannot be read when taken": {at: 3, spoil: func(s *stage, x *engine.Execution) { s.spoil(x) }},
	}
	for what, c := range breaks {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			all := s.fails(bulky, 5)
			b := s.bulk(retryAll(later, func(r *engine.BulkRequest) { r.MaxInFlight = 3 }))
			d := s.NewBulkDriver()
			require.NoError(t, d.Sweep(s.ctx()))
			require.Equal(t, 3, s.bulkNow(b).Counts.InFlight)
			c.spoil(s, all[c.at])
			s.offset += 2 * time.Hour
			s.minutes(d, b, 3)
			s.offset += time.Hour
			b = s.minutes(d, b, 3)
			for range 2 * engine.BulkTries {
				_ = d.Sweep(s.ctx())
			}
			require.Equal(t, engine.BulkCounts{Total: 5, InFlight: 1, Succeeded: 4}, s.bulkNow(b).Counts, "it is tried again after a while, not at once")
			s.offset += time.Hour
			b = s.minutes(d, b, 12)
			require.Equal(t, engine.BulkCompleted, b.State)
			require.Equal(t, engine.BulkCounts{Total: 5, Failed: 1, Succeeded: 4}, b.Counts)
			item := s.items(b)[c.at]
			require.Equal(t, engine.OutcomeFailed, item.Outcome)
			require.Equal(t, "internal_error", item.Code)
			require.NotEmpty(t, item.Message)
			require.False(t, item.At.IsZero())
		})
	}
}

func TestAnExecutionThatCannotBeReadIsChosenAllTheSame(t *testing.T) {
	t.Parallel()
	for _, fingerprint := range []bool{false, true} {
		s := newStage(t)
		all := s.fails(bulky, 3)
		ask := retryAll()
		if fingerprint {
			groups, _, err := s.FailureGroups(s.ctx(), "default", engine.FailureFilter{}, engine.Page{})
			require.NoError(t, err)
			ask.Filter = engine.BulkFilter{Fingerprint: groups[0].Fingerprint}
		}
		s.spoil(all[1])
		preview, err := s.PreviewBulk(s.ctx(), "default", ask)
		require.NoError(t, err)
		require.Equal(t, 3, preview.Count)
		b, _, err := s.StartBulk(s.ctx(), "default", ask)
		require.NoError(t, err)
		b = s.minutes(s.NewBulkDriver(), b, 14)
		require.Equal(t, engine.BulkCounts{Total: 3, Failed: 1, Succeeded: 2}, b.Counts)
		item := s.items(b)[1]
		require.Equal(t, []string{"failed", "internal_error"}, []string{string(item.Outcome), item.Code})
	}
}

// One that can be read again is looked at as those are that could be read at once.
func TestWhatCouldNotBeReadWhenItWasTakenIsCheckedBeforeItIsActedOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 3)
	_, err := s.Redrive(s.ctx(), all[0].ID, retrying()) // its epoch is not that of others
	require.NoError(t, err)
	s.run = failing("a")
	s.settle()
	s.run = nil
	s.lists()
	b := s.bulk(retryAll(func(r *engine.BulkRequest) {
		r.Operation = engine.BulkRerun
		r.Filter.Status = []workflow.ExecutionStatus{workflow.ExecutionFailed}
	}))
	mends := []func(){s.spoil(all[0]), s.spoil(all[1])}
	d := s.NewBulkDriver()
	require.Error(t, d.Sweep(s.ctx()))
	for _, mend := range mends {
		mend()
	}
	_, err = s.Redrive(s.ctx(), all[1].ID, retrying()) // and this one is no longer what was chosen
	require.NoError(t, err)
	s.settle()
	s.offset += time.Minute
	b = s.drive(b)
	require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 2, Skipped: 1}, b.Counts)
	items := s.items(b)
	require.Equal(t, engine.OutcomeSucceeded, items[0].Outcome)
	require.Equal(t, []string{"skipped", "status_changed"}, []string{string(items[1].Outcome), items[1].Code})
}

func TestAnOutcomeThatCannotBeReadIsLookedForAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 3)
	b := s.bulk(retryAll())
	d := s.NewBulkDriver()
	for s.bulkNow(b).Counts.InFlight < 3 || s.redrives(all) < 3 {
		require.NoError(t, d.Sweep(s.ctx()))
	}
	s.settle()
	mend := s.spoil(all[1])
	b = s.minutes(d, b, 4)
	require.Equal(t, engine.BulkCounts{Total: 3, InFlight: 1, Succeeded: 2}, b.Counts)
	mend()
	b = s.minutes(d, b, 1)
	require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 3}, b.Counts)
	require.Equal(t, 3, s.redrives(all), "each once")
}

func TestAnOutcomeThatCannotBeReadIsSaidToBeUnknown(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 2)
	b := s.bulk(retryAll())
	d := s.NewBulkDriver()
	for s.bulkNow(b).Counts.InFlight < 2 || s.redrives(all) < 2 {
		require.NoError(t, d.Sweep(s.ctx()))
	}
	s.settle()
	s.spoil(all[1])
	b = s.minutes(d, b, 14)
	require.Equal(t, engine.BulkCounts{Total: 2, Succeeded: 1, Failed: 1}, b.Counts)
	require.Equal(t, "outcome_unknown", s.items(b)[1].Code)
}

// fullHook is a Redis that answers and takes no writes, as one does whose memory is full.
type fullHook struct{ refuses atomic.Pointer[string] } // scripts that name this

func (h *fullHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *fullHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if part := h.refuses.Load(); part != nil && strings.HasPrefix(cmd.Name(), "eval") && strings.Contains(cmd.String(), *part) {
			cmd.SetErr(errors.New("OOM command not allowed when used memory > 'maxmemory'"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func (h *fullHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestWhileRedisTakesNothingNoExecutionOfABulkOperationFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 3)
	b := s.bulk(retryAll(later))
	d := s.NewBulkDriver()
	require.NoError(t, d.Sweep(s.ctx()))
	require.Equal(t, 3, s.bulkNow(b).Counts.InFlight)
	s.offset += 2 * time.Hour
	hook := &fullHook{}
	s.store.Client().AddHook(hook)
	hook.refuses.Store(new(string))
	for range 2 * engine.BulkTries {
		require.Error(t, d.Sweep(s.ctx()))
		s.offset += time.Minute
	}
	require.Equal(t, engine.BulkCounts{Total: 3, InFlight: 3}, s.bulkNow(b).Counts)
	one := s.key("x", all[0])
	hook.refuses.Store(&one)
	for range engine.BulkTries / 2 {
		require.Error(t, d.Sweep(s.ctx()))
		s.settle()
		s.offset += time.Minute
	}
	require.Equal(t, 1, s.bulkNow(b).Counts.InFlight, "the tries of the outage do not count")
	hook.refuses.Store(nil)
	b = s.drive(b)
	require.Equal(t, engine.BulkCounts{Total: 3, Succeeded: 3}, b.Counts)
}

func TestWhatLeftTheGroupOfFailuresIsNotRedriven(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.fails(bulky, 4)
	groups, _, err := s.FailureGroups(s.ctx(), "default", engine.FailureFilter{}, engine.Page{})
	require.NoError(t, err)
	require.Len(t, groups, 1)
	b := s.bulk(engine.BulkRequest{Operation: engine.BulkRetry, Filter: engine.BulkFilter{Fingerprint: groups[0].Fingerprint}, MaxInFlight: 1})
	d := s.NewBulkDriver()
	require.NoError(t, d.Sweep(s.ctx()), "the first one is taken")
	s.run = func(r *engine.Run) (json.RawMessage, *workflow.Error) {
		if r.Execution == all[2].ID && r.Ref == "b" {
			return nil, &workflow.Error{Code: "other", Message: "in another way"}
		}
		return r.Input, nil
	}
	_, err = s.Redrive(s.ctx(), all[2].ID, retrying())
	require.NoError(t, err)
	s.settle()
	require.Equal(t, workflow.ExecutionFailed, s.at(all[2]).Status)
	anew := retrying()
	anew.Identity = workflow.NewExecution
	_, err = s.Redrive(s.ctx(), all[3].ID, anew)
	require.NoError(t, err)
	s.settle()
	s.lists()
	b = s.drive(b)
	require.Equal(t, engine.BulkCounts{Total: 4, Succeeded: 2, Skipped: 2}, b.Counts)
	for i, item := range s.items(b) {
		if i < 2 {
			require.Equal(t, engine.OutcomeSucceeded, item.Outcome)
			continue
		}
		require.Equal(t, []string{"skipped", "failed", "failed", "not_open"}, []string{string(item.Outcome), item.Before, item.After, item.Code})
	}
	require.Equal(t, 1, s.at(all[2]).Redrives, "it failed in another way")
	require.Zero(t, s.at(all[3]).Redrives, "an execution made of it succeeded")
}
