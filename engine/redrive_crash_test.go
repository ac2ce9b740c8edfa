package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// wreck is a redrive whose process dies at a trip to Redis, and another process that lives on.
type wreck struct {
	source string
	fails  []string
	first  []string // refs that are claimed, and run, when it is asked for
	ask    func(s *stage, x *engine.Execution) (id string, r engine.RedriveRequest)
	stride int                                      // trips between two deaths in the short form; 0 = 1
	keep   bool                                     // it is not run to its end, which takes too long: it is canceled
	before func(s *stage, x *engine.Execution)      // instead of running it
	saw    func(s *stage, x *engine.Execution) bool // what crashes are to leave at least once
}

// snapshot is a whole database.
type snapshot map[string]struct {
	value string
	ttl   time.Duration
}

func (s *stage) save() snapshot {
	s.t.Helper()
	all := snapshot{}
	for key, value := range s.dump() {
		ttl, err := s.store.Client().PTTL(s.ctx(), key).Result()
		require.NoError(s.t, err)
		all[key] = struct {
			value string
			ttl   time.Duration
		}{value, max(ttl, 0)}
	}
	return all
}

func (s *stage) load(all snapshot) {
	s.t.Helper()
	require.NoError(s.t, s.store.Client().FlushDB(s.ctx()).Err())
	for key, v := range all {
		require.NoError(s.t, s.store.Client().Restore(s.ctx(), key, v.ttl, v.value).Err())
	}
}

// own are the keys of executions as they lie there, without drafts, which end by themselves.
func (s *stage) own() map[string]string {
	s.t.Helper()
	keys, err := queuetest.Keys(s.ctx(), s.store.Client(), "redrive:{s:")
	require.NoError(s.t, err)
	all := map[string]string{}
	for _, key := range keys {
		if !strings.Contains(key, ":q:") || !s.mortal(key) {
			all[key] = s.content(key)
		}
	}
	return all
}

// changesOf are the keys that are not what they were.
func changesOf(was, is map[string]string) (keys []string) {
	for key := range is {
		if was[key] != is[key] {
			keys = append(keys, key)
		}
	}
	for key := range was {
		if _, there := is[key]; !there {
			keys = append(keys, key)
		}
	}
	return keys
}

// content is what a key holds, whatever the order in which Redis keeps it.
func (s *stage) content(key string) string {
	s.t.Helper()
	c := s.store.Client()
	kind, err := c.Type(s.ctx(), key).Result()
	require.NoError(s.t, err)
	var all any
	switch kind {
	case "hash":
		all, err = c.HGetAll(s.ctx(), key).Result()
	case "set":
		var members []string
		members, err = c.SMembers(s.ctx(), key).Result()
		slices.Sort(members)
		all = members
	case "zset":
		all, err = c.ZRangeWithScores(s.ctx(), key, 0, -1).Result()
	default:
		all, err = c.LRange(s.ctx(), key, 0, -1).Result()
	}
	require.NoError(s.t, err)
	return fmt.Sprint(all)
}

// story is what one sees of an execution and its sub-executions, however it came to be.
func (s *stage) story(x *engine.Execution) map[string]string {
	s.t.Helper()
	all := map[string]string{"": fmt.Sprint(s.at(x).Status, s.at(x).Redrives)}
	for path, v := range s.shot(x) {
		line := fmt.Sprintf("%s %d %s:", v.task.Status, v.task.Attempt, v.task.Output)
		for _, a := range v.attempts {
			line += fmt.Sprintf(" %s %d %s", a.Status, a.Redrive, a.Output)
		}
		all[path] = line
	}
	return all
}

// sweeps lets time pass until all that is due was looked at.
func (s *stage) sweeps() {
	s.t.Helper()
	for range 2 {
		s.repair()
		require.NoError(s.t, s.LookAtLines(s.ctx(), "default"))
	}
}

func (s *stage) auditAll() {
	s.t.Helper()
	keys, err := queuetest.Keys(s.ctx(), s.store.Client(), "}:x:")
	require.NoError(s.t, err)
	for _, key := range keys {
		s.audit(&engine.Execution{ID: key[strings.LastIndex(key, ":")+1:]})
	}
}

// ended ends the execution that a redrive made or changed, and tells its story.
func (w wreck) ended(s *stage, x *engine.Execution, runs []*engine.Run) map[string]string {
	s.t.Helper()
	for _, run := range runs {
		if err := s.Complete(s.ctx(), run, run.Input); err != nil {
			require.ErrorIs(s.t, err, engine.ErrStale)
		}
	}
	if w.keep {
		told := s.story(x)
		_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
		require.NoError(s.t, err)
		s.sweeps()
		return told
	}
	s.settle()
	s.sweeps()
	s.settle()
	return s.story(x)
}

// vanishes lets retention pass, which leaves nothing.
func (s *stage) vanishes() {
	s.t.Helper()
	s.offset += 3 * time.Hour
	for range 3 {
		for _, due := range s.due() {
			require.NoError(s.t, s.Repair(s.ctx(), engine.Due{Now: due.Now, Decide: due.Decide, Index: due.Index, Expire: due.Expire, Building: due.Building}))
		}
	}
	require.Empty(s.t, s.own(), "retention leaves nothing")
}

func (w wreck) run(t *testing.T) {
	url := queuetest.URL(t)
	dies, goes := newStageOn(t, url), newStageOn(t, url)
	faults := &queuetest.Faults{}
	dies.store.Client().AddHook(faults)
	goes.publish(child, leafOf3, midOf3)
	goes.run = failing(w.fails...)
	x := goes.start(w.source, `{"n": 1}`)
	var runs []*engine.Run
	if w.before != nil {
		w.before(goes, x)
	} else {
		runs = goes.except(x, w.first)
	}
	goes.run = nil
	goes.sweeps()
	id, r := w.ask(goes, x)
	if r.Identity != workflow.NewExecution {
		goes.shards = []int{goes.shardOf(x)}
	}
	start, offset := goes.save(), goes.offset
	was := goes.own()
	var want map[string]string
	seen := false
	rounds := 0
	for trips, broke := 0, true; broke; trips++ {
		for _, after := range []bool{false, true} {
			if !soak && trips > 1 && (after != (trips%2 == 0) || trips%max(w.stride, 1) != 0) {
				continue
			}
			rounds++
			goes.load(start)
			goes.offset, dies.offset = offset, offset
			goes.Forget()
			dies.Forget()
			if want == nil { // undisturbed
				now, err := goes.Redrive(t.Context(), id, r)
				require.NoError(t, err)
				goes.sweeps()
				want = w.ended(goes, topOf(x, now), runs)
				goes.auditAll()
				goes.load(start)
				goes.offset = offset
				goes.Forget()
			}
			faults.Arm(trips, after)
			_, err := dies.Redrive(t.Context(), id, r)
			broke = faults.Disarm() || err != nil
			what := fmt.Sprintf("trip %d, after %v: %v", trips, after, err)
			goes.auditAll()
			if goes.at(x).Redrives == 0 && r.Identity != workflow.NewExecution {
				require.Empty(t, changesOf(was, goes.own()), "what is not committed changes nothing: %s", what)
			}
			seen = seen || w.saw != nil && w.saw(goes, x)
			goes.sweeps()
			goes.auditAll()
			now, err := goes.Redrive(t.Context(), id, r) // as whoever got no answer does
			require.NoError(t, err, what)
			goes.sweeps()
			require.Equal(t, want, w.ended(goes, topOf(x, now), runs), what)
			goes.auditAll()
			goes.vanishes()
		}
	}
	t.Logf("it died %d times", rounds-1)
	require.Greater(t, rounds, 10)
	require.True(t, w.saw == nil || seen, "no crash left what was to be seen")
}

// topOf is the execution whose story is told.
func topOf(x, now *engine.Execution) *engine.Execution {
	if now.Origin != nil {
		return now
	}
	return x
}

// TestARedriveIsWholeOrNothing breaks redrives at every trip to Redis, before and after Redis did what it was asked,
// and expects the other process to bring them to the end that they would have had, once.
func TestARedriveIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	for what, w := range wrecks {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w.run(t)
		})
	}
}
