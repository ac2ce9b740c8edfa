package e2e

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

const heldFlow = "name: held\ntasks: [{ name: hold, type: wait, with: { external: true } }]"

// Each changing call of each dialect leaves its entries with the projects that it concerned, and names the execution: also one that is
// refused before anybody looked at that.
func TestDialectsCallsAreAuditedWithWhatTheyConcern(t *testing.T) {
	t.Parallel()
	f := fleet.New(t, queuetest.URL(t))
	f.Server()
	ctx := t.Context()
	_, _, err := f.API.PutProject(ctx, "other", client.ProjectRequest{})
	require.NoError(t, err)
	for _, project := range []string{"default", "other"} {
		_, err := f.API.Publish(ctx, project, []byte(heldFlow), false)
		require.NoError(t, err)
	}
	_, _, err = f.API.PutSchedule(ctx, "other", "nightly", client.ScheduleRequest{Workflow: "held", Cron: "0 3 * * *"})
	require.NoError(t, err)
	schedule, err := f.API.Schedule(ctx, "other", "nightly")
	require.NoError(t, err)
	fresh := func(project string) *client.Execution {
		x, _, err := f.API.Start(ctx, project, client.StartRequest{Workflow: "held"})
		require.NoError(t, err)
		return x
	}
	ended := func() *client.Execution {
		x, err := f.API.Cancel(ctx, fresh("other").ID, "")
		require.NoError(t, err)
		return x
	}
	own := fresh("default")
	const nowhere = "00000000-0000-7000-8000-000000000000"
	const nonce = `{"authentication":{"nonce":"`
	made := "made" // the execution that the answer names

	type entry struct {
		project, execution string
		status             int
	}
	wanted := map[string][]entry{}
	answers := map[string]string{}
	ask := func(dialect, method, path, body string, status int, execution string, projects ...string) string {
		id := dialect + "-" + strconv.Itoa(len(wanted))
		r, err := http.NewRequestWithContext(ctx, method, f.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+f.Key)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", id)
		resp, err := f.HTTP.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode, "%s %s: %s", method, path, text)
		answers[id] = string(text)
		if execution == made {
			named := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`).FindString(string(text))
			if named == "" { // a number
				x, err := f.API.Execution(ctx, decode[map[string]any](t, string(text))["id"].(string))
				require.NoError(t, err)
				named = x.ID
			}
			execution = named
		}
		wanted[id] = []entry{}
		for _, project := range projects {
			wanted[id] = append(wanted[id], entry{project, execution, status})
		}
		return string(text)
	}

	x := ended()
	cognite := "/api/v1/projects/other"
	ask("cognite", "POST", cognite+"/workflows/executions/"+x.ID+"/retry", nonce+`a"}}`, 200, x.ID, "other")
	ask("cognite", "POST", cognite+"/workflows/executions/"+x.ID+"/retry", `{"authentication":7}`, 400, x.ID, "other")
	ask("cognite", "POST", cognite+"/workflows/executions/"+x.ID+"/cancel", `{"reason":"enough"}`, 200, x.ID, "other")
	ask("cognite", "POST", cognite+"/workflows/executions/"+nowhere+"/cancel", `{}`, 404, "", "other")
	ask("cognite", "POST", cognite+"/workflows/held/versions/1/run", nonce+`b"}}`, 202, made, "other")
	ask("cognite", "POST", cognite+"/sessions", `{"items":[{"tokenExchange":true}]}`, 200, "", "other")

	ask("kaizen", "POST", "/executions/retry", `{"id":"`+x.ID+`"}`, 200, x.ID, "other")
	ask("kaizen", "POST", "/executions/retry", `{"id":"`+own.ID+`"}`, 200, own.ID, "default")
	ask("kaizen", "POST", "/executions/retry", `{"id":"`+nowhere+`"}`, 404, "", "")
	ask("kaizen", "POST", "/executions/retry", `{"id":7}`, 400, "", "default")
	ask("kaizen", "POST", "/workflows/execute", `{"workflowId":"held","params":{}}`, 200, made, "default")

	x = fresh("other")
	run := "/api/flow_runs/" + x.ID
	ask("prefect", "POST", run+"/set_state", `{"state":{"type":"PAUSED"}}`, 201, x.ID, "other")
	ask("prefect", "POST", run+"/set_state", `{"state":{"type":"LATE"}}`, 422, x.ID, "other")
	ask("prefect", "POST", run+"/resume", `{"run_input":7}`, 422, x.ID, "other")
	ask("prefect", "POST", run+"/resume", `{}`, 201, x.ID, "other")
	ask("prefect", "POST", run+"/resume", ``, 200, x.ID, "other")
	ask("prefect", "PATCH", run, `{"name":"ann"}`, 204, x.ID, "other")
	ask("prefect", "PATCH", run, `{"nom":"ann"}`, 422, x.ID, "other")
	ask("prefect", "POST", run+"/input", `{"key":"k","value":"1"}`, 201, x.ID, "other")
	ask("prefect", "POST", run+"/input", `{}`, 422, x.ID, "other")
	ask("prefect", "DELETE", run+"/input/k", ``, 204, x.ID, "other")
	ask("prefect", "POST", "/api/flow_runs/"+nowhere+"/resume", ``, 404, "", "")
	ask("prefect", "POST", "/api/flow_runs/bulk_set_state", `{"flow_runs":{"id":{"any_":["`+x.ID+`","`+own.ID+`"]}},"state":{"type":"PAUSED"}}`, 200, "", "default", "other")
	flows := decode[[]map[string]any](t, ask("prefect", "POST", "/api/deployments/filter", `{}`, 200, ""))
	ask("prefect", "POST", "/api/deployments/"+flows[0]["id"].(string)+"/create_flow_run", `{}`, 201, made, "default")
	ask("prefect", "POST", "/api/flow_runs/", `{"flow_id":"`+flows[0]["flow_id"].(string)+`"}`, 201, made, "default")
	ask("prefect", "POST", "/api/flows/", `{"name":"mine"}`, 201, "", "default")

	ask("conductor", "PUT", "/api/workflow/"+x.ID+"/resume", ``, 200, x.ID, "other")
	ask("conductor", "PUT", "/api/workflow/"+x.ID+"/pause", ``, 200, x.ID, "other")
	ask("conductor", "PUT", "/api/workflow/bulk/resume", `["`+x.ID+`","`+own.ID+`"]`, 200, "", "default", "other")
	ask("conductor", "PUT", "/api/workflow/bulk/pause", `["`+x.ID+`","`+nowhere+`"]`, 200, x.ID, "other")
	ask("conductor", "PUT", "/api/workflow/bulk/pause", `7`, 400, "", "default")
	ask("conductor", "POST", "/api/workflow/"+x.ID+"/rerun", `7`, 400, x.ID, "other")
	ask("conductor", "POST", "/api/workflow/"+nowhere+"/retry", ``, 404, "", "")
	ask("conductor", "DELETE", "/api/workflow/"+x.ID, ``, 200, x.ID, "other")
	ask("conductor", "POST", "/api/workflow/"+x.ID+"/retry", ``, 204, x.ID, "other")
	ask("conductor", "POST", "/api/workflow", `{"name":"held"}`, 200, made, "default")
	ask("conductor", "POST", "/api/tasks/"+x.ID+"/hold/COMPLETED", `{}`, 200, x.ID, "other")

	attempt := ask("digdag", "PUT", "/api/attempts", `{"projectName":"other","workflowName":"held","sessionTime":"2026-03-01T00:00:00Z","params":{}}`, 200, made, "other")
	number := decode[map[string]any](t, attempt)["id"].(string)
	x, err = f.API.Execution(ctx, number)
	require.NoError(t, err)
	ask("digdag", "POST", "/api/attempts/"+number+"/kill", ``, 200, x.ID, "other")
	ask("digdag", "POST", "/api/attempts/999999/kill", ``, 404, "", "")
	ask("digdag", "PUT", "/api/attempts", `{`, 400, "", "default")
	ask("digdag", "PUT", "/api/attempts", `{"projectName":"other","workflowName":"held","sessionTime":"2026-03-01T00:00:00Z","retryAttemptName":"b","params":{},
		"resume":{"mode":"failed","attemptId":"`+number+`"}}`, 200, x.ID, "other")
	ask("digdag", "POST", "/api/schedules/"+strconv.FormatInt(schedule.Number, 10)+"/disable", ``, 200, "", "other")

	// An entry is written when its call was answered.
	calls := make([]string, 0, len(wanted))
	for id, all := range wanted {
		if len(all) > 0 {
			calls = append(calls, id)
		} else {
			delete(wanted, id) // it changes nothing
		}
	}
	found := map[string][]entry{}
	fleet.Await(t, patience, "all calls are audited", func() bool {
		clear(found)
		for _, project := range []string{"default", "other", ""} {
			entries := f.API.Audit(ctx, project, client.ListAuditParams{})
			if project == "" {
				entries = f.API.FleetAudit(ctx, client.ListFleetAuditParams{})
			}
			for a, err := range entries {
				require.NoError(t, err)
				if a.Dialect == "native" || a.Dialect == "cli" {
					continue
				}
				require.Equal(t, project, a.Project)
				require.Regexp(t, `^`+a.Dialect+`:test \(key_`, a.By)
				require.True(t, strings.HasPrefix(a.RequestID, a.Dialect+"-"), "%+v", a)
				found[a.RequestID] = append(found[a.RequestID], entry{a.Project, a.Execution, a.Status})
			}
		}
		return !slices.ContainsFunc(calls, func(id string) bool { return len(found[id]) == 0 })
	})
	for id, all := range wanted {
		require.ElementsMatch(t, all, found[id], "%s: %s", id, answers[id])
	}
	require.Len(t, found, len(wanted))
}
