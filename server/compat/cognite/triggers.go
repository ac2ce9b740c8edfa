package cognite

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// What a trigger is called, starts and carries is kept in the labels of its schedule, which are its executions', too.
const (
	labelTrigger  = "cognite.trigger"
	labelWorkflow = "cognite.workflow"
	labelVersion  = "cognite.version"
	labelMetadata = "cognite.metadata." // before a key
)

// upsertTrigger creates or replaces a trigger.
func (h *handlers) upsertTrigger(c *gin.Context) error {
	var q items[triggerUpsert]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	u, err := one(q.Items)
	if err != nil {
		return err
	}
	if err := checkTrigger(u); err != nil {
		return err
	}
	m, err := h.member(c, u.WorkflowExternalID, u.WorkflowVersion)
	if err != nil {
		return err
	}
	input, err := withVersion(u.Input, u.WorkflowVersion)
	if err != nil {
		return err
	}
	labels := map[string]string{labelTrigger: u.ExternalID, labelWorkflow: u.WorkflowExternalID, labelVersion: u.WorkflowVersion}
	for key, value := range u.Metadata {
		labels[labelMetadata+key] = value
	}
	name, err := workflowName(u.ExternalID)
	if err != nil {
		return err
	}
	s, _, err := h.engine.PutSchedule(c.Request.Context(), c.Param("project"), name, engine.ScheduleRequest{
		Workflow: m.native.Name, Version: m.native.Version, Cron: u.TriggerRule.CronExpression, TimeZone: u.TriggerRule.Timezone,
		Overlap: string(engine.OverlapQueue), Input: input, Labels: labels,
	})
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, items[triggerView]{Items: []triggerView{triggerOf(s)}})
}

func checkTrigger(u triggerUpsert) error {
	if err := checkID("externalId", u.ExternalID); err != nil {
		return err
	}
	switch u.TriggerRule.TriggerType {
	case "schedule":
	case "dataModeling", "recordStream":
		return problem.New(http.StatusNotImplemented, "not_implemented", "triggers of type %s are not here: there is no data model to watch; start executions from what changes it", u.TriggerRule.TriggerType)
	default:
		return refuse("triggerRule.triggerType", "is "+clip(u.TriggerRule.TriggerType), "schedule")
	}
	if u.Authentication.Nonce == "" {
		return refuse("authentication.nonce", "is missing", "the nonce of a session")
	}
	return checkMetadata(u.Metadata)
}

// withVersion adds the workflow's version to the input, as Cognite's triggers do.
func withVersion(input json.RawMessage, version string) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	if len(input) > 0 {
		if err := json.Unmarshal(input, &fields); err != nil {
			return nil, refuse("input", "is no object", "an object")
		}
	}
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	text, err := json.Marshal(version)
	if err != nil {
		return nil, err
	}
	fields["version"] = text
	return json.Marshal(fields)
}

func triggerOf(s *engine.Schedule) triggerView {
	v := triggerView{
		ExternalID: s.Labels[labelTrigger], TriggerRule: triggerRule{"schedule", s.Cron, s.TimeZone}, Metadata: map[string]string{},
		WorkflowExternalID: s.Labels[labelWorkflow], WorkflowVersion: s.Labels[labelVersion],
		CreatedTime: s.CreatedAt.UnixMilli(), LastUpdatedTime: s.UpdatedAt.UnixMilli(), IsPaused: !s.Enabled,
	}
	for key, value := range s.Labels {
		if name, ok := strings.CutPrefix(key, labelMetadata); ok {
			v.Metadata[name] = value
		}
	}
	var input map[string]json.RawMessage
	if json.Unmarshal(s.Input, &input) == nil {
		delete(input, "version")
		if text, err := json.Marshal(input); err == nil && len(input) > 0 {
			v.Input = text
		}
	}
	return v
}

// listTriggers lists triggers by name. Schedules that were made natively are none.
func (h *handlers) listTriggers(c *gin.Context) error {
	limit, err := queryLimit(c.Request)
	if err != nil {
		return err
	}
	answer := items[triggerView]{Items: []triggerView{}}
	page := engine.Page{Cursor: c.Query("cursor"), Limit: limit}
	for {
		list, next, err := h.engine.Schedules(c.Request.Context(), c.Param("project"), page)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Labels[labelTrigger] != "" {
				answer.Items = append(answer.Items, triggerOf(&list[i]))
			}
		}
		page.Cursor = next
		if page.Limit = limit - len(answer.Items); next == "" || page.Limit == 0 {
			answer.NextCursor = next
			return compat.Answer(c.Writer, http.StatusOK, answer)
		}
	}
}

func (h *handlers) deleteTriggers(c *gin.Context) error {
	var q items[workflowID]
	if err := read(c.Request, &q); err != nil {
		return err
	}
	id, err := one(q.Items)
	if err != nil {
		return err
	}
	s, err := h.trigger(c, id.ExternalID)
	var none *missing
	if errors.As(err, &none) && ignoresUnknown(c.Request) {
		return compat.Answer(c.Writer, http.StatusOK, struct{}{})
	}
	if err != nil {
		return err
	}
	if err := h.engine.DeleteSchedule(c.Request.Context(), s.Project, s.Name); err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}

// trigger finds a trigger.
func (h *handlers) trigger(c *gin.Context, externalID string) (*engine.Schedule, error) {
	name, err := workflowName(externalID)
	if err != nil {
		return nil, err
	}
	s, err := h.engine.Schedule(c.Request.Context(), c.Param("project"), name)
	var refused *engine.Error
	if errors.As(err, &refused) && refused.Kind == engine.KindNotFound || err == nil && s.Labels[labelTrigger] != externalID {
		return nil, absent("Trigger not found.", map[string]string{"externalId": externalID})
	}
	return s, err
}

// triggerHistory lists what became of the last ticks, newest first.
func (h *handlers) triggerHistory(c *gin.Context) error {
	limit, err := queryLimit(c.Request)
	if err != nil {
		return err
	}
	s, err := h.trigger(c, c.Param("trigger"))
	if err != nil {
		return err
	}
	answer := items[fireView]{Items: []fireView{}}
	ticks := slices.Clone(s.Ticks)
	slices.SortStableFunc(ticks, func(a, b engine.ScheduleTick) int { return b.Time.Compare(a.Time) })
	for _, t := range ticks {
		if t.Outcome == engine.TickSkipped {
			continue
		}
		f := fireView{
			FireTime: t.Time.UnixMilli(), ExternalID: s.Labels[labelTrigger], WorkflowExternalID: s.Labels[labelWorkflow],
			WorkflowVersion: s.Labels[labelVersion], Status: "success",
		}
		if t.Outcome == engine.TickFailed {
			f.Status, f.ReasonForFailure = "failed", &t.Error
		} else {
			f.WorkflowExecutionID = &t.Execution
		}
		answer.Items = append(answer.Items, f)
	}
	return h.answerFires(c, answer, limit)
}

func (h *handlers) answerFires(c *gin.Context, all items[fireView], limit int) error {
	all.Items = all.Items[:min(limit, len(all.Items))]
	return compat.Answer(c.Writer, http.StatusOK, all)
}

func (h *handlers) pauseTrigger(c *gin.Context) error  { return h.switchTrigger(c, false) }
func (h *handlers) resumeTrigger(c *gin.Context) error { return h.switchTrigger(c, true) }

func (h *handlers) switchTrigger(c *gin.Context, on bool) error {
	s, err := h.trigger(c, c.Param("trigger"))
	if err != nil {
		return err
	}
	change := h.engine.DisableSchedule
	if on {
		change = h.engine.EnableSchedule
	}
	if _, err := change(c.Request.Context(), s.Project, s.Name); err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, struct{}{})
}
