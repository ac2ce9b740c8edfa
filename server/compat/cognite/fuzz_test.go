package cognite_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBodies: whatever a body is, and wherever it is sent, the answer is JSON in Cognite's envelope, and no failure of the server.
func FuzzBodies(f *testing.F) {
	r := newRig(f)
	r.document = nil
	r.store("w", "["+fn("a", "flaky", once)+"]")
	r.set("a", true)
	id := r.run("w", `{}`)
	task := r.ends(id, "FAILED")["executedTasks"].([]any)[0].(map[string]any)["id"].(string)
	paths := []string{
		"/workflows", "/workflows/delete", "/workflows/versions", "/workflows/versions/list", "/workflows/versions/delete", "/workflows/w/versions/1/run",
		"/workflows/executions/list", "/workflows/executions/" + id + "/cancel", "/workflows/executions/" + id + "/retry", "/workflows/tasks/" + task + "/update",
		"/workflows/triggers", "/workflows/triggers/delete", "/sessions",
	}
	for n, body := range []string{
		`{"items":[{"externalId":"w","description":"d","maxConcurrentExecutions":3}]}`, `{"items":[{"externalId":"none"}]}`, version("w", "2", "["+fn("a", "echo", "")+"]"),
		`{"filter":{"workflowFilters":[{"externalId":"w"}]},"limit":3,"cursor":"1"}`, `{"items":[{"workflowExternalId":"w","version":"2"}]}`, `{"authentication":{"nonce":"n"},"input":{"a":1e400},"metadata":{"":""}}`,
		`{"filter":{"status":["FAILED"],"createdTimeStart":-9223372036854775808,"createdTimeEnd":9223372036854775807},"cursor":"` + noID + `"}`, `{"reason":"why"}`, `{"authentication":{"nonce":"n"}}`,
		`{"status":"COMPLETED","output":{"a":[]}}`,
		`{"items":[{"externalId":"t","triggerRule":{"triggerType":"schedule","cronExpression":"* * * * *","timezone":"UTC"},"workflowExternalId":"w","workflowVersion":"1","authentication":{"nonce":"n"},"metadata":{"k":"v"},"input":null}]}`,
		`{"items":[{"externalId":"t"}]}`, `{"items":[{"tokenExchange":true}]}`, `[]`, `null`, `{"items":null}`, version("w", "3", `[{"externalId":"a","type":"function","retries":1e999,"parameters":{"function":{"externalId":"echo","data":{"x":[1e-999,0.1,"${"]}}}}]`),
	} {
		f.Add(uint8(n), body)
	}
	f.Fuzz(func(t *testing.T, where uint8, body string) {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1:8080"+project+paths[int(where)%len(paths)], strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+r.keys["writer"])
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		a := reply{w, t}
		require.True(t, w.Code < 500 || w.Code == 501, "%d %s", w.Code, w.Body)
		if w.Code >= 400 {
			require.EqualValues(t, w.Code, a.json()["error"].(map[string]any)["code"])
		}
	})
}
