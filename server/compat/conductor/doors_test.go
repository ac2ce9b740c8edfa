package conductor_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
)

// refusal is what a client reads of a refusal, without the name of the host.
func refusal(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body)
	require.NotEmpty(t, body["instance"])
	delete(body, "instance")
	text, err := json.Marshal(body)
	require.NoError(t, err)
	return fmt.Sprint(w.Code, " ", string(text))
}

func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *server.Options) { o.Open = false })
	secret := func(k engine.Key) string {
		_, secret, err := r.engine.CreateKey(t.Context(), k)
		require.NoError(t, err)
		return secret
	}
	_, _, err := r.engine.PutProject(t.Context(), engine.Project{Name: "elsewhere"})
	require.NoError(t, err)
	admin := secret(engine.Key{Name: "admin", Scope: engine.ScopeAdmin})
	reader := secret(engine.Key{Name: "reader", Scope: engine.ScopeRead})
	elsewhere := secret(engine.Key{Name: "elsewhere", Scope: engine.ScopeWrite, Projects: []string{"elsewhere"}})

	askAs := func(key, method, path, body string) *httptest.ResponseRecorder {
		return r.askWith(map[string]string{"X-Authorization": key}, method, path, body) // where Conductor's clients put it
	}

	// Probes, and clients that have no token yet, need no key.
	const healthy = `{"healthResults":[],"suppressedHealthResults":[],"healthy":true}`
	for _, path := range []string{"/health", "/api/health", "/conductor/health", "/conductor/api/health"} {
		w := r.ask("GET", path, "")
		require.Equal(t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")}, path)
		require.JSONEq(t, healthy, w.Body.String(), path)
	}
	w := r.ask("POST", "/api/token", fmt.Sprintf(`{"keyId":"me","keySecret":%q}`, admin))
	require.Equal(t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")})
	require.JSONEq(t, fmt.Sprintf(`{"token":%q,"userId":"me"}`, admin), w.Body.String())

	w = r.ask("GET", "/api/workflow/x", "")
	require.Equal(t, `401 {"error":"INVALID_TOKEN","message":"send an API key: \"Authorization: Bearer rdr_...\", or basic auth with the key as the password","retryable":false,"status":401}`, refusal(t, w))
	w = askAs("rdr_wrong", "GET", "/api/workflow/x", "")
	require.Equal(t, `401 {"error":"INVALID_TOKEN","message":"there is no such API key, or it was revoked","retryable":false,"status":401}`, refusal(t, w))
	w = askAs(reader, "POST", "/api/workflow", `{"name":"x"}`)
	require.Equal(t, `403 {"message":"this needs a key with scope write; this key has scope read","retryable":false,"status":403}`, refusal(t, w))

	require.Equal(t, 200, askAs(admin, "POST", "/api/metadata/workflow", `{"name":"held","tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}]}`).Code)
	id := askAs(admin, "POST", "/api/workflow/held", `{}`).Body.String()
	require.Equal(t, 200, askAs(reader, "GET", "/api/workflow/"+id, "").Code)
	for _, ask := range [][2]string{{"GET", ""}, {"GET", "/status"}, {"GET", "/tasks"}, {"DELETE", ""}, {"PUT", "/pause"}, {"POST", "/retry"}} {
		w = askAs(elsewhere, ask[0], "/api/workflow/"+id+ask[1], "")
		require.Equal(t, fmt.Sprintf(`404 {"message":"No such workflow found by id: %s","retryable":false,"status":404}`, id), refusal(t, w), ask)
	}
}

// TestTooManyWait: a call that waits for an execution is answered at its end; one too many is told to come again.
func TestTooManyWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *server.Options) { o.Streams = 1 })
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"held","tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}],"outputParameters":{"say":"${h.output.say}"}}`).Code)
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- r.ask("POST", "/api/workflow/execute/held/1?waitForSeconds=600", `{}`) }()
	id := r.runs("held")

	for _, path := range []string{"/api/workflow/execute/held/1", "/api/workflow/execute/held/0?returnStrategy=BLOCKING_TASK"} {
		w := r.ask("POST", path, `{}`)
		require.Equal(t, `503 {"message":"1 calls wait here already: try again, or ask without waiting, and then for the status","retryable":true,"status":503}`, refusal(t, w))
		require.Equal(t, "5", w.Header().Get("Retry-After"))
	}
	r.completes(id, "h", `{"say":"yes"}`)
	w := <-done
	require.Equal(t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")})
	var run struct {
		Status, WorkflowID string
		Output             map[string]any
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &run))
	require.Equal(t, []any{"COMPLETED", id, map[string]any{"say": "yes"}}, []any{run.Status, run.WorkflowID, run.Output})
	require.JSONEq(t, `[]`, r.ask("GET", "/api/workflow/running/held", "").Body.String(), "none of those that were refused has started")
}

// TestExecuteUntilATask: the call is answered as soon as one of the tasks that it names has ended, wherever the workflow is then.
func TestExecuteUntilATask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"held","version":4,"tasks":[{"name":"a","taskReferenceName":"a","type":"HUMAN"},{"name":"b","taskReferenceName":"b","type":"HUMAN"}]}`).Code)
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		done <- r.ask("POST", "/api/workflow/execute/held/4?waitForSeconds=3600&waitUntilTaskRef=nope,a&requestId=r1", `{"correlationId":"c"}`)
	}()
	id := r.runs("held?version=4")
	r.completes(id, "a", `{}`)
	w := <-done
	require.Equal(t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")})
	var run struct {
		ResponseType, RequestID, TargetWorkflowID, TargetWorkflowStatus, WorkflowID, Status, CorrelationID string
		Tasks                                                                                              []struct{ ReferenceTaskName, Status string }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &run))
	require.Equal(t, []string{"TARGET_WORKFLOW", "r1", id, "RUNNING", id, "RUNNING", "c"},
		[]string{run.ResponseType, run.RequestID, run.TargetWorkflowID, run.TargetWorkflowStatus, run.WorkflowID, run.Status, run.CorrelationID})
	require.Equal(t, []string{"a", "COMPLETED"}, []string{run.Tasks[0].ReferenceTaskName, run.Tasks[0].Status})
}
