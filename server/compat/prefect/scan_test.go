package prefect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// crowd is an engine with more executions than are looked at for one request, one a minute, the newest first.
type crowd struct {
	Engine
	all  []engine.Execution
	read int
}

var dawn = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *crowd) add(n int, name string, status workflow.ExecutionStatus) {
	for range n {
		i := len(c.all)
		at := dawn.Add(time.Duration(i) * time.Minute)
		ms := at.UnixMilli()
		x := engine.Execution{ID: fmt.Sprintf("%08x-%04x-7000-8000-%012d", ms>>16, ms&0xffff, i), Project: "default", Workflow: name, Version: 1, Status: status, CreatedAt: at}
		if status.Ended() {
			x.StartedAt, x.EndedAt = &at, &at
		}
		c.all = append(c.all, x)
	}
}

func (c *crowd) Executions(_ context.Context, _ string, f engine.ExecutionFilter, page engine.Page) (found []engine.Execution, next string, err error) {
	from := len(c.all)
	if page.Cursor != "" {
		from, _ = slices.BinarySearchFunc(c.all, page.Cursor, func(x engine.Execution, id string) int { return cmp.Compare(x.ID, id) })
	}
	for i := from - 1; i >= 0; i-- {
		if x := &c.all[i]; f.Matches(x) && (f.Until.IsZero() || x.CreatedAt.Before(f.Until)) {
			if len(found) == page.Limit {
				next = found[len(found)-1].ID
				break
			}
			found = append(found, *x)
		}
	}
	c.read += len(found)
	return found, next, nil
}

func (c *crowd) Workflows(context.Context, string, engine.Page) ([]engine.Workflow, string, error) {
	var all []engine.Workflow
	for _, name := range []string{"common", "rare"} {
		all = append(all, engine.Workflow{Project: "default", Name: name, Version: 1, Definition: json.RawMessage(`{}`)})
	}
	return all, "", nil
}

func (c *crowd) StatusCounts(context.Context, string) (map[workflow.ExecutionStatus]int64, error) {
	counts := map[workflow.ExecutionStatus]int64{}
	for _, x := range c.all {
		counts[x.Status]++
	}
	return counts, nil
}

func (c *crowd) ask(t *testing.T, path, body string) (int, string) {
	t.Helper()
	c.read = 0
	gin.SetMode(gin.TestMode)
	router := gin.New()
	for _, r := range New(c).Routes {
		router.Handle(r.Method, r.Path, func(g *gin.Context) {
			if err := r.Serve(g); err != nil {
				fail(g.Writer, g.Request, err)
			}
		})
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/flow_runs"+path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (c *crowd) found(t *testing.T, body string) []flowRun {
	t.Helper()
	code, text := c.ask(t, "/filter", body)
	require.Equal(t, 200, code, text)
	var all []flowRun
	require.NoError(t, json.Unmarshal([]byte(text), &all))
	return all
}

// Lists reach as far as the engine's lists by status and workflow do; numbers are right or refused.
func TestListsReachBehindManyExecutions(t *testing.T) {
	c := &crowd{}
	c.add(30, "rare", workflow.ExecutionSucceeded)
	c.add(20, "common", workflow.ExecutionTimedOut)
	c.add(scanned+1000, "common", workflow.ExecutionFailed)
	c.add(5, "rare", workflow.ExecutionCanceled)

	require.Len(t, c.found(t, `{"limit":3}`), 3)
	require.LessOrEqual(t, c.read, 2*scanPage, "no more is read than is wanted")
	require.Len(t, c.found(t, `{"flow_runs":{"state":{"type":{"any_":["COMPLETED"]}}}}`), 30)
	require.Len(t, c.found(t, `{"flow_runs":{"state":{"type":{"any_":["COMPLETED","CANCELLED"]}}}}`), 35)
	many := `{"flow_runs":{"id":{"any_":[` + strings.Repeat(`"`+c.all[0].ID+`",`, scanned) + `"` + c.all[1].ID + `"]}}}`
	code, text := c.ask(t, "/filter", many)
	require.Equal(t, 422, code, text)
	whole, err := (&handlers{engine: c}).named(t.Context(), []string{c.all[0].ID}, time.Now().Add(-time.Second), nil)
	require.NoError(t, err)
	require.False(t, whole, "it took too long")
	rare := c.found(t, `{"flows":{"name":{"any_":["rare"]}},"sort":"START_TIME_ASC","limit":1}`)
	require.Equal(t, "rare-0", rare[0].Name)
	require.Equal(t, c.all[0].ID, rare[0].ID)
	require.Len(t, c.found(t, `{"deployments":{"id":{"any_":["`+deploymentID("default", "rare")+`"]}}}`), 35)
	require.Len(t, c.found(t, `{"flow_runs":{"deployment_id":{"any_":["`+deploymentID("default", "rare")+`"]},"state":{"type":{"any_":["COMPLETED"]}}}}`), 30)
	require.LessOrEqual(t, c.read, 4*35)
	require.Len(t, c.found(t, `{"flow_runs":{"start_time":{"before_":"2026-01-01T00:09:00Z"}}}`), 10)
	require.Empty(t, c.found(t, `{"flows":{"id":{"any_":["`+flowID("default", "none")+`"]}}}`), "it may be one that is published no more")
	require.LessOrEqual(t, c.read, scanned+2*scanPage)

	for body, want := range map[string]string{
		`{}`: "51055",
		`{"flow_runs":{"state":{"type":{"any_":["COMPLETED","CANCELLED"]}}}}`:                                           "35",
		`{"flows":{"name":{"any_":["rare"]}}}`:                                                                          "35",
		`{"flows":{"name":{"any_":["rare"]}},"flow_runs":{"state":{"type":{"any_":["FAILED"]}}}}`:                       "0",
		`{"flow_runs":{"state":{"operator":"or_","type":{"any_":["COMPLETED"]},"name":{"any_":["TimedOut"]}}}}`:         "",
		`{"flow_runs":{"state":{"type":{"any_":["FAILED"]}}}}`:                                                          "",
		`{"flow_runs":{"state":{"type":{"any_":["FAILED"]}},"expected_start_time":{"before_":"2026-01-01T00:34:00Z"}}}`: "5",
	} {
		code, text := c.ask(t, "/count", body)
		if want == "" {
			require.Equal(t, 422, code, body)
			require.Equal(t, `{"detail":"more flow runs would have to be looked at than one request may: narrow by flows, deployments, state types or times"}`, text)
			continue
		}
		require.Equal(t, want, text, body)
	}
	code, _ = c.ask(t, "/paginate", `{"page":1}`)
	require.Equal(t, 422, code)
	code, text = c.ask(t, "/paginate", `{"page":2,"limit":20,"flows":{"name":{"any_":["rare"]}},"sort":"START_TIME_ASC"}`)
	require.Equal(t, 200, code, text)
	var page pageOfRuns
	require.NoError(t, json.Unmarshal([]byte(text), &page))
	require.Equal(t, []int{35, 2, 2, 15}, []int{page.Count, page.Pages, page.Page, len(page.Results)})
	require.Equal(t, c.all[20].ID, page.Results[0].ID)

	code, text = c.ask(t, "/history", `{"history_start":"2026-01-01T00:00:00Z","history_end":"2026-01-01T01:00:00Z","history_interval_seconds":3600}`)
	require.Equal(t, 200, code, text)
	require.Contains(t, text, `{"state_type":"COMPLETED","state_name":"Completed","count_runs":30`)
	require.Contains(t, text, `{"state_type":"FAILED","state_name":"TimedOut","count_runs":20`)
	code, _ = c.ask(t, "/history", `{"history_start":"2026-01-01T00:00:00Z","history_end":"2026-06-01T01:00:00Z","history_interval_seconds":86400}`)
	require.Equal(t, 422, code)
}
