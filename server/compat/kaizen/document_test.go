package kaizen_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// documented are the fields of an execution in Kaizen's document, with their types.
const documented = `
id string · workflow.id string · workflow.name string · batch.id string · batch.name string · logins list · authentications list ·
startTime time · params object · metadata object · name string · startBlock.id string · startBlock.name string ·
startBlock.blockReferenceId string · startBlock.type string · startBlock.isCacheable bool · startBlock.skipIfNotPresent bool ·
startBlock.useWorkflowRecoveryAgent bool · startBlock.data.loginId string · startBlock.data.isParameter bool ·
startBlock.data.forceLoginEveryTime bool · startBlock.parentRelationship.blockDepth number · startBlock.parentRelationship.positionInSequence number ·
startBlock.parentRelationship.parentBlockId string · startBlock.parentRelationship.parentSequenceId string · startBlock.locator.role string ·
startBlock.locator.text string · startBlock.locator.label string · startBlock.locator.placeholder string · startBlock.locator.altText string ·
startBlock.locator.title string · startBlock.locator.css string · startBlock.locator.xpath string · contextAuthentications list · sessionId string ·
agentConversationThreadId string · attempts number · totalAttempts number · isLastAttempt bool · isTest bool · status string · liveViewUrl string ·
browserSessionId string · browserSessionVendorId string · downloads.status string · downloads.files list · downloads.message string ·
parentExecutionId string`

const documentedEnd = ` · endTime time · durationMs number · response object · truncatedResponse string`

// conforms expects every documented field, with its type.
func conforms(t *testing.T, x map[string]any) {
	t.Helper()
	fields := documented
	if s := x["status"]; s == "Completed" || s == "Failed" {
		fields += documentedEnd
	}
	for line := range strings.SplitSeq(fields, "·") {
		words := strings.Fields(line)
		require.Len(t, words, 2, line)
		if words[0] == "startTime" && x["status"] == "Enqueued" {
			require.NotContains(t, x, "startTime", "it has not started")
			continue
		}
		var v any = x
		for name := range strings.SplitSeq(words[0], ".") {
			holder, ok := v.(map[string]any)
			require.True(t, ok, "%s: what holds it is %v", words[0], v)
			require.Contains(t, holder, name, words[0])
			v = holder[name]
		}
		ok := false
		switch words[1] {
		case "string":
			_, ok = v.(string)
		case "bool":
			_, ok = v.(bool)
		case "number":
			_, ok = v.(float64)
		case "list":
			_, ok = v.([]any)
		case "object":
			_, ok = v.(map[string]any)
		case "time":
			text, _ := v.(string)
			_, err := time.Parse(time.RFC3339, text)
			ok = err == nil
		}
		require.True(t, ok, "%s is %v, want a %s", words[0], v, words[1])
	}
	require.Contains(t, []string{"InProgress", "Paused", "Completed", "Enqueued", "Failed"}, x["status"])
}

func TestEveryAnswerHasEveryFieldOfTheDocument(t *testing.T) {
	r := newRig(t)
	seen := 0
	for _, c := range []struct{ path, body string }{
		{"/executions/get", `{"id":"` + idFailed + `"}`}, {"/executions/get", `{"id":"` + idRunning + `"}`}, {"/executions/get", `{"id":"` + idCompleted + `"}`},
		{"/executions/get", `{"id":"` + idQueued + `"}`}, {"/executions/get", `{"id":"` + idPaused + `"}`},
		{"/executions/get", `{"id":"` + idTimedOut + `"}`}, {"/executions/get", `{"id":"` + idCanceled + `"}`}, {"/executions/get", `{"id":"` + idCanceling + `"}`},
		{"/executions/retry", `{"id":"` + idFailed + `"}`}, {"/executions/list", `{"limit":1000}`}, {"/workflows/executeSync", `{"workflowId":"claims","params":{}}`},
	} {
		code, answer := r.post(c.path, c.body)
		require.Equal(t, 200, code, answer)
		if c.path == "/executions/retry" {
			require.Equal(t, true, answer["success"])
			require.IsType(t, "", answer["message"])
			answer = answer["execution"].(map[string]any)
		}
		all, _ := answer["executions"].([]any)
		if x := answer["execution"]; x != nil {
			all = append(all, x)
		}
		for _, x := range all {
			seen++
			conforms(t, x.(map[string]any))
		}
	}
	require.Equal(t, 10+9, seen)
}

// TestStrangersConform: executions that began natively, with values of any kind.
func TestStrangersConform(t *testing.T) {
	r := newRig(t)
	for i, output := range []string{`null`, `{}`, `{"a":"` + strings.Repeat("é", 2000) + `"}`, ``} {
		r.fake.all[2].Output = json.RawMessage(output)
		code, answer := r.post("/executions/get", `{"id":"`+idCompleted+`"}`)
		require.Equal(t, 200, code, i)
		x := answer["execution"].(map[string]any)
		conforms(t, x)
		require.LessOrEqual(t, len([]rune(x["truncatedResponse"].(string))), 1000)
	}
	r.fake.all[2].Output = json.RawMessage(`"text"`)
	_, answer := r.post("/executions/get", `{"id":"`+idCompleted+`"}`)
	require.Equal(t, "text", answer["execution"].(map[string]any)["response"], "another kind of value is given as it is")
}
