package kaizen_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
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
	for _, id := range []string{idRunning, idQueued, idPaused} {
		code, answer = r.post("/executions/retry", `{"id":"`+id+`"}`)
		require.Equal(t, 200, code)
		require.Equal(t, false, answer["success"])
		require.NotContains(t, answer, "execution")
	}
	require.Len(t, r.fake.redrove, 1, "what has not ended is not redriven")
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
		``:                        {idPaused, idQueued, idCompleted, idRunning, idFailed},
		`{"status":"Completed"}`:  {idCompleted},
		`{"status":"Enqueued"}`:   {idQueued},
		`{"status":"Paused"}`:     {idPaused},
		`{"status":"InProgress"}`: {idRunning},
		`{"status":"Failed"}`:     {idFailed},
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
