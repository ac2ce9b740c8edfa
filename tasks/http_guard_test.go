package tasks

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// forms are ways to write "this machine" or another address that is not
// public; %p is the port of the listener.
var forms = []string{
	"http://127.0.0.1:%p/", "http://127.0.0.1.:%p/", "http://127.1:%p/", "http://127.0.1:%p/", "http://127.255.255.254:%p/",
	"http://2130706433:%p/", "http://0x7f000001:%p/", "http://0x7f.1:%p/", "http://0x7f.0x0.0x0.0x1:%p/", "http://017700000001:%p/",
	"http://0177.0.0.1:%p/", "http://0177.0.0.01:%p/", "http://00000177.0.0.1:%p/", "http://127.0.0.1%00.example.com:%p/", "http://127.0.0.1%2eexample.com:%p/",
	"http://localhost:%p/", "http://LOCALHOST:%p/", "http://localhost.:%p/", "http://localhost.localdomain:%p/", "http://ip6-localhost:%p/",
	"http://0.0.0.0:%p/", "http://0:%p/", "http://0x0:%p/", "http://[::]:%p/", "http://[::1]:%p/",
	"http://[0:0:0:0:0:0:0:1]:%p/", "http://[::ffff:127.0.0.1]:%p/", "http://[::ffff:7f00:1]:%p/", "http://[0:0:0:0:0:ffff:127.0.0.1]:%p/", "http://[::127.0.0.1]:%p/",
	"http://[::ffff:0:127.0.0.1]:%p/", "http://[64:ff9b::127.0.0.1]:%p/", "http://[64:ff9b:1::127.0.0.1]:%p/", "http://[2002:7f00:1::]:%p/", "http://[2001:0:7f00:1::]:%p/",
	"http://[fe80::1]:%p/", "http://[fe80::1%25lo]:%p/", "http://[::1%25lo]:%p/", "http://[fd00:ec2::254]:%p/", "http://[fec0::1]:%p/",
	"http://[ff02::1]:%p/", "http://169.254.169.254:%p/latest/meta-data/", "http://[::ffff:169.254.169.254]:%p/", "http://2852039166:%p/", "http://168.63.129.16:%p/",
	"http://100.64.0.1:%p/", "http://100.100.100.200:%p/", "http://10.0.0.1:%p/", "http://172.16.0.1:%p/", "http://172.31.255.255:%p/",
	"http://192.168.0.1:%p/", "http://192.0.0.192:%p/", "http://198.18.0.1:%p/", "http://224.0.0.1:%p/", "http://255.255.255.255:%p/",
	"http://240.0.0.1:%p/", "https://127.0.0.1:%p/", "HTTP://127.0.0.1:%p/", "http://user@127.0.0.1:%p/", "http://user:pass@127.0.0.1:%p/",
	"http://example.com@127.0.0.1:%p/", "http://127.0.0.1:%p@example.com/", "http://127.0.0.1:%p#@example.com/", "http://127.0.0.1:%p\\@example.com/", "http://１２７.０.０.１:%p/",
	"http://127。0。0。1:%p/", "http://①②⑦.⓪.⓪.①:%p/", "http://ⓛocalhost:%p/", "http:127.0.0.1:%p/", "http:///127.0.0.1:%p/",
	"//127.0.0.1:%p/", "127.0.0.1:%p", "file:///etc/passwd", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
	"gopher://127.0.0.1:%p/_x", "ftp://127.0.0.1:%p/", "ws://127.0.0.1:%p/", "dict://127.0.0.1:%p/", "jar:http://127.0.0.1:%p/!/",
	"data:text/plain,x", "http://[::1", "http://local.test:%p/", "http://private.test:%p/", "http://mapped.test:%p/",
}

// listener counts the connections to a server that listens on every address of this machine.
func listener(t *testing.T) (port string, connects *atomic.Int64) {
	t.Helper()
	connects = new(atomic.Int64)
	l, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") }))
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connects.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port, connects
}

func TestServerModeConnectsToNothingPrivate(t *testing.T) {
	require.GreaterOrEqual(t, len(forms), 60)
	port, connects := listener(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+port) // a proxy would connect in our place
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:"+port)
	c := newCaller(DefaultOptions())
	defer c.client.CloseIdleConnections()
	c.guard.resolver = stubResolver(t)
	for _, form := range forms {
		url := strings.ReplaceAll(form, "%p", port)
		output, failure := runJob(t.Context(), c.asType(), &Job{Input: mustJSON(t, map[string]string{"url": url})})
		require.NotNil(t, failure, "%s answered %s", url, output)
		require.Zero(t, connects.Load(), "%s reached the listener", url)
		if strings.HasPrefix(failure.Code, "http_") && failure.Code != "http_unreachable" {
			require.Equal(t, "http_address_denied", failure.Code, url)
			require.False(t, failure.Retryable, url)
			require.Contains(t, failure.Message, "--allow-address", url)
		}
	}
	for _, url := range []string{"http://127.0.0.1:%p/", "http://localhost:%p/", "http://local.test:%p/", "http://[::ffff:127.0.0.1]:%p/", "http://0.0.0.0:%p/"} {
		_, failure := runJob(t.Context(), c.asType(), &Job{Input: mustJSON(t, map[string]string{"url": strings.ReplaceAll(url, "%p", port)})})
		require.Equal(t, "http_address_denied", failure.Code, "%s: %s", url, failure.Message)
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := encode(v)
	require.NoError(t, err)
	return b
}

func TestRedirectsAreGuarded(t *testing.T) {
	port, connects := listener(t)
	front := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	o := DefaultOptions()
	o.HTTPAllow = []string{"front.test"}
	c := newCaller(o)
	defer c.client.CloseIdleConnections()
	c.guard.resolver = stubResolver(t)
	_, frontPort, _ := strings.Cut(strings.TrimPrefix(front.URL, "http://"), ":")
	for _, target := range []string{"http://127.0.0.1:" + port, "http://localhost:" + port, "http://[::1]:" + port, "http://local.test:" + port, "http://0:" + port} {
		with := mustJSON(t, map[string]any{"url": "http://front.test:" + frontPort, "query": map[string]string{"to": target}})
		_, failure := runJob(t.Context(), c.asType(), &Job{Input: with})
		require.NotNil(t, failure)
		require.Contains(t, []string{"http_address_denied", "http_unreachable"}, failure.Code, failure.Message)
		require.Zero(t, connects.Load(), target)
	}
}

func TestAllowAndDeny(t *testing.T) {
	port, _ := listener(t)
	for _, c := range []struct {
		allow, deny []string
		url         string
		ok          bool
	}{
		{nil, nil, "http://127.0.0.1:%p/", false},
		{[]string{"127.0.0.1"}, nil, "http://127.0.0.1:%p/", true},
		{[]string{"127.0.0.0/8"}, nil, "http://127.0.0.1:%p/", true},
		{[]string{"127.0.0.0/8"}, nil, "http://[::ffff:127.0.0.1]:%p/", true},
		{[]string{"::1"}, nil, "http://127.0.0.1:%p/", false},
		{[]string{"10.0.0.0/8"}, nil, "http://127.0.0.1:%p/", false},
		{[]string{"Local.Test."}, nil, "http://local.test:%p/", true},
		{[]string{"local.test"}, nil, "http://127.0.0.1:%p/", false},
		{[]string{"test"}, nil, "http://local.test:%p/", false},
		{[]string{"*"}, nil, "http://127.0.0.1:%p/", true},
		{[]string{"*"}, []string{"127.0.0.0/8"}, "http://127.0.0.1:%p/", false},
		{[]string{"*"}, []string{"local.test"}, "http://local.test:%p/", false},
		{[]string{"local.test"}, []string{"127.0.0.1"}, "http://local.test:%p/", false},
	} {
		t.Run(fmt.Sprint(c.allow, c.deny, c.url), func(t *testing.T) {
			o := DefaultOptions()
			o.HTTPAllow, o.HTTPDeny = c.allow, c.deny
			require.NoError(t, o.Validate())
			call := newCaller(o)
			defer call.client.CloseIdleConnections()
			call.guard.resolver = stubResolver(t)
			_, failure := runJob(t.Context(), call.asType(), &Job{Input: mustJSON(t, map[string]string{"url": strings.ReplaceAll(c.url, "%p", port)})})
			if c.ok {
				require.Nil(t, failure)
				return
			}
			require.NotNil(t, failure)
			require.Equal(t, "http_address_denied", failure.Code, failure.Message)
		})
	}
}

func TestSpecial(t *testing.T) {
	for _, public := range []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"} {
		require.Empty(t, special(netip.MustParseAddr(public)), public)
	}
	for _, other := range []string{"4000::1", "::2", "2001::1", "2001:db8::1", "192.0.2.1", "0.0.0.0", "fc00::1"} {
		require.NotEmpty(t, special(netip.MustParseAddr(other)), other)
	}
}

// stubResolver answers every question from inside the test: names that anybody
// could point at this machine or its network.
func stubResolver(t *testing.T) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = pc.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(buf[:n]); reply != nil {
				_, _ = pc.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func answer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
	name := strings.TrimSuffix(q.Name.String(), ".")
	switch {
	case q.Type == dnsmessage.TypeA && (name == "local.test" || name == "front.test"):
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
	case q.Type == dnsmessage.TypeA && name == "private.test":
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}})
	case q.Type == dnsmessage.TypeAAAA && name == "mapped.test":
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:127.0.0.1").As16()}})
	case strings.HasSuffix(name, ".test"): // known, without such a record
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}
