package cli

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitPartial     = 5
	exitUnsuccess   = 6
	exitWaitTimeout = 124
)

var exitMeanings = map[int]string{
	exitOK:          "done",
	exitFailed:      "failed",
	exitUsage:       "wrong usage, or a request that was refused as malformed",
	exitNotFound:    "not found",
	exitConflict:    "the state forbids it, or the plan changed",
	exitPartial:     "some of several succeeded",
	exitUnsuccess:   "the awaited execution did not succeed, or none of several did",
	exitWaitTimeout: "waiting timed out; the execution goes on",
}

// failure is an error with an exit code and what to do next. Quiet ones have
// already said all there is to say.
type failure struct {
	code   int
	err    error
	fields []string // one line for each field that is wrong
	next   string
	quiet  bool
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usagef(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// explain turns any error into its exit code and the text that a person sees.
func explain(err error) (code int, text string) {
	if err == nil {
		return exitOK, ""
	}
	var f *failure
	if !errors.As(err, &f) {
		f = asFailure(err)
	}
	if f.quiet {
		return f.code, ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "error: %s\n", err)
	for _, field := range f.fields {
		fmt.Fprintf(&b, "  %s\n", field)
	}
	if f.next != "" {
		fmt.Fprintf(&b, "%s\n", f.next)
	}
	return f.code, b.String()
}
