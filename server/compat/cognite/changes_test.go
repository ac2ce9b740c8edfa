package cognite_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

func version(workflow, version, tasks string) string {
	return `{"items":[{"workflowExternalId":"` + workflow + `","version":"` + version + `","workflowDefinition":{"tasks":` + tasks + `}}]}`
}

// TestChangesAtOnce: of upserts and deletions that meet, each is done on top of the others.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+"]")
	const writers = 6
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			r.ask("POST", "/workflows/versions", "writer", version("w", fmt.Sprint("v", n), "["+fn(fmt.Sprint("t", n), "echo", "")+"]"))
		})
	}
	all.Go(func() { r.ask("POST", "/workflows", "writer", `{"items":[{"externalId":"w","description":"kept"}]}`) })
	all.Go(func() {
		r.ask("POST", "/workflows/versions/delete", "writer", `{"items":[{"workflowExternalId":"w","version":"1"}]}`)
	})
	all.Wait()
	require.Equal(t, "kept", r.must(200, "GET", "/workflows/w", "").json()["description"])
	left := map[string]string{}
	for _, v := range r.must(200, "POST", "/workflows/versions/list", `{"filter":{"workflowFilters":[{"externalId":"w"}]}}`).json()["items"].([]any) {
		v := v.(map[string]any)
		left[v["version"].(string)] = v["workflowDefinition"].(map[string]any)["tasks"].([]any)[0].(map[string]any)["externalId"].(string)
	}
	want := map[string]string{}
	for n := range writers {
		want[fmt.Sprint("v", n)] = fmt.Sprint("t", n)
	}
	require.Equal(t, want, left)
}

// TestWhatIsSaidOfAWorkflow leaves its versions alone: their times and hashes, and what runs of them.
func TestWhatIsSaidOfAWorkflow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+"]")
	former := r.must(200, "GET", "/workflows/w/versions/1", "").json()
	created := r.must(200, "GET", "/workflows/w", "").json()["createdTime"]
	r.later(time.Minute)
	for _, description := range []string{"one", "two", "one"} {
		w := r.must(200, "POST", "/workflows", `{"items":[{"externalId":"w","description":"`+description+`","maxConcurrentExecutions":3}]}`).item()
		require.Equal(t, []any{description, created}, []any{w["description"], w["createdTime"]})
		require.Greater(t, w["lastUpdatedTime"], created)
		require.Equal(t, former, r.must(200, "GET", "/workflows/w/versions/1", "").json())
	}
	same := r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("a", "echo", "")+"]")).item()
	require.Equal(t, former, same, "the same again is no change")
	r.ends(r.run("w", `{}`), "COMPLETED")
	other := r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("b", "echo", "")+"]")).item()
	require.Equal(t, former["createdTime"], other["createdTime"])
	require.Greater(t, other["lastUpdatedTime"], former["lastUpdatedTime"])
	require.NotEqual(t, former["workflowDefinition"].(map[string]any)["hash"], other["workflowDefinition"].(map[string]any)["hash"])
	d := r.must(200, "GET", "/workflows/w", "").json()
	require.Equal(t, []any{"one", 3.0}, []any{d["description"], d["maxConcurrentExecutions"]})
}

// TestANativeWorkflow is one here, whose version is its number, and is not broken by what is said of it.
func TestANativeWorkflow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.engine.Publish(t.Context(), "default", []byte(`{"name":"native","description":"Of old","input_schema":true,"tasks":[{"name":"a","type":"echo","with":{"n":"${workflow.input.n}"}}]}`), false)
	require.NoError(t, err)
	require.Equal(t, "Of old", r.must(200, "GET", "/workflows/native", "").json()["description"])
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"native","description":"Anew"}]}`)
	require.Equal(t, "Anew", r.must(200, "GET", "/workflows/native", "").json()["description"])
	x, _, err := r.engine.Start(t.Context(), "default", engine.StartRequest{Workflow: "native", Input: json.RawMessage(`{"n":1}`)})
	require.NoError(t, err)
	shown := r.ends(x.ID, "COMPLETED")
	require.Equal(t, []any{"native", "1"}, []any{shown["workflowExternalId"], shown["version"]})
	id := r.run("native", `{"n":1}`)
	r.ends(id, "COMPLETED")
	require.Equal(t, map[string]string{"a": "COMPLETED"}, r.statuses(id))
}

// TestDeleting: a workflow that runs is not deleted; a version that is gone can be stored again.
func TestDeleting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "hold", "")+"]")
	id := r.run("w", `{}`)
	r.await(id, "a", "IN_PROGRESS")
	require.Contains(t, r.refused(409, "POST", "/workflows/delete", `{"items":[{"externalId":"w"}]}`), "running executions")
	r.must(200, "POST", "/workflows/versions/delete", `{"items":[{"workflowExternalId":"w","version":"1"}]}`)
	require.Empty(t, r.must(200, "POST", "/workflows/versions/list", `{"filter":{"workflowFilters":[{"externalId":"w"}]}}`).json()["items"])
	r.release <- struct{}{}
	require.Equal(t, "1", r.ends(id, "COMPLETED")["version"])
	r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("b", "echo", "")+"]"))
	r.ends(r.run("w", `{}`), "COMPLETED")
	r.must(200, "POST", "/workflows/delete", `{"items":[{"externalId":"w"}]}`)
	r.refused(404, "GET", "/workflows/w/versions/1", "")
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"w"}]}`)
	r.refused(404, "GET", "/workflows/w/versions/1", "")
	r.listed(2, `{"workflowFilters":[{"externalId":"w"}]}`)
}

// TestTriggers: a trigger starts what its version is now, with its metadata and the version as input; without its version it is paused.
func TestTriggers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("old", "echo", "")+"]")
	trigger := func(id, workflow string) string {
		return `{"items":[{"externalId":"` + id + `","triggerRule":{"triggerType":"schedule","cronExpression":"* * * * *"},"input":{"a":1},"metadata":{"k":"v"},"workflowExternalId":"` + workflow + `","workflowVersion":"1",` + r.nonce() + `}]}`
	}
	r.must(200, "POST", "/workflows/triggers", trigger("each minute", "w"))
	stored, _, err := r.engine.Schedules(t.Context(), "default", engine.Page{})
	require.NoError(t, err)
	s := &stored[0]
	_, _, err = r.engine.PutSchedule(t.Context(), "default", s.Name, engine.ScheduleRequest{Workflow: s.Workflow, Version: s.Version, Cron: s.Cron, Overlap: string(engine.OverlapSkip), Input: s.Input, Labels: s.Labels})
	require.NoError(t, err)
	r.must(200, "POST", "/workflows/versions", version("w", "1", "["+fn("new", "echo", "")+"]"))
	s, err = r.engine.Schedule(t.Context(), "default", s.Name)
	require.NoError(t, err)
	require.Equal(t, engine.OverlapAllow, s.Overlap, "whatever was stored")
	r.later(time.Minute)
	var fires []any
	require.Eventually(t, func() bool {
		fires = r.must(200, "GET", "/workflows/triggers/each%20minute/history", "").json()["items"].([]any)
		return len(fires) > 0
	}, time.Minute, 20*time.Millisecond)
	fire := fires[0].(map[string]any)
	require.Equal(t, []any{"each minute", "w", "1", "success", nil}, []any{fire["externalId"], fire["workflowExternalId"], fire["workflowVersion"], fire["status"], fire["reasonForFailure"]})
	x := r.ends(fire["workflowExecutionId"].(string), "COMPLETED")
	require.Equal(t, []any{map[string]any{"k": "v"}, map[string]any{"a": 1.0, "version": "1"}}, []any{x["metadata"], x["input"]})
	require.Zero(t, r.count("old"))
	require.Positive(t, r.count("new"), "a minute may have gone by since: there may be another tick")

	r.must(200, "POST", "/workflows/versions/delete", `{"items":[{"workflowExternalId":"w","version":"1"}]}`)
	require.Equal(t, true, r.must(200, "GET", "/workflows/triggers", "").item()["isPaused"])

	r.store("other", "["+fn("a", "echo", "")+"]")
	_, _, err = r.engine.PutSchedule(t.Context(), "default", "native", engine.ScheduleRequest{Workflow: "other", Cron: "0 0 * * *"})
	require.NoError(t, err)
	require.Contains(t, r.refused(409, "POST", "/workflows/triggers", trigger("native", "other")), "no trigger")
	require.Len(t, r.must(200, "GET", "/workflows/triggers", "").json()["items"], 1, "a schedule that was made natively is none")
}

// TestRunsOfATriggerGoOnSideBySide: a tick does not wait for the run before it.
func TestRunsOfATriggerGoOnSideBySide(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "hold", "")+"]")
	r.must(200, "POST", "/workflows/triggers", `{"items":[{"externalId":"t","triggerRule":{"triggerType":"schedule","cronExpression":"* * * * *"},"workflowExternalId":"w","workflowVersion":"1",`+r.nonce()+`}]}`)
	for n := range 2 {
		r.later(time.Minute)
		require.Eventually(t, func() bool {
			return len(r.must(200, "GET", "/workflows/triggers/t/history", "").json()["items"].([]any)) > n
		}, time.Minute, 20*time.Millisecond)
	}
	require.Eventually(t, func() bool {
		return len(r.must(200, "POST", "/workflows/executions/list", `{"filter":{"status":["RUNNING"]}}`).json()["items"].([]any)) >= 2
	}, time.Minute, 20*time.Millisecond, "a minute may go by meanwhile: there may be another tick")
	for range 2 {
		r.release <- struct{}{}
	}
	r.listed(2, `{"status":["COMPLETED"]}`)
}

// TestPages: the pages of a list are all of it, each once.
func TestPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for n := range 5 {
		r.store(fmt.Sprint("w", n), "["+fn("a", "echo", "")+"]")
		r.run(fmt.Sprint("w", n), `{}`)
		r.run("w0", `{}`)
	}
	r.listed(10, `{}`)
	for path, key := range map[string]string{"/workflows": "externalId", "/workflows/versions/list": "workflowExternalId", "/workflows/executions/list": "id"} {
		seen := map[any]int{}
		for cursor, more := "", true; more; {
			var a reply
			if path == "/workflows" {
				a = r.ask("GET", path+"?limit=2&cursor="+cursor, "reader", "")
			} else {
				a = r.ask("POST", path, "reader", `{"limit":2,"cursor":"`+cursor+`"}`)
			}
			require.Equal(t, 200, a.Code, a.Body)
			page := a.json()
			require.LessOrEqual(t, len(page["items"].([]any)), 2)
			for _, item := range page["items"].([]any) {
				seen[item.(map[string]any)[key]]++
			}
			cursor, more = page["nextCursor"].(string)
		}
		want := 5
		if key == "id" {
			want = 10
		}
		require.Len(t, seen, want, path)
		for item, n := range seen {
			require.Equal(t, 1, n, item)
		}
	}
	r.listed(7, `{"workflowFilters":[{"externalId":"w0"},{"externalId":"w3","version":"1"},{"externalId":"w4","version":"2"}]}`)
}

// TestBodies: compressed or not, broken, and too large.
func TestBodies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := `{"items":[{"externalId":"w"}]}`
	post := func(body string, header ...string) reply {
		return r.send("POST", project+"/workflows", "writer", body, header...)
	}
	require.Equal(t, 200, post(body).Code)
	require.Equal(t, 200, post(body, "Cdf-Version", "V20210406", "Content-Type", "application/json; charset=utf-8").Code, "as the JavaScript client says")
	require.Equal(t, 200, post(compressed(body), "Content-Encoding", "GZIP").Code)
	for text, status := range map[string]int{
		body: 400, compressed(body)[:20]: 400, compressed(body)[:len(compressed(body))-2]: 400,
		compressed(`{"items":"` + strings.Repeat("x", 4<<20) + `"}`): 413,
	} {
		a := post(text, "Content-Encoding", "gzip")
		require.Equal(t, status, a.Code, a.Body)
		require.EqualValues(t, status, a.json()["error"].(map[string]any)["code"])
	}
	require.Equal(t, 413, post(strings.Repeat("x", 5<<20)).Code)
	var many bytes.Buffer
	z := gzip.NewWriter(&many)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	require.NoError(t, z.Close())
	require.Equal(t, 413, post(many.String(), "Content-Encoding", "gzip").Code, "64 MiB in %d bytes", many.Len())
}

// TestInspect tells what a key may do.
func TestInspect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for key, want := range map[string]string{
		"reader":   `{"capabilities":[{"projectScope":{"allProjects":{}},"workflowOrchestrationAcl":{"actions":["READ"],"scope":{"all":{}}}}],"projects":[{"groups":[],"projectUrlName":"default"}],"subject":"reader"}`,
		"writer":   `{"capabilities":[{"projectScope":{"allProjects":{}},"workflowOrchestrationAcl":{"actions":["READ","WRITE"],"scope":{"all":{}}}}],"projects":[{"groups":[],"projectUrlName":"default"}],"subject":"writer"}`,
		"stranger": `{"capabilities":[{"projectScope":{"projects":["other"]},"workflowOrchestrationAcl":{"actions":["READ","WRITE"],"scope":{"all":{}}}}],"projects":[{"groups":[],"projectUrlName":"other"}],"subject":"stranger"}`,
	} {
		a := r.send("GET", "/api/v1/token/inspect", key, "")
		require.Equal(t, "200 application/json "+want, fmt.Sprint(a.Code, " ", a.Header().Get("Content-Type"), " ", strings.TrimSpace(a.Body.String())))
	}
	a := r.send("GET", "/api/v1/token/inspect", "", "")
	require.Equal(t, 401, a.Code)
	require.EqualValues(t, 401, a.json()["error"].(map[string]any)["code"])
	require.Equal(t, 404, r.send("GET", "/api/v1/projects/none/workflows", "writer", "").Code)
}

// TestLimits: what is as large as it may be is taken, one more is refused.
func TestLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store("w", "["+fn("a", "echo", "")+"]")
	metadata := map[string]string{}
	for n := range 10 {
		metadata[strings.Repeat("k", 31)+strconv.Itoa(n)] = strings.Repeat("v", 255)
	}
	text, err := json.Marshal(metadata)
	require.NoError(t, err)
	x := r.must(202, "POST", "/workflows/w/versions/1/run", `{`+r.nonce()+`,"metadata":`+string(text)+`}`).json()
	require.Len(t, x["metadata"], 10)
	r.must(202, "POST", "/workflows/w/versions/1/run", `{`+r.nonce()+`,"input":{"x":"`+strings.Repeat("x", 100<<10-8)+`"}}`)
	r.must(200, "POST", "/workflows/triggers", `{"items":[{"externalId":"`+strings.Repeat("t", 255)+`","triggerRule":{"triggerType":"schedule","cronExpression":"0 0 * * *"},"metadata":`+string(text)+`,"workflowExternalId":"w","workflowVersion":"1",`+r.nonce()+`}]}`)
	for _, wrong := range []string{
		`"metadata":{"k":"` + strings.Repeat("v", 256) + `"}`, `"metadata":{"` + strings.Repeat("k", 33) + `":""}`, `"input":{"x":"` + strings.Repeat("x", 100<<10) + `"}`,
	} {
		r.refused(400, "POST", "/workflows/w/versions/1/run", `{`+r.nonce()+`,`+wrong+`}`)
	}
	r.refused(400, "POST", "/workflows/executions/"+noID+"/cancel", `{"reason":"`+strings.Repeat("é", 501)+`"}`)
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"`+strings.Repeat("é", 255)+`","description":"`+strings.Repeat("é", 500)+`"}]}`)
	require.Contains(t, r.refused(400, "POST", "/workflows", `{"items":[{"externalId":"x`+strings.Repeat("é", 255)+`"}]}`), `: externalId: is "x`+strings.Repeat("é", 29)+`..." (allowed: `)
	r.refused(400, "POST", "/workflows", `{"items":[{"externalId":"w","description":"`+strings.Repeat("é", 501)+`"}]}`)
	for path, item := range map[string]string{"/workflows/delete": `{"externalId":"none"}`, "/workflows/versions/delete": `{"workflowExternalId":"none","version":"1"}`} {
		r.must(200, "POST", path, `{"items":[`+strings.Repeat(item+",", 99)+item+`]}`)
		require.Equal(t, "the request is malformed: items: has 101 items (allowed: 1 to 100)", r.refused(400, "POST", path, `{"items":[`+strings.Repeat(item+",", 100)+item+`]}`))
	}
	trigger := `"triggerRule":{"triggerType":"schedule","cronExpression":"0 0 * * *"},"workflowExternalId":"w","workflowVersion":"1"`
	require.Contains(t, r.refused(400, "POST", "/workflows/triggers", `{"items":[{"externalId":"`+strings.Repeat("é", 255)+`",`+trigger+`,`+r.nonce()+`}]}`), ": externalId: ", "in bytes it is too long")
	require.Contains(t, r.refused(400, "POST", "/workflows/triggers", `{"items":[{"externalId":"t",`+trigger+`,"metadata":{"k":"`+strings.Repeat("é", 255)+`"},`+r.nonce()+`}]}`), ": metadata.k: ", "in bytes it is too long")
	long := strings.Repeat("n", 1000)
	once := r.must(202, "POST", "/workflows/w/versions/1/run", `{"authentication":{"nonce":"`+long+`"}}`).json()["id"]
	require.Equal(t, once, r.must(202, "POST", "/workflows/w/versions/1/run", `{"authentication":{"nonce":"`+long+`"}}`).json()["id"])
}
