package digdag_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat/digdag"
	"github.com/redrive/redrive/workflow"
)

// told is what an attempt says of how far it is.
func told(a map[string]any) []any {
	return []any{a["status"], a["done"], a["success"], a["cancelRequested"], a["finishedAt"] != nil}
}

// canceling is an engine whose executions are being canceled, which is otherwise over before anybody looks.
type canceling struct{ *engine.Engine }

func (c canceling) Execution(ctx context.Context, id string) (*engine.Execution, error) {
	x, err := c.Engine.Execution(ctx, id)
	if err == nil {
		x.Status = workflow.ExecutionCanceling
	}
	return x, err
}

func (c canceling) Cancel(context.Context, string, engine.Request) (*engine.Execution, error) {
	return nil, engine.Conflict("illegal_transition", "it is being canceled")
}

// routes serves the dialect over an engine, without asking for keys.
func routes(e digdag.Engine) http.Handler {
	router, d := gin.New(), digdag.New(e)
	for _, route := range d.Routes {
		router.Handle(route.Method, route.Path, func(c *gin.Context) {
			if err := route.Serve(c); err != nil {
				d.Fail(c.Writer, c.Request, err)
			}
		})
	}
	return router
}

// TestAttemptStatuses: all of Treasure Data's, with the flags that Digdag's own clients read instead.
func TestAttemptStatuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	publish := func(source string) {
		_, err := r.engine.Publish(t.Context(), "default", []byte(source), false)
		require.NoError(t, err)
	}
	publish("name: held\nconcurrency: {max_running: 1, when_full: queue}\ntasks: [{name: a, type: wait, with: {external: true}}]")
	publish("name: late\ntimeout: 1s\ntasks: [{name: a, type: wait, with: {external: true}}]")
	publish("name: failing\ntasks: [{name: a, type: fail}]")
	kill := func(status int, id string) map[string]any {
		return r.object(status, "POST", "/api/attempts/"+id+"/kill", "{}")
	}

	late, failing := r.start("late", "{}"), r.start("failing", "{}")
	first := r.start("held", "{}")
	_, err := r.engine.Pause(t.Context(), first, engine.Request{By: "test"})
	require.NoError(t, err)
	require.Equal(t, []any{"blocked", false, false, false, false}, told(r.get("/api/attempts/"+first)))
	r.session = "2026-03-02T00:00:00+00:00"
	queued := r.object(200, "PUT", "/api/attempts", `{"workflowId":"`+r.workflow("held")+`","sessionTime":"`+r.session+`","params":{},"allowQueueing":true}`)
	require.Equal(t, []any{"queued", false, false, false, false}, told(queued))
	require.Equal(t, "blocked", r.states(queued["id"].(string))["+held"])
	require.Equal(t, []any{"queued", false, false, false, false}, told(kill(200, queued["id"].(string))), "one that has not begun is killed, too")
	require.Equal(t, []any{"killed", true, false, true, true}, told(r.ends(queued["id"].(string), "killed")))
	canceling := routes(canceling{r.engine})
	for _, ask := range []string{"GET ", "POST /kill", "POST /kill"} {
		method, path, _ := strings.Cut(ask, " ")
		w := httptest.NewRecorder()
		canceling.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/api/attempts/"+first+path, strings.NewReader("{}")))
		require.Equal(t, 200, w.Code, "%s: again, as long as it has not ended: %s", ask, w.Body)
		var a map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
		require.Equal(t, []any{"canceling", false, false, true, false}, told(a))
	}
	w := httptest.NewRecorder()
	canceling.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/api/attempts/"+first+"/tasks", nil))
	var all struct{ Tasks []map[string]any }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
	require.Len(t, all.Tasks, 2)
	for _, one := range all.Tasks {
		require.Equal(t, true, one["cancelRequested"], one)
	}
	require.Equal(t, "planned", all.Tasks[0]["state"])
	require.Equal(t, []any{"blocked", false, false, false, false}, told(kill(200, first)), "as it was before")
	require.Equal(t, []any{"killed", true, false, true, true}, told(r.ends(first, "killed")))
	require.Equal(t, "canceled", r.states(first)["+held"])
	require.Equal(t, map[string]any{"message": "Session attempt already killed or finished", "status": 409.0}, kill(409, first))

	require.Equal(t, []any{"error", true, false, false, true}, told(r.ends(failing, "error")))
	require.Equal(t, map[string]any{"message": "Session attempt already killed or finished", "status": 409.0}, kill(409, failing), "what ended by itself is not killed")
	require.Equal(t, []any{"killed", true, false, true, true}, told(r.ends(late, "killed")), "its time was over")
	require.Equal(t, map[string]string{"+late": "canceled", "+late+a": "canceled"}, r.states(late))
}

// TestTaskStates: all of Digdag's, at once where that is possible.
func TestTaskStates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": `
_parallel: true
+retry: {_retry: {limit: 1, interval: 3600}, sh>: exit 1}
+group:
  _retry: {limit: 1, interval: 3600}
  +x: {sh>: exit 1}
+run: {wait>: 1h}
+plan:
  +y: {wait>: 1h}
+after: {_after: [run], echo>: 1}
+fine: {echo>: 1}
+wrong: {fail>: no}
+bad:
  +z: {fail>: no}
  +never: {echo>: 1}
`})
	id := r.start("w", "{}")
	want := map[string]string{
		"+w": "planned", "+w+retry": "retry_waiting", "+w+group": "group_retry_waiting", "+w+run": "running", "+w+plan": "planned", "+w+plan+y": "running",
		"+w+after": "blocked", "+w+fine": "success", "+w+wrong": "error", "+w+bad": "group_error", "+w+bad+z": "error", "+w+bad+never": "blocked",
	}
	for name, state := range want {
		r.await(id, name, state)
	}
	byName := map[string]map[string]any{}
	for _, one := range r.get("/api/attempts/" + id + "/tasks")["tasks"].([]any) {
		one := one.(map[string]any)
		byName[one["fullName"].(string)] = one
	}
	const at = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`
	for name, one := range byName {
		require.Equal(t, false, one["cancelRequested"], name)
		require.Regexp(t, at, one["updatedAt"], name)
		if waits := name == "+w+retry" || name == "+w+group"; waits {
			require.Regexp(t, at, one["retryAt"], name)
		} else {
			require.Nil(t, one["retryAt"], name)
		}
	}
	require.Nil(t, byName["+w+after"]["startedAt"])
	require.Regexp(t, at, byName["+w+fine"]["startedAt"])
	require.Equal(t, []any{byName["+w+run"]["id"]}, byName["+w+after"]["upstreams"])
	require.Equal(t, byName["+w"]["id"], byName["+w+after"]["parentId"])
	require.Equal(t, byName["+w+bad"]["id"], byName["+w+bad+z"]["parentId"])
	require.Equal(t, map[string]any{"message": "no", "code": "failed"}, byName["+w+wrong"]["error"])
	require.Equal(t, map[string]any{}, byName["+w+fine"]["error"])

	r.object(200, "POST", "/api/attempts/"+id+"/kill", "{}")
	r.ends(id, "killed")
	states := r.states(id)
	for _, name := range []string{"+w", "+w+retry", "+w+group", "+w+run", "+w+plan", "+w+plan+y", "+w+after"} {
		require.Equal(t, "canceled", states[name], "%s: what waits to be tried again ends at once, too", name)
	}
	for _, name := range []string{"+w+fine", "+w+wrong", "+w+bad+z", "+w+bad+never"} {
		require.Equal(t, want[name], states[name], "%s: it had ended", name)
	}

	_, err := r.engine.PauseQueue(t.Context(), "default")
	require.NoError(t, err)
	r.session = "2026-03-02T00:00:00+00:00"
	id = r.start("w", "{}")
	r.await(id, "+w+fine", "ready")
	r.object(200, "POST", "/api/attempts/"+id+"/kill", "{}")
	r.ends(id, "killed")
	require.Equal(t, "canceled", r.states(id)["+w+fine"])
}

// TestStoreParams: what an http> stored is shown where the task is, also in a loop, beside a check, and of a task that was kept.
func TestStoreParams(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"n":3}`)
	}))
	t.Cleanup(site.Close)
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": `
+get: {http>: "` + site.URL + `", store_content: true}
+head: {http>: "` + site.URL + `"}
+loop:
  loop>: 1
  _do: {http>: "` + site.URL + `", store_content: true}
+checked: {http>: "` + site.URL + `", _check: {echo>: "${http.last_status}"}}
+stop: {sh>: 'test -e ` + r.dir + `/go'}
+use: {echo>: "${JSON.parse(http.last_content).n + http.last_status}"}
`})
	stored := func(id string) map[string]any {
		made := map[string]any{}
		for _, one := range r.get("/api/attempts/" + id + "/tasks")["tasks"].([]any) {
			one := one.(map[string]any)
			made[one["fullName"].(string)] = one["storeParams"]
		}
		return made
	}
	none, status := map[string]any{}, map[string]any{"http": map[string]any{"last_status": 200.0}}
	content := map[string]any{"http": map[string]any{"last_status": 200.0, "last_content": `{"n":3}`}}
	want := map[string]any{
		"+w": none, "+w+get": content, "+w+head": status, "+w+loop": none, "+w+loop^sub+loop-0": content, "+w+checked": status, "+w+checked^check": none,
		"+w+stop": none, "+w+use": none,
	}
	id := r.start("w", "{}")
	r.ends(id, "error")
	require.Equal(t, want, stored(id))
	r.touch("go")
	again := r.resume(200, "again", id, failedMode, "{}")["id"].(string)
	r.ends(again, "success")
	require.Equal(t, want, stored(again), "also where it was kept (R27)")
	require.Contains(t, r.log(again, "+w+use"), "(+w+use) 203\n")
}
