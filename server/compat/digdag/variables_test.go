package digdag_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// said are the lines that the tasks of an attempt wrote, by full name.
func (r *rig) said(id string) map[string]string {
	r.t.Helper()
	made := map[string]string{}
	for name := range r.starts(id) {
		for line := range strings.Lines(r.log(id, name)) {
			_, text, _ := strings.Cut(line, "("+name+") ")
			made[name] += strings.TrimSuffix(text, "\n")
		}
	}
	return made
}

// TestVariables: all that Digdag's documentation lists, with its example of a daily workflow, and its examples of Moment.js.
func TestVariables(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var source strings.Builder
	source.WriteString("timezone: America/Los_Angeles\nschedule:\n  daily>: 07:00:00\n")
	want := map[string]string{
		"timezone": "America/Los_Angeles", "task_name": "+w+task_name", "project_id": r.projectID(),
		"session_time": "2016-01-30T00:00:00-08:00", "session_date": "2016-01-30", "session_date_compact": "20160130",
		"session_local_time": "2016-01-30 00:00:00", "session_tz_offset": "-0800", "session_unixtime": "1454140800",
		"last_session_time": "2016-01-29T00:00:00-08:00", "last_session_date": "2016-01-29", "last_session_date_compact": "20160129",
		"last_session_local_time": "2016-01-29 00:00:00", "last_session_tz_offset": "-0800", "last_session_unixtime": "1454054400",
		"next_session_time": "2016-01-31T00:00:00-08:00", "next_session_date": "2016-01-31", "next_session_date_compact": "20160131",
		"next_session_local_time": "2016-01-31 00:00:00", "next_session_tz_offset": "-0800", "next_session_unixtime": "1454227200",
	}
	for _, name := range []string{"session_uuid", "session_id", "attempt_id", "retry_attempt_name"} {
		want[name] = ""
	}
	for name := range want {
		source.WriteString("+" + name + ":\n  echo>: ${" + name + "}\n")
	}
	for name, c := range map[string][2]string{
		"format_session_time": {`moment(session_time).format("YYYY-MM-DD HH:mm:ss Z")`, "2016-01-30 00:00:00 -08:00"},
		"format_in_utc":       {`moment(session_time).utc().format("YYYY-MM-DD HH:mm:ss")`, "2016-01-30 08:00:00"},
		"format_tomorrow":     {`moment(session_time).add(1, 'days').format("dddd, MMMM Do YYYY, h:mm:ss a")`, "Sunday, January 31st 2016, 12:00:00 am"},
		"month":               {`moment(last_session_date, "YYYY-MM-DD").startOf("month").format("YYYYMMDD")`, "20160101"},
		"day":                 {`new Date(session_time).getDay()`, "6"},
		"execution":           {`moment().diff(moment(session_time), 'years') > 5`, "true"},
	} {
		source.WriteString("+" + name + ":\n  echo>: ${" + c[0] + "}\n")
		want[name] = c[1]
	}
	source.WriteString("+shell:\n  sh>: echo $session_uuid $none $last_session_date\n")
	r.push("r1", map[string]string{"w.dig": source.String()})
	r.session = "2016-01-30T00:00:00-08:00"

	body := `{"workflowId":"` + r.workflow("w") + `","sessionTime":"` + r.session + `","retryAttemptName":"again","params":{"a":1.50,"none":null}}`
	a := r.object(200, "PUT", "/api/attempts", body)
	id := a["id"].(string)
	require.Equal(t, map[string]any{"a": 1.5, "none": nil, "last_session_time": want["last_session_time"], "next_session_time": want["next_session_time"]}, a["params"])
	want["session_uuid"], want["session_id"], want["attempt_id"], want["retry_attempt_name"] = a["sessionUuid"].(string), a["sessionId"].(string), id, "again"
	want["shell"] = a["sessionUuid"].(string) + " " + want["last_session_date"]
	r.ends(id, "success")
	said := r.said(id)
	for name, text := range want {
		require.Equal(t, text, said["+w+"+name], name)
	}

	// An attempt without a name, by its schedule: nothing has a name then.
	s := r.get("/api/schedules")["schedules"].([]any)[0].(map[string]any)
	from := time.Now().AddDate(0, 0, -3).UTC().Format(time.RFC3339)
	r.object(200, "POST", "/api/schedules/"+s["id"].(string)+"/backfill", `{"fromTime":"`+from+`","attemptName":"b","count":1,"dryRun":false}`)
	var filled string
	r.eventually(func() bool {
		for _, one := range r.get("/api/attempts")["attempts"].([]any) {
			if one := one.(map[string]any); one["retryAttemptName"] == "b" {
				filled = one["id"].(string)
			}
		}
		return filled != ""
	})
	r.ends(filled, "success")
	require.Equal(t, "b", r.said(filled)["+w+retry_attempt_name"])
	unnamed := r.object(200, "PUT", "/api/attempts", strings.Replace(body, `"again"`, "null", 1))
	r.ends(unnamed["id"].(string), "success")
	require.Empty(t, r.said(unnamed["id"].(string))["+w+retry_attempt_name"])
	require.Equal(t, a["sessionUuid"], r.said(unnamed["id"].(string))["+w+session_uuid"])
}

// TestRanges: for_range> with the examples of Digdag's documentation.
func TestRanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.push("r1", map[string]string{"w.dig": `
+steps:
  for_range>: {from: 0, to: 10, step: 3}
  _do:
    echo>: from ${range.from} to ${range.to}, ${range.index}
+slices:
  for_range>: {from: 0, to: "${last}", slices: 3}
  _parallel: true
  _do:
    +in:
      loop>: 1
      _do:
        echo>: from ${range.from} to ${range.to}, ${i + range.index}
+none:
  for_range>: {from: 5, to: 5, slices: 2}
  _do: {echo>: never}
`})
	id := r.start("w", `{"last":10}`)
	r.ends(id, "success")
	require.Equal(t, map[string]string{
		"+w+steps^sub+range-from=0&to=3": "from 0 to 3, 0", "+w+steps^sub+range-from=3&to=6": "from 3 to 6, 1",
		"+w+steps^sub+range-from=6&to=9": "from 6 to 9, 2", "+w+steps^sub+range-from=9&to=10": "from 9 to 10, 3",
		"+w+slices^sub+range-from=0&to=4+in^sub+loop-0": "from 0 to 4, 0", "+w+slices^sub+range-from=4&to=8+in^sub+loop-0": "from 4 to 8, 1",
		"+w+slices^sub+range-from=8&to=10+in^sub+loop-0": "from 8 to 10, 2",
	}, r.said(id))
}
