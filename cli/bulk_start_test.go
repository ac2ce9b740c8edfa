package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// started starts a bulk retry whose preview a server answers, and what a person sees of it.
func started(t *testing.T, preview func(r *http.Request) (*http.Response, error), args ...string) (code int, out, told string, begun int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	server := answering(func(r *http.Request) (*http.Response, error) {
		var asked client.BulkRequest
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			return nil, err
		}
		if asked.DryRun {
			return preview(r)
		}
		begun++
		return answer(http.StatusAccepted, bulkIn(client.BulkRunning, 3, 0))
	})
	p := &program{version: "test", in: strings.NewReader(""), out: &stdout, err: &stderr, now: time.Now, http: &http.Client{Transport: server}}
	code, text := explain(p.execute(t.Context(), append([]string{"redrive", "bulk", "retry", "--workflow", "w", "--detach"}, args...)))
	return code, stdout.String(), stderr.String() + text, begun
}

// Who said yes does not wait for a preview that does not come, and who looks at it is told.
func TestABulkOperationGoesOnWithoutAPreview(t *testing.T) {
	silent := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	broken := func(*http.Request) (*http.Response, error) {
		return answer(http.StatusServiceUnavailable, client.Problem{Title: "it took too long"})
	}
	refused := func(*http.Request) (*http.Response, error) {
		return answer(http.StatusUnprocessableEntity, client.Problem{Title: "no"})
	}
	synctest.Test(t, func(t *testing.T) {
		for _, preview := range []func(r *http.Request) (*http.Response, error){silent, broken} {
			code, out, told, begun := started(t, preview, "--yes")
			require.Equal(t, exitOK, code, told)
			require.Contains(t, told, "There is no preview (")
			require.Contains(t, out, "redrive bulk watch b1")
			require.Equal(t, 1, begun)
		}
		code, _, told, begun := started(t, broken, "--dry-run")
		require.Equal(t, exitFailed, code)
		require.Contains(t, told, "it took too long")
		require.Zero(t, begun)
		code, _, _, begun = started(t, refused, "--yes")
		require.Equal(t, exitUsage, code)
		require.Zero(t, begun)
	})
}

func TestAPreviewThatIsNotWholeSaysSo(t *testing.T) {
	preview := func(*http.Request) (*http.Response, error) {
		return answer(http.StatusOK, client.BulkPreview{Count: 12_500, AtLeast: true, Groups: []client.BulkGroup{{Workflow: "w", Version: 1, Status: "failed", Count: 12_500}}})
	}
	code, out, told, begun := started(t, preview, "--dry-run")
	require.Equal(t, []any{exitOK, 0}, []any{code, begun}, told)
	require.Contains(t, out, "retry of at least 12,500 executions\n")
	require.Contains(t, out, "There may be more than were counted")
	_, _, told, begun = started(t, preview, "--yes")
	require.Contains(t, told, "retry of at least 12,500 executions\n")
	require.Equal(t, 1, begun)
}
