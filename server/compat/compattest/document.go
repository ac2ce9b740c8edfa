// Package compattest holds answers of dialects against the OpenAPI documents of
// the systems whose protocols they speak. Those documents are not ours to
// publish: tests find them in the folder that REDRIVE_OPENAPI_DIR names.
package compattest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"
)

// Folder is the environment variable that says where the documents are.
const Folder = "REDRIVE_OPENAPI_DIR"

// Document is an OpenAPI document. A nil one accepts everything.
type Document struct {
	router  routers.Router
	schemas openapi3.Schemas
}

// Load reads a document of the folder. Where there is none it says so, and the answer is nil. What cannot
// be held as it is written there is changed first, by functions that say why.
func Load(t testing.TB, file string, change ...func(*openapi3.T)) *Document {
	t.Helper()
	folder := os.Getenv(Folder)
	text, err := fs.ReadFile(os.DirFS(folder), file)
	if folder == "" || errors.Is(err, fs.ErrNotExist) {
		t.Logf("%s is not checked against: %s=%q does not name a folder that has it", file, Folder, folder)
		return nil
	}
	require.NoError(t, err)
	return parse(t, text, change...)
}

func parse(t testing.TB, text []byte, change ...func(*openapi3.T)) *Document {
	t.Helper()
	loaded, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	loaded.Servers = nil // paths are those of the document, wherever it is served
	for _, item := range loaded.Paths.Map() {
		item.Servers = nil
		for _, operation := range item.Operations() {
			operation.Servers = nil
		}
	}
	for _, c := range change {
		c(loaded)
	}
	router, err := gorillamux.NewRouter(loaded)
	require.NoError(t, err)
	d := &Document{router: router}
	if loaded.Components != nil {
		d.schemas = loaded.Components.Schemas
	}
	return d
}

// CheckSchema tells what is wrong with a value, as JSON is decoded, by a schema that the document names.
func (d *Document) CheckSchema(name string, value any) error {
	if d == nil {
		return nil
	}
	s := d.schemas[name]
	if s == nil {
		return fmt.Errorf("the document has no schema %q", name)
	}
	return s.Value.VisitJSON(value, openapi3.MultiErrors())
}

// Check tells what is wrong with an answer. The path is the document's, so without what lies before it
// here. An operation that it does not have is wrong, a status that it does not describe is not.
func (d *Document) Check(r *http.Request, path string, status int, header http.Header, body []byte) error {
	if d == nil {
		return nil
	}
	asked := httptest.NewRequestWithContext(r.Context(), r.Method, path, nil)
	route, params, err := d.router.FindRoute(asked)
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.Method, path, err)
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{MultiError: true},
	})
}
