package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

const cdfProject = "/api/v1/projects/default"

// cognite calls an operation of Cognite's API.
func cognite(t *testing.T, f *fleet.Fleet, status int, method, path, body string) map[string]any {
	t.Helper()
	got, answer := call(t, f, method, cdfProject+path, "application/json", body)
	require.Equal(t, status, got, answer)
	return decode[map[string]any](t, answer)
}

// executedTasks are the statuses of the tasks of an execution, by their external ids.
func executedTasks(t *testing.T, f *fleet.Fleet, id string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, v := range cognite(t, f, 200, "GET", "/workflows/executions/"+id, "")["executedTasks"].([]any) {
		task := v.(map[string]any)
		all[task["externalId"].(string)] = task["status"].(string)
	}
	return all
}

func TestCogniteRunsAndRetries(t *testing.T) {
	var healthy atomic.Bool
	var calls atomic.Int32
	cdf := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/flaky" {
			calls.Add(1)
			if !healthy.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}
		_, _ = fmt.Fprintf(w, `{"path":%q,"tasks":[{"externalId":"in dyn","type":"cdf","retries":0,"parameters":{"cdfRequest":{"method":"GET","resourcePath":"http://%s/flaky"}}}]}`, r.URL.Path, r.Host)
	}))
	t.Cleanup(cdf.Close)
	f := start(t, "--allow-address", "127.0.0.1")

	cognite(t, f, 404, "GET", "/workflows/plant%2Fa", "")
	made := cognite(t, f, 200, "POST", "/workflows", `{"items":[{"externalId":"plant/a","description":"of the plant","maxConcurrentExecutions":7}]}`)
	require.Equal(t, "plant/a", made["items"].([]any)[0].(map[string]any)["externalId"])
	version := `{"items":[{"workflowExternalId":"plant/a","version":"v 1","workflowDefinition":{"tasks":[
		{"externalId":"first","type":"cdf","parameters":{"cdfRequest":{"method":"GET","resourcePath":"` + cdf.URL + `/first"}}},
		{"externalId":"optional","type":"cdf","retries":0,"onFailure":"skipTask","parameters":{"cdfRequest":{"method":"GET","resourcePath":"` + cdf.URL + `/flaky"}}},
		{"externalId":"dyn","type":"dynamic","dependsOn":[{"externalId":"first"}],"parameters":{"dynamic":{"tasks":"${first.output.response.tasks}"}}},
		{"externalId":"last","type":"cdf","dependsOn":[{"externalId":"dyn"}],"parameters":{"cdfRequest":{"method":"POST","resourcePath":"` + cdf.URL + `/last","body":{"n":"${workflow.input.n}","was":"${first.output.response.path}"}}}}]}}]}`
	cognite(t, f, 200, "POST", "/workflows/versions", version)
	listed := cognite(t, f, 200, "POST", "/workflows/versions/list", `{"filter":{"workflowFilters":[{"externalId":"plant/a"}]}}`)
	require.Len(t, listed["items"], 1)

	nonce := cognite(t, f, 200, "POST", "/sessions", `{"items":[{"tokenExchange":true}]}`)["items"].([]any)[0].(map[string]any)["nonce"].(string)
	run := `{"authentication":{"nonce":"` + nonce + `"},"input":{"n":12345678901234567},"metadata":{"k":"v"}}`
	x := cognite(t, f, 202, "POST", "/workflows/plant%2Fa/versions/v%201/run", run)
	id := x["id"].(string)
	require.Equal(t, "RUNNING", x["status"])
	require.Equal(t, map[string]any{"k": "v"}, x["metadata"])
	require.Equal(t, id, cognite(t, f, 202, "POST", "/workflows/plant%2Fa/versions/v%201/run", run)["id"], "a request that is sent again starts nothing")
	require.EqualValues(t, "failed", await(t, f, id).Status)
	require.Equal(t, map[string]string{"first": "COMPLETED", "optional": "COMPLETED_WITH_ERRORS", "dyn": "FAILED", "in dyn": "FAILED"}, executedTasks(t, f, id))
	failed := cognite(t, f, 200, "POST", "/workflows/executions/list", `{"filter":{"workflowFilters":[{"externalId":"plant/a"}],"status":["FAILED"]}}`)
	require.Len(t, failed["items"], 1, "those of dynamic tasks are no executions of their own here")

	before := calls.Load()
	retry := `{"authentication":{"nonce":"again"}}`
	require.Equal(t, "RUNNING", cognite(t, f, 200, "POST", "/workflows/executions/"+id+"/retry", retry)["status"])
	require.EqualValues(t, "failed", await(t, f, id).Status)
	require.Equal(t, before+1, calls.Load(), "one more try of the task that failed, none of the optional one")
	healthy.Store(true)
	f.Must("retry", id, "--wait")
	x = cognite(t, f, 200, "GET", "/workflows/executions/"+id, "")
	require.Equal(t, "COMPLETED", x["status"])
	require.Equal(t, map[string]string{"first": "COMPLETED", "optional": "COMPLETED_WITH_ERRORS", "dyn": "COMPLETED", "in dyn": "COMPLETED", "last": "COMPLETED"}, executedTasks(t, f, id))
	require.Contains(t, askers(t, f, id)["execution.started"], "cognite:")
	cognite(t, f, 409, "POST", "/workflows/executions/"+id+"/retry", `{"authentication":{"nonce":"third"}}`)
	cognite(t, f, 404, "POST", "/workflows/executions/0190a1b2-0000-7000-8000-00000000dead/retry", retry)
	cognite(t, f, 400, "GET", "/workflows/executions/none", "")
}

func TestCogniteUpdatesATask(t *testing.T) {
	f := start(t)
	cognite(t, f, 200, "POST", "/workflows", `{"items":[{"externalId":"slow"}]}`)
	cognite(t, f, 200, "POST", "/workflows/versions", `{"items":[{"workflowExternalId":"slow","version":"1","workflowDefinition":{"tasks":[
		{"externalId":"fn","type":"function","retries":0,"parameters":{"isAsyncComplete":true,"function":{"externalId":"detect","data":{"a":1}}}}]}}]}`)
	id := cognite(t, f, 202, "POST", "/workflows/slow/versions/1/run", `{"authentication":{"nonce":"n1"}}`)["id"].(string)
	given := make(chan string, 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- f.API.WorkRemote(ctx, client.PollRequest{Types: []string{"detect"}, Worker: "functions"}, func(_ context.Context, run client.RemoteRun) (any, error) {
			var input struct {
				TaskID string `json:"cogniteOrchestrationTaskId"`
			}
			err := json.Unmarshal(run.Input, &input)
			given <- input.TaskID
			return nil, err
		})
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	taskID := <-given
	awaitTask(t, f, id, "fn.done", client.TaskStatusWaiting)
	task := cognite(t, f, 200, "POST", "/workflows/tasks/"+taskID+"/update", `{"status":"COMPLETED","output":{"n":5}}`)
	require.Equal(t, "fn", task["externalId"])
	require.EqualValues(t, "succeeded", await(t, f, id).Status)
	require.Equal(t, map[string]string{"fn": "COMPLETED"}, executedTasks(t, f, id))

	id = cognite(t, f, 202, "POST", "/workflows/slow/versions/1/run", `{"authentication":{"nonce":"n2"}}`)["id"].(string)
	<-given
	awaitTask(t, f, id, "fn.done", client.TaskStatusWaiting)
	canceled := cognite(t, f, 200, "POST", "/workflows/executions/"+id+"/cancel", `{"reason":"why not"}`)
	require.Equal(t, "TERMINATED", canceled["status"])
	require.Equal(t, "why not", canceled["reasonForIncompletion"])
	require.Equal(t, "RUNNING", cognite(t, f, 200, "POST", "/workflows/executions/"+id+"/retry", `{"authentication":{"nonce":"n3"}}`)["status"])
	cognite(t, f, 200, "POST", "/workflows/executions/"+id+"/cancel", `{}`)
}
