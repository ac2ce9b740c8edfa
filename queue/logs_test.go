package queue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func line(message string, ago ...time.Duration) engine.LogLine {
	l := engine.LogLine{Level: engine.LogInfo, Message: message}
	if len(ago) > 0 {
		l.Ago = ago[0]
	}
	return l
}

// write hands a batch over and answers whether the log is full.
func (h *house) write(b engine.LogBatch) bool {
	h.t.Helper()
	full, err := h.WriteLog(h.t.Context(), b)
	require.NoError(h.t, err)
	return full
}

// logOf answers what the log of an execution says.
func (h *house) logOf(id string, f engine.LogFilter) []string {
	h.t.Helper()
	var all []string
	for cursor := ""; ; {
		found, next, err := h.Logs(h.t.Context(), id, f, engine.Page{Cursor: cursor, Limit: 1000})
		require.NoError(h.t, err)
		for _, e := range found {
			all = append(all, e.Message)
		}
		if next == "" {
			return all
		}
		cursor = next
	}
}

func aLog(t *testing.T, h *house) {
	ctx := t.Context()
	d := &workflow.Definition{Name: "logs", Tasks: tasksOf("a", "b")}
	x := h.start(d)
	a, b := h.take(x.ID, "a"), h.take(x.ID, "b")
	h.write(engine.LogBatch{Fence: a.Fence, Number: 1, Lines: []engine.LogLine{
		line("first", 1500*time.Millisecond), {Level: engine.LogError, Message: "second\twith a tab\nand a line"}}})
	h.write(engine.LogBatch{Fence: b.Fence, Number: 1, Lines: []engine.LogLine{{Level: engine.LogDebug, Message: "other"}}})
	h.write(engine.LogBatch{Fence: a.Fence, Number: 1, Lines: []engine.LogLine{line("first"), line("again")}})
	h.write(engine.LogBatch{Fence: a.Fence, Number: 2, Lines: []engine.LogLine{line("third")}})
	require.Equal(t, []string{"first", "second\twith a tab\nand a line", "other", "third"}, h.logOf(x.ID, engine.LogFilter{}),
		"in the order of arrival, and a batch that is sent twice stands there once")
	require.Equal(t, []string{"other"}, h.logOf(x.ID, engine.LogFilter{Ref: "b"}))
	require.Equal(t, []string{"second\twith a tab\nand a line"}, h.logOf(x.ID, engine.LogFilter{Level: engine.LogWarn}))
	require.Empty(t, h.logOf(x.ID, engine.LogFilter{Attempt: 2}))
	found, next, err := h.Logs(ctx, x.ID, engine.LogFilter{Ref: "a"}, engine.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "first", found[0].Message)
	require.Equal(t, engine.LogEntry{Seq: "1", At: found[0].At, Level: engine.LogInfo, Ref: "a", Attempt: 1, Message: "first"}, found[0])
	found, _, err = h.Logs(ctx, x.ID, engine.LogFilter{Ref: "a"}, engine.Page{Limit: 1, Cursor: next})
	require.NoError(t, err)
	require.Equal(t, "second\twith a tab\nand a line", found[0].Message)
	all, err := h.Log(ctx, x.ID, 0, 10)
	require.NoError(t, err)
	require.InDelta(t, 1500, all[1].At.Sub(all[0].At).Milliseconds(), 1, "its time is when it was written, by Redis' clock")
	h.audit(x.ID, d)

	_, _, err = h.Logs(ctx, x.ID, engine.LogFilter{Ref: "nosuch"}, engine.Page{})
	require.ErrorContains(t, err, "nosuch")
	future := a.Fence
	future.Attempt = 2
	require.ErrorIs(t, h.AppendLogs(ctx, future, []engine.LogLine{line("x")}), engine.ErrStale, "an attempt that was never made")
	future.Ref = "nosuch"
	require.ErrorIs(t, h.AppendLogs(ctx, future, []engine.LogLine{line("x")}), engine.ErrStale)
	future.Execution = strings.Repeat("0", 8) + x.ID[8:]
	require.ErrorIs(t, h.AppendLogs(ctx, future, []engine.LogLine{line("x")}), engine.ErrGone)
	err = h.AppendLogs(ctx, a.Fence, []engine.LogLine{{Level: "loud", Message: "x"}, line(strings.Repeat("x", engine.LogAttemptBytes))})
	require.ErrorContains(t, err, "lines[0].level")
	require.ErrorContains(t, err, "has 262145 bytes")
}

func aLogIsCut(t *testing.T, h *house) {
	d := &workflow.Definition{Name: "cut", Tasks: tasksOf("a")}
	x := h.start(d)
	a := h.take(x.ID, "a").Fence
	text := strings.Repeat("x", 1000)
	n := 1
	for ; !h.write(engine.LogBatch{Fence: a, Number: n, Lines: []engine.LogLine{line(text), line("y")}}); n++ {
		require.Less(t, n, 1000)
	}
	require.True(t, h.write(engine.LogBatch{Fence: a, Number: n + 1, Lines: []engine.LogLine{line("z")}}), "what is full stays full")
	h.audit(x.ID, d)
	last := engine.LogBatch{Fence: a, Number: n + 2, Last: true, Cut: engine.LogLoss{Lines: 1200, Bytes: 56 << 10}, Lost: engine.LogLoss{Lines: 1, Bytes: 7}}
	h.write(last)
	h.write(last)
	got := h.logOf(x.ID, engine.LogFilter{})
	require.Equal(t, "... from here on lines are cut; the limit is 256 KiB per attempt", got[len(got)-2])
	require.Regexp(t, `^\.\.\. 1,20[23] lines \(5[678] KiB\) were cut; the limit is 256 KiB per attempt; 1 line \(7 B\) was lost, because Redis could not be reached$`, got[len(got)-1])
	require.NotContains(t, got, "z", "nothing stands behind a hole as if there were none")
	size := 0
	for _, m := range got {
		size += len(m)
	}
	require.InDelta(t, engine.LogAttemptBytes, size, 40_000)
	stale := a
	stale.Dispatch = 7
	h.write(engine.LogBatch{Fence: stale, Number: 1, Lines: []engine.LogLine{line("of a stale worker")}})
	h.audit(x.ID, d)
}

func logsOfAnExecutionAreCut(t *testing.T, h *house) {
	d := &workflow.Definition{Name: "cuts"}
	for i := range 70 {
		d.Tasks = append(d.Tasks, workflow.Task{Name: fmt.Sprintf("t%d", i), Type: "noop"})
	}
	x := h.start(d)
	text := strings.Repeat("x", engine.LogMessageBytes)
	lines := make([]engine.LogLine, 15)
	for i := range lines {
		lines[i] = line(text)
	}
	kept := 0
	for _, task := range d.Tasks {
		f := h.take(x.ID, task.Name).Fence
		if !h.write(engine.LogBatch{Fence: f, Number: 1, Lines: lines}) {
			kept++
		}
		h.write(engine.LogBatch{Fence: f, Number: 2, Last: true})
	}
	require.Equal(t, engine.LogExecutionBytes/(15*engine.LogMessageBytes), kept)
	got := h.logOf(x.ID, engine.LogFilter{Ref: "t69"})
	require.Equal(t, "... 15 lines (240 KiB) were cut; the limit is 16 MiB per execution", got[len(got)-1])
	h.audit(x.ID, d)
}

func aLogEndsWithItsExecution(t *testing.T, h *house) {
	ctx := t.Context()
	d := &workflow.Definition{Name: "ends", Tasks: tasksOf("a")}
	x := h.start(d)
	a := h.take(x.ID, "a")
	h.write(engine.LogBatch{Fence: a.Fence, Number: 1, Lines: []engine.LogLine{line("one")}})
	_, err := h.Fail(ctx, a, &workflow.Error{Code: "boom"}, false)
	require.NoError(t, err)
	_, err = h.Index(ctx, []string{x.ID})
	require.NoError(t, err)
	ttl := func(name string) time.Duration {
		d, err := h.Client().PTTL(ctx, queuetest.ShardKey(x.ID, name+":"+x.ID)).Result()
		require.NoError(t, err)
		return d
	}
	require.Positive(t, ttl("l"), "the net beneath the purge")
	require.Positive(t, ttl("ls"))
	_, err = h.Redrive(ctx, x.ID, retrying())
	require.NoError(t, err)
	_, err = h.Index(ctx, []string{x.ID})
	require.NoError(t, err)
	require.Equal(t, time.Duration(-1), ttl("l"), "what lives again must not lose its log")
	require.NoError(t, h.Complete(ctx, h.take(x.ID, "a"), nil))
	_, err = h.Index(ctx, []string{x.ID})
	require.NoError(t, err)
	require.NoError(t, h.Client().Del(ctx, queuetest.ShardKey(x.ID, "l:"+x.ID), queuetest.ShardKey(x.ID, "ls:"+x.ID)).Err())
	require.NoError(t, h.AppendLogs(ctx, a.Fence, []engine.LogLine{line("of a stale worker, after the end")}))
	require.Positive(t, ttl("l"))
	require.Positive(t, ttl("ls"))
	h.offset += time.Hour
	require.NoError(t, h.Purge(ctx, x.ID, false))
	keys, err := queuetest.Keys(ctx, h.Client(), x.ID)
	require.NoError(t, err)
	require.Empty(t, keys)
	require.ErrorIs(t, h.AppendLogs(ctx, a.Fence, []engine.LogLine{line("too late")}), engine.ErrGone)
	keys, err = queuetest.Keys(ctx, h.Client(), x.ID)
	require.NoError(t, err)
	require.Empty(t, keys, "a late line brings nothing back")
}
