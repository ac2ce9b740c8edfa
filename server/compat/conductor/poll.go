package conductor

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// polled is what a worker asks for.
type polled struct {
	name, worker, domain string
	most                 int
	wait                 time.Duration
}

const (
	// maxPollTime is the longest that Conductor lets a poll wait, in milliseconds.
	maxPollTime = 5000
	// giveBackTime bounds giving back what a worker did not get.
	giveBackTime = 10 * time.Second
)

// pollOne answers one task: GET /tasks/poll/{type}.
func (h *handlers) pollOne(c *gin.Context) error {
	return h.poll(c, polled{name: c.Param("type"), worker: c.Query("workerid"), domain: c.Query("domain"), most: 1}, func(tasks []task) error {
		if len(tasks) == 0 {
			return silent(c.Writer, http.StatusNoContent)
		}
		return answerJSON(c, tasks[0])
	})
}

// pollBatch answers tasks, an empty list for none: GET /tasks/poll/batch/{type}.
func (h *handlers) pollBatch(c *gin.Context) error {
	most, err := count(c, "count", 1)
	if err != nil {
		return err
	}
	wait, err := count(c, "timeout", 100)
	if err != nil {
		return err
	}
	if wait > maxPollTime {
		return refuse(http.StatusBadRequest, "Long Poll Timeout value cannot be more than 5 seconds")
	}
	q := polled{
		name: c.Param("type"), worker: c.Query("workerid"), domain: c.Query("domain"),
		most: min(max(most, 1), engine.MaxPoll), wait: time.Duration(max(wait, 0)) * time.Millisecond,
	}
	return h.poll(c, q, func(tasks []task) error { return answerJSON(c, tasks) })
}

// poll claims work for a worker and answers with it. What does not reach the worker is given back.
func (h *handlers) poll(c *gin.Context, q polled, answer func([]task) error) error {
	select {
	case h.pollers <- struct{}{}:
		defer func() { <-h.pollers }()
	default:
		p := problem.New(http.StatusServiceUnavailable, "too_many_pollers", "%d workers poll here already: try again, or ask another server", cap(h.pollers))
		p.RetryAfter = 5
		return p
	}
	request := c.Request.Context()
	nativeName, ok := nativeType(q.name)
	if !ok {
		return refuse(http.StatusBadRequest, "%q is no name of a task: it has 1 to 100 characters", q.name)
	}
	said, err := h.says(request, compat.Project(request), q.name, nativeName)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(request)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	p := engine.Poll{
		Worker: cmp.Or(q.worker, c.ClientIP()), Types: []string{nativeName}, Queues: []string{cmp.Or(q.domain, workflow.DefaultQueue)},
		Max: q.most, Wait: q.wait, Silence: said.silence, Cap: said.most, Key: q.name, // workers of several tasks have one name: each is a worker of its own
	}
	if who := auth.From(request); who.Limited() {
		p.Projects, p.Key = who.Projects, who.ID+":"+q.name
	}
	runs, err := h.engine.Poll(ctx, p)
	if err != nil {
		return err
	}
	tasks, err := h.handed(request, runs, p.Worker, said.silence)
	if err == nil {
		err = request.Err()
	}
	if err == nil {
		err = answer(tasks)
	}
	if err != nil || request.Err() != nil {
		back, done := context.WithTimeout(context.WithoutCancel(request), giveBackTime)
		defer done()
		h.engine.GiveBack(back, runs)
	}
	return err
}

// handed are runs as the tasks that a worker gets.
func (h *handlers) handed(ctx context.Context, runs []engine.RemoteRun, worker string, silence time.Duration) ([]task, error) {
	tasks := make([]task, 0, len(runs))
	for _, r := range runs {
		x, err := h.engine.Execution(ctx, r.Execution)
		if err != nil {
			return nil, err
		}
		k, err := h.runs(ctx, x)
		if err != nil {
			return nil, err
		}
		top, err := h.outermost(ctx, x)
		if err != nil {
			return nil, err
		}
		started := r.StartedAt
		n := k.node(r.At.Task.Name, r.At.Type)
		a := engine.Attempt{
			Attempt: r.Attempt, Status: workflow.TaskRunning, Input: r.Input, Worker: worker, Dispatch: r.Dispatch, StartedAt: &started,
		}
		if r.Dispatch > 1 { // it was handed out before
			t, err := h.engine.Task(ctx, r.Execution, r.Ref)
			if err != nil {
				return nil, err
			}
			a.Progress, a.QueuedAt = t.Progress, t.QueuedAt
		}
		w := wireTask(x, k, n, engine.Task{Ref: r.Ref, Attempt: r.Attempt, Queue: r.At.Queue}, a)
		w.WorkflowInstanceID, w.WorkflowType = top.ID, top.Workflow
		w.ResponseTimeout, w.CorrelationID, w.WorkflowPriority = int64(silence/time.Second), x.CorrelationID, wirePriority(x)
		w.InputData = marked(w.InputData, w.TaskID)
		if r.Attempt > 1 {
			w.RetriedTaskID = taskID(r.Execution, r.Ref, r.Attempt-1)
		}
		tasks = append(tasks, w.task)
	}
	return tasks, nil
}
