package digdag_test

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

func names(v any, key string) []string {
	var all []string
	for _, one := range v.([]any) {
		all = append(all, one.(map[string]any)[key].(string))
	}
	return all
}

func TestProjectsAndRevisions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	packed := archive(t, map[string]string{"w.dig": "timezone: Asia/Tokyo\n+a: {call>: in}\n", "in.dig": "+x: {echo>: 1}\n", "deep/z.dig": "+x: {echo>: 1}\n"})
	w := r.ask("PUT", "/api/projects?project=p&revision=r1", "writer", packed)
	require.Equal(t, 403, w.Code, "making a project is for administrators")
	w = r.ask("PUT", "/api/projects?project=p&revision=r1", "admin", packed)
	require.Equal(t, 200, w.Code, w.Body)
	p := r.get("/api/projects?name=p")["projects"].([]any)[0].(map[string]any)
	require.JSONEq(t, w.Body.String(), r.ask("GET", "/api/projects/"+p["id"].(string), "reader", "").Body.String())
	require.Equal(t, []any{"r1", "db", nil}, []any{p["revision"], p["archiveType"], p["deletedAt"]})
	require.Regexp(t, `^[A-Za-z0-9+/]{22}==$`, p["archiveMd5"])
	require.Empty(t, r.get("/api/projects?name=nowhere")["projects"])
	require.Equal(t, []string{"p", "default", "other"}, names(r.get("/api/projects")["projects"], "name"), "by id: numbered when they were first asked for")
	require.Equal(t, []string{"p"}, names(r.get("/api/projects?count=1")["projects"], "name"))
	require.Equal(t, []string{"default", "other"}, names(r.get("/api/projects?last_id=" + p["id"].(string))["projects"], "name"))
	require.Equal(t, []string{"default"}, names(r.get("/api/projects?name_pattern=efau")["projects"], "name"))
	require.Equal(t, `count is "0"; allowed: 1 to 1000`, r.object(400, "GET", "/api/projects?count=0", "")["message"])

	conflict := r.object(409, "PUT", "/api/projects?project=p&revision=r1", packed)
	require.Equal(t, map[string]any{"message": "the revision is there already: push another one", "status": 409.0}, conflict)
	r.object(200, "PUT", "/api/projects?project=p&revision=r2", archive(t, map[string]string{"w.dig": "+a: {echo>: 2}\n"}))
	at := "/api/projects/" + p["id"].(string)
	require.Equal(t, []string{"r2", "r1"}, names(r.get(at + "/revisions")["revisions"], "revision"))
	require.Equal(t, []string{"r1"}, names(r.get(at + "/revisions?name=r1")["revisions"], "revision"))
	got := r.ask("GET", at+"/archive?revision=r1", "reader", "")
	require.Equal(t, []any{200, "application/gzip", packed}, []any{got.Code, got.Header().Get("Content-Type"), got.Body.String()})
	require.Equal(t, 404, r.ask("GET", at+"/archive?revision=r9", "reader", "").Code)

	require.Equal(t, []string{"w"}, names(r.get(at + "/workflows")["workflows"], "name"))
	require.Equal(t, []string{"in", "w"}, names(r.get(at + "/workflows?revision=r1")["workflows"], "name"))
	require.Empty(t, r.get(at + "/workflows?name=nowhere")["workflows"])
	old := r.get(at + "/workflows/w?revision=r1")
	require.Equal(t, []any{"w", "r1", "Asia/Tokyo", map[string]any{"timezone": "Asia/Tokyo", "+a": map[string]any{"call>": "in"}}}, []any{old["name"], old["revision"], old["timezone"], old["config"]})
	require.NotEqual(t, old["id"], r.get(at + "/workflows/w")["id"])
	require.Equal(t, old["config"], r.get("/api/workflows/" + old["id"].(string))["config"], "an id means a version for ever")
	r.object(404, "GET", at+"/workflows/nowhere", "")
	r.object(404, "GET", "/api/workflows/"+p["id"].(string), "")
	require.Equal(t, []string{"w"}, names(r.get("/api/workflows?count=1&name_pattern=w")["workflows"], "name"))
	require.Empty(t, r.get("/api/workflows?last_id=100000")["workflows"])

	for query, want := range map[string]string{
		"session_time=2016-01-01T05:06:07Z&mode=day":                                    "2016-01-01T00:00:00+09:00",
		"session_time=2016-01-01T05:06:07Z&mode=hour":                                   "2016-01-01T14:00:00+09:00",
		"session_time=2016-01-01T05:06:07Z":                                             "2016-01-01T14:06:07+09:00",
		"session_time=" + url.QueryEscape("2016-01-01T05:06:00+09:00") + "&mode=minute": "2016-01-01T05:06:00+09:00",
		"session_time=2016-01-01T00:00":                                                 "2016-01-01T00:00:00+09:00",
	} {
		cut := r.get("/api/workflows/" + old["id"].(string) + "/truncated_session_time?" + query)
		require.Equal(t, []any{want, "Asia/Tokyo", "r1"}, []any{cut["sessionTime"], cut["timezone"], cut["revision"]}, query)
	}
	for query, want := range map[string]string{"session_time=x": `session_time is "x"; allowed`, "session_time=2016-01-01T00:00&mode=year": `mode is "year"; allowed`, "session_time=2016-01-01T00:00&mode=schedule": "the workflow has no schedule"} {
		require.Contains(t, r.object(400, "GET", "/api/workflows/"+old["id"].(string)+"/truncated_session_time?"+query, "")["message"], want)
	}
}

// heads is an engine whose archives are not to be read; it counts the heads that are.
type heads struct {
	*engine.Engine
	t    *testing.T
	read int
}

func (h *heads) Bundle(context.Context, string, string) (*engine.Bundle, error) {
	require.Fail(h.t, "an archive was read")
	return nil, nil
}

func (h *heads) Bundles(ctx context.Context, project string, page engine.Page) ([]engine.Bundle, string, error) {
	h.read++
	return h.Engine.Bundles(ctx, project, page)
}

// TestListOfProjectsReadsWhatItShows: no archive, and nothing of projects that are not on its page.
func TestListOfProjectsReadsWhatItShows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "+a: {echo>: 1}\n"})
	all := names(r.get("/api/projects")["projects"], "name")
	require.Greater(t, len(all), 1)
	e := &heads{Engine: r.engine, t: t}
	w := httptest.NewRecorder()
	routes(e).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/api/projects?count=1&last_id=0", nil))
	require.Equal(t, 200, w.Code, w.Body)
	require.Equal(t, 1, e.read)
}

func TestRefusedPushes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for body, want := range map[string]string{
		"no gzip": "the archive is no gzip",
		archive(t, map[string]string{"../w.dig": "+a: {echo>: 1}"}):                                       `the archive has a file "../w.dig" outside of it`,
		archive(t, map[string]string{"w.dig": "+a: {py>: x}\n+b: {td>: q}\n"}):                            "w.dig:1: task +w+a: operator py>: is not available (allowed: call>",
		archive(t, map[string]string{"w.dig": "+a: {echo>: '${item.x.if}'}", "v.dig": "+a:\n  rb>: x\n"}): "v.dig:1: task +v+a: operator rb>: is not available",
		archive(t, map[string]string{"Big Name.dig": "+a: {echo>: 1}"}):                                   "Big Name.dig: the definition cannot be published: name:",
	} {
		message := r.object(400, "PUT", "/api/projects?project=default&revision=r1", body)["message"]
		require.Contains(t, message, want)
	}
	good := archive(t, map[string]string{"w.dig": "timezone: UTC\nschedule: {daily>: 00:00:00}\n+a: {echo>: 1}"})
	message := r.object(400, "PUT", "/api/projects?project=default&revision=r1&schedule_from=tomorrow", good)["message"]
	require.Contains(t, message, `schedule_from is "tomorrow"`)
	require.Equal(t, "none", r.get("/api/projects?name=default")["projects"].([]any)[0].(map[string]any)["revision"], "nothing was stored")
	require.Empty(t, r.get("/api/schedules")["schedules"])
	r.object(200, "PUT", "/api/projects?project=default&revision=r1&schedule_from=2090-01-01T00:00:00Z", good)
	require.Contains(t, r.get("/api/schedules")["schedules"].([]any)[0].(map[string]any)["nextScheduleTime"], "2090-01-0")
	r.object(400, "PUT", "/api/projects?project=default", "")
	require.Equal(t, 403, r.ask("PUT", "/api/projects?project=default&revision=r1", "reader", "").Code)
	require.Equal(t, 403, r.ask("PUT", "/api/projects?project=default&revision=r1", "stranger", "").Code)
}

func TestNativeWorkflowsAreSeenToo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte("name: n\ntasks: [{name: a, type: noop}, {name: b, type: fail, needs: [a]}]"), false)
	require.NoError(t, err)
	r.push("r1", map[string]string{"w.dig": "+a: {echo>: 1}\n"})
	p := r.get("/api/projects?name=default")["projects"].([]any)[0].(map[string]any)
	require.Equal(t, []string{"n", "w"}, names(r.get("/api/projects/" + p["id"].(string) + "/workflows")["workflows"], "name"))
	id := r.start("n", "{}")
	r.ends(id, "error")
	require.Equal(t, map[string]string{"+n": "group_error", "+n+a": "success", "+n+b": "error"}, r.states(id))
}

func TestSessionsAndLists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "+a: {echo>: 1}\n", "v.dig": "+a: {echo>: 1}\n"})
	first := r.start("w", "{}")
	r.ends(first, "success")
	second := r.object(200, "PUT", "/api/attempts", `{"projectName":"default","workflowName":"w","sessionTime":"`+r.session+`","retryAttemptName":"x","params":{}}`)["id"].(string)
	r.ends(second, "success")
	r.session = "2026-03-02T00:00:00+00:00"
	third := r.start("v", "{}")
	r.ends(third, "success")

	require.Equal(t, []string{third, second}, names(r.get("/api/attempts")["attempts"], "id"))
	require.Equal(t, []string{third, second, first}, names(r.get("/api/attempts?include_retried=true")["attempts"], "id"))
	require.Equal(t, []string{second, first}, names(r.get("/api/attempts?include_retried=true&project=default&workflow=w")["attempts"], "id"))
	require.Equal(t, []string{second}, names(r.get("/api/attempts?include_retried=true&page_size=1&last_id=" + third)["attempts"], "id"))
	require.Equal(t, []string{first, second}, names(r.get("/api/attempts/" + first + "/retries")["attempts"], "id"))
	for query, want := range map[string]string{"page_size=101": `page_size is "101"; allowed: 1 to 100`, "last_id=x": `last_id is "x"`, "include_retried=maybe": "allowed: true, false"} {
		require.Contains(t, r.object(400, "GET", "/api/attempts?"+query, "")["message"], want)
	}
	r.object(404, "GET", "/api/attempts?project=nowhere", "")

	all := r.get("/api/sessions")["sessions"].([]any)
	require.Len(t, all, 2)
	s := all[1].(map[string]any)
	require.Equal(t, []any{"w", "2026-03-01T00:00:00+00:00", second}, []any{s["workflow"].(map[string]any)["name"], s["sessionTime"], s["lastAttempt"].(map[string]any)["id"]})
	require.Equal(t, s, r.get("/api/sessions/"+s["id"].(string)))
	require.Equal(t, []string{second, first}, names(r.get("/api/sessions/" + s["id"].(string) + "/attempts")["attempts"], "id"))
	require.Equal(t, []string{first}, names(r.get("/api/sessions/" + s["id"].(string) + "/attempts?last_id=" + second)["attempts"], "id"))
	p := s["project"].(map[string]any)["id"].(string)
	require.Len(t, r.get("/api/projects/" + p + "/sessions?workflow=w")["sessions"], 1)
	require.Len(t, r.get("/api/sessions?page_size=1")["sessions"], 1)
	require.Equal(t, []any{s}, r.get("/api/sessions?last_id=" + all[0].(map[string]any)["id"].(string))["sessions"])
	r.object(404, "GET", "/api/sessions/999999", "")

	for _, path := range []string{"/api/attempts", "/api/sessions", "/api/schedules", "/api/workflows"} {
		w := r.ask("GET", path, "stranger", "")
		require.Equal(t, 200, w.Code)
		require.Contains(t, w.Body.String(), ":[]}", "nothing of other projects: %s", path)
	}
	for _, path := range []string{"/api/attempts/" + first, "/api/sessions/" + s["id"].(string), "/api/projects/" + p, "/api/logs/" + first + "/files", "/api/attempts/" + first + "/tasks"} {
		require.Equal(t, 404, r.ask("GET", path, "stranger", "").Code, path)
	}
	require.Equal(t, 404, r.ask("GET", "/api/logs/"+first+"/files/..%2f..%2fsecret", "reader", "").Code)
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	daily := "timezone: Asia/Tokyo\nschedule: {daily>: 07:30:00}\n+a: {echo>: '${session_date}'}\n"
	r.push("r1", map[string]string{"w.dig": daily, "v.dig": "schedule: {minutes_interval>: 30, skip_on_overtime: true}\n+a: {echo>: 1}\n", "u.dig": "+a: {echo>: 1}\n"})
	all := r.get("/api/schedules")["schedules"].([]any)
	require.Len(t, all, 2)
	native, _, err := r.engine.Schedules(t.Context(), "default", engine.Page{Limit: 10})
	require.NoError(t, err)
	for _, s := range native {
		require.Equal(t, map[string]engine.Overlap{"v": engine.OverlapSkip, "w": engine.OverlapAllow}[s.Name], s.Overlap, s.Name)
	}
	s := all[1].(map[string]any)
	require.Equal(t, "w", s["workflow"].(map[string]any)["name"])
	session, err := time.Parse(time.RFC3339, s["nextScheduleTime"].(string))
	require.NoError(t, err)
	require.Contains(t, s["nextScheduleTime"], "T00:00:00+09:00")
	run, err := time.Parse(time.RFC3339, s["nextRunTime"].(string))
	require.NoError(t, err)
	require.Equal(t, 7*time.Hour+30*time.Minute, run.Sub(session), "it runs later than its session time")
	require.Nil(t, s["disabledAt"])
	at := "/api/schedules/" + s["id"].(string)
	require.Equal(t, s, r.get(at))
	p := s["project"].(map[string]any)["id"].(string)
	require.Equal(t, []any{s}, r.get("/api/projects/" + p + "/schedules?workflow=w")["schedules"])
	cut := r.get("/api/workflows/" + r.workflow("w") + "/truncated_session_time?session_time=2016-01-01T10:00&mode=schedule")
	require.Equal(t, "2016-01-01T00:00:00+09:00", cut["sessionTime"])
	cut = r.get("/api/workflows/" + r.workflow("w") + "/truncated_session_time?session_time=2016-01-01T10:00&mode=next_schedule")
	require.Equal(t, "2016-01-02T00:00:00+09:00", cut["sessionTime"])

	disabled := r.object(200, "POST", at+"/disable", "")
	require.NotNil(t, disabled["disabledAt"])
	require.NotNil(t, disabled["nextRunTime"])
	require.Nil(t, r.object(200, "POST", at+"/enable", "{}")["disabledAt"])
	require.Contains(t, r.object(400, "POST", at+"/enable", `{"skipSchedule":false}`)["message"], "is not caught up")
	r.object(501, "POST", at+"/skip", "{}")
	r.object(404, "GET", "/api/schedules/999999", "")

	for body, want := range map[string]string{
		`{"fromTime":"x","attemptName":"b","dryRun":true}`:                                                `fromTime is "x"`,
		`{"fromTime":"2026-01-01T00:00:00+09:00","dryRun":true}`:                                          "attemptName is missing",
		`{"fromTime":"2026-01-01T00:00:00+09:00","attemptName":"b","count":0}`:                            "count is 0; allowed: 1 to 1000",
		`{"fromTime":"2126-01-01T00:00:00+09:00","attemptName":"b","count":1}`:                            "there are 0 sessions",
		`{"fromTime":"2026-01-01T00:00:00+09:00","attemptName":"b","dryRun":true,"advanceSchedule":true}`: "are not available",
	} {
		require.Contains(t, r.object(400, "POST", at+"/backfill", body)["message"], want)
	}
	body := `{"fromTime":"2026-01-01T00:00:00+09:00","attemptName":"b","count":2,"dryRun":`
	dry := r.object(200, "POST", at+"/backfill", body+"true}")
	require.Equal(t, []string{"2026-01-01T00:00:00+09:00", "2026-01-02T00:00:00+09:00"}, names(dry["attempts"], "sessionTime"))
	require.Empty(t, r.get("/api/attempts")["attempts"], "nothing was made")
	r.object(200, "POST", at+"/backfill", body+"false}")
	r.eventually(func() bool {
		made := r.get("/api/attempts?workflow=w")["attempts"].([]any)
		return len(made) == 2 && made[0].(map[string]any)["done"] == true
	})
	made := r.get("/api/attempts?workflow=w")["attempts"].([]any)
	require.Equal(t, []string{"2026-01-02T00:00:00+09:00", "2026-01-01T00:00:00+09:00"}, names(made, "sessionTime"))
	require.Equal(t, []string{"b", "b"}, names(made, "retryAttemptName"))
	require.Contains(t, r.log(made[1].(map[string]any)["id"].(string), "+w+a"), "2026-01-01\n")

	r.push("r2", map[string]string{"w.dig": daily})
	require.Len(t, r.get("/api/schedules")["schedules"], 1, "what is no longer in the files is gone")
}

func TestVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.ask("GET", "/api/version/check?client=0.10.5.1", "", "")
	require.Equal(t, 200, w.Code)
	require.JSONEq(t, `{"serverVersion":"0.10.5.1","upgradeRecommended":false,"apiCompatible":true}`, w.Body.String())
	require.JSONEq(t, `{"version":"0.10.5.1"}`, r.ask("GET", "/api/version", "", "").Body.String())
	for _, client := range []string{"", "x", "1..2"} {
		require.Equal(t, 400, r.ask("GET", "/api/version/check?client="+client, "", "").Code, client)
	}
	require.Equal(t, 200, r.ask("GET", "/api/version/check?client=0.10.0-SNAPSHOT", "", "").Code)
	for _, path := range []string{"/api/pools", "/api/pool_rules", "/api/projects/1/secrets"} {
		w := r.ask("GET", path, "reader", "")
		require.Equal(t, 501, w.Code, path)
		require.True(t, strings.HasPrefix(w.Body.String(), `{"message":"`), w.Body)
		require.Contains(t, w.Body.String(), `"status":501}`)
	}
}
