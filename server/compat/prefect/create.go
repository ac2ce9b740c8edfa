package prefect

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

func itoa(n int) string { return strconv.Itoa(n) }

func startFields(more ...any) []any {
	return append([]any{
		"state", shaped(stateShape).orNull(), "name", aString.orNull(), "parameters", anObject, "context", anObject, "parent_task_run_id", aUUID.orNull(),
		"infrastructure_document_id", aUUID.orNull(), "empirical_policy", shaped(policyShape), "tags", listOf(aString), "labels", anObject.orNull(),
		"idempotency_key", aString.orNull(), "work_queue_name", aString.orNull(), "job_variables", anObject.orNull(),
	}, more...)
}

var (
	createRunShape  = shapeOf(startFields("flow_id", aUUID.must(), "flow_version", aString.orNull(), "work_pool_name", aString.orNull(), "deployment_id", aUUID.orNull())...)
	deploymentShape = shapeOf(startFields("enforce_parameter_schema", aBool.orNull())...)
)

type createRequest struct {
	FlowID        string          `json:"flow_id"`
	FlowVersion   *string         `json:"flow_version"`
	DeploymentID  *string         `json:"deployment_id"`
	State         *stateCreate    `json:"state"`
	Name          string          `json:"name"`
	Parameters    json.RawMessage `json:"parameters"`
	ParentTaskRun *string         `json:"parent_task_run_id"`
	Policy        *policy         `json:"empirical_policy"`
	Tags          []string        `json:"tags"`
	Labels        map[string]any  `json:"labels"`
	Idempotency   *string         `json:"idempotency_key"`
	JobVariables  json.RawMessage `json:"job_variables"`
	Context       json.RawMessage `json:"context"`
}

// start is the engine's request: what is not Redrive's goes into labels.
func (q *createRequest) start(ctx context.Context, k *known) engine.StartRequest {
	r := engine.StartRequest{Workflow: k.Name, Input: q.Parameters, Labels: map[string]string{}, By: auth.From(ctx).By()}
	if q.Name != "" {
		r.Labels[labelName] = q.Name
	}
	for _, tag := range q.Tags {
		r.Labels[labelTag+tag] = "true"
	}
	for key, value := range q.Labels {
		if text, ok := value.(string); ok {
			r.Labels[key] = text
			continue
		}
		if text, err := plain(value); err == nil {
			r.Labels[key] = string(text)
		}
	}
	if q.Idempotency != nil {
		r.IdempotencyKey, r.KeyAlone = "prefect:"+madeOf(flowSpace, k.Name, *q.Idempotency), true // Prefect's are of a flow
	}
	if k.driven {
		r.Labels[labelDriven] = "true"
	} else if q.State != nil && q.State.Details.ScheduledTime != nil {
		r.StartAt = q.State.Details.ScheduledTime.Time
	}
	return r
}

// create makes a flow run: one that Prefect's own process runs, or an execution that Redrive's workers run.
func (h *handlers) create(c *gin.Context) error {
	var q createRequest
	if err := read(c.Request, createRunShape, &q); err != nil {
		return err
	}
	none := refused{http.StatusConflict, detail{"Data integrity conflict. This usually means a unique or foreign key constraint was violated. See server logs for details."}}
	k, err := h.one(c.Request.Context(), none, func(k known) bool { return flowID(k.Project, k.Name) == q.FlowID })
	if err != nil {
		return err
	}
	if q.DeploymentID != nil && (k.deployment == nil || *q.DeploymentID != *k.deployment) {
		return none
	}
	return h.started(c, &q, k)
}

func (h *handlers) createFromDeployment(c *gin.Context) error {
	k, err := h.deploymentOf(c)
	if err != nil {
		return err
	}
	var q createRequest
	if err := read(c.Request, deploymentShape, &q); err != nil {
		return err
	}
	return h.started(c, &q, k)
}

func (h *handlers) started(c *gin.Context, q *createRequest, k *known) error {
	if q.State != nil && !k.driven && q.State.Type != scheduled && q.State.Type != pending {
		return refused{http.StatusUnprocessableEntity, detail{"Redrive's workers run this flow: its flow runs begin as SCHEDULED or PENDING"}}
	}
	ctx := c.Request.Context()
	x, created, err := h.engine.Start(ctx, compat.Project(ctx), q.start(ctx, k))
	if err != nil {
		return err
	}
	compat.Started(ctx, x)
	r := &run{x: x}
	if created {
		if err := h.introduce(ctx, r, q, k); err != nil {
			if k.driven || isFinal(err) {
				h.undo(ctx, x.ID)
			}
			if why, ok := errors.AsType[cannot](err); ok {
				return refused{http.StatusUnprocessableEntity, detail{string(why)}}
			}
			return err
		}
	}
	if r, err = h.load(ctx, x.ID); err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer(c, status, r.wire(time.Now()))
}

// undo takes a flow run away that could not be made as it was asked for: it would be one that nobody runs, and the same
// request would be answered with it. That it cannot is no news beside why.
func (h *handlers) undo(ctx context.Context, id string) {
	ctx = context.WithoutCancel(ctx)
	_, _ = h.engine.Cancel(ctx, id, engine.Request{By: auth.From(ctx).By(), Reason: "it could not be made as it was asked for"})
	_ = h.engine.Remove(ctx, id)
}

// isFinal reports whether the request cannot be done, and not only now. Of what Redrive's workers run already, anything else must
// not take it away: the same request is answered with it.
func isFinal(err error) bool {
	if _, ok := errors.AsType[cannot](err); ok {
		return true
	}
	if _, ok := errors.AsType[refused](err); ok {
		return true
	}
	e, ok := errors.AsType[*engine.Error](err)
	return ok && e.Kind != engine.KindUnavailable
}

// introduce keeps what a client said of a flow run when it made it.
func (h *handlers) introduce(ctx context.Context, r *run, q *createRequest, k *known) error {
	r.about = about{FlowVersion: q.FlowVersion, IdempotencyKey: q.Idempotency, ParentTaskRun: q.ParentTaskRun, JobVariables: q.JobVariables, Context: q.Context}
	if q.Policy != nil {
		r.about.Retries, r.about.RetryDelay = q.Policy.Retries, q.Policy.RetryDelay
	}
	var first *state
	if k.driven {
		if q.State == nil {
			q.State = &stateCreate{Type: pending}
		}
		first = q.State.proposed(r, time.Now())
		r.about.Expected = first.Details.ScheduledTime
	}
	var writes []engine.MemoWrite
	if text, err := plain(r.about); err != nil || string(text) != "{}" {
		note, err := memoOf(aboutMemo, r.about, 0)
		if err != nil {
			return err
		}
		writes = append(writes, note)
	}
	begin := &change{h: h, run: r, to: first, forced: true, with: writes}
	switch {
	case first != nil && (first.Type == paused || final(first.Type)): // the execution is to be that, too
		_, err := begin.apply(ctx)
		return err
	case first != nil:
		return begin.note(ctx)
	case writes != nil:
		return h.engine.WriteMemos(ctx, r.x.ID, writes...)
	}
	return nil
}
