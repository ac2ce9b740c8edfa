package worker

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
)

func TestSecretsStayOutOfLogsAndFailures(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var log syncBuffer
	f.engine.claim = func(r *engine.Run) error {
		r.Secrets = []string{"hunter22", "first line\nsecond line\n", "1"}
		return nil
	}
	o := f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		job.Log.With("with", "hunter22").WithGroup("g").Info("says hunter22 and second line", "text", "hunter22",
			"error", errors.New("hunter22"), "bytes", []byte("hunter22"), slog.Group("in", "deep", "hunter22"), "n", 1)
		return nil, tasks.Fatal("boom", "hunter22 was refused, 1 time")
	})
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	f.start(o)
	x := fence("a")
	f.send(x, "work")
	require.Equal(t, "redrive: boom: [secret] was refused, 1 time", f.archivedWith(x))
	require.Equal(t, "[secret] was refused, 1 time", get(f.engine, func() string { return f.engine.fails[0].failure.Message }))
	text := log.String()
	require.Contains(t, text, `"msg":"says [secret] and [secret]"`)
	require.Contains(t, text, `"with":"[secret]","g":{"text":"[secret]","error":"[secret]","bytes":"[secret]","in":{"deep":"[secret]"},"n":1}`)
	require.NotContains(t, text, "hunter22")
	require.NotContains(t, fmt.Sprint(messages(get(f.engine, func() []engine.LogBatch { return f.engine.logs }))), "hunter22", "the log of the attempt")
	require.Contains(t, messages(f.engine.logs)[0], "info: says [secret] and [secret] with=[secret]")
}

func TestSecretsAreFoundInEveryForm(t *testing.T) {
	const secret = `p"ss/w+rd<&> üñ=?`
	x := newRedactor(&engine.Run{Secrets: []string{secret}})
	asJSON, err := json.Marshal(secret)
	require.NoError(t, err)
	for what, text := range map[string]string{
		"as it is": secret, "JSON": string(asJSON), "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"user info": url.UserPassword("u", secret).String(), "Go": strconv.Quote(secret),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"basic auth 0": base64.StdEncoding.EncodeToString([]byte("me:" + secret)), "basic auth 1": base64.StdEncoding.EncodeToString([]byte("you:" + secret)),
		"basic auth 2": base64.StdEncoding.EncodeToString([]byte("admin:" + secret + " and more")),
		"hex":          hex.EncodeToString([]byte(secret)), "HEX": fmt.Sprintf("%X", secret),
	} {
		require.Contains(t, x.replacer.Replace("<"+text+">"), hidden, "%s: %s", what, text)
		require.NotContains(t, x.replacer.Replace("<"+text+">"), text, what)
	}
	require.Equal(t, "cGFzczEyMzQ=", newRedactor(&engine.Run{Secrets: []string{"word"}}).replacer.Replace("cGFzczEyMzQ="))
}

func TestSecretsStayOutOfOutputs(t *testing.T) {
	x := newRedactor(&engine.Run{Secrets: []string{"hunter22", "12345678", `qu"ote`, "tab\tand ü"}})
	for plain, clean := range map[string]string{
		`{"a":"say hunter22","n":98765432109876543210,"e":[],"z":1.50}`: `{"a":"say [secret]","n":98765432109876543210,"e":[],"z":1.50}`,
		`{"hunter22":12345678}`:                           `{"[secret]":"[secret]"}`,
		`["\u0068unter22", "qu\"ote", "tab\tand \u00fc"]`: `["[secret]", "[secret]", "[secret]"]`,
		`"{\"inner\":\"qu\\\"ote\"}"`:                     `"{\"inner\":\"[secret]\"}"`,
		`["<&>\u2028 hunter22"]`:                          "[\"<&>\\u2028 [secret]\"]",
		`{"a": [true, null, -1e5, "\\"]}`:                 `{"a": [true, null, -1e5, "\\"]}`,
		`"hunter2"`:                                       `"hunter2"`,
		`null`:                                            `null`,
	} {
		require.True(t, json.Valid([]byte(plain)), plain)
		got := string(x.output(json.RawMessage(plain)))
		require.Equal(t, clean, got)
		require.True(t, json.Valid([]byte(got)), got)
	}
	require.Equal(t, `"hunter22"`, string((*redactor)(nil).output(json.RawMessage(`"hunter22"`))))
	require.Equal(t, `"never ends`, string(x.output(json.RawMessage(`"never ends`))), "what is no JSON is refused elsewhere")
}
