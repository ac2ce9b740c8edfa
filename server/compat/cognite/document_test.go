package cognite_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/server/compat/compattest"
)

// document is Cognite's own. Its oneOf over what a task is given and gives cannot be held as it stands: none of the alternatives
// requires a field and all allow others, so whatever fits one fits all of them. There the alternative of the task's type must fit.
func document(t testing.TB) *compattest.Document {
	return compattest.Load(t, "cognite-workflows-openapi.json", func(d *openapi3.T) {
		s := d.Components.Schemas
		for _, at := range []*openapi3.SchemaRef{
			s["TaskExecution"].Value.Properties["input"], s["TaskExecution"].Value.Properties["output"], s["TaskDefinition"].Value.Properties["parameters"],
		} {
			at.Value.OneOf = nil
		}
		// An external id, a policy of texts and a reference, which is any text: each text fits both.
		for _, name := range []string{"FunctionTaskParameters", "TransformationTaskParameters", "CdfTaskParameters"} {
			for _, inner := range s[name].Value.Properties {
				for _, p := range inner.Value.Properties {
					p.Value.AnyOf, p.Value.OneOf = append(p.Value.AnyOf, p.Value.OneOf...), nil
				}
			}
		}
	})
}

// shapes are the schemas of what a task of a type is given and gives.
var shapes = map[string][2]string{
	"function": {"FunctionTaskParameters", "FunctionTaskOutput"}, "transformation": {"TransformationTaskParameters", "TransformationTaskOutput"},
	"cdf": {"CdfTaskParameters", "CdfTaskOutput"}, "dynamic": {"DynamicTaskParameters", "DynamicTaskOutput"},
	"simulation": {"SimulatorTaskParameters", "SimulatorTaskOutput"}, "subworkflow": {"SubworkflowTaskParameters", ""},
}

// hold holds an answer against the document.
func (r *rig) hold(req *http.Request, w *httptest.ResponseRecorder) {
	r.t.Helper()
	path, found := strings.CutPrefix(req.URL.EscapedPath(), project)
	if r.document == nil || !found || w.Code == http.StatusNotFound && strings.Contains(w.Body.String(), "there is no operation") || w.Code == http.StatusMethodNotAllowed {
		return
	}
	path = strings.ReplaceAll(path, "%2F", "-")
	require.NoError(r.t, r.document.Check(req, path, w.Code, w.Header(), w.Body.Bytes()), "%s %s: %d %s", req.Method, path, w.Code, w.Body)
	if w.Code < 300 && strings.Contains(w.Body.String(), `"task`) {
		r.holdTasks(reply{w, r.t}.json())
	}
}

// holdTasks holds what tasks are given and give, wherever there are some.
func (r *rig) holdTasks(v any) {
	r.t.Helper()
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			r.holdTasks(item)
		}
	case map[string]any:
		kind, of := v["taskType"].(string)
		if of {
			require.NoError(r.t, r.document.CheckSchema(shapes[kind][0], v["input"]), "the input of %v", v)
			if name := shapes[kind][1]; name != "" {
				require.NoError(r.t, r.document.CheckSchema(name, v["output"]), "the output of %v", v)
			}
		}
		if kind, of := v["type"].(string); of && v["parameters"] != nil {
			require.NoError(r.t, r.document.CheckSchema(shapes[kind][0], v["parameters"]), "the parameters of %v", v)
		}
		for _, item := range v {
			r.holdTasks(item)
		}
	}
}
