package kaizen

import (
	"net/http"
	"strings"

	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// fail answers with an error. Kaizen's document has no error body but that of a retry that was not
// initiated, so all have this one: success, and a message.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	p := problem.From(err)
	p.Headers(w.Header())
	status := p.Status
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	_ = compat.Answer(w, status, failure{Message: compat.Sentence(p, field)}) // strings can always be written
}

// field is Kaizen's name of a field of the engine.
func field(name string) string {
	first, rest, _ := strings.Cut(name, ".")
	switch first {
	case "input":
		first = "params"
	case "labels":
		if own, ok := fieldOf[rest]; ok {
			return own
		}
	}
	if rest != "" {
		first += "." + rest
	}
	return first
}
