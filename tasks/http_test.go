package tasks

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

// callWith runs an http task with the options and closes its connections.
func callWith(t *testing.T, o Options, with string) (string, *workflow.Error) {
	t.Helper()
	c := newCaller(o)
	t.Cleanup(c.client.CloseIdleConnections)
	return runJob(t.Context(), c.asType(), &Job{Input: json.RawMessage(with), IdempotencyKey: "key-1"})
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestHTTPRequest(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Add("X-Many", "a")
		w.Header().Add("X-Many", "b")
		fmt.Fprintf(w, `{"method":%q,"uri":%q,"type":%q,"key":%q,"own":%q,"host":%q,"body":%q}`, r.Method, r.RequestURI,
			r.Header.Get("Content-Type"), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Own"), r.Host, body)
	})
	host := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []struct{ name, with, want string }{
		{"get", `{"url":"%s/a?x=1#frag"}`, `{"method":"GET","uri":"/a?x=1","type":"","key":"key-1","own":"","host":"` + host + `","body":""}`},
		{"query", `{"url":"%s/?x=1","query":{"x":2,"y":["a&b",true]}}`, `{"method":"GET","uri":"/?x=2&y=a%26b&y=true","type":"","key":"key-1","own":"","host":"` + host + `","body":""}`},
		{"json body", `{"url":"%s/","method":"POST","body":{"n":12345678901234567890}}`, `{"method":"POST","uri":"/","type":"application/json","key":"key-1","own":"","host":"` + host + `","body":"{\"n\":12345678901234567890}"}`},
		{"text body", `{"url":"%s/","method":"PUT","body":"a=1"}`, `{"method":"PUT","uri":"/","type":"text/plain; charset=utf-8","key":"key-1","own":"","host":"` + host + `","body":"a=1"}`},
		{"null body", `{"url":"%s/","method":"DELETE","body":null}`, `{"method":"DELETE","uri":"/","type":"","key":"key-1","own":"","host":"` + host + `","body":""}`},
		{"headers", `{"url":"%s/","method":"POST","body":"<a/>","headers":{"content-type":"text/xml","x-own":7,"host":"other","idempotency-key":"mine"}}`,
			`{"method":"POST","uri":"/","type":"text/xml","key":"mine","own":"7","host":"other","body":"<a/>"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, failure := callWith(t, DevOptions(), strings.ReplaceAll(c.with, "%s", s.URL))
			require.Nil(t, failure)
			var got struct {
				Status  int
				Headers map[string]string
				Body    json.RawMessage
			}
			require.NoError(t, json.Unmarshal([]byte(output), &got))
			require.Equal(t, 200, got.Status)
			require.Equal(t, "a, b", got.Headers["x-many"])
			require.JSONEq(t, c.want, string(got.Body))
		})
	}
}

func TestHTTPResponse(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/json":
			w.Header().Set("Content-Type", "application/problem+json")
			fmt.Fprint(w, `{"n":12345678901234567890,"l":[]}`)
		case "/broken":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"n":`)
		case "/empty":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNoContent)
		case "/text":
			fmt.Fprint(w, "<b>ä</b>")
		case "/binary":
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write([]byte{0xff, 0x00, 0xfe})
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, zeros{}, 64<<20)
			_ = z.Close()
		case "/endless":
			_, _ = io.Copy(w, zeros{})
		case "/headers":
			w.Header().Set("X-Big", strings.Repeat("x", 2*maxResponseHeader))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "short")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			w.Header().Set("Location", r.URL.Query().Get("to"))
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	for _, c := range []struct{ with, body, code, message string }{
		{`{"url":"%s/json"}`, `{"n":12345678901234567890,"l":[]}`, "", ""},
		{`{"url":"%s/empty"}`, `null`, "", ""},
		{`{"url":"%s/text"}`, `"<b>ä</b>"`, "", ""},
		{`{"url":"%s/text","method":"HEAD"}`, `null`, "", ""},
		{`{"url":"%s/binary"}`, `null,"body_base64":"/wD+"`, "", ""},
		{`{"url":"%s/broken"}`, "", "http_body_invalid", "not JSON"},
		{`{"url":"%s/bomb"}`, "", "http_body_too_large", "262144 bytes"},
		{`{"url":"%s/endless"}`, "", "http_body_too_large", "262144 bytes"},
		{`{"url":"%s/headers"}`, "", "http_unreachable", "header"},
		{`{"url":"%s/cut"}`, "", "http_unreachable", "unexpected EOF"},
		{`{"url":"%s/loop"}`, "", "http_redirect", "more than 10"},
		{`{"url":"%s/away?to=ftp://x/"}`, "", "http_redirect", "scheme"},
		{`{"url":"%s/away?to=http://u:p@x/"}`, "", "http_redirect", "user name"},
		{`{"url":"%s/away?to=/text"}`, `"<b>ä</b>"`, "", ""},
		{`{"url":"http://127.0.0.1:1/secret?token=t"}`, "", "http_unreachable", "GET http://127.0.0.1:1: dial tcp"},
	} {
		t.Run(c.with, func(t *testing.T) {
			output, failure := callWith(t, DevOptions(), strings.ReplaceAll(c.with, "%s", s.URL))
			if c.code == "" {
				require.Nil(t, failure)
				require.Contains(t, output, `"body":`+c.body)
				require.True(t, matches(t, httpOutputSchema, output))
				return
			}
			require.NotNil(t, failure, "answered %s", output)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.NotContains(t, failure.Message, "token", "a query may hold secrets")
			require.Equal(t, c.code == "http_unreachable", failure.Retryable)
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHTTPStatus(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			fmt.Fprint(w, "because "+strings.Repeat("ä", 1000))
		}
	})
	for _, c := range []struct {
		status    int
		accept    string
		ok        bool
		retryable bool
	}{
		{200, ``, true, false}, {201, ``, true, false}, {204, ``, true, false},
		{304, ``, false, true}, {400, ``, false, false}, {401, ``, false, false}, {404, ``, false, false},
		{408, ``, false, true}, {409, ``, false, false}, {425, ``, false, true}, {429, ``, false, true},
		{500, ``, false, true}, {503, ``, false, true},
		{404, `404`, true, false}, {200, `404`, false, true}, {404, `"404"`, true, false},
		{404, `"200-299"`, false, false}, {404, `["200-299",404]`, true, false}, {503, `"100-599"`, true, false}, {200, `null`, true, false},
	} {
		t.Run(fmt.Sprint(c.status, c.accept), func(t *testing.T) {
			output, failure := callWith(t, DevOptions(), fmt.Sprintf(`{"url":"%s/%d","accept_status":%s}`, s.URL, c.status, or(c.accept, "null")))
			if c.ok {
				require.Nil(t, failure)
				require.Contains(t, output, fmt.Sprintf(`"status":%d`, c.status))
				return
			}
			require.NotNil(t, failure)
			require.Equal(t, fmt.Sprintf("http_%d", c.status), failure.Code)
			require.Equal(t, c.retryable, failure.Retryable)
			require.LessOrEqual(t, len(failure.Message), maxErrorBody+100)
			if c.status != http.StatusNotModified {
				require.Contains(t, failure.Message, "because ä")
			}
		})
	}
}

func TestHTTPRefusesBadInputBeforeSending(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	for _, c := range []struct{ with, message string }{
		{`{}`, "with.url: is missing"},
		{`{"url":"%s","method":"get"}`, `with.method: is "get"`},
		{`{"url":"%s","method":"CONNECT"}`, "with.method"},
		{`{"url":"%s","headers":{"A B":"x"}}`, "with.headers.A B"},
		{`{"url":"%s","headers":{"A":"x\r\nB: y"}}`, "with.headers.A"},
		{`{"url":"%s","headers":{"A":null}}`, "with.headers.A: is null"},
		{`{"url":"%s","query":{"a":{"b":1}}}`, "with.query.a"},
		{`{"url":"%s","query":{"a":[[1]]}}`, "with.query.a[0]"},
		{`{"url":"%s","accept_status":"2xx"}`, "with.accept_status"},
		{`{"url":"%s","accept_status":"299-200"}`, "with.accept_status"},
		{`{"url":"%s","accept_status":[200,{}]}`, "with.accept_status[1]"},
		{`{"url":"%s","retries":3}`, `unknown field "retries"`},
		{`{"url":"http://%zz/"}`, "with.url: is no URL"},
	} {
		t.Run(c.with, func(t *testing.T) {
			_, failure := callWith(t, DevOptions(), strings.ReplaceAll(c.with, "%s", s.URL))
			require.NotNil(t, failure)
			require.Equal(t, "input_invalid", failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.False(t, failure.Retryable)
		})
	}
}

func TestHTTPKeepsHeadersFromOtherHosts(t *testing.T) {
	seen := make(chan http.Header, 1)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=1")
		http.Redirect(w, r, map[string]string{"/away": other.URL, "/same": "/end"}[r.URL.Path], http.StatusFound)
		if r.URL.Path == "/end" {
			seen <- r.Header
		}
	})
	for path, kept := range map[string]bool{"/away": false, "/same": true} {
		with := fmt.Sprintf(`{"url":"%s%s","accept_status":["200-399"],"headers":{"Authorization":"Bearer s","X-Api-Key":"s","Cookie":"own=1"}}`, first.URL, path)
		_, _ = callWith(t, DevOptions(), with) // /same ends in a redirect without a target
		got := <-seen
		for _, name := range []string{"Authorization", "X-Api-Key", "Idempotency-Key", "Cookie"} {
			require.Equal(t, kept, got.Get(name) != "", "%s on %s", name, path)
		}
		require.NotContains(t, got.Get("Cookie"), "session", "no cookie jar")
	}
}

func TestHTTPEndsWithItsContext(t *testing.T) {
	for cause, code := range map[error]string{context.DeadlineExceeded: "timed_out", ErrTimedOut: "timed_out", ErrCanceled: "canceled", ErrLost: "error"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "first byte")
			w.(http.Flusher).Flush()
			cancel(cause)
			<-r.Context().Done()
		})
		c := newCaller(DevOptions())
		_, failure := runJob(ctx, c.asType(), &Job{Input: json.RawMessage(fmt.Sprintf(`{"url":%q}`, s.URL))})
		require.NotNil(t, failure)
		require.Equal(t, code, failure.Code, failure.Message)
		c.client.CloseIdleConnections()
	}
}
