package cognite_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/server/compat/compattest"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/test/house"
)

func TestMain(m *testing.M) { os.Exit(queuetest.Run(m)) }

const (
	project = "/api/v1/projects/default"
	noID    = "0190a1b2-0000-7000-8000-00000000dead"
)

// rig is a server that speaks Cognite over an engine and a Redis of its own, a worker that runs the functions of
// functions_test.go, and a data platform that cdf tasks call.
type rig struct {
	t        testing.TB
	engine   *engine.Engine
	server   *server.Server
	cdf      *httptest.Server
	keys     map[string]string // secrets by name
	document *compattest.Document
	functions
	nonces int

	mu     sync.Mutex
	offset time.Duration // of the clock
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, document: document(t), functions: newFunctions()}
	r.cdf = httptest.NewServer(http.HandlerFunc(r.answerCDF))
	t.Cleanup(r.cdf.Close)
	to := tasks.DefaultOptions()
	to.HTTPAllow = []string{"127.0.0.1"}
	h := house.New(t, house.Options{
		Tasks: to, Types: r.types(), Clock: func() time.Duration {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.offset
		},
		Server: func(o *server.Options) { o.Dialects, o.CogniteURL = []string{"cognite"}, r.cdf.URL+"/cdf" },
	})
	r.engine, r.server, r.keys = h.Engine, h.Server, h.Keys
	return r
}

// reply is an answer of the server.
type reply struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// ask sends a request as the SDKs do, its body compressed, with a key ("" = none). Every answer is held against Cognite's document.
func (r *rig) ask(method, path, key, body string) reply {
	r.t.Helper()
	return r.send(method, project+path, key, compressed(body), "Content-Encoding", "gzip")
}

func (r *rig) send(method, path, key, body string, header ...string) reply {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cdf-Version", "20230101")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+r.keys[key])
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	require.NotEmpty(r.t, w.Header().Get("X-Request-Id"), "the id of the request")
	r.hold(req, w)
	return reply{w, r.t}
}

func compressed(body string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(body)) // into memory
	_ = z.Close()
	return b.String()
}

// json is the answer as a value.
func (a reply) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	require.NoError(a.t, json.Unmarshal(a.Body.Bytes(), &v), a.Body)
	return v
}

// item is the only one of a list.
func (a reply) item() map[string]any {
	a.t.Helper()
	all := a.json()["items"].([]any)
	require.Len(a.t, all, 1)
	return all[0].(map[string]any)
}

// must asks as a writer, and expects an answer with this status.
func (r *rig) must(status int, method, path, body string) reply {
	r.t.Helper()
	a := r.ask(method, path, "writer", body)
	require.Equal(r.t, status, a.Code, "%s %s %s: %s", method, path, body, a.Body)
	return a
}

// refused is must for an error, and answers its message.
func (r *rig) refused(status int, method, path, body string) string {
	r.t.Helper()
	e := r.must(status, method, path, body).json()["error"].(map[string]any)
	require.EqualValues(r.t, status, e["code"])
	return e["message"].(string)
}

// store stores tasks as version 1 of a workflow.
func (r *rig) store(workflow, tasks string) {
	r.t.Helper()
	r.must(200, "POST", "/workflows", `{"items":[{"externalId":"`+workflow+`"}]}`)
	r.must(200, "POST", "/workflows/versions", `{"items":[{"workflowExternalId":"`+workflow+`","version":"1","workflowDefinition":{"tasks":`+tasks+`}}]}`)
}

// nonce is one that was not there before.
func (r *rig) nonce() string {
	r.nonces++
	return fmt.Sprintf(`"authentication":{"nonce":"n%d"}`, r.nonces)
}

// run starts version 1 of a workflow and answers the execution's id.
func (r *rig) run(workflow, input string) string {
	r.t.Helper()
	return r.must(202, "POST", "/workflows/"+workflow+"/versions/1/run", `{`+r.nonce()+`,"input":`+input+`}`).json()["id"].(string)
}

// retry retries an execution, which runs again.
func (r *rig) retry(id string) {
	r.t.Helper()
	x := r.must(200, "POST", "/workflows/executions/"+id+"/retry", `{`+r.nonce()+`}`).json()
	require.Equal(r.t, id, x["id"])
	require.Equal(r.t, "RUNNING", x["status"])
	require.NotContains(r.t, x, "endTime")
	require.NotContains(r.t, x, "reasonForIncompletion")
}

// get reads an execution with its tasks.
func (r *rig) get(id string) map[string]any {
	r.t.Helper()
	return r.must(200, "GET", "/workflows/executions/"+id, "").json()
}

// ends waits for the end of an execution.
func (r *rig) ends(id, status string) map[string]any {
	r.t.Helper()
	for after := ""; ; {
		events, ended, err := r.engine.Watch(r.t.Context(), id, after)
		require.NoError(r.t, err)
		if ended {
			break
		}
		after = events[len(events)-1].Seq
	}
	x := r.get(id)
	require.Equal(r.t, status, x["status"], "%v", r.statuses(id))
	return x
}

// task is one of the executed tasks; nil when it is not among them.
func (r *rig) task(id, externalID string) map[string]any {
	r.t.Helper()
	for _, v := range r.get(id)["executedTasks"].([]any) {
		if v := v.(map[string]any); v["externalId"] == externalID {
			return v
		}
	}
	return nil
}

// statuses are those of the executed tasks, by their external ids.
func (r *rig) statuses(id string) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for _, v := range r.get(id)["executedTasks"].([]any) {
		v := v.(map[string]any)
		all[v["externalId"].(string)] = v["status"].(string)
	}
	return all
}

// await waits until a task is in a status.
func (r *rig) await(id, externalID, status string) map[string]any {
	r.t.Helper()
	for after := ""; ; {
		if v := r.task(id, externalID); v != nil && v["status"] == status {
			return v
		}
		events, ended, err := r.engine.Watch(r.t.Context(), id, after)
		require.NoError(r.t, err)
		require.False(r.t, ended, "it ended without %s being %s: %v", externalID, status, r.statuses(id))
		after = events[len(events)-1].Seq
	}
}

// listed waits until so many executions are listed: a list follows what happens a little later.
func (r *rig) listed(n int, filter string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return len(r.must(200, "POST", "/workflows/executions/list", `{"filter":`+filter+`}`).json()["items"].([]any)) == n
	}, time.Minute, 20*time.Millisecond, filter)
}

// later moves the clock.
func (r *rig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offset += d
}
