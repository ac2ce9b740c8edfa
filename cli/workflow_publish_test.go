package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that refuses what it found well before leaves some published: the
// command says how many, and that going on is safe.
func TestAFolderThatIsPublishedInPart(t *testing.T) {
	published := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var source bytes.Buffer
		_, _ = source.ReadFrom(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("dry_run") == "" {
			if published++; published > 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = w.Write([]byte(`{"name":"` + strings.TrimSpace(source.String()) + `","version":1,"created":true,"warnings":[]}`))
	}))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name+".yaml"), []byte(name), 0o600))
	}
	var out, errOut bytes.Buffer
	code := Run(t.Context(), "test", []string{"redrive", "--server", server.URL, "workflow", "publish", folder}, strings.NewReader(""), &out, &errOut)
	require.Equal(t, exitPartial, code)
	require.Equal(t, 2, published)
	require.Contains(t, out.String(), "a version 1 published")
	require.Contains(t, errOut.String(), "1 of 3 are published, the next is not")
	require.Contains(t, errOut.String(), "publish all of them again")
}
