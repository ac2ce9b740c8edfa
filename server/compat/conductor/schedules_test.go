package conductor_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// TestWhatSchedulesStarted: the executions of a schedule are found under its name, with the time that they were for.
func TestWhatSchedulesStarted(t *testing.T) {
	r := newRig(t)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"nightly","tasks":[{"name":"n","taskReferenceName":"n","type":"HUMAN"}]}`).Code)
	save := `{"name":"night","cronExpression":"0 0 3 * * *","startWorkflowRequest":{"name":"nightly"}}`
	require.Equal(t, 200, r.ask("POST", "/api/scheduler/schedules", save).Code)
	require.Equal(t, 200, r.ask("POST", "/api/scheduler/schedules", `{"name":"other","cronExpression":"0 0 4 * * *","startWorkflowRequest":{"name":"nightly"}}`).Code)
	day := time.Now().UTC().Truncate(24 * time.Hour)
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{
		Workflow: "nightly", Labels: map[string]string{engine.LabelSchedule: "night"}, Metadata: map[string]string{engine.MetadataScheduleTime: day.Format(time.RFC3339)},
	})
	require.NoError(t, err)
	search := func(query string) (found struct {
		TotalHits int
		Results   []struct {
			ScheduleName, WorkflowName, WorkflowID, State string
			ScheduledTime                                 int64
		}
	}) {
		w := r.ask("GET", "/api/scheduler/search/executions?query="+query, "")
		require.Equal(t, 200, w.Code, w.Body)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &found))
		return found
	}
	saved, err := r.engine.Schedule(t.Context(), "default", "night")
	require.NoError(t, err)
	require.Equal(t, engine.OverlapAllow, saved.Overlap, "a tick starts beside what runs")
	require.Equal(t, 1, search("").TotalHits)
	one := search("scheduleName+IN+(night)").Results[0]
	require.Equal(t, []any{"night", "nightly", x.ID, "EXECUTED", day.UnixMilli()}, []any{one.ScheduleName, one.WorkflowName, one.WorkflowID, one.State, one.ScheduledTime})
	require.Zero(t, search("scheduleName=other").TotalHits)

	paused := func(name string) any {
		var s map[string]any
		require.NoError(t, json.Unmarshal(r.ask("GET", "/api/scheduler/schedules/"+name, "").Body.Bytes(), &s))
		return s["paused"]
	}
	r.ask("GET", "/api/scheduler/admin/pause", "")
	require.Equal(t, []any{true, true}, []any{paused("night"), paused("other")})
	r.ask("GET", "/api/scheduler/admin/resume", "")
	require.Equal(t, []any{false, false}, []any{paused("night"), paused("other")})
}
