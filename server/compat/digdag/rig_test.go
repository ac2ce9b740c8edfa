package digdag_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server"
	"github.com/redrive/redrive/server/compat/compattest"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/test/house"
)

// rig is a server over an engine and a Redis of its own, with a worker unless a test goes without one.
type rig struct {
	t       *testing.T
	engine  *engine.Engine
	server  *server.Server
	keys    map[string]string // secrets by name
	spec    *compattest.Document
	session string
	dir     string // what failing tasks look into
	tries   int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	to := tasks.DefaultOptions()
	to.ExecAllow, to.HTTPAllow = []string{"*"}, []string{"*"}
	h := house.New(t, house.Options{Tasks: to})
	r := &rig{t: t, engine: h.Engine, server: h.Server, keys: h.Keys, spec: compattest.Load(t, "td-workflow-openapi.yml"), session: "2026-03-01T00:00:00+00:00", dir: t.TempDir()}
	return r
}

// ask sends a request with a key ("" = none). A successful answer is held against Treasure Data's document.
func (r *rig) ask(method, path, key, body string) *httptest.ResponseRecorder {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	if key != "" {
		req.Header.Set("Authorization", "TD1 "+r.keys[key])
	}
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, req)
	if w.Code == 200 && strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/api/version") && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		where, _, _ := strings.Cut(path, "?")
		require.NoError(r.t, r.spec.Check(req, where, w.Code, w.Header(), withoutNull(r.t, w.Body.Bytes())), "%s %s: %s", method, path, w.Body)
	}
	return w
}

// withoutNull takes out what is null: Digdag writes null where Treasure Data's document has nothing.
func withoutNull(t *testing.T, body []byte) []byte {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	var clean func(v any)
	clean = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, item := range v {
				if item != nil {
					clean(item)
					continue
				}
				if delete(v, k); k == "retryAttemptName" || k == "direct" {
					v[k] = "" // required there, null in Digdag
				}
			}
		case []any:
			for _, item := range v {
				clean(item)
			}
		}
	}
	clean(v)
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return out
}

// object asks as a writer, and expects an answer with this status.
func (r *rig) object(status int, method, path, body string) map[string]any {
	r.t.Helper()
	w := r.ask(method, path, "writer", body)
	require.Equal(r.t, status, w.Code, "%s %s %s: %s", method, path, body, w.Body)
	require.Equal(r.t, "application/json", w.Header().Get("Content-Type"))
	var v map[string]any
	require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &v), w.Body)
	return v
}

func (r *rig) get(path string) map[string]any { r.t.Helper(); return r.object(200, "GET", path, "") }

// archive packs files as digdag push does.
func archive(t testing.TB, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.String()
}

// push pushes workflow files to the default project.
func (r *rig) push(revision string, files map[string]string) map[string]any {
	r.t.Helper()
	return r.object(200, "PUT", "/api/projects?project=default&revision="+url.QueryEscape(revision), archive(r.t, files))
}

// workflow is the id of the newest version of a workflow of the default project.
func (r *rig) workflow(name string) string {
	r.t.Helper()
	all := r.get("/api/projects/" + r.projectID() + "/workflows?name=" + name)["workflows"].([]any)
	require.Len(r.t, all, 1)
	return all[0].(map[string]any)["id"].(string)
}

// projectID is the id of the default project.
func (r *rig) projectID() string {
	r.t.Helper()
	return r.get("/api/projects?name=default")["projects"].([]any)[0].(map[string]any)["id"].(string)
}

// start starts a workflow, and answers the id of the attempt.
func (r *rig) start(name, params string) string {
	r.t.Helper()
	return r.object(200, "PUT", "/api/attempts", `{"workflowId":"`+r.workflow(name)+`","sessionTime":"`+r.session+`","params":`+params+`}`)["id"].(string)
}

// ends waits for the end of an attempt.
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
	a := r.get("/api/attempts/" + id)
	if a["status"] != status { // what went wrong is in the tasks
		require.Equal(r.t, status, a["status"], r.ask("GET", "/api/attempts/"+id+"/tasks", "reader", "").Body.String())
	}
	return a
}

// states are the states of the tasks of an attempt by full name.
func (r *rig) states(id string) map[string]string {
	r.t.Helper()
	made := map[string]string{}
	for _, one := range r.get("/api/attempts/" + id + "/tasks")["tasks"].([]any) {
		one := one.(map[string]any)
		made[one["fullName"].(string)] = one["state"].(string)
	}
	return made
}

// resume asks for the next attempt of the session.
func (r *rig) resume(status int, name, attempt, how, params string) map[string]any {
	r.t.Helper()
	return r.object(status, "PUT", "/api/attempts", `{"workflowId":"`+r.workflow("w")+`","sessionTime":"`+r.session+`","retryAttemptName":"`+name+`","resume":{"attemptId":"`+attempt+`",`+how+`},"params":`+params+`}`)
}

const failedMode = `"mode":"failed","mode":"failed"`

func fromMode(task string) string { return `"mode":"from","from":"` + task + `"` }

// starts are how often each task began in an attempt, by full name, without what was kept.
func (r *rig) starts(id string) map[string]int {
	r.t.Helper()
	made := map[string]int{}
	for _, f := range r.get("/api/logs/" + id + "/files")["files"].([]any) {
		made[f.(map[string]any)["taskName"].(string)]++
	}
	return made
}

// log is what a task wrote in an attempt, all its tries.
func (r *rig) log(id, task string) string {
	r.t.Helper()
	var b strings.Builder
	for _, f := range r.get("/api/logs/" + id + "/files?task=" + url.QueryEscape(task))["files"].([]any) {
		name := f.(map[string]any)["fileName"].(string)
		w := r.ask("GET", "/api/logs/"+id+"/files/"+strings.ReplaceAll(url.PathEscape(name), "%2B", "+"), "reader", "")
		require.Equal(r.t, 200, w.Code, w.Body)
		require.Empty(r.t, w.Header().Get("Content-Encoding"))
		z, err := gzip.NewReader(w.Body)
		require.NoError(r.t, err)
		_, err = io.Copy(&b, z)
		require.NoError(r.t, err)
	}
	return b.String()
}

// touch lets a failing task succeed from now on.
func (r *rig) touch(name string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, name), nil, 0o600))
}

// await waits until a task of an attempt is in a state.
func (r *rig) await(id, task, state string) {
	r.t.Helper()
	for after := ""; r.states(id)[task] != state; {
		events, ended, err := r.engine.Watch(r.t.Context(), id, after)
		require.NoError(r.t, err)
		require.False(r.t, ended, "it ended without %s being %s", task, state)
		after = events[len(events)-1].Seq
	}
}

// eventually looks until something has come about.
func (r *rig) eventually(there func() bool) {
	r.t.Helper()
	require.Eventually(r.t, there, time.Minute, 20*time.Millisecond)
}
