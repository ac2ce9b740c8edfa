package digdag_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const hello = "timezone: Asia/Tokyo\n+a:\n  echo>: hello ${name} of ${session_date}\n+b:\n  echo>: ${name.length + 1}\n"

func TestAnAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pushed := r.push("r1", map[string]string{"w.dig": hello, "README.md": "no workflow", "scripts/run.sh": "true"})
	require.Equal(t, "r1", pushed["revision"])
	require.Equal(t, "db", pushed["archiveType"])
	id := r.workflow("w")
	body := `{"workflowId":` + id + `,"sessionTime":"2023-08-17T18:56:24.9+09:00","params":{"name":"Ada","n":12345678901234567890},"retryAttemptName":null,"resume":null,"allowQueueing":false}`
	w := r.ask("PUT", "/api/attempts", "writer", body)
	require.Equal(t, 200, w.Code, w.Body)
	var a map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
	require.Regexp(t, `^\d+$`, a["id"])
	require.Regexp(t, `^\d+$`, a["sessionId"])
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, a["sessionUuid"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, a["createdAt"])
	for field, want := range map[string]any{
		"status": "running", "index": 1.0, "sessionTime": "2023-08-17T18:56:24+09:00", "retryAttemptName": nil, "done": false, "success": false,
		"cancelRequested": false, "finishedAt": nil, "workflow": map[string]any{"id": id, "name": "w"},
	} {
		require.Contains(t, a, field)
		require.Equal(t, want, a[field], field)
	}
	require.Equal(t, "default", a["project"].(map[string]any)["name"])
	require.Contains(t, w.Body.String(), `"params":{"name":"Ada","n":12345678901234567890}`, "as it was given")
	require.Len(t, a, 15)

	done := r.ends(a["id"].(string), "success")
	require.Equal(t, []any{true, true}, []any{done["done"], done["success"]})
	require.NotNil(t, done["finishedAt"])
	require.Equal(t, map[string]string{"+w": "success", "+w+a": "success", "+w+b": "success"}, r.states(a["id"].(string)))
	require.Contains(t, r.log(a["id"].(string), "+w+a"), "[INFO] (+w+a) hello Ada of 2023-08-17\n")
	require.Contains(t, r.log(a["id"].(string), "+w+b"), "(+w+b) 4\n", "computed by JavaScript")

	// The same session again: 409 with the attempt that is there, whatever its name is.
	again := r.object(409, "PUT", "/api/attempts", body)
	require.Equal(t, a["id"], again["id"])
	require.Equal(t, "success", again["status"])
	named := r.object(200, "PUT", "/api/attempts", `{"projectName":"default","workflowName":"w","sessionTime":"2023-08-17T09:56:24Z","params":{"name":"B"},"retryAttemptName":"x"}`)
	require.Equal(t, []any{2.0, "x", a["sessionId"], a["sessionUuid"]}, []any{named["index"], named["retryAttemptName"], named["sessionId"], named["sessionUuid"]})
	again = r.object(409, "PUT", "/api/attempts", body)
	require.Equal(t, named["id"], again["id"], "the last one of the session")
	for _, same := range []string{"2023-08-17T18:56:24.5+09:00[Asia/Tokyo]", "2023-08-17T09:56:24Z[UTC]"} {
		again = r.object(409, "PUT", "/api/attempts", strings.Replace(body, "2023-08-17T18:56:24.9+09:00", same, 1))
		require.Equal(t, named["id"], again["id"], same)
	}
	minutes := r.object(200, "PUT", "/api/attempts", strings.Replace(body, "2023-08-17T18:56:24.9+09:00", "2023-08-17T18:56+09:00", 1))
	require.Equal(t, "2023-08-17T18:56:00+09:00", minutes["sessionTime"], "Java leaves out seconds that are 0")
	r.ends(minutes["id"].(string), "success")
	again = r.object(409, "PUT", "/api/attempts", `{"projectName":"default","workflowName":"w","sessionTime":"2023-08-17T09:56:24Z","params":{"name":"C"},"retryAttemptName":"x"}`)
	require.Equal(t, named["id"], again["id"], "the one of that name")
	r.ends(named["id"].(string), "success")
}

func TestRefusedAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "+a: {echo>: 1}\n"})
	id := r.workflow("w")
	ok := `"sessionTime":"2026-03-01T00:00:00Z","params":{}`
	for body, want := range map[string]struct {
		status  int
		message string
	}{
		`{` + ok + `}`:                                                                           {400, "workflowId is missing; allowed: workflowId, or projectName and workflowName"},
		`{"projectName":"default",` + ok + `}`:                                                   {400, "workflowId is missing; allowed: workflowId, or projectName and workflowName"},
		`{"workflowId":"abc",` + ok + `}`:                                                        {400, `workflowId is "abc"; allowed: a number`},
		`{"workflowId":"999999",` + ok + `}`:                                                     {404, "Resource does not exist: workflow id=999999"},
		`{"projectName":"nowhere","workflowName":"w",` + ok + `}`:                                {404, "Resource does not exist: workflow name=w in project name=nowhere"},
		`{"projectName":"default","workflowName":"x",` + ok + `}`:                                {404, "Resource does not exist: workflow name=x in project name=default"},
		`{"workflowId":"` + id + `","params":{}}`:                                                {400, `sessionTime is ""; allowed: a time with an offset, as 2026-03-01T00:00:00+09:00`},
		`{"workflowId":"` + id + `","sessionTime":"2026-03-01T00:00:00","params":{}}`:            {400, `sessionTime is "2026-03-01T00:00:00"; allowed: a time with an offset, as 2026-03-01T00:00:00+09:00`},
		`{"workflowId":"` + id + `","sessionTime":"2026-03-01T00:00:00Z"}`:                       {400, "params is missing, or no object; allowed: an object, as {}"},
		`{"workflowId":"` + id + `","sessionTime":"2026-03-01T00:00:00Z","params":null}`:         {400, "params is missing, or no object; allowed: an object, as {}"},
		`{"workflowId":"` + id + `","sessionTime":7,"params":{}}`:                                {400, "sessionTime is number, which it cannot be"},
		`{"workflowId":"` + id + `",` + ok + `,"retryAttemptName":""}`:                           {400, "retryAttemptName must not be blank; allowed: 1 to 255 characters, or null"},
		`{"workflowId":"` + id + `",` + ok + `,"resume":{"mode":"all","attemptId":"1"}}`:         {400, `resume.mode is "all"; allowed: failed, from`},
		`{"workflowId":"` + id + `",` + ok + `,"resume":{"mode":"failed"}}`:                      {400, "resume.attemptId is missing; allowed: the id of an attempt"},
		`{"workflowId":"` + id + `",` + ok + `,"resume":{"mode":"failed","attemptId":"999999"}}`: {404, "Resource does not exist: attempt id=999999"},
		`{`:  {400, "the body is no JSON object: unexpected end of JSON input"},
		`[]`: {400, "the body is no JSON object: json: cannot unmarshal array into Go value of type digdag.attemptRequest"},
	} {
		w := r.ask("PUT", "/api/attempts", "writer", body)
		require.Equal(t, want.status, w.Code, body)
		text, err := json.Marshal(map[string]any{"message": want.message, "status": want.status})
		require.NoError(t, err)
		require.JSONEq(t, string(text), w.Body.String(), body)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	}
	body := `{"workflowId":"` + id + `",` + ok + `}`
	require.Equal(t, 401, r.ask("PUT", "/api/attempts", "", body).Code)
	require.Equal(t, 403, r.ask("PUT", "/api/attempts", "reader", body).Code)
	require.Equal(t, 404, r.ask("PUT", "/api/attempts", "stranger", body).Code, "in a project that the key may not see")
	require.Equal(t, 404, r.ask("GET", "/api/attempts/999999", "writer", "").Code)
	require.Equal(t, 404, r.ask("GET", "/api/attempts/abc", "writer", "").Code)
	require.Equal(t, 501, r.ask("DELETE", "/api/projects/1", "writer", "").Code)
	require.Equal(t, 404, r.ask("GET", "/api/attempts/1/nothing", "writer", "").Code)
	require.Equal(t, 405, r.ask("DELETE", "/api/attempts", "writer", "").Code)
}

func TestTheLimitIsRefusedUnlessItMayQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte("name: w\nconcurrency: {max_running: 1, when_full: queue}\ntasks: [{name: hold, type: wait, with: {external: true}}]"), false)
	require.NoError(t, err)
	first := r.start("w", "{}")
	r.session = "2026-03-02T00:00:00+00:00"
	body := func(more string) string {
		return `{"workflowId":"` + r.workflow("w") + `","sessionTime":"` + r.session + `","params":{}` + more + `}`
	}
	require.Equal(t, map[string]any{"message": "Too many attempts running. Limit: 1, Current: 1", "status": 400.0}, r.object(400, "PUT", "/api/attempts", body("")))
	queued := r.object(200, "PUT", "/api/attempts", body(`,"allowQueueing":true`))
	require.Equal(t, []any{"queued", false}, []any{queued["status"], queued["done"]})
	there := r.object(409, "PUT", "/api/attempts", body(""))
	require.Equal(t, queued["id"], there["id"], "the conflict comes before the limit")

	// Of a resume, too, whatever the workflow says itself.
	r.object(200, "POST", "/api/attempts/"+queued["id"].(string)+"/kill", "{}")
	r.ends(queued["id"].(string), "killed")
	for _, says := range []string{"queue", "reject"} {
		_, err := r.engine.Publish(t.Context(), "default", []byte("name: w\nconcurrency: {max_running: 1, when_full: "+says+"}\ntasks: [{name: hold, type: wait, with: {external: true}}]"), false)
		require.NoError(t, err)
		resume := `,"retryAttemptName":"` + says + `","resume":{"mode":"failed","attemptId":"` + queued["id"].(string) + `"}`
		require.Equal(t, map[string]any{"message": "Too many attempts running. Limit: 1, Current: 1", "status": 400.0}, r.object(400, "PUT", "/api/attempts", body(resume)))
		again := r.object(200, "PUT", "/api/attempts", body(resume+`,"allowQueueing":true`))
		require.Equal(t, "queued", again["status"], says)
		r.object(200, "POST", "/api/attempts/"+again["id"].(string)+"/kill", "{}")
		require.Equal(t, again["id"], r.object(409, "PUT", "/api/attempts", body(resume))["id"], "of a resume, too, the conflict comes first")
	}
	r.object(200, "POST", "/api/attempts/"+first+"/kill", "{}")
}

func TestKill(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "+a: {wait>: 1h}\n+b: {echo>: 1}\n"})
	id := r.start("w", "{}")
	killed := r.object(200, "POST", "/api/attempts/"+id+"/kill", "{}")
	require.Equal(t, false, killed["cancelRequested"], "as it was before")
	done := r.ends(id, "killed")
	require.Equal(t, []any{true, true, false}, []any{done["cancelRequested"], done["done"], done["success"]})
	require.Equal(t, map[string]any{"message": "Session attempt already killed or finished", "status": 409.0}, r.object(409, "POST", "/api/attempts/"+id+"/kill", ""))
	r.object(404, "POST", "/api/attempts/999999/kill", "{}")
	require.Equal(t, 403, r.ask("POST", "/api/attempts/"+id+"/kill", "reader", "{}").Code)
	require.Equal(t, map[string]string{"+w": "canceled", "+w+a": "canceled", "+w+b": "canceled"}, r.states(id))

	r.session = "2026-03-02T00:00:00+00:00"
	for agent, status := range map[string]int{"DigdagClient/0.9.42": 204, "DigdagClient/0.10.5.1": 200, "": 200} {
		r.tries++
		id = r.object(200, "PUT", "/api/attempts", fmt.Sprintf(`{"workflowId":"%s","sessionTime":"%s","params":{},"retryAttemptName":"%d"}`, r.workflow("w"), r.session, r.tries))["id"].(string)
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/attempts/"+id+"/kill", strings.NewReader("{}"))
		req.Header.Set("Authorization", "TD1 "+r.keys["writer"])
		req.Header.Set("User-Agent", agent)
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		require.Equal(t, []any{status, status == 204}, []any{w.Code, w.Body.Len() == 0}, "%s: clients before 0.10 take no body", agent)
		r.ends(id, "killed")
	}
}
