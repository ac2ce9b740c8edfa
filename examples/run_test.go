package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/test/fleet"
	"github.com/redrive/redrive/workflow"
)

// scenarios run each example as its comment says, by its path.
var scenarios = map[string]func(t *testing.T, h *house){
	"approval.yaml":             runApproval,
	"concurrency.yaml":          runConcurrency,
	"exec-pipeline.yaml":        runExecPipeline,
	"failure-handlers.yaml":     runFailureHandlers,
	"for-each.yaml":             runForEach,
	"group-retry.yaml":          runGroupRetry,
	"http-condition.yaml":       runHTTPCondition,
	"loop.yaml":                 runLoop,
	"nested.yaml":               runNested,
	"remote/workflow.yaml":      runRemote,
	"retry-continue.yaml":       runRetryContinue,
	"schedules/workflow.yaml":   runScheduled,
	"secrets.yaml":              runSecrets,
	"sub-workflow-billing.yaml": runBilling,
	"sub-workflow.yaml":         runSubWorkflow,
	"timeout.yaml":              runTimeout,
	"wait.yaml":                 runWait,
	"weather/workflow.yaml":     runWeather,
	"worker/hello.yaml":         runOwnWorker,
}

func TestExamplesRun(t *testing.T) {
	for path, run := range scenarios {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			run(t, newHouse(t))
		})
	}
}

// input reads the input that lies beside an example.
func input(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func runWeather(t *testing.T, h *house) {
	dir := t.TempDir()
	years, path := map[string]string{"2012": weather.Sample, "2013": weather.Sample, "2015": weather.Sample}, filepath.Join(dir, "report.md")
	years["2014"] = filepath.Join(dir, "2014.csv")
	damaged := bytes.Replace(weather.SampleYear(2014), []byte("2014-02-10,18.3,10.0"), []byte("2014-02-10,18.3,1O.0"), 1)
	require.NoError(t, os.WriteFile(years["2014"], damaged, 0o600))
	x := h.start("weather/workflow.yaml", map[string]any{"years": years, "report": path})
	require.Equal(t, "items_failed", h.ends(x, workflow.ExecutionFailed).Error.Code)
	require.Contains(t, h.task(x, "year[2014]").Error.Message, `line 42: temp_max: is "1O.0"`)
	require.Equal(t, map[string]string{
		"year": "failed", "year[2012]": "succeeded", "year[2013]": "succeeded", "year[2014]": "failed", "year[2015]": "succeeded",
		"compare": "canceled", "report": "canceled",
	}, h.statuses(x.ID))
	require.NoFileExists(t, path)

	// The data is corrected: that year runs again, and what needs it.
	require.NoError(t, os.WriteFile(years["2014"], weather.SampleYear(2014), 0o600))
	x = h.redrive(x, workflow.Redrive{Operation: workflow.OperationRetry})
	require.JSONEq(t, fmt.Sprintf(`{"report": %q, "warmest_year": 2015, "wettest_year": 2014}`, path), string(h.ends(x, workflow.ExecutionSucceeded).Output))
	require.Equal(t, []int{1, 1, 2, 1}, h.attempts(x, "year[2012]", "year[2013]", "year[2014]", "year[2015]"))
	require.JSONEq(t, `{"years":[2012,2013,2014,2015],"warmest_year":2015,"wettest_year":2014,"driest_year":2013,
		"mean_change":1.85,"rain_days":623}`, string(h.task(x, "compare").Output))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "- warmest year: 2015\n")

	// Another file for one year: only what sees something else runs again.
	revised := filepath.Join(dir, "2012-revised.csv")
	require.NoError(t, os.WriteFile(revised, bytes.Replace(weather.SampleYear(2012), []byte("2012-11-19,54.1"), []byte("2012-11-19,64.1"), 1), 0o600))
	x = h.redrive(x, workflow.Redrive{
		Operation: workflow.OperationRerun, Scope: workflow.ScopeChanged, InputMode: workflow.InputMerge,
		WorkflowInput: json.RawMessage(fmt.Sprintf(`{"years": {"2012": %q}}`, revised)),
	})
	require.JSONEq(t, fmt.Sprintf(`{"report": %q, "warmest_year": 2015, "wettest_year": 2012}`, path), string(h.ends(x, workflow.ExecutionSucceeded).Output))
	require.Equal(t, []int{2, 1, 2, 1, 2, 2}, h.attempts(x, "year[2012]", "year[2013]", "year[2014]", "year[2015]", "compare", "report"))
}

func runExecPipeline(t *testing.T, h *house) {
	x := h.start("exec-pipeline.yaml", map[string]string{"csv": "weather/data/seattle-weather.csv"})
	h.succeeds(x, `{"ranking":"641 rain\n640 sun\n101 fog\n53 drizzle\n26 snow\n","wettest":{"mm":1232.8,"year":"2014"}}`)
}

func runHTTPCondition(t *testing.T, h *house) {
	for _, c := range []struct {
		stock   string
		status  int
		ordered string // body of the order, or ""
	}{
		{`{"stock":3}`, 200, `{"count":7,"item":"tea"}`},
		{`{"stock":10}`, 200, ""},
		{``, 404, `{"count":10,"item":"tea"}`},
	} {
		type order struct{ key, body string }
		orders := make(chan order, 1)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				var body any
				_ = json.NewDecoder(r.Body).Decode(&body)
				text, _ := json.Marshal(body)
				orders <- order{r.Header.Get("Idempotency-Key"), string(text)}
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.stock)
		}))
		x := h.start("http-condition.yaml", map[string]string{"url": s.URL, "item": "tea"})
		h.succeeds(x, fmt.Sprintf(`{"item":"tea","ordered":%t}`, c.ordered != ""))
		s.Close()
		if c.ordered == "" {
			require.Empty(t, orders)
			require.Equal(t, workflow.TaskSucceeded, h.task(x, "enough").Status)
			continue
		}
		sent := <-orders
		require.Equal(t, c.ordered, sent.body)
		require.NotEmpty(t, sent.key)
		require.Equal(t, workflow.TaskSkipped, h.task(x, "enough").Status)
	}
}

func runRetryContinue(t *testing.T, h *house) {
	h.succeeds(h.start("retry-continue.yaml", map[string]string{"flaky": "true"}), `{"went_on_without":"no_cache","flaky_attempts":1}`)

	x := h.start("retry-continue.yaml", map[string]string{"flaky": "exit 64"})
	require.Equal(t, "exit_64", h.ends(x, workflow.ExecutionFailed).Error.Code)
	require.Equal(t, 1, h.task(x, "flaky").Attempt, "wrong usage is not tried again")
	require.Equal(t, workflow.TaskCanceled, h.task(x, "summary").Status)

	x = h.start("retry-continue.yaml", map[string]string{"flaky": `test "$REDRIVE_ATTEMPT" -ge 3`})
	h.succeeds(x, `{"went_on_without":"no_cache","flaky_attempts":3}`)
	require.Equal(t, 2, h.task(x, "optional").Attempt)
}

func runSecrets(t *testing.T, h *house) {
	x := h.start("secrets.yaml", `{}`)
	h.succeeds(x, `"a token of 6 letters"`)
	require.Contains(t, string(h.task(x, "call").Input), "${secrets.api_token}")
	require.NotContains(t, string(h.task(x, "call").Input), "s3cret")
}

func runScheduled(t *testing.T, h *house) {
	tick := time.Date(2026, 3, 2, 1, 30, 0, 0, time.UTC)
	x, _, err := h.Start(t.Context(), "default", engine.StartRequest{
		Workflow: h.publish("schedules/workflow.yaml"), Input: json.RawMessage(`{"day": "2026-03-02"}`), SessionTime: tick,
	})
	require.NoError(t, err)
	h.ends(x, workflow.ExecutionSucceeded)
	require.JSONEq(t, `{"message": "the report of 2026-03-02, session 2026-03-02T01:30:00Z"}`, string(h.task(x, "report").Input))
}

func runOwnWorker(t *testing.T, h *house) {
	binary, err := fleet.Build("github.com/redrive/redrive/examples/worker")
	require.NoError(t, err)
	x := h.start("worker/hello.yaml", `{"name": "Ada"}`)
	fleet.Launch(t, "greeter", binary, nil, "--redis", h.url)
	h.succeeds(x, `"Hello, Ada!"`)
}

// runRemote takes the place of remote/worker.py, which the end-to-end tests run over HTTP.
func runRemote(t *testing.T, h *house) {
	x := h.start("remote/workflow.yaml", `{"text": "to be or not to be to"}`)
	runs, err := h.Poll(t.Context(), engine.Poll{Worker: "py", Types: []string{"word.count"}, Wait: engine.MaxPollWait})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.JSONEq(t, `{"text": "to be or not to be to", "pause": 0}`, string(runs[0].Input))
	words := `{"to":3,"be":2,"or":1,"not":1}`
	_, err = h.RemoteComplete(t.Context(), x.ID, "count", runs[0].Token, json.RawMessage(words))
	require.NoError(t, err)
	h.succeeds(x, `{"words":`+words+`,"top":"to"}`)
}

func runConcurrency(t *testing.T, h *house) {
	var all []*engine.Execution
	for range 3 {
		all = append(all, h.start("concurrency.yaml", `{}`))
	}
	h.reaches(all[0], "use", workflow.TaskWaiting)
	h.reaches(all[1], "use", workflow.TaskWaiting)
	third, err := h.Execution(t.Context(), all[2].ID)
	require.NoError(t, err)
	require.Equal(t, workflow.ExecutionQueued, third.Status)
	require.Equal(t, engine.ReasonConcurrency, third.Reason)
	require.NoError(t, h.answer(all[0], `"done"`))
	h.succeeds(all[0], `"done"`)
	h.reaches(all[2], "use", workflow.TaskWaiting)
	require.NoError(t, h.answer(all[1], `2`))
	require.NoError(t, h.answer(all[2], `3`))
	h.succeeds(all[1], `2`)
	h.succeeds(all[2], `3`)
}

func runFailureHandlers(t *testing.T, h *house) {
	x := h.start("failure-handlers.yaml", `{"import": "exit 3"}`)
	require.Equal(t, "exit_3", h.ends(x, workflow.ExecutionFailed).Error.Code)
	require.Equal(t, map[string]string{
		"reserve": "succeeded", "import": "failed", "slow": "canceled", "publish": "canceled",
		"on_failure": "succeeded", "on_failure.cleanup": "succeeded", "on_failure.tell": "succeeded",
	}, h.statuses(x.ID))
	require.JSONEq(t, `{"text": "failure-handlers failed: exit_3", "import": "failed", "slow": "canceled"}`, string(h.task(x, "on_failure.tell").Output))

	x = h.start("failure-handlers.yaml", `{"import": "exit 0"}`)
	h.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, map[string]string{"reserve": "succeeded", "import": "succeeded", "slow": "skipped", "publish": "succeeded"}, h.statuses(x.ID))
}

func runTimeout(t *testing.T, h *house) {
	x := h.start("timeout.yaml", `{}`)
	h.reaches(x, "partner", workflow.TaskWaiting)
	require.Equal(t, workflow.TaskTimedOut, h.task(x, "quick").Status)
	h.pass(2 * time.Hour)
	require.Equal(t, "timed_out", h.ends(x, workflow.ExecutionTimedOut).Error.Code)
	require.JSONEq(t, `{"error": "timed_out", "quick": "timed_out", "store": "canceled"}`, string(h.task(x, "on_failure.note").Output))

	x = h.start("timeout.yaml", `{}`)
	h.reaches(x, "partner", workflow.TaskWaiting)
	require.NoError(t, h.answer(x, `{"rows": 3}`))
	h.succeeds(x, `{"rows": 3}`)
}
