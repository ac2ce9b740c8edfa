package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/workflow"
)

func TestFailure(t *testing.T) {
	known := &workflow.Error{Code: "own", Message: "as it is", Retryable: false}
	for _, c := range []struct {
		name string
		err  error
		want *workflow.Error
	}{
		{"nil", nil, nil},
		{"plain", errors.New("no luck"), &workflow.Error{Code: "error", Message: "no luck", Retryable: true}},
		{"retryable", Error("busy", "come back in %d s", 3), &workflow.Error{Code: "busy", Message: "come back in 3 s", Retryable: true}},
		{"fatal", Fatal("bad", "never"), &workflow.Error{Code: "bad", Message: "never"}},
		{"wrapping", Fatal("bad", "reading: %w", io.ErrUnexpectedEOF), &workflow.Error{Code: "bad", Message: "reading: unexpected EOF"}},
		{"wrapped", fmt.Errorf("page 3: %w", Fatal("bad", "never")), &workflow.Error{Code: "bad", Message: "page 3: bad: never"}},
		{"workflow error", known, known},
		{"without a code", &workflow.Error{Message: "m", Retryable: true}, &workflow.Error{Code: "error", Message: "m", Retryable: true}},
		{"deadline", fmt.Errorf("calling: %w", context.DeadlineExceeded), &workflow.Error{Code: "timed_out", Message: "calling: context deadline exceeded", Retryable: true}},
		{"timed out", ErrTimedOut, &workflow.Error{Code: "timed_out", Message: ErrTimedOut.Error(), Retryable: true}},
		{"canceled", context.Canceled, &workflow.Error{Code: "canceled", Message: "context canceled", Retryable: true}},
		{"canceled by cause", ErrCanceled, &workflow.Error{Code: "canceled", Message: ErrCanceled.Error(), Retryable: true}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, Failure(c.err)) })
	}
	require.ErrorIs(t, Fatal("bad", "reading: %w", io.ErrUnexpectedEOF), io.ErrUnexpectedEOF)
	require.NotSame(t, known, Failure(known), "what is stored must not be the handler's own value")
}

func TestFailureBoundsTheMessage(t *testing.T) {
	f := Failure(errors.New(strings.Repeat("ä", maxMessage) + "\xff"))
	require.LessOrEqual(t, len(f.Message), maxMessage+40)
	require.True(t, utf8.ValidString(f.Message))
	require.Contains(t, f.Message, "bytes more)")
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler HandlerFunc
		output  string
		code    string
		message string
	}{
		{"output", func(context.Context, *Job) (json.RawMessage, error) { return json.RawMessage(`{"a":1}`), nil }, `{"a":1}`, "", ""},
		{"no output", func(context.Context, *Job) (json.RawMessage, error) { return nil, nil }, `null`, "", ""},
		{"no JSON", func(context.Context, *Job) (json.RawMessage, error) { return json.RawMessage(`{`), nil }, "", "output_invalid", `"{"`},
		{"error drops output", func(context.Context, *Job) (json.RawMessage, error) { return json.RawMessage(`1`), errors.New("x") }, "", "error", "x"},
		{"panic", func(context.Context, *Job) (json.RawMessage, error) { panic("boom") }, "", "panic", "boom"},
		{"panic nil", func(context.Context, *Job) (json.RawMessage, error) { panic(nil) }, "", "panic", "panic called with nil"}, //nolint:govet // this is what is tested
		{"runtime panic", func(_ context.Context, j *Job) (json.RawMessage, error) { return j.Input[9:], nil }, "", "panic", "out of range"},
		{"goexit", func(context.Context, *Job) (json.RawMessage, error) { runtime.Goexit(); return nil, nil }, "", "panic", "Goexit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, failure := runJob(t.Context(), Type{Handler: c.handler}, &Job{})
			require.Equal(t, c.output, output)
			if c.code == "" {
				require.Nil(t, failure)
				return
			}
			require.Equal(t, c.code, failure.Code)
			require.Contains(t, failure.Message, c.message)
		})
	}
}

func TestPanicNamesTheFunctionsAndNothingElse(t *testing.T) {
	_, failure := runJob(t.Context(), Type{Handler: HandlerFunc(func(context.Context, *Job) (json.RawMessage, error) {
		deep(20)
		return nil, nil
	})}, &Job{})
	require.True(t, failure.Retryable)
	require.Contains(t, failure.Message, "tasks.deep (run_test.go:")
	require.Equal(t, maxFrames, strings.Count(failure.Message, "\n  at "))
	require.NotContains(t, failure.Message, "/tasks/run_test.go", "no path of the machine")
	require.NotContains(t, failure.Message, "0x")

	_, failure = runJob(t.Context(), Type{Handler: HandlerFunc(func(context.Context, *Job) (json.RawMessage, error) { panic(1) })}, &Job{})
	require.Equal(t, 1, strings.Count(failure.Message, "\n  at "), "the stack ends at the handler: %s", failure.Message)
}

func deep(n int) {
	if n == 0 {
		panic("at the bottom")
	}
	deep(n - 1)
}

func TestRunGivesEveryJobALog(t *testing.T) {
	job := &Job{}
	_, failure := runJob(t.Context(), Type{Handler: HandlerFunc(func(_ context.Context, j *Job) (json.RawMessage, error) {
		j.Log.Info("heard by nobody")
		return nil, nil
	})}, job)
	require.Nil(t, failure)
	require.Nil(t, job.Log, "the caller's job is left as it is")
}
