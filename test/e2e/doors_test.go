package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/test/fleet"
)

// doors are the APIs that all see the same executions: how each starts the workflow reading, and how it makes good an
// execution that failed. Both answer the id of the execution that then runs.
type door struct {
	name  string
	start func(d *street, file string) string
	mend  func(d *street, id string) string
}

// street is a fleet with all its doors.
type street struct {
	*fleet.Fleet
	t     *testing.T
	nonce int
}

func (d *street) ask(status int, method, path, body string) string {
	d.t.Helper()
	got, answer := call(d.t, d.Fleet, method, path, "application/json", body)
	require.Equal(d.t, status, got, "%s %s: %s", method, path, answer)
	return answer
}

func (d *street) once() string {
	d.nonce++
	return `{"authentication":{"nonce":"` + strconv.Itoa(d.nonce) + `"}`
}

// native is the id of an execution that is named otherwise.
func (d *street) native(id string) *client.Execution {
	d.t.Helper()
	x, err := d.API.Execution(d.t.Context(), id)
	require.NoError(d.t, err)
	return x
}

func (d *street) field(answer string, path ...string) string {
	d.t.Helper()
	var v any = decode[map[string]any](d.t, answer)
	for _, name := range path {
		v = v.(map[string]any)[name]
	}
	return v.(string)
}

func input(t *testing.T, file string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"file": file})
	require.NoError(t, err)
	return string(text)
}

var doors = []door{
	{"native", func(d *street, file string) string { return d.Start("reading", map[string]string{"file": file}) }, func(d *street, id string) string {
		x, err := d.API.Retry(d.t.Context(), id, client.RedriveRequest{})
		require.NoError(d.t, err)
		return x.ID
	}},
	{"conductor", func(d *street, file string) string {
		return d.ask(200, "POST", "/api/workflow", `{"name":"reading","input":`+input(d.t, file)+`}`)
	}, func(d *street, id string) string {
		d.ask(204, "POST", "/api/workflow/"+id+"/retry", "")
		return id
	}},
	{"digdag", func(d *street, file string) string {
		body := `{"projectName":"default","workflowName":"reading","sessionTime":"2026-03-01T00:00:00Z","retryAttemptName":"` + filepath.Base(file) + `","params":` + input(d.t, file) + `}`
		return d.native(d.field(d.ask(200, "PUT", "/api/attempts", body), "id")).ID
	}, func(d *street, id string) string {
		x := d.native(id)
		number := strconv.FormatInt(x.Number, 10)
		at := d.field(d.ask(200, "GET", "/api/attempts/"+number, ""), "sessionTime")
		body := `{"projectName":"default","workflowName":"reading","sessionTime":"` + at + `","retryAttemptName":"again-` + number + `","params":` + string(x.Input) +
			`,"resume":{"mode":"failed","attemptId":"` + number + `"}}`
		return d.native(d.field(d.ask(200, "PUT", "/api/attempts", body), "id")).ID
	}},
	{"cognite", func(d *street, file string) string {
		return d.field(d.ask(202, "POST", "/api/v1/projects/default/workflows/reading/versions/1/run", d.once()+`,"input":`+input(d.t, file)+`}`), "id")
	}, func(d *street, id string) string {
		d.ask(200, "POST", "/api/v1/projects/default/workflows/executions/"+id+"/retry", d.once()+`}`)
		return id
	}},
	{"kaizen", func(d *street, file string) string {
		return d.field(d.ask(200, "POST", "/workflows/execute", `{"workflowId":"reading","params":`+input(d.t, file)+`}`), "executionId")
	}, func(d *street, id string) string {
		return d.field(d.ask(200, "POST", "/executions/retry", `{"id":"`+id+`"}`), "execution", "execution", "id")
	}},
	{"prefect", func(d *street, file string) string {
		deployment := d.field(d.ask(200, "GET", "/api/deployments/name/reading/redrive", ""), "id")
		return d.field(d.ask(201, "POST", "/api/deployments/"+deployment+"/create_flow_run", `{"parameters":`+input(d.t, file)+`}`), "id")
	}, func(d *street, id string) string {
		d.ask(201, "POST", "/api/flow_runs/"+id+"/set_state", `{"state":{"type":"SCHEDULED"},"force":true}`)
		return id
	}},
}

// Whatever was started through one door is made good through any other, is seen in asynqmon, and its history says who asked through which.
func TestEveryDoorMendsWhatAnyOtherStarted(t *testing.T) {
	d := &street{Fleet: start(t, "--allow-exec", "cat"), t: t}
	d.Publish(reading)
	folder := t.TempDir()
	through := func(door string) string {
		if door == "native" {
			return "test (key_"
		}
		return door + ":test (key_"
	}
	type row struct {
		by, with door
		file, id string
	}
	var rows []row
	for _, by := range doors {
		for _, with := range doors {
			file := filepath.Join(folder, by.name+"-"+with.name)
			rows = append(rows, row{by, with, file, by.start(d, file)})
		}
	}
	for _, r := range rows {
		require.EqualValues(t, "failed", await(t, d.Fleet, r.id).Status, "%s", r.file)
		require.True(t, strings.HasPrefix(askers(t, d.Fleet, r.id)["execution.started"], through(r.by.name)), "%s: %v", r.file, askers(t, d.Fleet, r.id))
	}
	status, archived := call(t, d.Fleet, "GET", "/monitoring/api/queues/default/archived_tasks?size=100", "", "")
	require.Equal(t, 200, status, archived)
	for _, r := range rows {
		require.Contains(t, archived, r.id+":read:1:", "asynqmon shows the job of each")
		require.NoError(t, os.WriteFile(r.file, []byte("CLM-1"), 0o600))
		mended := r.with.mend(d, r.id)
		require.EqualValues(t, "succeeded", await(t, d.Fleet, mended).Status, "%s", r.file)
		said := askers(t, d.Fleet, mended)
		require.True(t, strings.HasPrefix(said["execution.redriven"], through(r.with.name)), "%s: %v", r.file, said)
		if mended == r.id {
			require.True(t, strings.HasPrefix(said["execution.started"], through(r.by.name)), "%s: %v", r.file, said)
		} else {
			require.Equal(t, &r.id, d.native(mended).Lineage.Parent)
		}
	}
}

// Executions of sub-workflows that were made at run time, which have no published workflow, stand in each door's lists.
func TestEveryDoorShowsWhatWasMadeAtRunTime(t *testing.T) {
	d := &street{Fleet: start(t), t: t}
	d.Publish(`
name: maker
tasks:
  - { name: make, type: transform, with: { jq: '{name: "made", tasks: [{name: "inside", type: "noop"}]}', value: {} } }
  - { name: run, type: workflow, needs: [make], with: { definition: "${tasks.make.output}" } }
`)
	id := d.Start("maker", map[string]any{})
	require.EqualValues(t, "succeeded", await(t, d.Fleet, id).Status)
	task, err := d.API.Task(t.Context(), id, "run")
	require.NoError(t, err)
	made := d.native(task.Child)
	number := strconv.FormatInt(made.Number, 10)
	for _, c := range []struct{ method, path, body, names string }{
		{"POST", "/executions/list", `{}`, made.ID}, {"POST", "/executions/get", `{"id":"` + made.ID + `"}`, "inside"},
		{"GET", "/api/attempts?include_retried=true", "", `"id":"` + number + `"`}, {"GET", "/api/attempts/" + number, "", `"made"`},
		{"GET", "/api/attempts/" + number + "/tasks", "", "inside"}, {"GET", "/api/logs/" + number + "/files", "", "files"},
		{"POST", "/api/flow_runs/filter", `{}`, made.ID}, {"GET", "/api/flow_runs/" + made.ID, "", `"made-` + number + `"`},
		{"GET", "/api/workflow/search", "", made.ID}, {"GET", "/api/workflow/" + made.ID, "", "inside"},
		{"POST", "/api/v1/projects/default/workflows/executions/list", `{}`, id}, {"GET", "/api/v1/projects/default/workflows/executions/" + made.ID, "", "inside"},
	} {
		require.Contains(t, d.ask(200, c.method, c.path, c.body), c.names, c.path)
	}
	flow := d.field(d.ask(200, "GET", "/api/flow_runs/"+made.ID, ""), "flow_id")
	for path, body := range map[string]string{"/api/flows/filter": `{"flows":{"id":{"any_":["` + flow + `"]}}}`, "/api/flow_runs/filter": `{"flows":{"id":{"any_":["` + flow + `"]}}}`} {
		require.Len(t, decode[[]any](t, d.ask(200, "POST", path, body)), 1, "Prefect's command line looks up the flow of each flow run")
	}
	require.Contains(t, d.ask(200, "GET", "/api/flows/"+flow, ""), flow)
	require.Len(t, decode[[]any](t, d.ask(200, "POST", "/api/flows/filter", `{}`)), 1)
}
