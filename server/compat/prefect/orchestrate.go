package prefect

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
)

func lower(s string) string { return strings.ToLower(s) }

// noSuchRun is said of a flow run that is to change and is not there.
func noSuchRun(id string) refused {
	return refused{http.StatusNotFound, exception{"Flow run with id " + id + " not found"}}
}

var (
	detailsShape = shapeOf(
		"flow_run_id", aUUID.orNull(), "task_run_id", aUUID.orNull(), "child_flow_run_id", aUUID.orNull(), "scheduled_time", aTime.orNull(),
		"cache_key", aString.orNull(), "cache_expiration", aTime.orNull(), "deferred", aBool.orNull(), "untrackable_result", aBool,
		"pause_timeout", aTime.orNull(), "pause_reschedule", aBool, "pause_key", aString.orNull(),
		"run_input_keyset", kind{what: "texts", of: &aString}.orNull(),
		"refresh_cache", aBool.orNull(), "retriable", aBool.orNull(), "transition_id", aUUID.orNull(), "task_parameters_id", aUUID.orNull(),
		"traceparent", aString.orNull(), "deployment_concurrency_lease_id", aUUID.orNull(),
	).opened()
	stateShape  = shapeOf("type", oneOf(stateTypes...).must(), "name", aString.orNull(), "message", aString.orNull(), "data", anything, "state_details", shaped(detailsShape))
	policyShape = shapeOf(
		"max_retries", anInt, "retry_delay_seconds", aNumber, "retries", anInt.orNull(), "retry_delay", anInt.orNull(),
		"pause_keys", listOf(aString).orNull(), "resuming", aBool.orNull(), "retry_type", kind{what: "literal", enum: []string{"in_process", "reschedule"}}.orNull(),
	).opened()
	setStateShape = shapeOf("state", shaped(stateShape).must(), "force", aBool).embedded()
	resumeShape   = shapeOf("run_input", anObject.orNull()).embedded()
)

type setStateRequest struct {
	State stateCreate `json:"state"`
	Force bool        `json:"force"`
}

// proposed is the state that a client asks for, with the defaults of Prefect.
func (q *stateCreate) proposed(r *run, now time.Time) *state {
	s := r.made(q.Type, "", now)
	id := s.Details.FlowRunID
	s.Message, s.Details = q.Message, q.Details
	s.Details.FlowRunID = id
	if s.Details.Deferred == nil {
		s.Details.Deferred = new(bool)
	}
	if q.Name != nil && *q.Name != "" {
		s.Name = *q.Name
	}
	if len(q.Data) > 0 {
		s.Data = q.Data
	}
	if s.Type == scheduled && s.Details.ScheduledTime == nil {
		s.Details.ScheduledTime = momentOf(&now)
	}
	return s
}

func (h *handlers) setState(c *gin.Context) error {
	var q setStateRequest
	if err := read(c.Request, setStateShape, &q); err != nil {
		return err
	}
	return h.orchestrated(c, func(ctx context.Context, r *run) (*outcome, error) { return h.set(ctx, r, &q) })
}

// orchestrated answers with what becomes of a flow run; 201 when it is in a new state.
func (h *handlers) orchestrated(c *gin.Context, do func(ctx context.Context, r *run) (*outcome, error)) error {
	for range tries {
		r, err := h.run(c, noSuchRun)
		if err != nil {
			return err
		}
		o, err := do(c.Request.Context(), r)
		if raced(err) {
			continue
		}
		if err != nil {
			return err
		}
		return answer(c, o.status(r), o)
	}
	return errBusy
}

func (o *outcome) status(before *run) int {
	if was := before.state(); o.State == nil || was != nil && was.ID == o.State.ID {
		return http.StatusOK
	}
	return http.StatusCreated
}

func (h *handlers) set(ctx context.Context, r *run, q *setStateRequest) (*outcome, error) {
	at := time.Now()
	next := q.State.proposed(r, at)
	var drops []engine.MemoWrite // what was answered in a former go
	if next.Type == paused {
		for _, key := range next.Details.RunInputKeyset {
			if !keyOfInput.MatchString(key) {
				return nil, badKey(key)
			}
			drops = append(drops, engine.MemoWrite{Key: inputMemo + key, Drop: true, Expect: engine.AnyVersion})
		}
	}
	return h.transition(ctx, r, next, q.Force, at, nil, drops)
}

// transition asks Prefect's rules, and makes it so where they let it pass.
func (h *handlers) transition(ctx context.Context, r *run, next *state, force bool, at time.Time, answer json.RawMessage, input []engine.MemoWrite) (*outcome, error) {
	now := r.state()
	said := r.rule(now, next, force, at)
	o := &outcome{State: now, Status: said.status, Details: verdict{Type: lower(said.status) + "_details", Reason: said.reason}}
	if said.status == wait {
		o.Details.DelaySeconds = &said.delay
	}
	if said.next == nil {
		return o, nil
	}
	made, err := (&change{h: h, run: r, from: now, to: said.next, forced: force, answer: answer, with: input}).apply(ctx)
	var why cannot
	switch {
	case errors.Is(err, errPauseOver):
		return h.pauseOver(ctx, r, next)
	case errors.As(err, &why):
		return &outcome{State: now, Status: reject, Details: verdict{Type: "reject_details", Reason: string(why)}}, nil
	case err != nil:
		return nil, err
	}
	o.State = made
	return o, nil
}

// pauseOver is what comes of lifting a pause after its deadline: the flow run failed.
func (h *handlers) pauseOver(ctx context.Context, before *run, next *state) (*outcome, error) {
	verb := "pause"
	if next.Name == "Suspended" {
		verb = "suspend"
	}
	r, err := h.load(ctx, before.x.ID)
	if err != nil {
		return nil, err
	}
	failure := r.made(failed, "", time.Now())
	failure.Message = textOf("The flow was " + lower(next.Name) + " and never resumed.")
	made, err := (&change{h: h, run: r, from: r.state(), to: failure}).kept(ctx)
	if err != nil {
		return nil, err
	}
	return &outcome{State: made, Status: reject, Details: verdict{Type: "reject_details", Reason: "The flow run " + verb + " has timed out and can no longer resume."}}, nil
}

type resumeRequest struct {
	Input json.RawMessage `json:"run_input"`
}

// resume lifts a pause, or answers the approval that is open, once what was given fits.
func (h *handlers) resume(c *gin.Context) error {
	var q resumeRequest
	if err := read(c.Request, resumeShape, &q); err != nil {
		return err
	}
	return h.orchestrated(c, func(ctx context.Context, r *run) (*outcome, error) {
		now := r.state()
		if now == nil || now.Type != paused {
			return &outcome{Status: abort, Details: verdict{Type: "abort_details", Reason: "Cannot resume a flow run that is not paused."}}, nil
		}
		var input *object
		if len(now.Details.RunInputKeyset) > 0 {
			given, said, err := h.fitting(ctx, r, now.Details.RunInputKeyset["schema"], q.Input)
			if err != nil {
				return nil, err
			}
			if said != "" {
				return &outcome{State: now, Status: reject, Details: verdict{Type: "abort_details", Reason: said}}, nil
			}
			input = given
		}
		return h.lift(ctx, r, now, input)
	})
}

// lift resumes with an input that fits; nil = none is asked for.
func (h *handlers) lift(ctx context.Context, r *run, now *state, input *object) (*outcome, error) {
	at := time.Now()
	next := r.made(running, "", at)
	if now.Details.PauseReschedule {
		next = r.made(scheduled, "Resuming", at)
		next.Details.ScheduledTime = momentOf(&at)
	}
	var answer json.RawMessage
	var memos []engine.MemoWrite
	if input != nil {
		text, err := plain(input)
		if err != nil {
			return nil, err
		}
		answer = text
		if r.gate == nil && len(input.keys) > 0 {
			m, err := memoOf(inputMemo+now.Details.RunInputKeyset["response"], storedInput{Value: string(text)}, 0)
			if err != nil {
				return nil, err
			}
			m.Expect = engine.AnyVersion // of a former go
			memos = append(memos, m)
		}
	}
	return h.transition(ctx, r, next, false, at, answer, memos)
}
