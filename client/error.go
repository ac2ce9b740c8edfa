package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal of the server. Code is stable: decide by it.
type Error struct {
	Status     int // the HTTP status
	Code       string
	Title      string
	Detail     string
	RequestID  string // look for it in the server's log
	Errors     []FieldError
	Existing   *ExistingExecution // the execution that is there already, of a 409
	RetryAfter time.Duration      // 0 when the server named none
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Title)
	if e.Detail != "" && e.Detail != e.Title {
		b.WriteString(": " + e.Detail)
	}
	if e.Code != "" {
		b.WriteString(" (" + e.Code + ")")
	}
	for _, f := range e.Errors {
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

// String is the error in one line: position, field, what was wrong, what is allowed.
func (f FieldError) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", f.Line, f.Column)
	}
	if f.Field != "" {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(f.Message)
	if f.Allowed != "" {
		b.WriteString("; allowed: " + f.Allowed)
	}
	return b.String()
}

// newError reads a refusal. An answer that is no problem document (a proxy's
// page) gives an Error without Code.
func newError(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		e.Detail = "the answer broke off: " + err.Error()
		return e
	}
	var p Problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, &p) != nil {
		e.Detail = fmt.Sprintf("%s answered %d, not with a problem document: is this a Redrive server?", where(resp), resp.StatusCode)
		return e
	}
	e.Code, e.Detail, e.RequestID, e.Errors, e.Existing = p.Code, p.Detail, p.RequestID, p.Errors, p.Execution
	if p.Title != "" {
		e.Title = p.Title
	}
	return e
}
