package digdag_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

// What a field has to be: Digdag's own client fails where it is not there, or is null.
const (
	anID    = `^"\d+"$`
	words   = `^".+"$`
	instant = `^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"$`
	local   = `^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"$`
	uuid    = `^"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"$`
	truth   = `^(true|false)$`
	anObj   = `^\{`
	aList   = `^\[`
	maybe   = `|^null$` // it has to be there
)

// fields of each kind of object, and what is in them: all that it has.
var fields = map[string]map[string]string{
	"project": {
		"id": anID, "name": words, "revision": words, "createdAt": instant, "updatedAt": instant, "archiveType": words,
		"deletedAt": `^null$`, "archiveMd5": `^"[A-Za-z0-9+/]{22}=="$` + maybe,
	},
	"workflow": {"id": anID, "name": words, "project": "named", "revision": words, "timezone": words, "config": anObj},
	"named":    {"id": anID, "name": words},
	"attempt": {
		"id": anID, "project": "named", "workflow": "named", "sessionId": anID, "sessionUuid": uuid, "sessionTime": local, "done": truth, "success": truth,
		"cancelRequested": truth, "params": anObj, "createdAt": instant, "index": `^[1-9]\d*$`, "retryAttemptName": words + maybe, "finishedAt": instant + maybe, "status": words,
	},
	"task": {
		"id": anID, "fullName": `^"\+.+"$`, "config": anObj, "isGroup": truth, "group": truth, "state": words, "exportParams": anObj, "storeParams": anObj, "stateParams": `^\{\}$`,
		"updatedAt": instant, "error": anObj, "upstreams": aList, "parentId": anID + maybe, "retryAt": instant + maybe, "startedAt": instant + maybe, "cancelRequested": truth,
	},
	"session": {"id": anID, "project": "named", "workflow": "named", "sessionUuid": uuid, "sessionTime": local, "lastAttempt": "last"},
	"last": {
		"id": anID, "done": truth, "success": truth, "cancelRequested": truth, "params": anObj, "createdAt": instant, "retryAttemptName": words + maybe,
		"finishedAt": instant + maybe, "status": words,
	},
	"schedule": {"id": anID, "project": "named", "workflow": "named", "nextRunTime": instant, "nextScheduleTime": local, "disabledAt": instant + maybe},
	"summary": {
		"id": anID, "project": "named", "workflow": "named", "nextRunTime": instant, "nextScheduleTime": local, "disabledAt": instant + maybe,
		"createdAt": instant, "updatedAt": instant,
	},
	"backfill": {"id": anID, "project": "named", "workflow": "named", "attempts": aList},
	"revision": {"revision": words, "createdAt": instant, "archiveType": words, "archiveMd5": words, "userInfo": anObj},
	"cut":      {"project": "named", "revision": words, "sessionTime": local, "timezone": words},
	"log": {
		"fileName": words, "fileSize": `^\d+$`, "taskName": `^"\+.+"$`, "fileTime": instant, "agentId": words, "direct": `^null$`,
		"fileTimestamp": `^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"$`,
	},
}

// holds requires that an object has all fields of its kind, and no others.
func holds(t *testing.T, kind, where string, raw json.RawMessage) {
	t.Helper()
	var got map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &got), "%s: %s", where, raw)
	for name, is := range fields[kind] {
		require.Contains(t, got, name, "%s of %s: %s", kind, where, raw)
		if fields[is] != nil {
			holds(t, is, where+" "+name, got[name])
			continue
		}
		require.Regexp(t, is, string(got[name]), "%s: %s of %s", where, name, raw)
	}
	require.Len(t, got, len(fields[kind]), "%s of %s: %s", kind, where, raw)
}

// TestShapes: the fields of each object, wherever it is answered, also of what was made natively, and of what is new.
func TestShapes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte("name: native\ntasks: [{name: a, type: noop}, {name: each, type: noop, for_each: {items: [1, 2]}}]"), false)
	require.NoError(t, err)
	r.push("r1", map[string]string{"w.dig": "timezone: America/St_Johns\nschedule: {daily>: 07:00:00}\n_export: {x: 1}\n+a: {echo>: 1}\n+b: {_parallel: true, +c: {sh>: exit 1}, +d: {loop>: 2, _do: {echo>: 1}}}\n+e: {echo>: 1}\n", "held.dig": "+a: {wait>: 1h}\n"})
	p, w := "/api/projects/"+r.projectID(), r.workflow("w")
	start := `{"projectName":"default","workflowName":"w","sessionTime":"2026-03-01T00:00:00-03:30","params":{"a":1}`
	ask := func(method, path, body string) json.RawMessage {
		answer := r.ask(method, path, "writer", body)
		require.Contains(t, []int{200, 409}, answer.Code, "%s %s: %s", method, path, answer.Body)
		return answer.Body.Bytes()
	}
	one := func(kind, method, path, body string) string {
		answer := ask(method, path, body)
		holds(t, kind, method+" "+path, answer)
		var got struct{ ID string }
		require.NoError(t, json.Unmarshal(answer, &got))
		return got.ID
	}
	all := func(kind, field, path string, least int) {
		var got map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(ask("GET", path, ""), &got))
		require.Len(t, got, 1, path)
		var list []json.RawMessage
		require.NoError(t, json.Unmarshal(got[field], &list), "%s: %s", path, got[field])
		require.GreaterOrEqual(t, len(list), least, path)
		for _, item := range list {
			holds(t, kind, path, item)
		}
	}

	id := one("attempt", "PUT", "/api/attempts", start+"}")
	r.ends(id, "error")
	one("attempt", "PUT", "/api/attempts", start+"}") // 409
	again := one("attempt", "PUT", "/api/attempts", start+`,"retryAttemptName":"x","resume":{"mode":"failed","attemptId":"`+id+`"}}`)
	r.ends(again, "error")
	held := one("attempt", "PUT", "/api/attempts", `{"projectName":"default","workflowName":"held","sessionTime":"2026-03-01T00:00:00Z","params":{}}`)
	r.await(held, "+held+a", "running")
	plain, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "native"})
	require.NoError(t, err)
	nativeID := strconv.FormatInt(plain.Number, 10)
	r.ends(nativeID, "success")

	for _, one := range []string{id, again, held, nativeID} {
		all("task", "tasks", "/api/attempts/"+one+"/tasks", 2)
		all("attempt", "attempts", "/api/attempts/"+one+"/retries", 1)
		holds(t, "attempt", one, ask("GET", "/api/attempts/"+one, ""))
	}
	all("attempt", "attempts", "/api/attempts?include_retried=true", 4)
	all("log", "files", "/api/logs/"+id+"/files", 2)
	all("session", "sessions", "/api/sessions", 2)
	all("session", "sessions", p+"/sessions", 2)
	s := r.get("/api/sessions")["sessions"].([]any)[0].(map[string]any)["id"].(string)
	one("session", "GET", "/api/sessions/"+s, "")
	all("attempt", "attempts", "/api/sessions/"+s+"/attempts", 1)

	all("project", "projects", "/api/projects", 2) // one of them without a push
	one("project", "GET", p, "")
	one("project", "PUT", "/api/projects?project=default&revision=r2", archive(t, map[string]string{"w.dig": "timezone: America/St_Johns\nschedule: {daily>: 07:00:00}\n+a: {echo>: 1}\n"}))
	all("revision", "revisions", p+"/revisions", 2)
	all("workflow", "workflows", p+"/workflows", 2)
	all("workflow", "workflows", "/api/workflows", 2)
	one("workflow", "GET", p+"/workflows/native", "")
	one("workflow", "GET", "/api/workflows/"+w, "")
	for _, mode := range []string{"hour", "day", "schedule", "next_schedule"} {
		one("cut", "GET", "/api/workflows/"+w+"/truncated_session_time?session_time=2026-03-01T01:02&mode="+mode, "")
	}

	all("schedule", "schedules", "/api/schedules", 1)
	all("schedule", "schedules", p+"/schedules", 1)
	at := "/api/schedules/" + r.get("/api/schedules")["schedules"].([]any)[0].(map[string]any)["id"].(string)
	one("schedule", "GET", at, "")
	one("summary", "POST", at+"/disable", "{}")
	one("schedule", "GET", at, "")
	one("summary", "POST", at+"/enable", "{}")
	for _, dry := range []string{"true", "false"} {
		answer := ask("POST", at+"/backfill", `{"fromTime":"2026-01-01T00:00:00-03:30","attemptName":"b","count":2,"dryRun":`+dry+`}`)
		holds(t, "backfill", "backfill", answer)
		var got struct{ Attempts []json.RawMessage }
		require.NoError(t, json.Unmarshal(answer, &got))
		require.Len(t, got.Attempts, 2)
		for _, a := range got.Attempts {
			holds(t, "attempt", "backfill", a)
		}
	}
	one("attempt", "POST", "/api/attempts/"+held+"/kill", "{}")
	r.ends(held, "killed")

	// What is refused has a message and its status, and nothing else.
	for path, status := range map[string]int{"/api/attempts/999999": 404, "/api/attempts?page_size=x": 400, "/api/pools": 501, "/api/projects/x/archive": 404} {
		w := r.ask("GET", path, "writer", "")
		require.Equal(t, []any{status, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")}, path)
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), w.Body)
		require.Len(t, got, 2, w.Body)
		require.NotEmpty(t, got["message"])
		require.EqualValues(t, status, got["status"], path)
	}
}
