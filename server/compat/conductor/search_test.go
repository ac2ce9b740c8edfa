package conductor_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answered reads the answer of a search.
func (r *rig) answered(path string, parameters map[string]string) (total int, results []map[string]any) {
	r.t.Helper()
	values := url.Values{}
	for name, value := range parameters {
		values.Set(name, value)
	}
	w := r.ask("GET", path+"?"+values.Encode(), "")
	require.Equal(r.t, []any{200, "application/json"}, []any{w.Code, w.Header().Get("Content-Type")}, "%v: %s", parameters, w.Body)
	var found struct {
		TotalHits int
		Results   []map[string]any
	}
	require.NoError(r.t, json.Unmarshal(w.Body.Bytes(), &found))
	return found.TotalHits, found.Results
}

// fieldsOf are what results have in a field, in their order.
func fieldsOf(results []map[string]any, field string) []string {
	all := []string{}
	for _, one := range results {
		v, ok := one[field]
		if !ok {
			v = ""
		}
		if n, ok := v.(float64); ok {
			v = fmt.Sprintf("%015.0f", n)
		}
		all = append(all, fmt.Sprint(v))
	}
	return all
}

// searched are executions to search: alpha in two versions, one of them ended, and beta, which has one as its child.
func searched(r *rig) map[string]string {
	def := func(body string) {
		require.Equal(r.t, 200, r.ask("POST", "/api/metadata/workflow", body).Code)
	}
	def(`{"name":"alpha","version":1,"tasks":[{"name":"h","taskReferenceName":"h","type":"HUMAN"}]}`)
	def(`{"name":"alpha","version":2,"tasks":[{"name":"w","taskReferenceName":"w","type":"WAIT","inputParameters":{"for":"${workflow.input.for}"}}]}`)
	def(`{"name":"beta","version":1,"tasks":[{"name":"s","taskReferenceName":"s","type":"SUB_WORKFLOW","subWorkflowParam":{"name":"alpha","version":1}}]}`)
	start := func(body string) string {
		w := r.ask("POST", "/api/workflow", body)
		require.Equal(r.t, 200, w.Code, w.Body)
		return w.Body.String()
	}
	x := map[string]string{
		"ended":  start(`{"name":"alpha","version":1,"correlationId":"c-1","input":{"say":"needle"}}`),
		"second": start(`{"name":"alpha","version":2,"correlationId":"c-2","input":{"for":"thread"}}`),
		"parent": start(`{"name":"beta","correlationId":"d-3"}`),
	}
	r.asks("GET", "/api/tasks/search?query=status%3DIN_PROGRESS", "", func(w *httptest.ResponseRecorder) bool {
		return strings.HasPrefix(w.Body.String(), `{"totalHits":4,`)
	})
	_, children := r.answered("/api/workflow/search", map[string]string{"query": "parentWorkflowId=" + x["parent"]})
	require.Len(r.t, children, 1)
	x["child"], _ = children[0]["workflowId"].(string)
	r.completes(x["ended"], "h", `{}`)
	require.Equal(r.t, 200, r.ask("PUT", "/api/workflow/"+x["second"]+"/pause", "").Code)
	return x
}

func TestSearchWorkflows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := searched(r)
	var run struct{ StartTime, EndTime int64 }
	require.NoError(t, json.Unmarshal(r.ask("GET", "/api/workflow/"+x["ended"], "").Body.Bytes(), &run))
	fill := strings.NewReplacer(
		"{ended}", x["ended"], "{second}", x["second"], "{parent}", x["parent"], "{child}", x["child"],
		"{start}", fmt.Sprint(run.StartTime), "{before}", fmt.Sprint(run.StartTime-1), "{after}", fmt.Sprint(run.StartTime+1), "{end}", fmt.Sprint(run.EndTime), "{beforeEnd}", fmt.Sprint(run.EndTime-1),
	)
	all := []string{"ended", "second", "parent", "child"}
	for _, c := range []struct {
		query, free string
		want        []string
	}{
		{"", "", all}, {"*", "*", all},
		{"workflowId={ended}", "", []string{"ended"}}, {`workflowId IN ("{ended}", '{child}')`, "", []string{"ended", "child"}}, {"workflowId!={ended}", "", []string{"second", "parent", "child"}},
		{"workflowType=alpha", "", []string{"ended", "second", "child"}}, {"workflowType=al*a", "", []string{"ended", "second", "child"}}, {"workflowType=*et*", "", []string{"parent"}},
		{"workflowType != alpha", "", []string{"parent"}}, {"workflowType IN (alpha,beta)", "", all}, {"workflowType=alph", "", nil},
		{"correlationId=c-1", "", []string{"ended"}}, {"correlationId=c-*", "", []string{"ended", "second"}}, {"correlationId IN (c-1,c-2) AND status=PAUSED", "", []string{"second"}},
		{"status=COMPLETED", "", []string{"ended"}}, {"status IN (COMPLETED,PAUSED)", "", []string{"ended", "second"}}, {"status!=RUNNING", "", []string{"ended", "second"}},
		{"status=*ED", "", []string{"ended", "second"}}, {"status=FAILED", "", nil}, {"status=RUNNING and workflowType=alpha", "", []string{"child"}},
		{"version=2", "", []string{"second"}}, {"version>1", "", []string{"second"}}, {"version<2", "", []string{"ended", "parent", "child"}}, {"version!=2", "", []string{"ended", "parent", "child"}}, {"version IN (1,2)", "", all},
		{"parentWorkflowId={parent}", "", []string{"child"}}, {"parentWorkflowId!={parent}", "", []string{"ended", "second", "parent"}}, {"parentWorkflowId=nope", "", nil},
		{"startTime>{before} AND startTime<{after} AND workflowId={ended}", "", []string{"ended"}}, {"startTime={start} AND workflowId={ended}", "", []string{"ended"}},
		{"startTime IN (1,{start}) AND workflowId={ended}", "", []string{"ended"}}, {"startTime!={start} AND workflowId={ended}", "", nil},
		{"startTime>{start} AND workflowId={ended}", "", nil}, {"startTime<{start} AND workflowId={ended}", "", nil}, {"startTime>9999999999999", "", nil},
		{"endTime>0", "", []string{"ended"}}, {"endTime<9999999999999", "", []string{"ended"}}, {"endTime={end}", "", []string{"ended"}}, {"endTime!={end}", "", []string{"second", "parent", "child"}},
		{"updateTime>{beforeEnd} AND status=COMPLETED", "", []string{"ended"}}, {"updateTime={end} AND status=COMPLETED", "", []string{"ended"}}, {"updateTime<{end} AND status=COMPLETED", "", nil},
		{"", "needle", []string{"ended"}}, {"", "*eedl*", []string{"ended"}}, {"workflowType=beta", "needle", nil}, {"", "{second}", []string{"second"}},
	} {
		want := []string{}
		for _, name := range c.want {
			want = append(want, x[name])
		}
		for _, path := range []string{"/api/workflow/search", "/api/workflow/search-v2"} {
			parameters := map[string]string{"query": fill.Replace(c.query)}
			if c.free != "" {
				parameters["freeText"] = fill.Replace(c.free)
			}
			total, results := r.answered(path, parameters)
			require.ElementsMatch(t, want, fieldsOf(results, "workflowId"), "%s %v", path, c)
			require.Equal(t, len(want), total, "%s %v", path, c)
		}
	}
	_, results := r.answered("/api/workflow/search", map[string]string{"topLevelOnly": "true"})
	require.ElementsMatch(t, []string{x["ended"], x["second"], x["parent"]}, fieldsOf(results, "workflowId"))
}

// sorts holds that results come in the order of each field, either way, and in pages.
func (r *rig) sorts(path string, count int, fields map[string]string) {
	r.t.Helper()
	for field, shown := range fields {
		for _, direction := range []string{"", ":ASC", ":desc", ":DESC"} {
			total, results := r.answered(path, map[string]string{"sort": field + direction})
			require.Equal(r.t, []any{count, count}, []any{total, len(results)})
			got := fieldsOf(results, shown)
			want := slices.Sorted(slices.Values(got))
			require.NotEmpty(r.t, want[len(want)-1], "%s: there is something to sort by", field)
			if strings.EqualFold(direction, ":DESC") {
				slices.Reverse(want)
			}
			require.Equal(r.t, want, got, "%s%s", field, direction)
		}
	}
}

func TestSearchSortsWorkflows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := searched(r)
	r.sorts("/api/workflow/search-v2", 4, map[string]string{
		"workflowId": "workflowId", "workflowType": "workflowName", "correlationId": "correlationId", "status": "status", "parentWorkflowId": "parentWorkflowId",
		"version": "workflowVersion", "startTime": "startTime", "endTime": "endTime",
	})
	r.sorts("/api/workflow/search", 4, map[string]string{
		"workflowId": "workflowId", "workflowType": "workflowType", "version": "version", "startTime": "startTime", "endTime": "endTime", "updateTime": "updateTime",
	})

	// By one field, and where that is the same by another one.
	const by = "workflowType:DESC|version:DESC|correlationId"
	want := []string{x["parent"], x["second"], x["ended"], x["child"]}
	_, results := r.answered("/api/workflow/search", map[string]string{"sort": by})
	require.Equal(t, want[:2], fieldsOf(results, "workflowId")[:2])
	require.Equal(t, []string{"c-1", "d-3"}, fieldsOf(results, "correlationId")[2:], "the child has the correlation id of its parent")
	for start := range 5 {
		total, page := r.answered("/api/workflow/search", map[string]string{"sort": by, "start": fmt.Sprint(start), "size": "2"})
		require.Equal(t, 4, total, "all that is found is counted")
		require.Equal(t, fieldsOf(results, "workflowId")[min(start, 4):min(start+2, 4)], fieldsOf(page, "workflowId"), "from %d", start)
	}
	total, none := r.answered("/api/workflow/search", map[string]string{"size": "0"})
	require.Equal(t, []any{4, 0}, []any{total, len(none)})
}

func TestSearchTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	x := searched(r)
	var run struct {
		Tasks []struct {
			TaskID                                        string
			ScheduledTime, StartTime, UpdateTime, EndTime int64
		}
	}
	require.NoError(t, json.Unmarshal(r.ask("GET", "/api/workflow/"+x["ended"], "").Body.Bytes(), &run))
	h := run.Tasks[0]
	fill := strings.NewReplacer("{ended}", x["ended"], "{second}", x["second"], "{task}", h.TaskID, "{scheduled}", fmt.Sprint(h.ScheduledTime), "{start}", fmt.Sprint(h.StartTime),
		"{update}", fmt.Sprint(h.UpdateTime), "{end}", fmt.Sprint(h.EndTime))
	// By their executions and reference names.
	ended, wait, sub, child := x["ended"]+" h", x["second"]+" w", x["parent"]+" s", x["child"]+" h"
	for _, c := range []struct {
		query, free string
		want        []string
	}{
		{"", "", []string{ended, wait, sub, child}},
		{"workflowId={ended}", "", []string{ended}}, {"workflowId IN ({ended},nope,{second})", "", []string{ended, wait}}, {"workflowId!={ended} AND taskType=HUMAN", "", []string{child}},
		{"workflowType=alpha", "", []string{ended, wait, child}}, {"workflowType=b*", "", []string{sub}}, {"correlationId=c-2", "", []string{wait}}, {"correlationId!=c-2 AND workflowType=alpha", "", []string{ended, child}},
		{"taskId={task}", "", []string{ended}}, {"taskId!={task} AND workflowId={ended}", "", nil}, {"taskType=HUMAN", "", []string{ended, child}}, {"taskType IN (WAIT,SUB_WORKFLOW)", "", []string{wait, sub}},
		{"taskDefName=h", "", []string{ended, child}}, {"taskReferenceName=s", "", []string{sub}}, {"referenceTaskName!=h", "", []string{wait, sub}},
		{"status=COMPLETED", "", []string{ended}}, {"status IN (IN_PROGRESS)", "", []string{wait, sub, child}}, {"status!=COMPLETED", "", []string{wait, sub, child}}, {"status=C*", "", []string{ended}},
		{"scheduledTime={scheduled} AND workflowId={ended}", "", []string{ended}}, {"startTime>{start} AND workflowId={ended}", "", nil}, {"updateTime IN (5,{update}) AND workflowId={ended}", "", []string{ended}},
		{"endTime>0", "", []string{ended}}, {"endTime<{end} AND workflowId={ended}", "", nil}, {"endTime!={end} AND workflowId={ended}", "", nil},
		{"", "thread", []string{wait}}, {"", "{task}", []string{ended}}, {"taskType=HUMAN", "thread", nil},
	} {
		for path, id := range map[string]string{"/api/tasks/search": "workflowId", "/api/tasks/search-v2": "workflowInstanceId"} {
			parameters := map[string]string{"query": fill.Replace(c.query)}
			if c.free != "" {
				parameters["freeText"] = fill.Replace(c.free)
			}
			total, results := r.answered(path, parameters)
			got := []string{}
			for _, one := range results {
				ref := one["taskReferenceName"]
				if path == "/api/tasks/search-v2" {
					ref = one["referenceTaskName"]
				}
				got = append(got, fmt.Sprint(one[id], " ", ref))
			}
			require.ElementsMatch(t, c.want, got, "%s %v", path, c)
			require.Equal(t, len(c.want), total, "%s %v", path, c)
		}
	}
	r.sorts("/api/tasks/search-v2", 4, map[string]string{
		"workflowId": "workflowInstanceId", "workflowType": "workflowType", "correlationId": "correlationId", "taskId": "taskId", "taskType": "taskType", "taskDefName": "taskDefName",
		"taskReferenceName": "referenceTaskName", "referenceTaskName": "referenceTaskName", "status": "status", "scheduledTime": "scheduledTime", "startTime": "startTime", "updateTime": "updateTime", "endTime": "endTime",
	})
	total, page := r.answered("/api/tasks/search", map[string]string{"sort": "taskType:DESC|workflowId", "start": "1", "size": "2"})
	require.Equal(t, 4, total)
	require.Equal(t, []string{"SUB_WORKFLOW", "HUMAN"}, fieldsOf(page, "taskType"))
}
