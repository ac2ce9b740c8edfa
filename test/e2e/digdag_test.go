package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/test/fleet"
)

// digdag calls an operation of Digdag's API.
func digdag(t *testing.T, f *fleet.Fleet, status int, method, path, body string) map[string]any {
	t.Helper()
	got, answer := call(t, f, method, path, "application/json", body)
	require.Equal(t, status, got, answer)
	return decode[map[string]any](t, answer)
}

// pushed is an archive with one workflow file.
func pushed(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}))
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.String()
}

func TestDigdagAndNativeSeeTheSameExecutions(t *testing.T) {
	f := start(t, "--allow-exec", "sh")
	missing := filepath.Join(t.TempDir(), "rows.csv")
	text, err := json.Marshal("cat " + missing)
	require.NoError(t, err)
	digdag(t, f, 200, "PUT", "/api/projects?project=default&revision=r1", pushed(t, "daily.dig", "+load:\n  sh>: "+string(text)+"\n+count:\n  echo>: ${session_date} has ${rows * 2}\n"))
	body := `{"projectName":"default","workflowName":"daily","sessionTime":"2026-03-01T00:00:00Z","params":{"rows":21}`
	began := digdag(t, f, 200, "PUT", "/digdag/api/attempts", body+`}`)
	id := began["id"].(string)
	native := await(t, f, id)
	require.EqualValues(t, "failed", native.Status)
	require.Regexp(t, `^digdag:test \(key_`, askers(t, f, native.ID)["execution.started"])
	require.Equal(t, "error", digdag(t, f, 200, "GET", "/api/attempts/"+id, "")["status"])

	require.NoError(t, os.WriteFile(missing, []byte("a\nb\n"), 0o600))
	resumed := digdag(t, f, 200, "PUT", "/api/attempts", body+`,"retryAttemptName":"again","resume":{"mode":"failed","attemptId":"`+id+`"}}`)
	second := await(t, f, resumed["id"].(string))
	require.EqualValues(t, "succeeded", second.Status)
	require.Equal(t, &native.ID, second.Lineage.Parent)
	require.Contains(t, f.Must("execution", "logs", resumed["id"].(string)), "2026-03-01 has 42")

	// The other way round: retried natively, in place, and seen here.
	require.Contains(t, f.Must("retry", id, "--wait"), "succeeded")
	require.Equal(t, "success", digdag(t, f, 200, "GET", "/api/attempts/"+id, "")["status"])
	require.Len(t, digdag(t, f, 200, "GET", "/api/attempts/"+id+"/retries", "")["attempts"], 2)
}
