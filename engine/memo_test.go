package engine_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const memorable = `
name: memorable
tasks:
  - { name: ask, type: approval, with: { message: "pay?", timeout: 1h, input_schema: { type: object, required: [ok] } } }
  - { name: money, type: wait, with: { external: true } }
  - { name: nap, type: wait, with: { duration: 1h } }
  - { name: later, type: approval, needs: [ask] }
`

func codeOf(err error) string {
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestMemosAreWrittenAllOrNone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(memorable, `{}`)
	require.False(t, x.Memos)
	texts := func() map[string]string {
		all, err := s.Memos(s.ctx(), x.ID)
		require.NoError(t, err)
		texts := map[string]string{}
		for key, m := range all {
			texts[key] = m.Text
			require.Equal(t, key, m.Key)
			require.WithinDuration(t, time.Now(), m.At, time.Minute)
		}
		return texts
	}
	require.Empty(t, texts())
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "a", Text: "one two\nthree", Expect: 0}, engine.MemoWrite{Key: "b/c:d", Expect: engine.AnyVersion}))
	require.Equal(t, map[string]string{"a": "one two\nthree", "b/c:d": ""}, texts())
	one, err := s.Memos(s.ctx(), x.ID, "a", "none")
	require.NoError(t, err)
	require.Len(t, one, 1)

	err = s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "new", Text: "x", Expect: 0}, engine.MemoWrite{Key: "a", Text: "y", Expect: 0})
	require.Equal(t, "memo_changed", codeOf(err))
	err = s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "none", Drop: true, Expect: 1})
	require.Equal(t, "memo_changed", codeOf(err))
	require.Equal(t, map[string]string{"a": "one two\nthree", "b/c:d": ""}, texts())

	was := one["a"].Version
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "a", Drop: true, Expect: was}))
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "a", Text: "again", Expect: 0}))
	one, err = s.Memos(s.ctx(), x.ID, "a")
	require.NoError(t, err)
	require.NotEqual(t, was, one["a"].Version, "one that was dropped and is there again is another one")
	now, err := s.Execution(s.ctx(), x.ID)
	require.NoError(t, err)
	require.True(t, now.Memos)
	require.Equal(t, x.Revision, now.Revision, "nothing of the execution changed")
	s.audit(x)
}

func TestMemosAreChecked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(memorable, `{}`)
	for what, w := range map[string]engine.MemoWrite{
		"no key": {}, "a strange key": {Key: "#"}, "a long key": {Key: strings.Repeat("k", 257)}, "a long text": {Key: "k", Text: strings.Repeat("x", engine.MemoBytes+1)},
	} {
		require.Equal(t, "request_invalid", codeOf(s.WriteMemos(s.ctx(), x.ID, w)), what)
	}
	require.Equal(t, "request_invalid", codeOf(s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "k"}, engine.MemoWrite{Key: "k"})))
	require.Equal(t, "execution_not_found", codeOf(s.WriteMemos(s.ctx(), "0190a1b2-0000-7000-8000-00000000dead", engine.MemoWrite{Key: "k"})))
	long := strings.Repeat("x", engine.MemoBytes)
	for i := range 15 {
		require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "k" + string(rune('a'+i)), Text: long}))
	}
	require.Equal(t, "memos_full", codeOf(s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "one-more", Text: long})))
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "kb", Text: long, Expect: engine.AnyVersion}), "it takes the place of the former one")
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "ka", Drop: true, Expect: engine.AnyVersion}))
	require.NoError(t, s.WriteMemos(s.ctx(), x.ID, engine.MemoWrite{Key: "one-more", Text: long}))
}

func TestAControlWritesItsMemosInTheSameStep(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(memorable, `{}`)
	memo := func(text string, expect int64) engine.Request {
		return engine.Request{Memos: []engine.MemoWrite{{Key: "why", Text: text, Expect: expect}}}
	}
	_, err := s.Pause(s.ctx(), x.ID, memo("no", 7))
	require.Equal(t, "memo_changed", codeOf(err))
	now, err := s.Execution(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionRunning, now.Status)
	require.Nil(t, now.PausedAt)

	now, err = s.Pause(s.ctx(), x.ID, memo("because", 0))
	require.NoError(t, err)
	all, err := s.Memos(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Equal(t, "because", all["why"].Text)
	require.Equal(t, all["why"].At, *now.PausedAt, "one moment")
	require.Nil(t, now.PausedUntil)

	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Resume(s.ctx(), x.ID, memo(string(rune('a'+i)), all["why"].Version)) })
	}
	wg.Wait()
	won := ""
	for i, err := range errs {
		if err == nil {
			require.Empty(t, won, "two resumes of one pause")
			won = string(rune('a' + i))
			continue
		}
		require.Contains(t, []string{"memo_changed", "not_paused"}, codeOf(err))
	}
	all, err = s.Memos(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Equal(t, won, all["why"].Text, "that of the one that resumed it")
	_, err = s.Resume(s.ctx(), x.ID, memo("late", engine.AnyVersion))
	require.Equal(t, "not_paused", codeOf(err))
	s.audit(x)
}

func TestAResumeAfterTheDeadlineIsTooLate(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(memorable, `{}`)
	now, err := s.Pause(s.ctx(), x.ID, engine.Request{Deadline: time.Hour})
	require.NoError(t, err)
	require.Equal(t, now.PausedAt.Add(time.Hour), *now.PausedUntil)
	s.offset += time.Hour
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.Equal(t, "pause_expired", codeOf(err))
	now, err = s.Execution(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionFailed, now.Status)
	require.Equal(t, "pause_expired", now.Error.Code)
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.Equal(t, "not_paused", codeOf(err))
	s.audit(x)
}

func TestGates(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(memorable, `{}`)
	gates, err := s.Gates(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Len(t, gates, 2, "nap ends by itself")
	ask, money := gates[0], gates[1]
	if ask.Ref != "ask" {
		ask, money = money, ask
	}
	require.Equal(t, ask.Since.Add(time.Hour), *ask.Deadline)
	require.JSONEq(t, `{"type":"object","required":["ok"]}`, string(ask.Schema))
	require.Equal(t, engine.Gate{Ref: "ask", Type: "approval", Attempt: 1, Message: "pay?", Schema: ask.Schema, Since: ask.Since, Deadline: ask.Deadline}, ask)
	require.Equal(t, engine.Gate{Ref: "money", Type: "wait", Attempt: 1, Since: money.Since}, money)
	s.offset += time.Minute
	_, err = s.AnswerGate(s.ctx(), x.ID, engine.Answer{Task: "ask", Input: []byte(`{"ok":1}`)})
	require.NoError(t, err)
	gates, err = s.Gates(s.ctx(), x.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"money", "later"}, []string{gates[0].Ref, gates[1].Ref}, "those that wait longest first")
	require.Nil(t, gates[1].Schema)
	_, err = s.Gates(s.ctx(), "0190a1b2-0000-7000-8000-00000000dead")
	require.Equal(t, "execution_not_found", codeOf(err))
}
