package cognite

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// missing is a 404 that names what is not there, as the SDKs read it.
type missing struct {
	what  string
	items []map[string]string
	flat  bool // it is also at the top, where the document has it for a trigger that is paused or resumed
}

func (m *missing) Error() string { return m.what }

// Unwrap is the problem that the log and the door see.
func (m *missing) Unwrap() error { return problem.New(http.StatusNotFound, "not_found", "%s", m.what) }

// absent says that there is no such thing.
func absent(what string, items ...map[string]string) error { return &missing{what: what, items: items} }

// fail answers with an error in Cognite's envelope.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	if m, ok := err.(*missing); ok { //nolint:errorlint // handlers return it as it is
		f := failure{Error: failureBody{Code: http.StatusNotFound, Message: m.what, Missing: m.items}}
		if m.flat {
			f.Code, f.Message = f.Error.Code, f.Error.Message
		}
		_ = compat.Answer(w, http.StatusNotFound, f)
		return
	}
	p := problem.From(err)
	p.Headers(w.Header())
	status := p.Status
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	_ = compat.Answer(w, status, failure{Error: failureBody{Code: status, Message: compat.Sentence(p, field)}}) // strings can always be written
}

// fieldOf is the field of a request that one of the engine's comes from.
var fieldOf = map[string]string{
	"cron": "triggerRule.cronExpression", "time_zone": "triggerRule.timezone",
	"labels." + labelTrigger: "externalId", "labels." + labelWorkflow: "workflowExternalId", "labels." + labelVersion: "workflowVersion",
}

// field is Cognite's name of a field of the engine.
func field(name string) string {
	if key, ok := strings.CutPrefix(name, "labels."+labelMetadata); ok {
		return "metadata." + key
	}
	return cmp.Or(fieldOf[name], name)
}

// isMissing reports whether the engine says that there is none, though the project is there.
func isMissing(err error) bool {
	refused, _ := errors.AsType[*engine.Error](err)
	return compat.IsMissing(err) && refused.Code != "project_not_found"
}
