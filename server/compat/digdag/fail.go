package digdag

import (
	"net/http"
	"strings"

	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// failure is Digdag's error body.
type failure struct {
	Message string `json:"message"`
	Status  int    `json:"status"`
}

// fail answers with an error in Digdag's shape. What is malformed is 400 there. A limit
// that is reached is 400, too, for a 409 carries the attempt that stands in the way.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	p := problem.From(err)
	p.Headers(w.Header())
	status := p.Status
	if status == http.StatusUnprocessableEntity || p.Code == "concurrency_limit" {
		status = http.StatusBadRequest
	}
	_ = compat.Answer(w, status, failure{compat.Sentence(p, field), status}) // strings can always be written
}

// fields are Digdag's names of fields of the engine.
var fields = map[string]string{
	"input": "params", "workflow_input": "params", "attempt_name": "retryAttemptName", "session_time": "sessionTime", "attempt": "attemptName", "from": "resume.from",
}

func field(name string) string {
	first, rest, _ := strings.Cut(name, ".")
	if own, ok := fields[first]; ok {
		first = own
	}
	if rest != "" {
		first += "." + rest
	}
	return first
}

// refuse is a 400.
func refuse(format string, args ...any) error {
	return problem.New(http.StatusBadRequest, "request_invalid", format, args...)
}

// missing is a 404, as Digdag words it: "attempt id=12".
func missing(format string, args ...any) error {
	return problem.New(http.StatusNotFound, "not_found", "Resource does not exist: "+format, args...)
}

// conflict is a 409 without an attempt in it.
func conflict(format string, args ...any) error {
	return problem.New(http.StatusConflict, "conflict", format, args...)
}
