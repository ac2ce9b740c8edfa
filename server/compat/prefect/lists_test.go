package prefect_test

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
)

// listed are the flow runs that a filter finds, by the names that they have in a test.
func (r *rig) listed(names map[string]string, body string) string {
	r.t.Helper()
	found := []string{}
	for _, w := range r.post("/flow_runs/filter", body).list() {
		found = append(found, names[w["id"].(string)])
	}
	return strings.Join(found, " ")
}

func TestSorts(t *testing.T) {
	r := newRig(t)
	flow := r.post("/flows/", `{"name":"own"}`).json()["id"].(string)
	names := map[string]string{}
	made := func(as, name, state string) string {
		id := r.post("/flow_runs/", `{"flow_id":"`+flow+`","name":"`+name+`"`+state+`}`).json()["id"].(string)
		names[id] = as
		r.offset += time.Minute
		return id
	}
	later := `,"state":{"type":"SCHEDULED","state_details":{"scheduled_time":"%s-01-01T00:00:00Z"}}`
	a := made("a", "bb", "")
	made("b", "aa", fmt.Sprintf(later, "2090"))
	made("c", "dd", fmt.Sprintf(later, "2089"))
	d := made("d", "cc", "")
	for _, step := range [][2]string{{d, "RUNNING"}, {a, "RUNNING"}, {d, "COMPLETED"}, {a, "COMPLETED"}} {
		require.Equal(t, 201, r.set(step[0], `{"type":"`+step[1]+`"}`).code)
		r.offset += time.Minute
	}
	for sort, want := range map[string]string{
		"ID_DESC": "d c b a", "START_TIME_ASC": "d a c b", "START_TIME_DESC": "b c a d", "EXPECTED_START_TIME_ASC": "a d c b", "EXPECTED_START_TIME_DESC": "b c d a",
		"NAME_ASC": "b a d c", "NAME_DESC": "c d a b", "NEXT_SCHEDULED_START_TIME_ASC": "c b d a", "END_TIME_DESC": "a d c b",
	} {
		require.Equal(t, want, r.listed(names, `{"sort":"`+sort+`"}`), sort)
		require.Equal(t, want[:1], r.listed(names, `{"sort":"`+sort+`","limit":1}`), sort)
		require.Equal(t, want[4:], r.listed(names, `{"sort":"`+sort+`","offset":2}`), sort)
		page := r.post("/flow_runs/paginate", `{"sort":"`+sort+`","limit":3,"page":2}`).json()
		require.Equal(t, []any{4.0, 3.0, 2.0, 2.0, 1}, []any{page["count"], page["limit"], page["pages"], page["page"], len(page["results"].([]any))})
		require.Equal(t, want[6:], names[page["results"].([]any)[0].(map[string]any)["id"].(string)], sort)
	}
}

func TestFiltersOfEachField(t *testing.T) {
	r := newRig(t)
	own := r.run(`,"name":"Mine","tags":["red","blue"],"idempotency_key":"k1","flow_version":"v9","parent_task_run_id":"` + noID + `"`)
	gate, done := r.start("expenses", `{"n":1}`), r.start("work", `{}`)
	_, err := r.engine.Cancel(t.Context(), done, engine.Request{})
	require.NoError(t, err)
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "work", StartAt: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(t, err)
	names := map[string]string{own: "own", gate: "gate", done: "done", x.ID: "later"}
	deployment := r.get("/flow_runs/" + gate).json()["deployment_id"].(string)
	const all = "later done gate own"
	for filter, want := range map[string]string{
		`{}`: all, `{"id":{}}`: all, `{"id":{"not_any_":[]}}`: all, `{"name":{}}`: all,
		`{"flow_version":{"any_":["v9"]}}`: "own", `{"flow_version":{"any_":["1"]}}`: "later done gate", `{"flow_version":{"any_":[]}}`: "",
		`{"work_queue_name":{"any_":["default"]}}`: "", `{"work_queue_name":{"is_null_":true}}`: all, `{"work_queue_name":{"is_null_":false}}`: "",
		`{"work_queue_name":{"operator":"or_","any_":["default"],"is_null_":true}}`:                all,
		`{"next_scheduled_start_time":{"before_":"2091-01-01T00:00:00Z"}}`:                         "later",
		`{"next_scheduled_start_time":{"before_":"2089-01-01T00:00:00Z"}}`:                         "",
		`{"next_scheduled_start_time":{"after_":"2090-01-01T00:00:00Z"}}`:                          "later",
		`{"next_scheduled_start_time":{"after_":"2090-01-01T00:00:01Z"}}`:                          "",
		`{"expected_start_time":{"after_":"2089-01-01T00:00:00Z"}}`:                                "later",
		`{"expected_start_time":{"before_":"2089-01-01T00:00:00Z"}}`:                               "done gate own",
		`{"end_time":{"after_":"2020-01-01T00:00:00Z"}}`:                                           "done",
		`{"end_time":{"before_":"2020-01-01T00:00:00Z"}}`:                                          "",
		`{"end_time":{"before_":"2100-01-01T00:00:00Z"}}`:                                          "done",
		`{"end_time":{"is_null_":true}}`:                                                           "later gate own",
		`{"start_time":{"is_null_":true}}`:                                                         "later",
		`{"start_time":{"is_null_":false}}`:                                                        "done gate own",
		`{"start_time":{"after_":"2089-01-01T00:00:00Z"}}`:                                         "later", // what has not started counts as when it is to
		`{"start_time":{"before_":"2089-01-01T00:00:00Z"}}`:                                        "done gate own",
		`{"start_time":{"before_":"2091-01-01T00:00:00Z"}}`:                                        all,
		`{"start_time":{"before_":"2091-01-01T00:00:00Z","is_null_":true}}`:                        "later",
		`{"name":{"any_":["Mine","` + r.get("/flow_runs/" + done).json()["name"].(string) + `"]}}`: "done own",
		`{"name":{"like_":"m_n"}}`:                                                                 "own",
		`{"id":{"any_":["` + own + `","` + gate + `"],"not_any_":["` + own + `"]}}`:                "gate",
		`{"idempotency_key":{"not_any_":["k1"]}}`:                                                  "", // what has none is neither
		`{"idempotency_key":{"not_any_":["other"]}}`:                                               "own",
		`{"idempotency_key":{"not_any_":[]}}`:                                                      all,
		`{"tags":{"any_":["red","green"]}}`:                                                        "own",
		`{"tags":{"any_":["green"]}}`:                                                              "",
		`{"tags":{"all_":[]}}`:                                                                     all,
		`{"tags":{"is_null_":false}}`:                                                              "own",
		`{"tags":{"is_null_":true}}`:                                                               "later done gate",
		`{"tags":{"operator":"or_","any_":["blue"],"is_null_":true}}`:                              all,
		`{"tags":{"operator":"or_","all_":["red","green"],"any_":["blue"]}}`:                       "own",
		`{"tags":{"operator":"and_","all_":["red","green"],"any_":["blue"]}}`:                      "",
		`{"deployment_id":{"any_":["` + deployment + `"]}}`:                                        "gate",
		`{"deployment_id":{"is_null_":false}}`:                                                     "later done gate",
		`{"deployment_id":{"operator":"or_","any_":["` + deployment + `"],"is_null_":true}}`:       "gate own",
		`{"parent_flow_run_id":{"is_null_":true}}`:                                                 all,
		`{"parent_flow_run_id":{"any_":["` + noID + `"]}}`:                                         "",
		`{"parent_task_run_id":{"any_":["` + noID + `"]}}`:                                         "own",
		`{"parent_task_run_id":{"is_null_":true}}`:                                                 "later done gate",
		`{"created_by":{"is_null_":true}}`:                                                         all,
		`{"created_by":{"is_null_":false}}`:                                                        "",
		`{"created_by":{"type_":["DEPLOYMENT"]}}`:                                                  "",
		`{"created_by":{"id_":["` + noID + `"]}}`:                                                  "",
		`{"created_by":{"operator":"or_","type_":["AUTOMATION"],"is_null_":true}}`:                 all,
		`{"state":{"type":{"any_":["SCHEDULED","CANCELLED"]}}}`:                                    "later done",
		`{"state":{"type":{"not_any_":["SCHEDULED","CANCELLED"]}}}`:                                "gate own",
		`{"state":{"name":{"not_any_":["Running"]}}}`:                                              "later done gate",
		`{"state":{"name":{"not_any_":[]}}}`:                                                       all,
		`{"state":{"operator":"or_","type":{"any_":["CANCELLED"]},"name":{"any_":["Running"]}}}`:   "done own",
		`{"state":{"operator":"or_","type":{},"name":{"any_":["Running"]}}}`:                       "own",
		`{"operator":"or_","state":{"type":{"any_":["PAUSED"]}},"name":{"any_":["Mine"]}}`:         "gate own",
		`{"operator":"or_","id":{},"name":{"any_":["Mine"]}}`:                                      all, // a part that narrows nothing holds
	} {
		require.Equal(t, want, r.listed(names, `{"flow_runs":`+filter+`}`), filter)
		n := len(strings.Fields(want))
		r.post("/flow_runs/count", `{"flow_runs":`+filter+`}`).is(200, fmt.Sprint(n))
	}
}

func TestPagesOfLogs(t *testing.T) {
	r := newRig(t)
	id := r.run("")
	var lines []string
	for i := range 5 {
		lines = append(lines, fmt.Sprintf(`{"name":"n","level":%d,"message":"%d","timestamp":"2026-01-0%dT00:00:00Z","flow_run_id":"%s"}`, 10+10*i, i, i+1, id))
	}
	r.post("/logs/", "["+strings.Join(lines, ",")+"]").is(201, `null`)
	for more, want := range map[string]string{
		``: "01234", `,"sort":"TIMESTAMP_ASC"`: "01234", `,"sort":"TIMESTAMP_DESC"`: "43210", `,"limit":2`: "01", `,"limit":2,"offset":2`: "23", `,"limit":2,"offset":4`: "4",
		`,"offset":5`: "", `,"limit":0`: "", `,"sort":"TIMESTAMP_DESC","limit":2,"offset":1`: "32", `,"limit":200`: "01234", `,"limit":null,"offset":null,"sort":null`: "01234",
	} {
		got := ""
		for _, l := range r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]}}`+more+`}`).list() {
			got += l["message"].(string)
		}
		require.Equal(t, want, got, more)
	}
	for more, want := range map[string]string{
		`"level":{"ge_":30}`: "234", `"level":{"le_":20}`: "01", `"level":{"ge_":20,"le_":30}`: "12", `"timestamp":{"after_":"2026-01-03T12:00:00Z"}`: "34",
		`"timestamp":{"before_":"2026-01-03T12:00:00Z"}`: "012", `"task_run_id":{"is_null_":true}`: "01234", `"task_run_id":{"any_":["` + noID + `"]}`: "",
	} {
		got := ""
		for _, l := range r.post("/logs/filter", `{"logs":{"flow_run_id":{"any_":["`+id+`"]},`+more+`}}`).list() {
			got += l["message"].(string)
		}
		require.Equal(t, want, got, more)
	}
	r.ask("PATCH", "/flow_runs/"+id, `{"name":"of a name"}`)
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8080/api/flow_runs/"+id+"/logs/download", nil))
	require.Equal(t, `attachment; filename="flow-run-logs.csv"; filename*=UTF-8''of%20a%20name-logs.csv`, w.Header().Get("Content-Disposition"))
}

// TestCredentials: PREFECT_API_AUTH_STRING is sent as Basic, PREFECT_API_KEY as Bearer; only what looks for life needs none.
func TestCredentials(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.Open = false })
	_, secret, err := r.engine.CreateKey(t.Context(), engine.Key{Name: "k", Scope: engine.ScopeRead})
	require.NoError(t, err)
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for path, body := range map[string]string{"/version": `"0.8.4"`, "/admin/version": `"3.9.1"`, "/hello": `"👋"`, "/flow_runs/count": `0`} {
		method := "GET"
		if path == "/flow_runs/count" {
			method = "POST"
		}
		for _, credential := range []string{"Bearer " + secret, basic("admin:" + secret), "bearer " + secret} {
			r.ask(method, path, "{}", "Authorization", credential).is(200, body)
		}
		for _, credential := range []string{"", "Bearer rdr_wrong", basic("admin:rdr_wrong"), basic("admin"), "Basic x", "Digest a=b"} {
			r.ask(method, path, "{}", "Authorization", credential).is(401, `{"exception_message":"Unauthorized"}`)
		}
		r.ask(method, path, "{}").is(401, `{"exception_message":"Unauthorized"}`)
	}
	r.get("/csrf-token?client=x").is(401, `{"exception_message":"Unauthorized"}`)
	r.get("/health").is(200, `true`)
	r.get("/ready").is(200, `{"message":"OK"}`)
}
