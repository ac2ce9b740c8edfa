package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
)

// messages are the lines of all batches, in the order they arrived.
func messages(batches []engine.LogBatch) []string {
	var all []string
	for _, b := range batches {
		for _, l := range b.Lines {
			all = append(all, string(l.Level)+": "+l.Message)
		}
	}
	return all
}

// The log of an attempt is there before its result is, and a handler that says
// nothing costs no call.
func TestLogsArriveBeforeTheResult(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var before []string
	f.engine.complete = func() error {
		before = messages(f.engine.logs)
		return nil
	}
	f.start(f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		if job.Ref == "silent" {
			return nil, nil
		}
		log := job.Log.With("a", 1).WithGroup("g")
		log.Debug("fine", "b", "two words", slog.Group("in", "c", []byte("raw")))
		log.Info("plain")
		job.Log.Error("bad", "error", errors.New("it broke"), "none", "")
		return nil, nil
	}))
	x := fence("a")
	f.send(x, "work")
	f.gone(x)
	require.Equal(t, []string{`debug: fine a=1 g.b="two words" g.in.c=raw`, "info: plain a=1", `error: bad error="it broke" none=""`},
		get(f.engine, func() []string { return before }))
	silent := fence("silent")
	f.send(silent, "work")
	f.gone(silent)
	require.Len(t, get(f.engine, func() []engine.LogBatch { return f.engine.logs }), 1)
}

// A handler that runs on is heard before it ends.
func TestLogsArriveWhileTheHandlerRuns(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	release := make(chan struct{})
	f.start(f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		for range 3 {
			job.Log.Info("step")
			<-release
		}
		return nil, nil
	}))
	x := fence("a")
	f.send(x, "work")
	for step := range 3 {
		f.eventually("the line arrives", func() bool {
			return len(get(f.engine, func() []string { return messages(f.engine.logs) })) == step+1
		})
		release <- struct{}{}
	}
	f.gone(x)
}

// collector is a store of logs that can be away.
type collector struct {
	away    atomic.Bool
	batches []engine.LogBatch
	full    bool
}

var errAway = errors.New("Redis is away")

func (c *collector) log(waiting *atomic.Int64) *runLog {
	return &runLog{fence: fence("a"), waiting: waiting, send: func(_ context.Context, b engine.LogBatch) (bool, error) {
		if c.away.Load() {
			return false, errAway
		}
		c.batches = append(c.batches, b)
		return c.full, nil
	}}
}

// While Redis is away lines wait, and come in their order when it is back; the
// batch that got no answer comes under its number.
func TestLogsWaitForRedis(t *testing.T) {
	var c collector
	var waiting atomic.Int64
	l := c.log(&waiting)
	c.away.Store(true)
	l.add(time.Now(), engine.LogInfo, "one")
	require.ErrorIs(t, l.flush(t.Context()), errAway)
	l.add(time.Now(), engine.LogInfo, "two")
	require.ErrorIs(t, l.end(), errAway)
	l.add(time.Now(), engine.LogInfo, "after the end")
	c.away.Store(false)
	lost, untold := l.giveUp()
	require.Zero(t, lost+untold)
	require.Equal(t, []string{"info: one", "info: two"}, messages(c.batches))
	require.Equal(t, []int{1, 2}, []int{c.batches[0].Number, c.batches[1].Number})
	require.Zero(t, waiting.Load())
}

// What all runs together hold back is bounded, and what is lost is told.
func TestLostLinesAreCounted(t *testing.T) {
	var c collector
	var waiting atomic.Int64
	waiting.Store(maxWaitingLogs - 100)
	l := c.log(&waiting)
	l.add(time.Now(), engine.LogInfo, "fits")
	l.add(time.Now(), engine.LogInfo, strings.Repeat("x", 100))
	require.NoError(t, l.end())
	last := c.batches[len(c.batches)-1]
	require.True(t, last.Last)
	require.Equal(t, engine.LogLoss{Lines: 1, Bytes: 100}, last.Lost)
	require.Equal(t, []string{"info: fits"}, messages(c.batches))
	require.EqualValues(t, maxWaitingLogs-100, waiting.Load())

	c.away.Store(true)
	l = c.log(&waiting)
	l.add(time.Now(), engine.LogInfo, "never arrives")
	lost, untold := l.giveUp()
	require.Equal(t, []int{1, 1}, []int{lost, untold})
	require.EqualValues(t, maxWaitingLogs-100, waiting.Load(), "what is given up waits no more")
}

// A chatty handler holds no more than what can be kept, and stops sending.
func TestLogsAreBounded(t *testing.T) {
	var c collector
	var waiting atomic.Int64
	l := c.log(&waiting)
	for range 2000 {
		l.add(time.Now(), engine.LogInfo, strings.Repeat("x", 1000))
	}
	require.LessOrEqual(t, waiting.Load(), int64(engine.LogAttemptBytes))
	require.NoError(t, l.end())
	last := c.batches[len(c.batches)-1]
	require.Equal(t, 2000, last.Cut.Lines+len(messages(c.batches)), "every line is kept or counted")
	require.NoError(t, l.end())
	require.Equal(t, last, c.batches[len(c.batches)-1], "what is missing is told once")

	c = collector{full: true}
	l = c.log(&waiting)
	l.add(time.Now(), engine.LogInfo, "one")
	require.NoError(t, l.flush(t.Context()))
	l.add(time.Now(), engine.LogInfo, "two")
	require.NoError(t, l.end())
	require.Equal(t, []string{"info: one"}, messages(c.batches), "the attempt's log is full")
	require.Equal(t, engine.LogLoss{Lines: 1, Bytes: 3}, c.batches[1].Cut)
	require.Greater(t, c.batches[1].Number, c.batches[0].Number, "else it would be taken for the same batch")
}

// A log that cannot be kept neither fails the task nor keeps it from ending.
func TestATaskEndsWithoutItsLog(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.engine.writeLog = func(engine.LogBatch) (bool, error) { return false, errAway }
	var log syncBuffer
	o := f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		for i := range 3 {
			job.Log.Info(fmt.Sprint("line ", i))
		}
		return json.RawMessage(`1`), nil
	})
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	registry := prometheus.NewRegistry()
	o.Metrics = NewMetrics(registry)
	f.start(o)
	x := fence("a")
	f.send(x, "work")
	f.gone(x)
	require.Equal(t, "1", get(f.engine, func() string { return f.engine.outputs["a"] }))
	require.Contains(t, log.String(), `"lines":3`)
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, m := range families {
		if m.GetName() == "redrive_worker_log_lines_lost_total" {
			require.InDelta(t, 3, m.GetMetric()[0].GetCounter().GetValue(), 0)
			return
		}
	}
	t.Fatal("the lines that were lost are not counted")
}
