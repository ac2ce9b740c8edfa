package conductor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
)

// failure is Conductor's body of an error; 401 has Orkes' error, by which clients know to ask for a token again.
type failure struct {
	Status           int               `json:"status"`
	Error            string            `json:"error,omitempty"`
	Message          string            `json:"message"`
	Instance         string            `json:"instance,omitempty"`
	Retryable        bool              `json:"retryable"`
	ValidationErrors []validationError `json:"validationErrors,omitempty"`
}

type validationError struct {
	Path         string `json:"path"`
	Message      string `json:"message"`
	InvalidValue any    `json:"invalidValue,omitempty"`
}

// invalidDef says what is wrong with a definition or a request, field by field.
type invalidDef []validationError

func (v invalidDef) Error() string {
	lines := make([]string, len(v))
	for i, e := range v {
		lines[i] = e.Path + ": " + e.Message
	}
	return "Validation failed, check below errors for detail: " + strings.Join(lines, "; ")
}

// refusal is an error in Conductor's own words.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

var instance = func() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}()

// fail answers with an error.
func fail(w http.ResponseWriter, _ *http.Request, err error) {
	if invalid, ok := errors.AsType[invalidDef](err); ok {
		_ = compat.Answer(w, http.StatusBadRequest, failure{Status: http.StatusBadRequest, Message: "Validation failed, check below errors for detail.", ValidationErrors: invalid})
		return
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		_ = compat.Answer(w, refused.status, failure{Status: refused.status, Message: refused.message, Instance: instance})
		return
	}
	p := problem.From(err)
	p.Headers(w.Header())
	f := failure{Status: p.Status, Message: p.Detail, Instance: instance, Retryable: p.RetryAfter > 0}
	switch p.Status {
	case http.StatusUnprocessableEntity:
		f.Status = http.StatusBadRequest
		for _, e := range p.Errors {
			message := e.Message
			if e.Allowed != "" {
				message += " (allowed: " + e.Allowed + ")"
			}
			f.ValidationErrors = append(f.ValidationErrors, validationError{Path: e.Field, Message: message})
		}
	case http.StatusUnauthorized:
		f.Error = "INVALID_TOKEN"
	}
	_ = compat.Answer(w, f.Status, f) // strings can always be written
}

// noWorkflow tells of an execution that is not there in Conductor's words.
func noWorkflow(id string, err error) error {
	var missing *engine.Error
	if errors.As(err, &missing) && missing.Kind == engine.KindNotFound {
		return refuse(http.StatusNotFound, "No such workflow found by id: %s", id)
	}
	return err
}

// conflict puts Conductor's words in place of a refusal for what the state is.
func conflict(err error, status int, format string, args ...any) error {
	var refused *engine.Error
	if errors.As(err, &refused) && refused.Kind == engine.KindConflict && refused.Code != "acknowledge_required" && refused.Code != "history_full" {
		return refuse(status, format, args...)
	}
	return err
}

func malformed(err error) error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return refuse(http.StatusBadRequest, "Cannot read the request: %s is no %s", cmp.Or(wrongType.Field, "the body"), kindOf(wrongType.Type))
	case errors.Is(err, io.EOF):
		return refuse(http.StatusBadRequest, "Required request body is missing")
	}
	return refuse(http.StatusBadRequest, "Cannot read the request: %v", err)
}

// kindOf is what JSON calls values that are read as a type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "array"
	case reflect.String, reflect.Bool:
		return t.Kind().String()
	case reflect.Map, reflect.Struct:
		return "object"
	case reflect.Pointer:
		return kindOf(t.Elem())
	}
	return "number"
}

// read reads the JSON body of a request. Fields that nobody knows are ignored, as Conductor does.
func read(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if err := decode(body, into); err != nil {
		return malformed(err)
	}
	return nil
}

// readOptional is read of a body that may be missing.
func readOptional(r *http.Request, into any) error {
	err := read(r, into)
	var refused *refusal
	if errors.As(err, &refused) && refused.message == "Required request body is missing" {
		return nil
	}
	return err
}

// text answers with plain text, whatever is accepted: clients send JSON there, and read text.
func text(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, body) // the caller went away: nobody to tell
	return nil
}

// silent answers with a status and nothing else.
func silent(w http.ResponseWriter, status int) error {
	w.WriteHeader(status)
	return nil
}
