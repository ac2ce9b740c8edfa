package kaizen

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// TestEveryStatusHasOne: each status of the engine is one of Kaizen's, both ways.
func TestEveryStatusHasOne(t *testing.T) {
	n := 0
	for _, s := range workflow.ExecutionStatuses {
		require.NotEmpty(t, status(s), s)
	}
	for _, all := range statuses {
		n += len(all)
	}
	require.Equal(t, len(workflow.ExecutionStatuses), n, "none is two of Kaizen's")
}

func TestParent(t *testing.T) {
	require.Empty(t, parent(&engine.Execution{}))
	require.Equal(t, "p", parent(&engine.Execution{Parent: &engine.Parent{Execution: "p", Task: "sub"}}))
	require.Equal(t, "o", parent(&engine.Execution{Origin: &engine.Origin{Execution: "o"}, Parent: &engine.Parent{Execution: "p"}}))
}

func TestBeginning(t *testing.T) {
	blocks, err := beginning([]workflow.Task{{Name: "c", Type: "noop", Needs: []string{"b"}}, {Name: "a", Type: "http"}, {Name: "b", Type: "log", Needs: []string{}}})
	require.NoError(t, err)
	require.Len(t, blocks, 2)
	require.Equal(t, "a", blocks[0].ID)
	require.Equal(t, "http", blocks[0].Type)
	require.Equal(t, 1, blocks[0].ParentRelationship.PositionInSequence)
	require.Equal(t, "b", blocks[1].ID)
	_, err = beginning(nil)
	require.ErrorContains(t, err, "kaizen: ")
}

func TestTruncated(t *testing.T) {
	require.Empty(t, truncated(nil))
	require.Empty(t, truncated(json.RawMessage(`null`)))
	require.Equal(t, `"é"`, truncated(json.RawMessage(`"é"`)))
	long := strings.Repeat("é", maxTruncated+1)
	require.Equal(t, long[:2*maxTruncated], truncated(json.RawMessage(long)))
	require.Equal(t, long[2:], truncated(json.RawMessage(long[2:])))
}

func TestMoment(t *testing.T) {
	require.Empty(t, moment(nil))
	at := time.Date(2026, 1, 31, 10, 0, 0, 7_999_999, time.FixedZone("", 7200))
	require.Equal(t, "2026-01-31T08:00:00.007Z", moment(&at))
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{`"a b"`: "a b", `12345`: "12345", `1.50`: "1.50", `1e999`: "1e999", `-0`: "-0", `null`: "", `""`: ""} {
		var q executeRequest
		require.NoError(t, json.Unmarshal([]byte(`{"name": `+in+` }`), &q), in)
		require.Equal(t, want, string(q.Name))
	}
	for _, in := range []string{`true`, `{}`, `[1]`} {
		var q executeRequest
		require.Error(t, json.Unmarshal([]byte(`{"name":`+in+`}`), &q), in)
	}
}

func TestFields(t *testing.T) {
	for in, want := range map[string]string{
		"input": "params", "input.a.b": "params.a.b", "labels.kaizen.batch": "batchId", "labels.kaizen.login": "loginId", "labels.kaizen.name": "name",
		"timeout": "timeout", "labels.x": "labels.x", "cursor": "cursor",
	} {
		require.Equal(t, want, field(in), in)
	}
}
