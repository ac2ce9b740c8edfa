package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

func TestSecretsStayOutOfLogsAndFailures(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	var log syncBuffer
	f.engine.claim = func(r *engine.Run) error {
		r.At.InputReads = workflow.Reads{Secrets: []string{"token", "key", "flag", "missing"}}
		return nil
	}
	o := f.options(func(_ context.Context, job *tasks.Job) (json.RawMessage, error) {
		job.Log.With("with", "hunter22").WithGroup("g").Info("says hunter22 and second line", "text", "hunter22",
			"error", errors.New("hunter22"), "bytes", []byte("hunter22"), slog.Group("in", "deep", "hunter22"), "n", 1)
		return nil, tasks.Fatal("boom", "hunter22 was refused, 1 time")
	})
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	o.Secrets = func(name string) (string, error) {
		value, ok := map[string]string{"token": "hunter22", "key": "first line\nsecond line\n", "flag": "1"}[name]
		if !ok {
			return "", fmt.Errorf("there is no secret %q", name)
		}
		return value, nil
	}
	f.start(o)
	x := fence("a")
	f.send(x, "work")
	require.Equal(t, "redrive: boom: [secret] was refused, 1 time", f.archivedWith(x))
	require.Equal(t, "[secret] was refused, 1 time", get(f.engine, func() string { return f.engine.fails[0].failure.Message }))
	text := log.String()
	require.Contains(t, text, `"msg":"says [secret] and [secret]"`)
	require.Contains(t, text, `"with":"[secret]","g":{"text":"[secret]","error":"[secret]","bytes":"[secret]","in":{"deep":"[secret]"},"n":1}`)
	require.NotContains(t, text, "hunter22")
}
