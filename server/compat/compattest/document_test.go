package compattest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

const document = `{
  "openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "servers": [{"url": "https://example.org/api"}],
  "paths": {"/runs/{id}": {"get": {"responses": {"200": {"description": "d", "content": {"application/json": {"schema": {
    "type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "end": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}}
  }}}}}}}}
}`

func TestDocument(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "x.json"), []byte(document), 0o600))
	t.Setenv(Folder, folder)
	d := Load(t, "x.json")
	require.NotNil(t, d)
	r := httptest.NewRequest("GET", "/prefix/api/runs/7", nil)
	header := http.Header{"Content-Type": {"application/json"}}
	check := func(path string, status int, body string) error {
		return d.Check(r, path, status, header, []byte(body))
	}

	require.NoError(t, check("/runs/7", 200, `{"id":"7","end":null}`))
	require.NoError(t, check("/runs/7", 500, `{}`), "a status that the document does not describe")
	require.Error(t, check("/runs/7", 200, `{}`))
	require.Error(t, check("/runs/7", 200, `{"id":7}`))
	require.Error(t, check("/runs/7", 200, `{"id":"7","end":3}`))
	require.Error(t, check("/walks/7", 200, `{"id":"7"}`))
	header.Set("Content-Type", "text/html")
	require.Error(t, check("/runs/7", 200, `{"id":"7"}`))
}

func TestSchemas(t *testing.T) {
	text := []byte(`{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {},
		"components": {"schemas": {"Run": {"oneOf": [{"type": "object"}, {"type": "object", "required": ["id"]}]}}}}`)
	run := map[string]any{"id": "7"}
	require.Error(t, parse(t, text).CheckSchema("Run", run), "it fits both")
	changed := parse(t, text, func(d *openapi3.T) { d.Components.Schemas["Run"].Value.OneOf = nil })
	require.NoError(t, changed.CheckSchema("Run", run))
	require.Error(t, changed.CheckSchema("Walk", run))
	require.NoError(t, (*Document)(nil).CheckSchema("Walk", run))
}

func TestNoDocument(t *testing.T) {
	for _, folder := range []string{"", t.TempDir()} {
		t.Setenv(Folder, folder)
		d := Load(t, "x.json")
		require.Nil(t, d)
		require.NoError(t, d.Check(httptest.NewRequest("GET", "/", nil), "/", 200, nil, nil))
	}
}
