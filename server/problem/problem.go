// Package problem writes every error of the native API: one map from the
// domain's errors to HTTP, and the RFC 9457 document that carries them.
package problem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Problem is an error on its way to the caller. Status and Code are always set.
type Problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Code       string            `json:"code"`
	Detail     string            `json:"detail,omitempty"`
	Instance   string            `json:"instance,omitempty"`
	RequestID  string            `json:"request_id,omitempty"`
	Errors     workflow.Problems `json:"errors,omitempty"`
	Execution  *engine.Existing  `json:"execution,omitempty"` // that is there already
	RetryAfter int               `json:"-"`                   // seconds
	Allow      string            `json:"-"`                   // methods, of a 405
	Challenge  bool              `json:"-"`                   // of a 401: ask for credentials
	Cause      error             `json:"-"`                   // for the log only
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

func (p *Problem) Unwrap() error { return p.Cause }

// New makes a problem; detail says what was wrong this time and what to do next.
func New(status int, code, detail string, args ...any) *Problem {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	return &Problem{Status: status, Code: code, Detail: detail}
}

// Invalid is a malformed request, field by field.
func Invalid(code, detail string, fields ...workflow.Problem) *Problem {
	p := New(http.StatusUnprocessableEntity, code, detail)
	p.Errors = fields
	return p
}

// Write answers with the problem. It does nothing about an answer already begun.
func Write(w http.ResponseWriter, r *http.Request, requestID string, p *Problem) {
	out := *p
	out.Type = "urn:redrive:problem:" + p.Code
	out.Title = http.StatusText(p.Status)
	out.Instance = r.URL.EscapedPath()
	out.RequestID = requestID
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(out); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Length")
	p.Headers(h)
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // the caller went away: nobody to tell
	}
}

// Headers sets what the headers of an answer say about the problem, in whatever shape its body is.
func (p *Problem) Headers(h http.Header) {
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	if p.Challenge {
		h.Add("WWW-Authenticate", `Bearer realm="redrive"`)
		h.Add("WWW-Authenticate", `Basic realm="redrive: any name, API key as the password", charset="UTF-8"`)
	}
}
