package conductor_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestListsOfDefinitions: each is in there as it is answered alone; the newest is the highest version, whenever it was registered.
func TestListsOfDefinitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, path := range []string{"/api/metadata/workflow", "/api/metadata/workflow/latest-versions"} {
		require.JSONEq(t, `[]`, r.ask("GET", path, "").Body.String())
	}
	for _, def := range []string{
		`{"name":"b","version":3,"tasks":[{"name":"h","taskReferenceName":"h3","type":"HUMAN"}]}`, `{"name":"b","version":1,"tasks":[{"name":"h","taskReferenceName":"h1","type":"HUMAN"}]}`,
		`{"name":"b","version":20,"tasks":[{"name":"h","taskReferenceName":"h20","type":"HUMAN"}]}`, `{"name":"a","tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}]}`,
	} {
		require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", def).Code)
	}
	one := func(path string) string {
		w := r.ask("GET", "/api/metadata/workflow/"+path, "")
		require.Equal(t, 200, w.Code)
		return w.Body.String()
	}
	list := func(path string) string {
		w := r.ask("GET", path, "")
		require.Equal(t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")})
		return w.Body.String()
	}
	require.JSONEq(t, one("b?version=20"), one("b"))
	require.JSONEq(t, "["+one("a?version=1")+","+one("b?version=1")+","+one("b?version=3")+","+one("b?version=20")+"]", list("/api/metadata/workflow"))
	require.JSONEq(t, "["+one("a")+","+one("b?version=20")+"]", list("/api/metadata/workflow/latest-versions"))
	require.Equal(t, 200, r.ask("DELETE", "/api/metadata/workflow/b/20", "").Code)
	require.JSONEq(t, "["+one("a")+","+one("b?version=3")+"]", list("/api/metadata/workflow/latest-versions"))
}

// TestDomainsStay: what a start says of domains is shown, and holds for a restart with the newest definition, too.
func TestDomainsStay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	def := func(version, ref string) {
		body := `{"name":"routed","version":` + version + `,"tasks":[{"name":"pack","taskReferenceName":"` + ref + `"},{"name":"ship","taskReferenceName":"s"}]}`
		require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", body).Code)
	}
	def("1", "p1")
	id := r.ask("POST", "/api/workflow", `{"name":"routed","taskToDomain":{"pack":"night","ship":"NO_DOMAIN"}}`).Body.String()
	poll := func(domain, wait string) (tasks []struct{ WorkflowInstanceID, ReferenceTaskName, Domain string }) {
		require.NoError(t, json.Unmarshal(r.ask("GET", "/api/tasks/poll/batch/pack?count=5&timeout="+wait+"&domain="+domain, "").Body.Bytes(), &tasks))
		return tasks
	}
	shown := func(id string) string {
		var w struct{ TaskToDomain json.RawMessage }
		require.NoError(t, json.Unmarshal(r.ask("GET", "/api/workflow/"+id, "").Body.Bytes(), &w))
		return string(w.TaskToDomain)
	}
	require.JSONEq(t, `{"pack":"night","ship":"NO_DOMAIN"}`, shown(id))
	tasks := poll("night", "5000")
	require.Len(t, tasks, 1)
	require.Equal(t, []string{id, "p1", "night"}, []string{tasks[0].WorkflowInstanceID, tasks[0].ReferenceTaskName, tasks[0].Domain})

	def("2", "p2")
	require.Equal(t, 200, r.ask("DELETE", "/api/workflow/"+id, "").Code)
	require.Equal(t, 204, r.ask("POST", "/api/workflow/"+id+"/restart?useLatestDefinitions=true", "").Code)
	tasks = poll("night", "5000")
	require.Len(t, tasks, 1)
	require.Equal(t, []string{id, "p2", "night"}, []string{tasks[0].WorkflowInstanceID, tasks[0].ReferenceTaskName, tasks[0].Domain})
	require.JSONEq(t, `{"pack":"night","ship":"NO_DOMAIN"}`, shown(id))

	plain := r.ask("POST", "/api/workflow", `{"name":"routed","taskToDomain":{}}`).Body.String()
	require.JSONEq(t, `{}`, shown(plain))
	tasks = poll("", "5000")
	require.Len(t, tasks, 1, "that of the start without domains")
	require.Equal(t, plain, tasks[0].WorkflowInstanceID)
}

// TestOnConflict: a start by name says in its headers which key it has, and what is done when that is in use.
func TestOnConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", `{"name":"held","tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}]}`).Code)
	start := func(strategy, input string) (int, string) {
		w := r.askWith(map[string]string{"X-Idempotency-key": "k", "X-on-conflict": strategy}, "POST", "/api/workflow/held", input)
		return w.Code, w.Body.String()
	}
	status, id := start("FAIL", `{"n":1}`)
	require.Equal(t, 200, status)
	status, _ = start("FAIL", `{"n":1}`)
	require.Equal(t, 409, status)
	for _, strategy := range []string{"", "RETURN_EXISTING"} {
		status, same := start(strategy, `{"n":2}`)
		require.Equal(t, []any{200, id}, []any{status, same})
	}
	r.completes(id, "h", `{}`)
	status, same := start("RETURN_EXISTING", `{"n":1}`)
	require.Equal(t, []any{200, id}, []any{status, same}, "also when it has ended")

	// Of several that start beside each other once it has ended, one does.
	type answer struct {
		status int
		body   string
	}
	answers := make(chan answer)
	for range 8 {
		go func() {
			status, body := start("FAIL_ON_RUNNING", `{"n":3}`)
			answers <- answer{status, body}
		}()
	}
	started := []string{}
	for range 8 {
		if a := <-answers; a.status == 200 {
			started = append(started, a.body)
		} else {
			require.Equal(t, 409, a.status, a.body)
		}
	}
	require.Len(t, started, 1)
	require.NotEqual(t, id, started[0])

	// From then on the key means that one.
	for _, strategy := range []string{"", "RETURN_EXISTING"} {
		status, same := start(strategy, `{"n":4}`)
		require.Equal(t, []any{200, started[0]}, []any{status, same})
	}
	status, refused := start("FAIL", `{"n":4}`)
	require.Equal(t, 409, status)
	require.Contains(t, refused, started[0])

	w := r.ask("POST", "/api/workflow", `{"name":"held","idempotencyKey":"`+strings.Repeat("k", 257)+`"}`)
	require.Equal(t, 400, w.Code, w.Body)
	require.Contains(t, w.Body.String(), "has 257 bytes: at most 256 are kept")
}

// TestKeyOfChildren: a child has the labels of what it is in, and its key is none of its own.
func TestKeyOfChildren(t *testing.T) {
	r := newRig(t)
	for _, def := range []string{
		`{"name":"nested","version":1,"tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}]}`,
		`{"name":"nested","version":2,"tasks":[{"name":"c","taskReferenceName":"c","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"nested","version":1}}]}`,
	} {
		require.Equal(t, 200, r.ask("POST", "/api/metadata/workflow", def).Code)
	}
	start := func() string {
		w := r.ask("POST", "/api/workflow", `{"name":"nested","idempotencyKey":"k"}`)
		require.Equal(t, 200, w.Code, w.Body)
		return w.Body.String()
	}
	id := start()
	r.asks("GET", "/api/workflow/running/nested?version=1", "", func(w *httptest.ResponseRecorder) bool { return w.Body.Len() > 2 })
	require.Equal(t, id, start())
}

// TestEventTwice: of two handlers of one name in a list neither is kept.
func TestEventTwice(t *testing.T) {
	r := newRig(t)
	const e = `{"name":"e","event":"conductor:a:b","actions":[{"action":"start_workflow","start_workflow":{"name":"order"}}]}`
	for _, method := range []string{"POST", "PUT"} {
		w := r.ask(method, "/api/event", "["+e+","+e+"]")
		require.Equal(t, map[string]int{"POST": 409, "PUT": 404}[method], w.Code, w.Body) // of PUT there is not even one
	}
	require.JSONEq(t, `[]`, r.ask("GET", "/api/event", "").Body.String())
}
