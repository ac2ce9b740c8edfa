package prefect

import (
	"regexp"
	"slices"
	"strings"
	"time"

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
	IDs      *[]string `json:"id_"`
	Types    *[]string `json:"type_"`
}

// empty reports whether it narrows nothing.
func (c *criterion) empty() bool {
	return c == nil || c.Any == nil && (c.Not == nil || len(*c.Not) == 0) && (c.All == nil || len(*c.All) == 0) && c.Like == nil &&
		c.Null == nil && c.Before == nil && c.After == nil && c.IDs == nil && c.Types == nil
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
	if c.Not != nil && len(*c.Not) > 0 {
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
	if c.All != nil && len(*c.All) > 0 {
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

// started is of when a flow run started, or is to; whether it did is asked by is_null_.
func (c *criterion) started(w *flowRun) bool {
	if c == nil {
		return true
	}
	between := criterion{Before: c.Before, After: c.After}
	return between.time(w.start()) && (&criterion{Null: c.Null}).time(w.StartTime)
}

// creator is of who created a flow run, which is not kept.
func (c *criterion) creator() bool {
	if c == nil {
		return true
	}
	var tests []bool
	if c.IDs != nil || c.Types != nil {
		tests = append(tests, false)
	}
	if c.Null != nil {
		tests = append(tests, *c.Null)
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
	CreatedBy     *criterion   `json:"created_by"`
}

// matches reports whether a flow run is wanted.
func (f *runFilter) matches(r *run, w *flowRun) bool {
	if f == nil {
		return true
	}
	var tests []bool
	add := func(c *criterion, holds bool) {
		if c != nil {
			tests = append(tests, holds)
		}
	}
	var parent *string
	if r.x.Parent != nil {
		parent = &r.x.Parent.Execution
	}
	add(f.ID, f.ID.text(&w.ID))
	add(f.Name, f.Name.text(&w.Name))
	add(f.Tags, f.Tags.list(w.Tags))
	add(f.DeploymentID, f.DeploymentID.text(w.DeploymentID))
	add(f.WorkQueue, f.WorkQueue.text(w.WorkQueueName))
	add(f.FlowVersion, f.FlowVersion.text(w.FlowVersion))
	add(f.Start, f.Start.started(w))
	add(f.End, f.End.time(w.EndTime))
	add(f.Expected, f.Expected.time(w.ExpectedStartTime))
	add(f.NextScheduled, f.NextScheduled.time(w.NextScheduledStartTime))
	add(f.ParentRun, f.ParentRun.text(parent))
	add(f.ParentTask, f.ParentTask.text(w.ParentTaskRunID))
	add(f.Idempotency, f.Idempotency.text(w.IdempotencyKey))
	add(f.CreatedBy, f.CreatedBy.creator())
	if s := f.State; s != nil {
		var of []bool
		if !s.Type.empty() {
			of = append(of, s.Type.text(w.StateType))
		}
		if !s.Name.empty() {
			of = append(of, s.Name.text(w.StateName))
		}
		tests = append(tests, both(s.Operator, of))
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

// statuses are those that wanted flow runs may have as executions; nil = any.
func (f *runFilter) statuses() []workflow.ExecutionStatus {
	if f == nil || f.Operator == "or_" || f.State == nil || f.State.Operator == "or_" || f.State.Type == nil || f.State.Type.Any == nil {
		return nil
	}
	all := []workflow.ExecutionStatus{}
	for _, kind := range *f.State.Type.Any {
		for _, s := range statusesOf[kind] {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// counted are the states whose flow runs are all executions of some statuses, and those all of them.
var counted = map[string]workflow.ExecutionStatus{completed: workflow.ExecutionSucceeded, cancelled: workflow.ExecutionCanceled}

// countable answers the statuses whose executions are what is wanted, no more and no less.
func (q *selection) countable() (statuses []workflow.ExecutionStatus, exactly bool) {
	if q.Flows != nil && *q.Flows != (flowFilter{}) || q.Deployments != nil && *q.Deployments != (deploymentFilter{}) {
		return nil, false
	}
	f := runFilter{}
	if q.Runs != nil {
		f = *q.Runs
	}
	state := f.State
	f.State, f.Operator = nil, ""
	if f != (runFilter{}) {
		return nil, false
	}
	if state == nil || *state == (stateFilter{}) {
		return workflow.ExecutionStatuses, true
	}
	if state.Name != nil || state.Type == nil || state.Type.Any == nil || state.Type.Not != nil {
		return nil, false
	}
	for _, kind := range *state.Type.Any {
		s, known := counted[kind]
		if !known {
			return nil, false
		}
		if !slices.Contains(statuses, s) {
			statuses = append(statuses, s)
		}
	}
	return statuses, true
}

// begun is how long before it was made a flow run may have been said to start.
const begun = 24 * time.Hour

// until is when the executions that are wanted were made at the latest; zero = whenever.
func (q *selection) until() time.Time {
	last := q.End.Time
	if f := q.Runs; f != nil && f.Operator != "or_" {
		for _, c := range []*criterion{f.Start, f.End, f.Expected} {
			if c != nil && c.Operator != "or_" && c.Before != nil && (last.IsZero() || c.Before.Before(last)) {
				last = c.Before.Time
			}
		}
	}
	if last.IsZero() {
		return last
	}
	return last.Add(begun)
}

// named are the native names of the workflows that a request names, and of no others; ok is false where it may want others.
func (q *selection) named(all []known) (names []string, ok bool) {
	id := func(k known) string { return flowID(k.Project, k.Name) }
	name := func(k known) string { return k.flowName }
	deployed := func(k known) string {
		if k.deployment == nil {
			return ""
		}
		return *k.deployment
	}
	try := func(c *criterion, of func(known) string) {
		if c == nil || c.Operator == "or_" || c.Any == nil {
			return
		}
		found := []string{}
		missing := slices.Clone(*c.Any)
		for _, k := range all {
			if slices.Contains(*c.Any, of(k)) {
				found = append(found, k.Name)
				missing = slices.DeleteFunc(missing, func(v string) bool { return v == of(k) })
			}
		}
		if len(missing) == 0 && (!ok || len(found) < len(names)) { // what is missing may be one that is published no more
			names, ok = found, true
		}
	}
	if f := q.Flows; f != nil && f.Operator != "or_" {
		try(f.ID, id)
		try(f.Name, name)
	}
	if f := q.Deployments; f != nil && f.Operator != "or_" {
		try(f.ID, deployed)
	}
	if f := q.Runs; f != nil && f.Operator != "or_" {
		try(f.DeploymentID, deployed)
	}
	return names, ok
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

// names reports whether a flow is asked for by its id.
func (f *flowFilter) names(id string) bool {
	return f != nil && f.ID != nil && f.ID.Any != nil && slices.Contains(*f.ID.Any, id)
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
	dueKind   = shaped(shapeOf("before_", aTime.orNull(), "after_", aTime.orNull())).orNull()
	linkKind  = shaped(shapeOf("operator", operator, "any_", listOf(aUUID).orNull(), "is_null_", aBool.orNull())).orNull()

	runFilterKind = shaped(shapeOf(
		"operator", operator, "id", idsKind, "name", namesKind, "tags", tagsKind, "deployment_id", linkKind,
		"work_queue_name", shaped(shapeOf("operator", operator, "any_", listOf(aString).orNull(), "is_null_", aBool.orNull())).orNull(),
		"state", shaped(shapeOf("operator", operator,
			"type", shaped(shapeOf("any_", listOf(oneOf(stateTypes...)).orNull(), "not_any_", listOf(oneOf(stateTypes...)).orNull())).orNull(),
			"name", shaped(shapeOf("any_", listOf(aString).orNull(), "not_any_", listOf(aString).orNull())).orNull())).orNull(),
		"flow_version", shaped(shapeOf("any_", listOf(aString).orNull())).orNull(),
		"start_time", timesKind, "end_time", timesKind, "expected_start_time", dueKind, "next_scheduled_start_time", dueKind,
		"parent_flow_run_id", linkKind, "parent_task_run_id", linkKind,
		"idempotency_key", shaped(shapeOf("any_", listOf(aString).orNull(), "not_any_", listOf(aString).orNull())).orNull(),
		"created_by", shaped(shapeOf("operator", operator, "id_", listOf(aUUID).orNull(), "type_", listOf(aString).orNull(), "is_null_", aBool.orNull())).orNull(),
	)).orNull()
	flowFilterKind = shaped(shapeOf("operator", operator, "id", idsKind, "name", namesKind, "tags", tagsKind,
		"deployment", shaped(shapeOf("operator", operator, "is_null_", aBool.orNull())).orNull())).orNull()
	deploymentFilterKind = shaped(shapeOf("operator", operator, "id", idsKind, "name", namesKind, "flow_or_deployment_name", anything, "paused", anything,
		"tags", anything, "work_queue_name", anything, "concurrency_limit", anything)).orNull()
)
