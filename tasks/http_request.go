package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

type httpInput struct {
	Method       string                     `json:"method"`
	URL          string                     `json:"url"`
	Headers      map[string]json.RawMessage `json:"headers"`
	Query        map[string]json.RawMessage `json:"query"`
	Body         json.RawMessage            `json:"body"`
	AcceptStatus json.RawMessage            `json:"accept_status"`
	Fingerprint  string                     `json:"fingerprint"`
}

// request builds the request that `with` describes.
func (in httpInput) request(ctx context.Context, job *Job) (*http.Request, error) {
	method := in.Method
	if method == "" {
		method = http.MethodGet
	}
	if !slices.Contains(httpMethods, method) {
		return nil, Fatal(CodeInputInvalid, "with.method: is %q; allowed: %s", method, strings.Join(httpMethods, ", "))
	}
	target, err := in.target()
	if err != nil {
		return nil, err
	}
	body, kind := in.body()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, Fatal(CodeInputInvalid, "with.url: cannot be requested: %w", cause(err))
	}
	if len(body) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("User-Agent", "redrive")
	if job.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", job.IdempotencyKey)
	}
	return req, in.header(req)
}

func (in httpInput) target() (*url.URL, error) {
	u, err := url.Parse(in.URL)
	switch {
	case in.URL == "":
		return nil, Fatal(CodeInputInvalid, "with.url: is missing; give an http or https URL")
	case err != nil:
		return nil, Fatal(CodeInputInvalid, "with.url: is no URL: %w", cause(err))
	}
	if err := checkURL(u); err != nil {
		return nil, Fatal(CodeInputInvalid, "with.url: %w", err)
	}
	query := u.Query()
	for name, value := range in.Query {
		values, err := scalarList("with.query."+name, value)
		if err != nil {
			return nil, err
		}
		query[name] = values
	}
	if len(in.Query) > 0 {
		u.RawQuery = query.Encode()
	}
	u.Fragment = ""
	return u, nil
}

// checkURL says why a URL, of the definition or of a redirect, is not called.
func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the scheme is %q; allowed: http, https", u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("there is no host; allowed: http://host/path or https://host/path")
	case u.User != nil:
		return fmt.Errorf("it holds a user name; allowed: no credentials in the URL, set the Authorization header instead")
	}
	return nil
}

// body is what is sent, and its content type: a string as it stands, any other
// value as JSON, null nothing.
func (in httpInput) body() (body []byte, kind string) {
	raw := bytes.TrimSpace(in.Body)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, ""
	case raw[0] == '"':
		return []byte(text(raw)), "text/plain; charset=utf-8"
	}
	return raw, "application/json"
}

func (in httpInput) header(req *http.Request) error {
	for name, value := range in.Headers {
		field := "with.headers." + name
		s, err := scalar(field, value)
		switch {
		case err != nil:
			return err
		case !httpguts.ValidHeaderFieldName(name):
			return Fatal(CodeInputInvalid, "%s: is no header name; allowed: letters, digits and -", field)
		case !httpguts.ValidHeaderFieldValue(s):
			return Fatal(CodeInputInvalid, "%s: holds control characters such as line breaks; take them out", field)
		case strings.EqualFold(name, "Host"):
			req.Host = s
		default:
			req.Header.Set(name, s)
		}
	}
	return nil
}

// accepts reports whether the status is one that accept_status names.
func (in httpInput) accepts(status int) (bool, error) {
	if len(in.AcceptStatus) == 0 || string(in.AcceptStatus) == "null" {
		return status >= 200 && status <= 299, nil
	}
	ranges, err := scalarList("with.accept_status", in.AcceptStatus)
	if err != nil {
		return false, err
	}
	found := false
	for _, r := range ranges {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.Atoi(strings.TrimSpace(from))
		high, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
			return false, Fatal(CodeInputInvalid, `with.accept_status: is %q; allowed: a status (404), a range ("200-299") or a list of those`, r)
		}
		found = found || status >= low && status <= high
	}
	return found, nil
}

// scalar is a string, number or boolean as text.
func scalar(field string, value json.RawMessage) (string, error) {
	raw := bytes.TrimSpace(value)
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n' {
		return "", Fatal(CodeInputInvalid, "%s: is %s; allowed: a string, number or boolean", field, clip(string(raw), 60))
	}
	return text(raw), nil
}

// scalarList is a scalar, or a list of them.
func scalarList(field string, value json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil || list == nil {
		s, err := scalar(field, value)
		return []string{s}, err
	}
	all := make([]string, len(list))
	for i, item := range list {
		s, err := scalar(fmt.Sprintf("%s[%d]", field, i), item)
		if err != nil {
			return nil, err
		}
		all[i] = s
	}
	return all, nil
}
