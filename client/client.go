package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds an answer in bytes: a page of 1,000 executions with large values fits.
const maxAnswer = 512 << 20

// Options configure a Client. The zero value is useful.
type Options struct {
	APIKey     string       // rdr_...; empty for a server that needs no keys
	HTTPClient *http.Client // must not time out as a whole: streams live long
	UserAgent  string       // default redrive-client
}

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	api *Transport
}

// New makes a client of the server at baseURL, as in http://127.0.0.1:8080.
func New(baseURL string, o Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("client: base URL %q: want http://host:port or https://host:port", baseURL)
	}
	if o.UserAgent == "" {
		o.UserAgent = "redrive-client"
	}
	if o.HTTPClient == nil {
		o.HTTPClient = defaultHTTPClient()
	}
	identify := func(_ context.Context, r *http.Request) error {
		r.Header.Set("User-Agent", o.UserAgent)
		if o.APIKey != "" {
			r.Header.Set("Authorization", "Bearer "+o.APIKey)
		}
		return nil
	}
	api, err := NewClient(baseURL, WithHTTPClient(o.HTTPClient), WithRequestEditorFn(identify))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &Client{api: api}, nil
}

// Transport is the generated client below: one method per operation, plain responses.
func (c *Client) Transport() *Transport { return c.api }

func defaultHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 90 * time.Second, // a poll may wait for a minute
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
	}}
}

// read takes an answer apart: a T for a 2xx, an *Error for anything else.
func read[T any](resp *http.Response, err error) (*T, int, error) {
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return nil, resp.StatusCode, newError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, resp.StatusCode, fmt.Errorf("client: read the answer of %s: %w", where(resp), err)
	}
	if len(body) > maxAnswer {
		return nil, resp.StatusCode, fmt.Errorf("client: the answer of %s is larger than %d bytes: ask for less with limit", where(resp), maxAnswer)
	}
	out := new(T)
	if resp.StatusCode == http.StatusNoContent {
		return out, resp.StatusCode, nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, resp.StatusCode, fmt.Errorf("client: the answer of %s is not from this API: %w", where(resp), err)
	}
	return out, resp.StatusCode, nil
}

// readText is read for an answer that is text.
func readText(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return "", newError(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("client: read the answer of %s: %w", where(resp), err)
	}
	return string(body), nil
}

// readAll is read for an answer that is as long as it is. Close it.
func readAll(resp *http.Response, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer func() { _ = resp.Body.Close() }()
		return nil, newError(resp)
	}
	return resp.Body, nil
}

func where(resp *http.Response) string {
	if resp.Request == nil {
		return "the request"
	}
	return resp.Request.Method + " " + resp.Request.URL.Path
}
