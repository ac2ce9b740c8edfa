package prefect

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// What a client attaches to a flow run at its start lies in labels, so that lists can be narrowed by it natively, too.
const (
	labelName = "prefect.name"
	labelTag  = "prefect.tag." // in front of a tag
)

// run reads the flow run that a path names; of one that is not there it answers missing.
func (h *handlers) run(c *gin.Context, missing func(id string) refused) (*run, error) {
	id, ok := parseID(c.Param("id"))
	if !ok {
		return nil, notThere
	}
	r, err := h.load(c.Request.Context(), id)
	if compat.IsMissing(err) {
		return nil, missing(id)
	}
	return r, err
}

func notFound(string) refused { return noRun }

func (h *handlers) load(ctx context.Context, id string) (*run, error) {
	x, err := compat.Execution(ctx, h.engine, id)
	if err != nil {
		return nil, err
	}
	return h.complete(ctx, x)
}

// complete reads what belongs to an execution.
func (h *handlers) complete(ctx context.Context, x *engine.Execution) (*run, error) {
	r := &run{x: x}
	if x.Memos {
		memos, err := h.engine.Memos(ctx, x.ID, runMemo, aboutMemo)
		if err != nil {
			return nil, err
		}
		for key, into := range map[string]any{runMemo: &r.said, aboutMemo: &r.about} {
			if m, there := memos[key]; there {
				if err := json.Unmarshal([]byte(m.Text), into); err != nil {
					return nil, fmt.Errorf("prefect: the memo %s of %s cannot be read: %w", key, x.ID, err)
				}
			}
		}
		r.saidAt, r.version, r.noted = memos[runMemo].At, memos[runMemo].Version, memos[aboutMemo].Version
		r.said.date(r.saidAt)
	}
	if x.Status == workflow.ExecutionRunning && x.TasksSummary[workflow.TaskWaiting] > 0 && !r.driven() {
		gates, err := h.engine.Gates(ctx, x.ID)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(gates, func(g engine.Gate) bool { return g.Type == workflow.TypeApproval }); i >= 0 {
			r.gate = &gates[i]
		}
	}
	return r, nil
}

func (h *handlers) get(c *gin.Context) error {
	r, err := h.run(c, notFound)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, r.wire(time.Now()))
}

// flow is the id of the flow that it is a run of.
func (r *run) flow() string {
	if r.x.Version == 0 { // a sub-workflow that was made at run time
		return flowID(r.x.Project, "")
	}
	return flowID(r.x.Project, r.x.Workflow)
}

func (r *run) deployment() *string {
	if r.driven() || r.x.Version == 0 {
		return nil
	}
	id := deploymentID(r.x.Project, r.x.Workflow)
	return &id
}

func (r *run) parentTaskRun() *string {
	if r.x.Parent != nil {
		id := taskRunID(r.x.Parent.Execution, r.x.Parent.Task)
		return &id
	}
	return r.about.ParentTaskRun
}

func (r *run) name() string {
	if r.about.Name != nil {
		return *r.about.Name
	}
	if name := r.x.Labels[labelName]; name != "" {
		return name
	}
	return r.x.Workflow + "-" + strconv.FormatInt(r.x.Number, 10)
}

func (r *run) tags() []string {
	if r.about.Tags != nil {
		return r.about.Tags
	}
	tags := []string{}
	for key := range r.x.Labels {
		if tag, ok := strings.CutPrefix(key, labelTag); ok {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// count is how often it ran.
func (r *run) count() int {
	switch {
	case r.driven():
		return r.said.RunCount
	case r.x.StartedAt == nil:
		return 0
	}
	return r.x.Redrives + 1
}

func (r *run) started() *time.Time {
	switch {
	case !r.driven():
		return r.x.StartedAt
	case r.said.Began != nil:
		return &r.said.Began.Time
	}
	return r.x.EndedAt // it ended before it began
}

// ran is how long it ran up to its present state.
func (r *run) ran(now *state) time.Duration {
	if !r.driven() {
		if r.x.EndedAt == nil || r.x.StartedAt == nil {
			return 0
		}
		return max(r.x.EndedAt.Sub(*r.x.StartedAt), 0)
	}
	total := r.said.RunTime
	if s := r.lastSaid(); s != nil && s.Type == running && now.ID != s.ID { // it became another natively
		total += max(now.Timestamp.Sub(r.saidAt), 0)
	}
	return total
}

func (r *run) flowVersion() *string {
	if r.about.FlowVersion != nil || r.driven() {
		return r.about.FlowVersion
	}
	version := strconv.Itoa(r.x.Version)
	return &version
}

// wire is the flow run as clients see it.
func (r *run) wire(now time.Time) flowRun {
	x, s := r.x, r.state()
	w := flowRun{
		ID: x.ID, Created: momentOf(&x.CreatedAt), Updated: momentOf(&x.CreatedAt), Name: r.name(), FlowID: r.flow(),
		DeploymentID: r.deployment(), FlowVersion: r.flowVersion(), Parameters: parameters(x.Input), IdempotencyKey: r.about.IdempotencyKey,
		EmpiricalPolicy: r.policy(), Tags: r.tags(), Labels: map[string]any{"prefect.flow.id": r.flow()},
		ParentTaskRunID: r.parentTaskRun(), RunCount: r.count(), ExpectedStartTime: momentOf(r.expected()),
		StartTime: momentOf(r.started()), EndTime: momentOf(x.EndedAt), InfrastructurePID: r.about.InfrastructurePID,
		Context: parameters(r.about.Context), JobVariables: parameters(r.about.JobVariables),
	}
	for key, value := range x.Labels {
		if !strings.HasPrefix(key, "prefect.") {
			w.Labels[key] = value
		}
	}
	switch start := r.started(); {
	case start != nil:
		w.EstimatedStartTimeDelta = max(start.Sub(*r.expected()), 0).Seconds()
	case x.EndedAt == nil:
		w.EstimatedStartTimeDelta = max(now.Sub(*r.expected()), 0).Seconds()
	}
	if s != nil {
		total := r.ran(s)
		w.TotalRunTime = total.Seconds()
		switch {
		case r.driven() && s.Type == running:
			total += max(now.Sub(s.Timestamp.Time), 0)
		case !r.driven() && x.StartedAt != nil && x.EndedAt == nil:
			total = max(now.Sub(*x.StartedAt), 0)
		}
		w.EstimatedRunTime = total.Seconds()
		w.State, w.StateID, w.StateType, w.StateName, w.Updated = s, &s.ID, &s.Type, &s.Name, &s.Timestamp
		if s.Type == scheduled {
			w.NextScheduledStartTime = s.Details.ScheduledTime
		}
	}
	return w
}

func (r *run) policy() policy {
	resuming := r.said.Resuming
	p := policy{Retries: r.about.Retries, RetryDelay: r.about.RetryDelay, PauseKeys: r.said.PauseKeys, Resuming: &resuming, RetryType: r.said.RetryType}
	if p.PauseKeys == nil {
		p.PauseKeys = []string{}
	}
	return p
}

// parameters are a value that is an object; else an empty one.
func parameters(input json.RawMessage) json.RawMessage {
	if len(input) == 0 || input[0] != '{' {
		return json.RawMessage("{}")
	}
	return input
}

var patchShape = shapeOf(
	"name", aString.orNull(), "flow_version", aString.orNull(), "parameters", anObject, "empirical_policy", shaped(policyShape),
	"tags", listOf(aString), "infrastructure_pid", aString.orNull(), "job_variables", anObject.orNull(),
)

type patchRequest struct {
	Name              *string         `json:"name"`
	FlowVersion       *string         `json:"flow_version"`
	Parameters        json.RawMessage `json:"parameters"`
	Policy            *policy         `json:"empirical_policy"`
	Tags              []string        `json:"tags"`
	InfrastructurePID *string         `json:"infrastructure_pid"`
	JobVariables      json.RawMessage `json:"job_variables"`
}

// patch changes what only Prefect's clients know of a flow run.
func (h *handlers) patch(c *gin.Context) error {
	var q patchRequest
	if err := read(c.Request, patchShape, &q); err != nil {
		return err
	}
	for range tries {
		r, err := h.run(c, notFound)
		if err != nil {
			return err
		}
		if q.Parameters != nil && !equalJSON(q.Parameters, parameters(r.x.Input)) {
			return refused{http.StatusNotImplemented, detail{"parameters do not change: rerun the execution with another input, POST /v1/executions/{id}/rerun"}}
		}
		if why := r.fixedVariables(); why != "" && q.JobVariables != nil && q.JobVariables[0] == '{' {
			return refused{http.StatusBadRequest, detail{why}}
		}
		q.change(&r.about)
		note, err := memoOf(aboutMemo, r.about, r.noted)
		if err != nil {
			return err
		}
		err = h.engine.WriteMemos(c.Request.Context(), r.x.ID, note)
		if err == nil {
			c.Status(http.StatusNoContent)
			c.Writer.WriteHeaderNow()
			return nil
		}
		if !raced(err) {
			return err
		}
	}
	return errBusy
}

func (q *patchRequest) change(d *about) {
	for into, value := range map[**string]*string{&d.Name: q.Name, &d.FlowVersion: q.FlowVersion, &d.InfrastructurePID: q.InfrastructurePID} {
		if value != nil {
			*into = value
		}
	}
	if q.Tags != nil {
		d.Tags = q.Tags
	}
	if q.Policy != nil {
		d.Retries, d.RetryDelay = q.Policy.Retries, q.Policy.RetryDelay
	}
	if q.JobVariables != nil {
		d.JobVariables = q.JobVariables
	}
}

// fixedVariables is why job variables do not change; "" = they do.
func (r *run) fixedVariables() string {
	switch s := r.state(); {
	case s.Type != scheduled:
		return "Job variables for a flow run in state " + s.Type + " cannot be updated"
	case r.deployment() == nil:
		return "A deployment for the flow run could not be found"
	}
	return ""
}

// equalJSON compares values, not texts.
func equalJSON(a, b json.RawMessage) bool {
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && equal(x, y)
}
