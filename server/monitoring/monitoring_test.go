package monitoring

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const execution = "0190a1b2-0000-7000-8000-000000000001"

// retries is an engine that notes what it is asked, and takes the job out of
// the archive as the real one does.
type retries struct {
	mu        sync.Mutex
	inspector *asynq.Inspector
	fences    []engine.Fence
	by        []string
}

func (r *retries) RetryJob(_ context.Context, f engine.Fence, by string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.Ref == "refused" {
		return engine.Conflict("nothing_to_retry", "the task succeeded meanwhile")
	}
	r.fences, r.by = append(r.fences, f), append(r.by, by)
	return r.inspector.DeleteTask("default", f.JobID())
}

// rig is the door over a real Redis with real jobs.
type rig struct {
	t         *testing.T
	client    *asynq.Client
	inspector *asynq.Inspector
	retries   *retries
	url       string
	http      *http.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	conn := asynq.RedisClientOpt{Network: "unix", Addr: startRedis(t)}
	r := &rig{t: t, client: asynq.NewClient(conn), inspector: asynq.NewInspector(conn)}
	r.retries = &retries{inspector: r.inspector}
	h, err := New(conn, r.retries, slog.New(slog.DiscardHandler), func(w http.ResponseWriter, r *http.Request, err error) {
		problem.Write(w, r, "id", problem.From(err))
	})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &auth.Principal{ID: "k3", Name: "chief", Scope: engine.ScopeAdmin}
		h.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
	}))
	r.url, r.http = server.URL, server.Client()
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, h.Close())
		require.NoError(t, r.client.Close())
		require.NoError(t, r.inspector.Close())
	})
	return r
}

func startRedis(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ping := asynq.NewClient(asynq.RedisClientOpt{Network: "unix", Addr: socket})
	defer func() { require.NoError(t, ping.Close()) }()
	require.Eventually(t, func() bool { return ping.Ping() == nil }, 20*time.Second, 10*time.Millisecond)
	return socket
}

// archived puts an archived job on the queue; the state is what asynq makes of it.
func (r *rig) archived(id string) string {
	r.t.Helper()
	_, err := r.client.Enqueue(asynq.NewTask("noop", []byte(`{"v":1,"ref":"load"}`)), asynq.TaskID(id))
	require.NoError(r.t, err)
	require.NoError(r.t, r.inspector.ArchiveTask("default", id))
	return id
}

func job(ref string, attempt int) string {
	return engine.Fence{Execution: execution, Ref: ref, Attempt: attempt, Dispatch: 1}.JobID()
}

// post sends what the dashboard's page sends: the id as it is in the path.
func (r *rig) post(path, body string) (int, string) {
	r.t.Helper()
	resp, err := r.http.Post(r.url+Root+"/api/queues/default"+path, "application/json", strings.NewReader(body))
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(text)
}

func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	resp, err := r.http.Get(r.url + Root + path)
	require.NoError(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(text)
}

func (r *rig) state(id string) asynq.TaskState {
	r.t.Helper()
	info, err := r.inspector.GetTaskInfo("default", id)
	require.NoError(r.t, err)
	return info.State
}

func TestDashboardServes(t *testing.T) {
	r := newRig(t)
	id := r.archived(job("each[eu].load", 1))
	status, page := r.get("/")
	require.Equal(t, 200, status)
	require.Contains(t, page, `window.FLAG_ROOT_PATH="\/monitoring"`)
	status, list := r.get("/api/queues/default/archived_tasks?size=10&page=1")
	require.Equal(t, 200, status)
	require.Contains(t, list, id)
	require.Contains(t, list, `\n  \"v\": 1`, "payloads are indented")
	status, one := r.get("/api/queues/default/tasks/" + id)
	require.Equal(t, 200, status, one)
	status, _ = r.get("/queues/default")
	require.Equal(t, 200, status, "a page inside the dashboard")
}

func TestRunRetriesOurJob(t *testing.T) {
	r := newRig(t)
	for _, ref := range []string{"load", "each[eu].load", "loop[3].check", "year[~7E1].x"} {
		id := r.archived(job(ref, 2))
		status, text := r.post("/archived_tasks/"+id+":run", "")
		require.Equal(t, 204, status, text)
		require.Equal(t, ref, r.retries.fences[len(r.retries.fences)-1].Ref)
	}
	require.Equal(t, "chief (k3) via monitoring", r.retries.by[0])
	require.Equal(t, 2, r.retries.fences[0].Attempt)

	escaped := r.archived(job("a[b]", 1))
	status, _ := r.post("/archived_tasks/"+strings.NewReplacer("[", "%5B", "]", "%5D", ":", "%3A").Replace(escaped)+":run", "")
	require.Equal(t, 204, status)
	require.Equal(t, "a[b]", r.retries.fences[4].Ref)
}

func TestRunTellsWhyNot(t *testing.T) {
	r := newRig(t)
	id := r.archived(job("refused", 1))
	status, text := r.post("/archived_tasks/"+id+":run", "")
	require.Equal(t, 409, status)
	require.Contains(t, text, "nothing_to_retry")
	require.Equal(t, asynq.TaskStateArchived, r.state(id), "asynq was not asked")
}

func TestForeignJobsPassThrough(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"mine", "not:a:job", "almost:ours:1:1"} {
		r.archived(id)
		status, text := r.post("/archived_tasks/"+id+":run", "")
		require.Equal(t, 204, status, text)
		require.Equal(t, asynq.TaskStatePending, r.state(id))
	}
	require.Empty(t, r.retries.fences)
	status, _ := r.post("/archived_tasks/nothing:run", "")
	require.Equal(t, 500, status, "as asynqmon answers")
}

func TestWaitingJobOfOursPassesThrough(t *testing.T) {
	r := newRig(t)
	id := job("load", 1)
	_, err := r.client.Enqueue(asynq.NewTask("noop", nil), asynq.TaskID(id), asynq.ProcessIn(time.Hour))
	require.NoError(t, err)
	status, text := r.post("/scheduled_tasks/"+id+":run", "")
	require.Equal(t, 204, status, text)
	require.Equal(t, asynq.TaskStatePending, r.state(id))
	require.Empty(t, r.retries.fences)
}

func TestAnotherListIsNoWayAround(t *testing.T) {
	r := newRig(t)
	id := r.archived(job("load", 1))
	status, text := r.post("/retry_tasks/"+id+":run", "")
	require.Equal(t, 204, status, text)
	require.Len(t, r.retries.fences, 1)
}

func TestBatchRun(t *testing.T) {
	r := newRig(t)
	ours, refused, mine := r.archived(job("each[eu].load", 1)), r.archived(job("refused", 1)), r.archived("mine")
	body, err := json.Marshal(map[string]any{"task_ids": []string{ours, refused, mine, "missing"}})
	require.NoError(t, err)
	status, text := r.post("/archived_tasks:batch_run", string(body))
	require.Equal(t, 200, status)
	var answer batchAnswer
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	require.Equal(t, []string{ours, mine}, answer.PendingIDs)
	require.Equal(t, []string{refused, "missing"}, answer.ErrorIDs)
	require.Len(t, r.retries.fences, 1)
	require.Equal(t, asynq.TaskStatePending, r.state("mine"))

	status, text = r.post("/archived_tasks:batch_run", `{"ids":[]}`)
	require.Equal(t, 422, status)
	require.Contains(t, text, "task_ids")
}

func TestRunAll(t *testing.T) {
	r := newRig(t)
	for i := range 12 {
		r.archived(job("load", i+1))
	}
	r.archived("mine")
	r.archived(job("refused", 1))
	status, text := r.post("/archived_tasks:run_all", "")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"scheduled":13}`, text)
	require.Len(t, r.retries.fences, 12)
	require.Equal(t, asynq.TaskStatePending, r.state("mine"))

	resp, err := r.http.Post(r.url+Root+"/api/queues/none/archived_tasks:run_all", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 404, resp.StatusCode)
}

func TestPayloads(t *testing.T) {
	require.Equal(t, "{\n  \"v\": 1\n}", formatPayload("t", []byte(`{"v":1}`)))
	require.Equal(t, "plain", formatPayload("t", []byte("plain")))
	require.Equal(t, "2 bytes, not text", formatPayload("t", []byte{0xff, 0xfe}))
}
