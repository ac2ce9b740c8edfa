package prefect

import (
	"regexp"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// criterion narrows by one field. Which parts it may have says the shape of the request.
type criterion struct {
	Operator string    `json:"operator"`
	Any      *[]string `json:"any_"`
	Not      *[]string `json:"not_any_"`
	All      *[]string `json:"all_"`
	Like     *string   `json:"like_"`
	Null     *bool     `json:"is_null_"`
	Before   *moment   `json:"before_"`
	After    *moment   `json:"after_"`
}

// both reports whether tests hold, or with or_ whether one of them does. None at all hold.
func both(operator string, tests []bool) bool {
	if operator == "or_" && len(tests) > 0 {
		return slices.Contains(tests, true)
	}
	return !slices.Contains(tests, false)
}

func (c *criterion) text(value *string) bool {
	if c == nil {
		return true
	}
	var tests []bool
	if c.Any != nil {
		tests = append(tests, value != nil && slices.Contains(*c.Any, *value))
	}
	if c.Not != nil {
		tests = append(tests, value != nil && !slices.Contains(*c.Not, *value))
	}
	if c.Like != nil {
		tests = append(tests, value != nil && like(*c.Like, *value))
	}
	if c.Null != nil {
		tests = append(tests, (value == nil) == *c.Null)
	}
	return both(c.Operator, tests)
}

// like is SQL's ILIKE between two %.
func like(pattern, text string) bool {
	parts := regexp.QuoteMeta(pattern)
	parts = strings.NewReplacer("%", ".*", "_", ".").Replace(parts)
	r, err := regexp.Compile("(?is)" + parts)
	return err == nil && r.MatchString(text)
}

func (c *criterion) list(values []string) bool {
	if c == nil {
		return true
	}
	var tests []bool
	has := func(v string) bool { return slices.Contains(values, v) }
	if c.All != nil {
		tests = append(tests, !slices.ContainsFunc(*c.All, func(v string) bool { return !has(v) }))
	}
	if c.Any != nil {
		tests = append(tests, slices.ContainsFunc(*c.Any, has))
	}
	if c.Null != nil {
		tests = append(tests, (len(values) == 0) == *c.Null)
	}
	return both(c.Operator, tests)
}

func (c *criterion) time(value *moment) bool {
	if c == nil {
		return true
	}
	var tests []bool
	if c.Before != nil {
		tests = append(tests, value != nil && !value.After(c.Before.Time))
	}
	if c.After != nil {
		tests = append(tests, value != nil && !value.Before(c.After.Time))
	}
	if c.Null != nil {
		tests = append(tests, (value == nil) == *c.Null)
	}
	return both(c.Operator, tests)
}

type stateFilter struct {
	Operator string     `json:"operator"`
	Type     *criterion `json:"type"`
	Name     *criterion `json:"name"`
}

type runFilter struct {
	Operator      string       `json:"operator"`
	ID            *criterion   `json:"id"`
	Name          *criterion   `json:"name"`
	Tags          *criterion   `json:"tags"`
	DeploymentID  *criterion   `json:"deployment_id"`
	WorkQueue     *criterion   `json:"work_queue_name"`
	State         *stateFilter `json:"state"`
	FlowVersion   *criterion   `json:"flow_version"`
	Start         *criterion   `json:"start_time"`
	End           *criterion   `json:"end_time"`
	Expected      *criterion   `json:"expected_start_time"`
	NextScheduled *criterion   `json:"next_scheduled_start_time"`
	ParentRun     *criterion   `json:"parent_flow_run_id"`
	ParentTask    *criterion   `json:"parent_task_run_id"`
	Idempotency   *criterion   `json:"idempotency_key"`
}

// matches reports whether a flow run is wanted.
func (f *runFilter) matches(r *run, w *flowRun) bool {
	if f == nil {
		return true
	}
	var tests []bool
	add := func(given, holds bool) {
		if given {
			tests = append(tests, holds)
		}
	}
	var parent *string
	if r.x.Parent != nil {
		parent = &r.x.Parent.Execution
	}
	add(f.ID != nil, f.ID.text(&w.ID))
	add(f.Name != nil, f.Name.text(&w.Name))
	add(f.Tags != nil, f.Tags.list(w.Tags))
	add(f.DeploymentID != nil, f.DeploymentID.text(w.DeploymentID))
	add(f.WorkQueue != nil, f.WorkQueue.text(w.WorkQueueName))
	add(f.FlowVersion != nil, f.FlowVersion.text(w.FlowVersion))
	add(f.Start != nil, f.Start.time(w.StartTime))
	add(f.End != nil, f.End.time(w.EndTime))
	add(f.Expected != nil, f.Expected.time(w.ExpectedStartTime))
	add(f.NextScheduled != nil, f.NextScheduled.time(w.NextScheduledStartTime))
	add(f.ParentRun != nil, f.ParentRun.text(parent))
	add(f.ParentTask != nil, f.ParentTask.text(w.ParentTaskRunID))
	add(f.Idempotency != nil, f.Idempotency.text(w.IdempotencyKey))
	if s := f.State; s != nil {
		var of []bool
		if s.Type != nil {
			of = append(of, s.Type.text(w.StateType))
		}
		if s.Name != nil {
			of = append(of, s.Name.text(w.StateName))
		}
		add(true, both(s.Operator, of))
	}
	return both(f.Operator, tests)
}

// statusesOf are what executions may have whose flow runs are in a state.
var statusesOf = map[string][]workflow.ExecutionStatus{
	scheduled: {workflow.ExecutionQueued, workflow.ExecutionRunning}, pending: {workflow.ExecutionRunning}, running: {workflow.ExecutionRunning},
	completed: {workflow.ExecutionSucceeded}, failed: {workflow.ExecutionFailed, workflow.ExecutionTimedOut}, crashed: {workflow.ExecutionFailed},
	cancelled: {workflow.ExecutionCanceled}, paused: {workflow.ExecutionPaused, workflow.ExecutionRunning},
	cancelling: {workflow.ExecutionCanceling, workflow.ExecutionRunning},
}

// narrowed is what the engine can narrow by; the rest is looked at one by one.
func (f *runFilter) narrowed() engine.ExecutionFilter {
	var e engine.ExecutionFilter
	if f == nil || f.Operator == "or_" || f.State == nil || f.State.Operator == "or_" || f.State.Type == nil || f.State.Type.Any == nil {
		return e
	}
	for _, kind := range *f.State.Type.Any {
		for _, s := range statusesOf[kind] {
			if !slices.Contains(e.Status, s) {
				e.Status = append(e.Status, s)
			}
		}
	}
	return e
}

// ids are the flow runs that are named; known is false where any may be meant.
func (f *runFilter) ids() (ids []string, known bool) {
	if f == nil || f.Operator == "or_" || f.ID == nil || f.ID.Any == nil {
		return nil, false
	}
	return *f.ID.Any, true
}

type flowFilter struct {
	Operator   string     `json:"operator"`
	ID         *criterion `json:"id"`
	Name       *criterion `json:"name"`
	Tags       *criterion `json:"tags"`
	Deployment *criterion `json:"deployment"`
}

func (f *flowFilter) matches(id, name string, deployment *string) bool {
	if f == nil {
		return true
	}
	var tests []bool
	for _, t := range []struct{ given, holds bool }{
		{f.ID != nil, f.ID.text(&id)}, {f.Name != nil, f.Name.text(&name)}, {f.Tags != nil, f.Tags.list(nil)},
		{f.Deployment != nil, f.Deployment.text(deployment)},
	} {
		if t.given {
			tests = append(tests, t.holds)
		}
	}
	return both(f.Operator, tests)
}

type deploymentFilter struct {
	Operator string     `json:"operator"`
	ID       *criterion `json:"id"`
	Name     *criterion `json:"name"`
}

func (f *deploymentFilter) matches(id *string) bool {
	if f == nil {
		return true
	}
	name := deploymentName
	var named *string
	if id != nil {
		named = &name
	}
	var tests []bool
	if f.ID != nil {
		tests = append(tests, f.ID.text(id))
	}
	if f.Name != nil {
		tests = append(tests, f.Name.text(named))
	}
	return both(f.Operator, tests)
}

var (
	operator  = oneOf("and_", "or_")
	idsKind   = shaped(shapeOf("any_", listOf(aUUID).orNull(), "not_any_", listOf(aUUID).orNull())).orNull()
	namesKind = shaped(shapeOf("any_", listOf(aString).orNull(), "like_", aString.orNull())).orNull()
	tagsKind  = shaped(shapeOf("operator", operator, "all_", listOf(aString).orNull(), "any_", listOf(aString).orNull(), "is_null_", aBool.orNull())).orNull()
	timesKind = shaped(shapeOf("before_", aTime.orNull(), "after_", aTime.orNull(), "is_null_", aBool.orNull())).orNull()
	linkKind  = shaped(shapeOf("operator", operator, "any_", listOf(aUUID).orNull(), "is_null_", aBool.orNull())).orNull()

	runFilterKind = shaped(shapeOf(
		"operator", operator, "id", idsKind, "name", namesKind, "tags", tagsKind, "deployment_id", linkKind,
		"work_queue_name", shaped(shapeOf("operator", operator, "any_", listOf(aString).orNull(), "is_null_", aBool.orNull())).orNull(),
		"state", shaped(shapeOf("operator", operator,
			"type", shaped(shapeOf("any_", listOf(oneOf(stateTypes...)).orNull(), "not_any_", listOf(oneOf(stateTypes...)).orNull())).orNull(),
			"name", shaped(shapeOf("any_", listOf(aString).orNull(), "not_any_", listOf(aString).orNull())).orNull())).orNull(),
		"flow_version", shaped(shapeOf("any_", listOf(aString).orNull())).orNull(),
		"start_time", timesKind, "end_time", timesKind, "expected_start_time", timesKind, "next_scheduled_start_time", timesKind,
		"parent_flow_run_id", linkKind, "parent_task_run_id", linkKind,
		"idempotency_key", shaped(shapeOf("any_", listOf(aString).orNull(), "not_any_", listOf(aString).orNull())).orNull(),
		"created_by", anything,
	)).orNull()
	flowFilterKind = shaped(shapeOf("operator", operator, "id", idsKind, "name", namesKind, "tags", tagsKind,
		"deployment", shaped(shapeOf("operator", operator, "is_null_", aBool.orNull())).orNull())).orNull()
	deploymentFilterKind = shaped(shapeOf("operator", operator, "id", idsKind, "name", namesKind, "flow_or_deployment_name", anything, "paused", anything,
		"tags", anything, "work_queue_name", anything, "concurrency_limit", anything)).orNull()
)
