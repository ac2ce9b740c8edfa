package cognite

import (
	"context"
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
	stored, err := h.putTrigger(c.Request.Context(), c.Param("project"), u)
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, items[triggerView]{Items: []triggerView{triggerOf(stored)}})
}

// putTrigger stores a trigger as a schedule of the native version that its version is now.
func (h *handlers) putTrigger(ctx context.Context, project string, u triggerUpsert) (*engine.Schedule, error) {
	input, err := withVersion(u.Input, u.WorkflowVersion)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{labelTrigger: u.ExternalID, labelWorkflow: u.WorkflowExternalID, labelVersion: u.WorkflowVersion}
	for key, value := range u.Metadata {
		labels[labelMetadata+key] = value
	}
	name, err := workflowName(u.ExternalID)
	if err != nil {
		return nil, err
	}
	former, err := h.engine.Schedule(ctx, project, name)
	if err == nil && former.Labels[labelTrigger] != u.ExternalID {
		return nil, engine.Conflict("name_taken", "the schedule %s of this project is no trigger: give the trigger another externalId, or delete the schedule", name)
	}
	if err != nil && !isMissing(err) {
		return nil, err
	}
	id := versionID{u.WorkflowExternalID, u.WorkflowVersion}
	m, err := h.member(ctx, project, id)
	for err == nil {
		var stored *engine.Schedule
		stored, _, err = h.engine.PutSchedule(ctx, project, name, engine.ScheduleRequest{
			Workflow: m.native.Name, Version: m.native.Version, Cron: u.TriggerRule.CronExpression, TimeZone: u.TriggerRule.Timezone,
			Overlap: string(engine.OverlapAllow), Input: input, Labels: labels,
		})
		if err != nil {
			return nil, err
		}
		stands := m.native.Version
		if m, err = h.member(ctx, project, id); err == nil && m.native.Version == stands { // else it was replaced meanwhile
			return stored, nil
		}
	}
	return nil, err
}

// followTriggers lets the triggers of a version start what it is now.
func (h *handlers) followTriggers(ctx context.Context, project string, m member) error {
	return h.eachTrigger(ctx, project, func(s *engine.Schedule) error {
		if (versionID{s.Labels[labelWorkflow], s.Labels[labelVersion]}) != (versionID{m.record.ExternalID, m.record.Version}) || s.Version == m.native.Version {
			return nil
		}
		_, _, err := h.engine.PutSchedule(ctx, project, s.Name, engine.ScheduleRequest{
			Workflow: m.native.Name, Version: m.native.Version, Cron: s.Cron, TimeZone: s.TimeZone,
			Overlap: string(engine.OverlapAllow), CatchUp: string(s.CatchUp), Input: s.Input, Labels: s.Labels, Priority: s.Priority,
		})
		return err
	})
}

// pauseTriggersOf pauses the triggers of a version, "" = of all versions of the workflow.
func (h *handlers) pauseTriggersOf(ctx context.Context, project string, id versionID) error {
	return h.eachTrigger(ctx, project, func(s *engine.Schedule) error {
		if s.Labels[labelWorkflow] != id.WorkflowExternalID || id.Version != "" && s.Labels[labelVersion] != id.Version {
			return nil
		}
		_, err := h.engine.DisableSchedule(ctx, project, s.Name)
		if isMissing(err) { // it was deleted meanwhile
			return nil
		}
		return err
	})
}

// eachTrigger goes through the triggers of a project. Schedules that were made natively are none.
func (h *handlers) eachTrigger(ctx context.Context, project string, do func(s *engine.Schedule) error) error {
	for page := (engine.Page{Limit: 1000}); ; {
		list, next, err := h.engine.Schedules(ctx, project, page)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Labels[labelTrigger] == "" {
				continue
			}
			if err := do(&list[i]); err != nil {
				return err
			}
		}
		if page.Cursor = next; next == "" {
			return nil
		}
	}
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
		return refuse("triggerRule.triggerType", what(u.TriggerRule.TriggerType), "schedule")
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

// metadataIn is the metadata of a trigger that labels carry.
func metadataIn(labels map[string]string) map[string]string {
	metadata := map[string]string{}
	for key, value := range labels {
		if name, ok := strings.CutPrefix(key, labelMetadata); ok {
			metadata[name] = value
		}
	}
	return metadata
}

func triggerOf(s *engine.Schedule) triggerView {
	v := triggerView{
		ExternalID: s.Labels[labelTrigger], TriggerRule: triggerRule{"schedule", s.Cron, s.TimeZone}, Metadata: metadataIn(s.Labels),
		WorkflowExternalID: s.Labels[labelWorkflow], WorkflowVersion: s.Labels[labelVersion],
		CreatedTime: s.CreatedAt.UnixMilli(), LastUpdatedTime: s.UpdatedAt.UnixMilli(), IsPaused: !s.Enabled,
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

// listTriggers lists triggers by external id.
func (h *handlers) listTriggers(c *gin.Context) error {
	limit, err := queryLimit(c.Request)
	if err != nil {
		return err
	}
	all := items[triggerView]{Items: []triggerView{}}
	err = h.eachTrigger(c.Request.Context(), c.Param("project"), func(s *engine.Schedule) error {
		all.Items = append(all.Items, triggerOf(s))
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all.Items, func(a, b triggerView) int { return strings.Compare(a.ExternalID, b.ExternalID) })
	return answerPage(c, all, c.Query("cursor"), limit)
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
	if isMissing(err) || err == nil && s.Labels[labelTrigger] != externalID {
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
	return answerPage(c, answer, c.Query("cursor"), limit)
}

func (h *handlers) pauseTrigger(c *gin.Context) error  { return h.switchTrigger(c, false) }
func (h *handlers) resumeTrigger(c *gin.Context) error { return h.switchTrigger(c, true) }

func (h *handlers) switchTrigger(c *gin.Context, on bool) error {
	s, err := h.trigger(c, c.Param("trigger"))
	if none, ok := errors.AsType[*missing](err); ok {
		none.flat = true
	}
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
