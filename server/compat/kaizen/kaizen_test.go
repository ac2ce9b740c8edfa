package kaizen_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/workflow"
)

func TestRetryIsARerunOfTheWholeIntoANewExecution(t *testing.T) {
	r := newRig(t)
	code, answer := r.post("/executions/retry", `{"id":"`+idFailed+`","inputs":{"claim":"other"}}`)
	require.Equal(t, 200, code)
	require.Equal(t, true, answer["success"])
	require.Equal(t, []engine.RedriveRequest{{
		Redrive: workflow.Redrive{Operation: workflow.OperationRerun, Identity: workflow.NewExecution, Budget: workflow.BudgetFull},
		By:      "kaizen:writer (k2)",
	}}, r.fake.redrove)
	for _, id := range []string{idRunning, idQueued, idPaused, idCanceling} {
		code, answer = r.post("/executions/retry", `{"id":"`+id+`"}`)
		require.Equal(t, 200, code)
		require.Equal(t, false, answer["success"])
		require.NotContains(t, answer, "execution")
	}
	require.Len(t, r.fake.redrove, 1, "what has not ended is not redriven")
	for _, id := range []string{idCompleted, idTimedOut, idCanceled} {
		code, answer = r.post("/executions/retry", `{"id":"`+id+`"}`)
		require.Equal(t, 200, code)
		require.Equal(t, true, answer["success"], id)
	}
	require.Len(t, r.fake.redrove, 4)
}

func TestExecuteTranslates(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{
		`{"workflowId":"claims","workflowName":"Claims of June","params":{"n":12345678901234567890},"loginId":"portal","name":1.50,"timeout":90,"useProxy":true,
		  "startBlockId":"open","batchId":"june","isTest":true,"unheardOf":[1]}`,
		`{"workflowName":"claims","params":{},"name":null,"timeout":null,"loginId":"","batchId":""}`,
		`{"workflowId":"claims","params":{},"timeout":9223372036854775807}`,
	} {
		code, answer := r.post("/workflows/execute", body)
		require.Equal(t, 200, code, answer)
	}
	require.Equal(t, []engine.StartRequest{
		{
			Workflow: "claims", Version: 7, Input: json.RawMessage(`{"n":12345678901234567890}`), Timeout: 90 * time.Second, By: "kaizen:writer (k2)",
			Labels: map[string]string{"kaizen.batch": "june", "kaizen.login": "portal", "kaizen.name": "1.50", "kaizen.test": "true"},
		},
		{Workflow: "claims", Input: json.RawMessage(`{}`), Labels: map[string]string{}, By: "kaizen:writer (k2)"},
		{Workflow: "claims", Input: json.RawMessage(`{}`), Labels: map[string]string{}, By: "kaizen:writer (k2)", Timeout: 100 * 365 * 24 * time.Hour},
	}, r.fake.started)
}

// ids are those of a list, and its cursor.
func (r *rig) ids(body string) (all []string, cursor string) {
	r.t.Helper()
	code, answer := r.post("/executions/list", body)
	require.Equal(r.t, 200, code, answer)
	for _, x := range answer["executions"].([]any) {
		all = append(all, x.(map[string]any)["id"].(string))
	}
	cursor, _ = answer["nextCursor"].(string)
	return all, cursor
}

func TestListFilters(t *testing.T) {
	r := newRig(t)
	for body, want := range map[string][]string{
		``:                        {idCanceling, idCanceled, idTimedOut, idPaused, idQueued, idCompleted, idRunning, idFailed},
		`{"status":"Completed"}`:  {idCompleted},
		`{"status":"Enqueued"}`:   {idQueued},
		`{"status":"Paused"}`:     {idPaused},
		`{"status":"InProgress"}`: {idCanceling, idRunning},
		`{"status":"Failed"}`:     {idCanceled, idTimedOut, idFailed},
		`{"status":null,"loginId":null,"search":null,"batch":null,"workflowId":"fanned","tagFilters":null,"limit":null,"cursor":null}`: {idPaused, idQueued},
		`{"workflowId":"fanned"}`: {idPaused, idQueued},
		`{"batch":"june"}`:        {idCompleted, idRunning, idFailed},
		`{"loginId":"portal"}`:    {idCompleted, idFailed},
		`{"batch":"june","loginId":"portal","status":"Failed"}`: {idFailed},
		`{"search":["CLM-1"]}`:                       {idFailed},
		`{"search":["CLM-1","` + idQueued + `"]}`:    {idQueued, idFailed},
		`{"search":["nothing"]}`:                     nil,
		`{"tagFilters":["tier"]}`:                    {idRunning, idFailed},
		`{"tagFilters":["tier=gold"]}`:               {idFailed},
		`{"tagFilters":["tier","kaizen.test=true"]}`: {idFailed},
		`{"tagFilters":["tier="]}`:                   nil,
	} {
		got, cursor := r.ids(body)
		require.Equal(t, want, got, body)
		require.Empty(t, cursor, body)
	}
}

func TestListPages(t *testing.T) {
	r := newRig(t)
	for limit := 1; limit <= 4; limit++ {
		var all []string
		cursor, pages := "", 0
		for {
			body, err := json.Marshal(map[string]any{"limit": limit, "cursor": cursor, "search": []string{"CLM"}})
			require.NoError(t, err)
			var some []string
			some, cursor = r.ids(string(body))
			require.LessOrEqual(t, len(some), limit)
			all = append(all, some...)
			if pages++; cursor == "" {
				break
			}
		}
		require.Equal(t, []string{idRunning, idFailed}, all, "limit %d", limit)
		require.LessOrEqual(t, pages, 3)
	}
}

// TestAPageHas100, unless another limit is asked for.
func TestAPageHas100(t *testing.T) {
	r := newRig(t)
	r.fake.page = 1000
	one := r.fake.all[2]
	r.fake.all = nil
	for n := range 1001 {
		one.ID = fmt.Sprintf("0190a1b2-0000-7000-8000-%012d", n)
		r.fake.all = append(r.fake.all, one)
	}
	first, cursor := r.ids(`{}`)
	require.Len(t, first, 100)
	require.Equal(t, first[99], cursor)
	second, _ := r.ids(`{"cursor":"` + cursor + `"}`)
	require.Len(t, second, 100)
	require.NotContains(t, first, second[0])
	most, cursor := r.ids(`{"limit":1000}`)
	require.Len(t, most, 1000)
	last, cursor := r.ids(`{"limit":1000,"cursor":"` + cursor + `"}`)
	require.Len(t, last, 1)
	require.Empty(t, cursor)
}

// TestFieldsOfAnotherType: each field of each operation, with each kind of value that it does not take.
func TestFieldsOfAnotherType(t *testing.T) {
	r := newRig(t)
	const (
		text, list, flag, limit = "a string", "a list of strings", "true or false", "a whole number from 1 to 1000"
		seconds                 = "a whole number of seconds, 1 or more"
	)
	execute := map[string]string{
		"params": "an object", "workflowId": text, "workflowName": text, "loginId": text, "name": "a string or a number", "timeout": seconds,
		"useProxy": flag, "startBlockId": text, "batchId": text, "isTest": flag,
	}
	takes := map[string]string{text: "string", list: "list", flag: "bool", limit: "number", seconds: "number", "an object": "object", "a string or a number": "string number"}
	for path, fields := range map[string]map[string]string{
		"/executions/retry": {"id": text}, "/executions/get": {"id": text}, "/executions/batches/get": {"batchId": text},
		"/executions/list": {
			"status": text, "loginId": text, "search": list, "batch": text, "workflowId": text, "tagFilters": list, "limit": limit, "cursor": text,
		},
		"/workflows/execute": execute, "/workflows/executeSync": execute,
	} {
		for field, allowed := range fields {
			for _, c := range []struct{ kind, value, what string }{
				{"string", `"x"`, "is a string"}, {"number", `7`, "is a number"}, {"bool", `true`, "is true or false"}, {"list", `["x"]`, "is a list"},
				{"object", `{"x":1}`, "is an object"}, {"item", `["x",7]`, "holds a number"}, {"part", `1.5`, "is 1.5"},
			} {
				if strings.Contains(takes[allowed], c.kind) || c.kind == "item" && allowed != list || c.kind == "part" && takes[allowed] != "number" {
					continue
				}
				body := map[string]json.RawMessage{}
				if _, of := fields["params"]; of {
					body["workflowId"], body["params"] = json.RawMessage(`"claims"`), json.RawMessage(`{}`)
				}
				body[field] = json.RawMessage(c.value)
				asked, err := json.Marshal(body)
				require.NoError(t, err)
				w := r.ask("POST", path, "rdr_write", string(asked))
				require.Equal(t, 400, w.Code, "%s %s: %s", path, asked, w.Body)
				require.Equal(t, "application/json", w.Header().Get("Content-Type"))
				require.Equal(t, `{"success":false,"message":"the request is malformed: `+field+`: `+c.what+` (allowed: `+allowed+`)"}`+"\n", w.Body.String(), "%s %s", path, asked)
			}
		}
	}
	require.Empty(t, r.fake.started)
	require.Empty(t, r.fake.redrove)
}

func TestAListReadsADefinitionOnce(t *testing.T) {
	r := newRig(t)
	r.ids(``)
	require.Equal(t, 3, r.fake.reads, "claims 1 and 2, fanned 1")
}

// TestKeysSeeTheirProjectOnly: a key that is limited lists, counts and starts there.
func TestKeysSeeTheirProjectOnly(t *testing.T) {
	r := newRig(t)
	w := r.ask("POST", "/executions/list", "rdr_other", "")
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), idElsewhere)
	require.NotContains(t, w.Body.String(), idFailed)
	require.Equal(t, 404, r.ask("POST", "/executions/batches/get", "rdr_other", `{"batchId":"june"}`).Code)
	require.Equal(t, 200, r.ask("POST", "/workflows/execute", "rdr_other", `{"workflowId":"claims","params":{}}`).Code)
	x, err := r.fake.Execution(t.Context(), idNew)
	require.NoError(t, err)
	require.Equal(t, "other", x.Project)
}

// sync calls executeSync and says when it has answered.
func (r *rig) sync(ctx context.Context, body string) chan *httptest.ResponseRecorder {
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		req := httptest.NewRequestWithContext(ctx, "POST", "/workflows/executeSync", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer rdr_write")
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		done <- w
	}()
	return done
}

const sleepy = `{"workflowId":"claims","params":{}}`

func TestExecuteSyncWaitsForTheEnd(t *testing.T) {
	r := newRig(t)
	r.fake.hold = make(chan struct{})
	done := r.sync(t.Context(), sleepy)
	select {
	case <-done:
		t.Fatal("it answered before the end")
	case <-time.After(50 * time.Millisecond):
	}
	close(r.fake.hold)
	w := <-done
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `"status":"Completed"`)
	require.Contains(t, w.Body.String(), `"response":{"paid":12.50},"truncatedResponse":"{\"paid\":12.50}"`)
	require.Contains(t, w.Body.String(), `"durationMs":1500`)
}

// TestExecuteSyncAnswersPastItsTimeout, half a minute later, with the execution as it is then.
func TestExecuteSyncAnswersPastItsTimeout(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"workflowId":"claims","params":{},"timeout":60}`: 90 * time.Second,
		sleepy: 3*time.Hour + 30*time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.fake.hold = make(chan struct{})
			began := time.Now()
			w := r.ask("POST", "/workflows/executeSync", "rdr_write", body)
			require.Equal(t, want, time.Since(began))
			require.Equal(t, 200, w.Code, w.Body)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			var answer struct{ Execution map[string]any }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			conforms(t, answer.Execution)
			require.Equal(t, []any{idNew, "InProgress"}, []any{answer.Execution["id"], answer.Execution["status"]})
			require.NotContains(t, answer.Execution, "endTime")
		})
	}
}

func TestExecuteSyncAnswersWhenTheServerStops(t *testing.T) {
	r := newRig(t)
	r.fake.hold = make(chan struct{})
	done := r.sync(t.Context(), sleepy)
	require.Eventually(t, func() bool { defer r.fake.lock()(); return len(r.fake.started) == 1 }, 5*time.Second, time.Millisecond)
	require.NoError(t, r.server.Stop(t.Context()))
	w := <-done
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `"status":"InProgress"`)
}

func TestExecuteSyncLetsGoOfACallerWhoHungUp(t *testing.T) {
	r := newRig(t)
	r.fake.hold = make(chan struct{})
	ctx, hangUp := context.WithCancel(t.Context())
	done := r.sync(ctx, sleepy)
	require.Eventually(t, func() bool { defer r.fake.lock()(); return len(r.fake.started) == 1 }, 5*time.Second, time.Millisecond)
	hangUp()
	require.Equal(t, 499, (<-done).Code)
}

func TestExecuteSyncIsBounded(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.Streams = 2 })
	r.fake.hold = make(chan struct{})
	one, two := r.sync(t.Context(), sleepy), r.sync(t.Context(), sleepy)
	require.Eventually(t, func() bool { defer r.fake.lock()(); return len(r.fake.started) == 2 }, 5*time.Second, time.Millisecond)
	w := <-r.sync(t.Context(), sleepy)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	require.JSONEq(t, `{"success":false,"message":"2 calls of executeSync wait here already: try again, or use /workflows/execute"}`, w.Body.String())
	close(r.fake.hold)
	<-one
	<-two
	require.Len(t, r.fake.started, 2, "what is refused is not started")
	require.Equal(t, 200, (<-r.sync(t.Context(), sleepy)).Code, "they gave their places back")
}

// TestAnOpenServerAsksForNoKey, as Kaizen's document names none.
func TestAnOpenServerAsksForNoKey(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.Open = true })
	req := httptest.NewRequest("POST", "http://127.0.0.1/executions/retry", strings.NewReader(`{"id":"`+idFailed+`"}`))
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	require.Equal(t, 200, w.Code, w.Body)
	require.Equal(t, "kaizen:anybody", r.fake.redrove[0].By)
}

// FuzzBodies: whatever a body is, the answer is JSON, and no failure of the server.
func FuzzBodies(f *testing.F) {
	paths := []string{"/executions/retry", "/executions/get", "/executions/list", "/executions/batches/get", "/workflows/execute", "/workflows/executeSync"}
	for i := range paths {
		for _, body := range []string{
			``, `{}`, `[]`, `null`, `"x"`, `{"id":"` + idFailed + `"}`, `{"id":1}`, `{"batchId":"june"}`, `{"status":"Failed","search":["x"],"limit":3,"cursor":"bad"}`,
			`{"workflowId":"claims","params":{"a":[1,{"b":null}]},"name":1e999,"timeout":1,"startBlockId":"open"}`, `{"params":{}, "workflowName":"fanned","timeout":1.0}`,
			strings.Repeat("[", 20000), "{\"id\":\"\xff\\ud800\"}", `{"limit":1e400}`, `{"name":{"name":[]}}`, `{"tagFilters":[null,"=","a=b=c"]}`,
		} {
			f.Add(i, []byte(body))
		}
	}
	once := newRig(f)
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		r := &rig{t, once.fake, once.server}
		r.fake.reset() // what inputs start does not pile up
		path := paths[uint(i)%uint(len(paths))]
		w := r.ask("POST", path, "rdr_write", string(body))
		require.True(t, w.Code < 500 || w.Code == 501, "%s %q: %d %s", path, body, w.Code, w.Body)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body)
		if w.Code != 200 {
			require.Equal(t, false, answer["success"])
			require.NotEmpty(t, answer["message"], strconv.Quote(string(body)))
		}
	})
}
