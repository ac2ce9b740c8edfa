package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/redrive/redrive/workflow"
)

const maxFrames = 8

// Run runs one job and turns whatever goes wrong into a *workflow.Error: an
// error (see Failure), an output that is no JSON, a panic (code panic, with the
// innermost functions of the stack, never arguments or paths of the machine).
// An absent output is null. It returns when the handler has returned.
func Run(ctx context.Context, h Handler, job *Job) (json.RawMessage, *workflow.Error) {
	if job.Log == nil {
		quiet := *job
		quiet.Log = slog.New(slog.DiscardHandler)
		job = &quiet
	}
	output, err := call(ctx, h, job)
	if err != nil {
		return nil, Failure(err)
	}
	if len(output) == 0 {
		return json.RawMessage("null"), nil
	}
	if !json.Valid(output) {
		return nil, Failure(Fatal(CodeOutputInvalid, "the handler's output is no JSON: %q; answer one JSON value",
			clip(string(output), 200)))
	}
	return output, nil
}

// call runs the handler in a goroutine of its own, so that runtime.Goexit ends
// the handler and not the worker's loop.
func call(ctx context.Context, h Handler, job *Job) (output json.RawMessage, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if returned {
				return
			}
			if v := recover(); v != nil {
				err = Error(CodePanic, "the handler panicked: %s%s", clip(fmt.Sprint(v), 1<<10), stack())
				return
			}
			err = Error(CodePanic, "the handler ended its goroutine (runtime.Goexit)%s", stack())
		}()
		output, err = h.Run(ctx, job)
		returned = true
	}()
	<-done
	return output, err
}

// stack names the innermost functions between the panic and call.
func stack() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for n := 0; n < maxFrames; {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/tasks.call.func1") {
			break
		}
		if ofHandler(frame.Function) {
			fmt.Fprintf(&b, "\n  at %s (%s:%d)", frame.Function, filepath.Base(frame.File), frame.Line)
			n++
		}
		if !more {
			break
		}
	}
	return b.String()
}

// ofHandler leaves the runtime and the wrappers of this package out.
func ofHandler(function string) bool {
	return function != "" && !strings.HasPrefix(function, "runtime.") &&
		!strings.Contains(function, "/tasks.HandlerFunc.Run") && !strings.Contains(function, "/tasks.New[")
}
