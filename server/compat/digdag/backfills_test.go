package digdag_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBackfills: which sessions one has, and that a name that is used makes nothing.
func TestBackfills(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "schedule: {monthly>: '1,00:00:00'}\n+a: {sh>: 'test -e " + r.dir + "/go && echo ${session_date}', _retry: {limit: 999, interval: 0}}\n"})
	s := r.get("/api/schedules")["schedules"].([]any)[0].(map[string]any)
	at := "/api/schedules/" + s["id"].(string)
	next, err := time.Parse(time.RFC3339, s["nextScheduleTime"].(string))
	require.NoError(t, err)
	var months []string
	for n := -3; n < 0; n++ {
		months = append(months, next.AddDate(0, n, 0).Format("2006-01-02T15:04:05-07:00"))
	}
	from := strings.Replace(months[0], "+00:00", "Z", 1)
	ask := func(status int, more string) map[string]any {
		return r.object(status, "POST", at+"/backfill", `{"fromTime":"`+from+`"`+more+`}`)
	}
	none := func(why string) {
		t.Helper()
		require.Empty(t, r.get("/api/attempts?include_retried=true")["attempts"], why)
	}

	all := ask(200, `,"attemptName":"b","dryRun":true`)
	require.Equal(t, months, names(all["attempts"], "sessionTime"), "without count: all to the next session of the schedule")
	require.Equal(t, []any{s["id"], s["project"], s["workflow"]}, []any{all["id"], all["project"], all["workflow"]})
	one := all["attempts"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"0", "0", "b", false, false, map[string]any{}}, []any{one["id"], one["sessionId"], one["retryAttemptName"], one["done"], one["cancelRequested"], one["params"]})
	require.Equal(t, months, names(ask(200, `,"attemptName":"b","dryRun":true,"count":3`)["attempts"], "sessionTime"))
	require.Equal(t, months[:2], names(ask(200, `,"attemptName":"b","dryRun":true,"count":2`)["attempts"], "sessionTime"))
	require.Equal(t, map[string]any{"message": "count: there are 3 sessions from " + from + " to the next one of the schedule; allowed: as many or fewer", "status": 400.0},
		ask(400, `,"attemptName":"b","dryRun":false,"count":4`))
	long := strings.Repeat("名", 255)
	require.Equal(t, "attemptName is too long; allowed: 1 to 255 characters", ask(400, `,"attemptName":"`+long+`n","dryRun":false`)["message"])
	require.Equal(t, months, names(ask(200, `,"attemptName":"`+long+`","dryRun":true`)["attempts"], "sessionTime"))
	none("none of these made any")

	require.Equal(t, months, names(ask(200, `,"attemptName":"b","dryRun":false`)["attempts"], "sessionTime"))
	there := func(month string) map[string]any {
		return map[string]any{"message": "Attempt of project name=default workflow=w instant=" + strings.Replace(month, "+00:00", "Z", 1) + " attempt name=b already exists", "status": 409.0}
	}
	for _, more := range []string{`,"dryRun":false`, `,"dryRun":true`, `,"dryRun":false,"count":1`} {
		require.Equal(t, there(months[0]), ask(409, `,"attemptName":"b"`+more), "also of a session that has not begun yet: %s", more)
	}
	made := func() []any { return r.get("/api/attempts?include_retried=true")["attempts"].([]any) }
	r.eventually(func() bool { return len(made()) > 0 })
	require.Equal(t, months[:1], names(made(), "sessionTime"), "the second one waits for the first")
	r.touch("go")
	r.eventually(func() bool { all := made(); return len(all) == 3 && all[0].(map[string]any)["done"] == true })
	require.Equal(t, []string{months[2], months[1], months[0]}, names(made(), "sessionTime"))

	// After its end the attempts have the name. Of what is refused nothing is made, also where only the last session is in the way.
	require.Equal(t, there(months[0]), ask(409, `,"attemptName":"b","dryRun":false`))
	last := made()[0].(map[string]any)
	body := `{"workflowId":"` + r.workflow("w") + `","sessionTime":"` + months[2] + `","params":{},"retryAttemptName":"c"}`
	r.ends(r.object(200, "PUT", "/api/attempts", body)["id"].(string), "success")
	refused := ask(409, `,"attemptName":"c","dryRun":false`)
	require.Contains(t, refused["message"], "instant="+strings.Replace(months[2], "+00:00", "Z", 1)+" attempt name=c already exists")
	require.Len(t, made(), 4)
	again := ask(200, `,"attemptName":"c","dryRun":false,"count":2`)
	require.Len(t, again["attempts"], 2)
	r.eventually(func() bool { all := made(); return len(all) == 6 && all[0].(map[string]any)["done"] == true })
	of := r.get("/api/sessions/" + last["sessionId"].(string) + "/attempts")["attempts"].([]any)
	require.Equal(t, []string{"c", "b"}, names(of, "retryAttemptName"))
}

// TestEnableAndDisable: what a request for it may say.
func TestEnableAndDisable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": "schedule: {daily>: 07:00:00}\n+a: {echo>: 1}\n"})
	s := r.get("/api/schedules")["schedules"].([]any)[0].(map[string]any)
	at := "/api/schedules/" + s["id"].(string)
	for _, body := range []string{"", "{}", `{"skipSchedule":true}`, `{"skipSchedule":null,"nextTime":null}`, `{"color":1}`} {
		off := r.object(200, "POST", at+"/disable", body)
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, off["disabledAt"], body)
		require.Equal(t, off["disabledAt"], r.get(at)["disabledAt"], body)
		require.Equal(t, off["disabledAt"], r.object(200, "POST", at+"/disable", body)["disabledAt"], "again: it was disabled then")
		on := r.object(200, "POST", at+"/enable", body)
		require.Nil(t, on["disabledAt"], body)
		require.Equal(t, s["nextScheduleTime"], on["nextScheduleTime"], body)
	}
	r.object(200, "POST", at+"/disable", "{}")
	for _, body := range []string{`{"skipSchedule":false}`, `{"nextTime":"2030-01-01T00:00:00Z"}`, `{"skipSchedule":true,"nextTime":"2030-01-01T00:00:00Z"}`} {
		require.Equal(t, map[string]any{"message": "what a schedule missed while it was disabled is not caught up here; allowed: no nextTime, and skipSchedule true or left out", "status": 400.0},
			r.object(400, "POST", at+"/enable", body), body)
		require.NotNil(t, r.get(at)["disabledAt"], "it stays disabled: %s", body)
	}
	for _, path := range []string{"/enable", "/disable", "/backfill"} {
		require.Equal(t, 403, r.ask("POST", at+path, "reader", "{}").Code, path)
		require.Equal(t, 404, r.ask("POST", at+path, "stranger", "{}").Code, path)
		require.Equal(t, 404, r.ask("POST", "/api/schedules/x"+path, "writer", "{}").Code, path)
	}
	r.object(400, "POST", at+"/enable", `{"skipSchedule":"yes"}`)
}
