package conductor_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTags(t *testing.T) {
	r := newRig(t)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"wf","tasks":[{"name":"n","taskReferenceName":"n","type":"HUMAN"}]}`).Code)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/taskdefs", `{"name":"td"}`).Code)
	require.Equal(t, 200, r.ask("POST", "/api/scheduler/schedules", `{"name":"night","cronExpression":"0 0 3 * * *","startWorkflowRequest":{"name":"wf"}}`).Code)

	// As the SDKs keep the rate limit of a workflow: the value is a number.
	const tags = "/api/metadata/workflow/wf/tags"
	limit := `{"type":"RATE_LIMIT","key":"wf","value":%s}`
	require.Equal(t, 200, r.ask("POST", tags, fmt.Sprintf(limit, "5")).Code)
	require.Equal(t, 200, r.ask("POST", tags, fmt.Sprintf(limit, `"5"`)).Code)
	require.JSONEq(t, "["+fmt.Sprintf(limit, `"5"`)+","+fmt.Sprintf(limit, "5")+"]", r.ask("GET", tags, "").Body.String())
	require.Equal(t, 200, r.ask("DELETE", tags, fmt.Sprintf(limit, " 5 ")).Code)
	require.JSONEq(t, "["+fmt.Sprintf(limit, `"5"`)+"]", r.ask("GET", tags, "").Body.String())

	var group sync.WaitGroup
	want := "["
	for i := range 8 {
		group.Go(func() { r.ask("POST", tags, fmt.Sprintf(`{"key":"k","value":%d}`, i)) })
		want += fmt.Sprintf(`{"key":"k","value":%d},`, i)
	}
	group.Wait()
	require.JSONEq(t, want+fmt.Sprintf(limit, `"5"`)+"]", r.ask("GET", tags, "").Body.String(), "none of them is lost")

	// What is deleted takes its tags along.
	for owner, path := range map[string]string{
		"/api/metadata/workflow/wf/1": tags, "/api/metadata/taskdefs/td": "/api/metadata/task/td/tags", "/api/scheduler/schedules/night": "/api/scheduler/schedules/night/tags",
	} {
		require.Equal(t, 200, r.ask("PUT", path, `[{"key":"a","value":"b"}]`).Code)
		require.JSONEq(t, `[{"key":"a","value":"b"}]`, r.ask("GET", path, "").Body.String())
		require.Equal(t, 200, r.ask("DELETE", owner, "").Code)
		require.JSONEq(t, `[]`, r.ask("GET", path, "").Body.String(), owner)
	}
}
