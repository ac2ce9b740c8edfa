package tasks

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/workflow"
)

// The clock of the regular expressions of scripts runs on for a minute.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock"))
}

// run runs one job of a type with the `with` given as JSON.
func run(t testing.TB, typ Type, with string) (string, *workflow.Error) {
	t.Helper()
	return runJob(t.Context(), typ, &Job{Input: json.RawMessage(with)})
}

func runJob(ctx context.Context, typ Type, job *Job) (string, *workflow.Error) {
	output, failure := Run(ctx, typ.Handler, job)
	return string(output), failure
}

// builtin is one built-in type under the options.
func builtin(t testing.TB, name string, o Options) Type {
	t.Helper()
	r, err := NewRegistry(Builtin(o)...)
	require.NoError(t, err)
	typ, ok := r.Get(name)
	require.True(t, ok)
	return typ
}

// record is one line that a handler logged.
type record struct {
	Level   slog.Level
	Message string
}

// recorder is a slog.Handler that sends what is logged to a function.
type recorder struct{ take func(record) }

func (recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r recorder) WithAttrs([]slog.Attr) slog.Handler     { return r }
func (r recorder) WithGroup(string) slog.Handler          { return r }
func (r recorder) Handle(_ context.Context, l slog.Record) error {
	r.take(record{l.Level, l.Message})
	return nil
}
