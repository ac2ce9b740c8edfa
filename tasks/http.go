package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxRedirects      = 10
	maxResponseHeader = 16 << 10
	maxErrorBody      = 500
)

var httpSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false, "required": ["url"],
  "$defs": {
    "scalar": {"type": ["string", "number", "boolean"]},
    "status": {"anyOf": [{"type": "integer", "minimum": 100, "maximum": 599}, {"type": "string", "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"}]}
  },
  "properties": {
    "method": {"enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "default": "GET"},
    "url": {"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"},
    "headers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/scalar"}},
    "query": {"type": "object", "additionalProperties": {"anyOf": [
      {"$ref": "#/$defs/scalar"}, {"type": "array", "items": {"$ref": "#/$defs/scalar"}}]}},
    "body": {"description": "a string is sent as it is, any other value as JSON, null nothing"},
    "accept_status": {"anyOf": [{"$ref": "#/$defs/status"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/status"}}], "default": "200-299"},
    "fingerprint": {"type": "string", "minLength": 1, "maxLength": 255, "description": "the group of failures that those of this task belong to"}
  }
}`)

var httpOutputSchema = json.RawMessage(`{
  "type": "object", "required": ["status", "headers", "body"],
  "properties": {
    "status": {"type": "integer"},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "names in lower case"},
    "body": {"description": "the value when the response is JSON, else a string; null when empty or not text"},
    "body_base64": {"type": "string", "description": "instead of body when the response is not text"}
  }
}`)

type httpOutput struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       json.RawMessage   `json:"body"`
	BodyBase64 []byte            `json:"body_base64,omitempty"`
}

// caller runs http tasks.
type caller struct {
	client *http.Client
	guard  *guard
	limit  int64
}

// httpType calls a URL.
func httpType(o Options) Type {
	return newCaller(o).asType()
}

func newCaller(o Options) *caller {
	g := &guard{}
	g.allow, _ = parseAddresses(o.HTTPAllow) // what cannot be read allows nothing; Validate tells
	g.deny, _ = parseAddresses(o.HTTPDeny)
	transport := &http.Transport{
		DialContext:            g.dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
	if g.allow.any {
		transport.Proxy = http.ProxyFromEnvironment // else a proxy would connect where the guard cannot look
	}
	return &caller{client: &http.Client{Transport: transport, CheckRedirect: checkRedirect}, guard: g, limit: o.HTTPBody}
}

func (c *caller) asType() Type {
	t := New("http", func(ctx context.Context, job *Job, in httpInput) (httpOutput, error) {
		out, err := c.call(ctx, job, in)
		return out, Grouped(in.Fingerprint, err)
	})
	t.Description = "Calls a URL and answers status, headers and body."
	t.Input, t.Output = httpSchema, httpOutputSchema
	return t
}

func (c *caller) call(ctx context.Context, job *Job, in httpInput) (httpOutput, error) {
	if _, err := in.accepts(200); err != nil { // before anything is sent
		return httpOutput{}, err
	}
	req, err := in.request(ctx, job)
	if err != nil {
		return httpOutput{}, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return httpOutput{}, transportError(ctx, req, err)
	}
	defer resp.Body.Close()
	if ok, _ := in.accepts(resp.StatusCode); !ok {
		return httpOutput{}, statusError(req, resp)
	}
	return c.read(ctx, req, resp)
}

// read turns an accepted response into the output.
func (c *caller) read(ctx context.Context, req *http.Request, resp *http.Response) (httpOutput, error) {
	out := httpOutput{Status: resp.StatusCode, Headers: map[string]string{}}
	for name, values := range resp.Header {
		out.Headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.limit+1))
	switch {
	case err != nil:
		return out, transportError(ctx, req, err)
	case int64(len(body)) > c.limit:
		return out, Fatal("http_body_too_large", "%s: the response has more than %d bytes; ask for less (a page, a filter), or fetch it with exec or a task type of your own",
			where(req), c.limit)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case len(bytes.TrimSpace(body)) == 0:
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		if !json.Valid(body) {
			return out, Fatal("http_body_invalid", "%s: the response calls itself %s and is not JSON: %q", where(req), kind, clip(string(body), 200))
		}
		out.Body = body
	case utf8.Valid(body):
		out.Body, err = encode(string(body))
	default:
		out.BodyBase64 = body
	}
	return out, err
}

// statusError is a response whose status is not accepted.
func statusError(req *http.Request, resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody+1)) // as much as there is will do
	message := fmt.Sprintf("%s answered %d %s", where(req), resp.StatusCode, http.StatusText(resp.StatusCode))
	if body := strings.TrimSpace(string(raw)); body != "" {
		message += ": " + strings.ToValidUTF8(body[:min(len(body), maxErrorBody)], "\uFFFD")
	}
	code := fmt.Sprintf("http_%d", resp.StatusCode)
	switch s := resp.StatusCode; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s < 400, s >= 500:
		return Error(code, "%s", message)
	}
	return Fatal(code, "%s", message)
}

// transportError is a request that got no answer.
func transportError(ctx context.Context, req *http.Request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s was stopped: %w", where(req), context.Cause(ctx))
	}
	if denied, ok := isDenied(err); ok {
		return Fatal("http_address_denied", "%s: %w", where(req), denied)
	}
	if redirect, ok := errors.AsType[*redirectError](err); ok {
		return Fatal("http_redirect", "%s: %w", where(req), redirect)
	}
	return Error("http_unreachable", "%s: %w", where(req), cause(err))
}

// where names a request without path and query, which may hold secrets.
func where(req *http.Request) string { return req.Method + " " + req.URL.Scheme + "://" + req.URL.Host }

// cause is err without the URL that net/url and net/http put before it.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// redirectError is a redirect that is not followed.
type redirectError struct{ why string }

func (e *redirectError) Error() string { return "the redirect was not followed: " + e.why }

// checkRedirect follows a few redirects to http and https. What the definition
// put into headers goes to the host it was meant for only.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return &redirectError{fmt.Sprintf("there were more than %d", maxRedirects)}
	}
	if err := checkURL(next.URL); err != nil {
		return &redirectError{err.Error()}
	}
	first := via[0].URL
	if next.URL.Host != first.Host || first.Scheme == "https" && next.URL.Scheme == "http" {
		next.Header = http.Header{"User-Agent": {"redrive"}} //nolint:gosec // headers are dropped here, not passed on
	}
	return nil
}
