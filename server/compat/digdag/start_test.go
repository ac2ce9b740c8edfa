package digdag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// TestNamesAndNumbersOfARequest: how long a name may be, what is a number, what is ignored, and what is null.
func TestNamesAndNumbersOfARequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "+a: {echo>: 1}\n"})
	id := r.workflow("w")
	put := func(status int, body string) map[string]any { return r.object(status, "PUT", "/api/attempts", body) }
	ok := func(more string) string {
		return `{"workflowId":"` + id + `","sessionTime":"2026-03-01T00:00:00Z","params":{}` + more + `}`
	}

	for _, letter := range []string{"n", "é", "名"} {
		longest := strings.Repeat(letter, 255)
		require.Equal(t, longest, put(200, ok(`,"retryAttemptName":"`+longest+`"`))["retryAttemptName"])
		require.Equal(t, longest, put(409, ok(`,"retryAttemptName":"`+longest+`"`))["retryAttemptName"])
		require.Equal(t, map[string]any{"message": "retryAttemptName is too long; allowed: 1 to 255 characters", "status": 400.0}, put(400, ok(`,"retryAttemptName":"`+longest+letter+`"`)))
	}
	require.Equal(t, "retryAttemptName is number, which it cannot be", put(400, ok(`,"retryAttemptName":7`))["message"])

	// What nobody knows is ignored, what is null is not there.
	first := put(200, ok(`,"retryAttemptName":null,"resume":null,"projectName":null,"workflowName":null,"allowQueueing":null,"color":{"deep":[1]},"poolId":"7"`))
	require.Nil(t, first["retryAttemptName"])
	require.Equal(t, first["id"], put(409, ok(""))["id"])

	// An id is text or a number.
	for _, good := range []string{id, `"` + id + `"`} {
		require.Equal(t, first["sessionId"], put(409, strings.Replace(ok(""), `"`+id+`"`, good, 1))["sessionId"], good)
	}
	for bad, want := range map[string]string{
		"1.5": `workflowId is "1.5"; allowed: a number`, "1e3": `workflowId is "1e3"; allowed: a number`, `" 1"`: `workflowId is " 1"; allowed: a number`,
		"null": "workflowId is missing; allowed: workflowId, or projectName and workflowName", `""`: "workflowId is missing; allowed: workflowId, or projectName and workflowName",
	} {
		require.Equal(t, want, put(400, strings.Replace(ok(""), `"`+id+`"`, bad, 1))["message"], bad)
	}
	for _, bad := range []string{"true", "[1]", "{}"} {
		require.EqualValues(t, 400, put(400, strings.Replace(ok(""), `"`+id+`"`, bad, 1))["status"], bad)
	}
	require.Equal(t, "Resource does not exist: workflow id=-1", put(404, strings.Replace(ok(""), `"`+id+`"`, "-1", 1))["message"])
	r.ends(first["id"].(string), "success")
	for name, attempt := range map[string]string{"text": `"` + first["id"].(string) + `"`, "number": first["id"].(string)} {
		again := put(200, ok(`,"retryAttemptName":"`+name+`","resume":{"mode":"from","attemptId":`+attempt+`,"from":"+a","color":1}`))
		require.Equal(t, name, again["retryAttemptName"])
	}
	require.Equal(t, "Resource does not exist: attempt id=x", put(404, ok(`,"retryAttemptName":"z","resume":{"mode":"failed","attemptId":"x"}`))["message"])
}

// TestAnUnnamedStartInTheSessionOfASchedule: what a schedule started has no name, so a start without one meets it.
func TestAnUnnamedStartInTheSessionOfASchedule(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hour := time.Now().UTC().Truncate(time.Hour).Add(-time.Hour)
	r.push("r1", map[string]string{"w.dig": "schedule: {hourly>: '00:00'}\n+a: {echo>: 1}\n"})
	var scheduled map[string]any
	// As a tick does, without waiting for one.
	_, err := r.engine.StartBackfill(t.Context(), "default", "w", engine.BackfillRequest{From: hour, To: hour.Add(time.Second), Attempt: "schedule-w"})
	require.NoError(t, err)
	r.eventually(func() bool {
		all := r.get("/api/attempts?workflow=w&include_retried=true")["attempts"].([]any)
		if len(all) > 0 {
			scheduled = all[0].(map[string]any)
		}
		return len(all) > 0
	})
	require.Nil(t, scheduled["retryAttemptName"])
	id := scheduled["id"].(string)
	r.ends(id, "success")
	body := func(name string) string {
		return fmt.Sprintf(`{"workflowId":%q,"sessionTime":%q,"params":{},"retryAttemptName":%s}`, r.workflow("w"), hour.Format(time.RFC3339), name)
	}
	w := r.ask("PUT", "/api/attempts", "writer", body("null"))
	require.Equal(t, []any{409, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")}, w.Body)
	there := r.get("/api/attempts/" + id)
	text, err := json.Marshal(there)
	require.NoError(t, err)
	require.JSONEq(t, string(text), w.Body.String(), "the attempt of the schedule, whole")

	named := r.object(200, "PUT", "/api/attempts", body(`"by hand"`))
	require.Equal(t, []any{2.0, there["sessionId"], there["sessionUuid"]}, []any{named["index"], named["sessionId"], named["sessionUuid"]})
	require.Equal(t, named["id"], r.object(409, "PUT", "/api/attempts", body("null"))["id"], "the last one of the session, whatever its name")
	require.Len(t, r.get("/api/attempts/" + id + "/retries")["attempts"], 2)
}

// TestAnAttemptWithoutASession: what was started natively is seen with session 0.
func TestAnAttemptWithoutASession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "timezone: Asia/Tokyo\n+a: {echo>: 1}\n+r: {require>: child}\n", "child.dig": "+b: {echo>: 1}\n"})
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "child", Input: json.RawMessage(`{"session_time":"2026-01-01T00:00:00Z"}`)})
	require.NoError(t, err)
	id := fmt.Sprint(x.Number)
	a := r.ends(id, "success")
	require.Equal(t, []any{"0", 1.0, nil}, []any{a["sessionId"], a["index"], a["retryAttemptName"]})
	require.Equal(t, x.CreatedAt.UTC().Format("2006-01-02T15:04:05")+"+00:00", a["sessionTime"])
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, a["sessionUuid"])
	require.Equal(t, []any{a}, r.get("/api/attempts/" + id + "/retries")["attempts"])
	require.Equal(t, []any{a}, r.get("/api/attempts")["attempts"])
	require.Empty(t, r.get("/api/sessions")["sessions"])
	r.object(404, "GET", "/api/sessions/0", "")

	// A require> runs its workflow in no session, with the time of its own.
	parent := r.object(200, "PUT", "/api/attempts", `{"workflowId":"`+r.workflow("w")+`","sessionTime":"2026-03-01T00:00:00+09:00","params":{}}`)["id"].(string)
	r.ends(parent, "success")
	all := r.get("/api/attempts?workflow=child")["attempts"].([]any)
	require.Len(t, all, 2)
	required := all[0].(map[string]any)
	require.Equal(t, []any{"0", "2026-02-28T15:00:00+00:00", "success"}, []any{required["sessionId"], required["sessionTime"], required["status"]})
}
