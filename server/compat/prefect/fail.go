package prefect

import (
	"errors"
	"net/http"
	"regexp"

	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// refused is an answer that is no success, in the body that Prefect has for it.
type refused struct {
	status int
	body   any
}

func (r refused) Error() string {
	switch b := r.body.(type) {
	case detail:
		return b.Detail
	case exception:
		return b.Message
	case invalid:
		return b.Message
	}
	return http.StatusText(r.status)
}

// Unwrap is what the log and the metrics make of it.
func (r refused) Unwrap() error { return problem.New(r.status, "prefect_refused", "%s", r.Error()) }

// detail is the body of most errors.
type detail struct {
	Detail string `json:"detail"`
}

// exception is the body of errors that Prefect's orchestration throws.
type exception struct {
	Message string `json:"exception_message"`
}

// noRun is said of a flow run that is read and not there.
var noRun = refused{http.StatusNotFound, detail{"Flow run not found"}}

// notThere is said of a path that is none, also for an id that is no UUID.
var notThere = refused{http.StatusNotFound, detail{"Not Found"}}

// noID is a path with something that is no id where an id would be: for Prefect there is nothing at it.
var noID = regexp.MustCompile(`^/api/(flow_runs|flow_run_states|flows|deployments)/[^/]*[^/0-9a-fA-F-][^/]*$`)

// fail answers with an error.
func fail(w http.ResponseWriter, q *http.Request, err error) {
	var r refused
	if !errors.As(err, &r) {
		p := problem.From(err)
		p.Headers(w.Header())
		r = refusal(p)
		why := absentArea(q.URL.Path)
		switch {
		case (p.Code == "route_not_found" || p.Code == "method_not_allowed") && why != "":
			r = refused{http.StatusNotImplemented, detail{why}}
		case p.Code == "method_not_allowed" && noID.MatchString(q.URL.Path):
			r = notThere
		}
	}
	_ = compat.Answer(w, r.status, r.body) // strings can always be written
}

func refusal(p *problem.Problem) refused {
	switch p.Status {
	case http.StatusUnauthorized:
		return refused{p.Status, exception{"Unauthorized"}}
	case http.StatusForbidden:
		return refused{p.Status, exception{p.Detail}}
	case http.StatusMethodNotAllowed:
		return refused{p.Status, detail{"Method Not Allowed"}}
	case http.StatusInternalServerError:
		return refused{p.Status, exception{"Internal Server Error"}}
	case http.StatusServiceUnavailable:
		return refused{p.Status, exception{p.Detail}}
	case http.StatusNotFound:
		if p.Code == "route_not_found" {
			return notThere
		}
	}
	return refused{p.Status, detail{compat.Sentence(p, compat.Same)}}
}
