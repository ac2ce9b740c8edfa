package prefect_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefusalsOfPrefect holds what is refused, and how, against what Prefect 3.9.1 answered to the same, in that order.
// {own} is a flow run that Prefect's own process runs, {flow} its flow, {none} an id of nothing.
func TestRefusalsOfPrefect(t *testing.T) {
	r := newRig(t)
	own := r.run("")
	into := []string{"{own}", own, "{flow}", r.flowID("own"), "{none}", noID}
	back := []string{own, "{own}", r.flowID("own"), "{flow}", noID, "{none}"}
	text, err := os.ReadFile("testdata/refusals.jsonl")
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	require.Greater(t, len(lines), 100)
	for _, line := range lines {
		var c struct {
			Method, Path, Body, Answer string
			Status                     int
		}
		require.NoError(t, json.Unmarshal(line, &c))
		names := strings.NewReplacer(into...)
		a := r.ask(c.Method, names.Replace(c.Path), names.Replace(c.Body))
		require.Equal(t, c.Status, a.code, "%s %s %s: %s", c.Method, c.Path, c.Body, a.text)
		require.Equal(t, c.Answer, strings.NewReplacer(back...).Replace(a.text), "%s %s %s", c.Method, c.Path, c.Body)
		if c.Answer != "" {
			require.Equal(t, "application/json", a.kind)
		}
	}
}

// TestLenientBodies: what pydantic takes beside what it documents means the same here.
func TestLenientBodies(t *testing.T) {
	r := newRig(t)
	id := r.run(`,"idempotency_key":"k"`)
	for _, limit := range []string{`"1"`, `1.0`, `"1.0"`, `true`, `" +1 "`} {
		require.Len(t, r.post("/flow_runs/filter", `{"limit":`+limit+`}`).list(), 1, limit)
	}
	r.post("/flow_runs/filter", `{"limit":"00"}`).is(200, `[]`)
	for _, same := range []string{strings.ToUpper(id), strings.ReplaceAll(id, "-", "")} {
		require.Equal(t, id, r.post("/flow_runs/filter", `{"flow_runs":{"id":{"any_":["`+same+`"]}}}`).list()[0]["id"])
		require.Equal(t, id, r.get("/flow_runs/" + same).json()["id"])
	}
	for _, force := range []string{`1`, `"yes"`, `1.0`, `"T"`} {
		require.Equal(t, "ACCEPT", r.post("/flow_runs/"+id+"/set_state", `{"force":`+force+`,"state":{"type":"PENDING"}}`).json()["status"], force)
	}
	for _, force := range []string{`0`, `"off"`, `null`} {
		require.Equal(t, "ABORT", r.post("/flow_runs/"+id+"/set_state", `{"force":`+force+`,"state":{"type":"PENDING"}}`).json()["status"], force)
	}
	for given, want := range map[string]string{
		`5`: "1970-01-01T00:00:05Z", `5.5`: "1970-01-01T00:00:05.500000Z", `1795000000000`: "2026-11-18T11:06:40Z", `"2026-01-01"`: "2026-01-01T00:00:00Z",
		`"2026-01-01T00:00Z"`: "2026-01-01T00:00:00Z", `"12"`: "1970-01-01T00:00:12Z", `"2026-01-01T00:00:00+02:00"`: "2025-12-31T22:00:00Z",
	} {
		a := r.set(id, `{"type":"RUNNING","state_details":{"cache_expiration":`+given+`}}`)
		require.Equal(t, want, a.json()["state"].(map[string]any)["state_details"].(map[string]any)["cache_expiration"], given)
	}
	r.set(id, `{"type":"RUNNING","state_details":{"run_input_keyset":{}}}`).is(201, outcomeJSON(stateJSON("RUNNING", "Running", "", "run_input_keyset", "{}"), "ACCEPT", accepted))
	r.set(id, `{"type":"PAUSED","state_details":{"run_input_keyset":{}}}`)
	r.resume(id, ``).is(201, resumed)
}
