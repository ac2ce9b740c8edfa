package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func TestTimeGoesOnWhilePausedAndCountsAtTheResume(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := s.start(`
name: w
tasks:
  - { name: time, type: wait, with: { duration: 1m } }
  - { name: person, type: approval }
  - { name: late, type: wait, retry: { max_attempts: 2, delay: 0s }, with: { external: true, timeout: 2m } }
  - { name: after, needs: [time, person], type: noop }
  - { name: more, needs: [time], type: wait, with: { duration: 1m } }
`, `{}`)
	_, err := s.Pause(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	s.pass(90 * time.Second)
	_, err = s.AnswerGate(s.ctx(), x.ID, engine.Answer{Task: "person", Input: json.RawMessage(`true`)})
	require.NoError(t, err)
	s.settle()
	now := s.tasks(x)
	require.Equal(t, map[string]string{"time": "waiting", "person": "succeeded", "late": "waiting", "after": "pending", "more": "pending"}, now)
	s.audit(x)
	_, err = s.Resume(s.ctx(), x.ID, engine.Request{})
	require.NoError(t, err)
	require.Contains(t, s.Pending(), engine.TimerWake, "it is fired at once")
	s.pass(30 * time.Second) // at the latest
	require.Equal(t, workflow.TaskSucceeded, s.task(x, "after").Status)
	s.pass(time.Minute) // the timeout of late is over: it waits once more
	s.pass(time.Second)
	require.Equal(t, workflow.TaskWaiting, s.task(x, "late").Status)
	require.Equal(t, 2, s.task(x, "late").Attempt)
	s.pass(2 * time.Minute)
	require.Equal(t, "timed_out", s.ends(x, workflow.ExecutionFailed).Error.Code)
}

func TestOfTwoEndsOfAWaitTheEarlierCounts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	soon, err := s.store.Time(s.ctx())
	require.NoError(t, err)
	x := s.start(`
name: w
tasks:
  - { name: a, type: wait, with: { duration: 1h, until: "${workflow.input.soon}" } }
  - { name: b, type: wait, with: { duration: 5m, until: "${workflow.input.later}" } }
`, `{"soon": "`+soon.Add(5*time.Minute).Format(time.RFC3339Nano)+`", "later": "`+soon.Add(time.Hour).Format(time.RFC3339Nano)+`"}`)
	s.pass(6 * time.Minute)
	s.ends(x, workflow.ExecutionSucceeded)
}

func TestASubExecutionThatIsCanceledAloneFailsItsTask(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.publish(child)
	x := s.start(parent, `{"n": 1}`)
	_, err := s.Cancel(s.ctx(), s.task(x, "sub").Child, engine.Request{})
	require.NoError(t, err)
	s.settle()
	require.Equal(t, "child_canceled", s.ends(x, workflow.ExecutionFailed).Error.Code)
}
