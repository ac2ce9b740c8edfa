package tasks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/redrive/redrive/workflow"
)

// Codes that every type can fail with.
const (
	CodeError         = "error"          // the handler answered an error without a code
	CodeInputInvalid  = "input_invalid"  // `with` is not what the type accepts
	CodeOutputInvalid = "output_invalid" // the handler's output is no JSON
	CodePanic         = "panic"          // the handler panicked
	CodeTimedOut      = "timed_out"
	CodeCanceled      = "canceled"
)

const maxMessage = 4 << 10

// coded is a *workflow.Error that remembers what it was made from.
type coded struct {
	failure *workflow.Error
	cause   error
}

func (c *coded) Error() string   { return c.failure.Error() }
func (c *coded) Unwrap() []error { return []error{c.failure, c.cause} }

// Error is a failure with a code that another try may overcome. %w wraps.
func Error(code, format string, args ...any) error {
	cause := fmt.Errorf(format, args...)
	return &coded{&workflow.Error{Code: code, Message: cause.Error(), Retryable: true}, cause}
}

// Fatal is a failure with a code that no other try can overcome. %w wraps.
func Fatal(code, format string, args ...any) error {
	cause := fmt.Errorf(format, args...)
	return &coded{&workflow.Error{Code: code, Message: cause.Error()}, cause}
}

// grouped is an error that says which group of failures it belongs to.
type grouped struct {
	error
	fingerprint string
}

func (g *grouped) Unwrap() error       { return g.error }
func (g *grouped) Fingerprint() string { return g.fingerprint }

// Grouped puts an error into the group of failures with this fingerprint, whatever its code and message. A word of letters,
// digits, '.', '_' and '-' is kept as it is, up to 64; of anything else the hash is. Any error with a method Fingerprint() string does the same.
func Grouped(fingerprint string, err error) error {
	if err == nil || fingerprint == "" {
		return err
	}
	return &grouped{err, fingerprint}
}

// Failure is any error as it is stored: the code and retryability of the
// *workflow.Error in its chain, else timed_out, canceled or error, which are
// retryable. It answers nil for nil.
func Failure(err error) *workflow.Error {
	if err == nil {
		return nil
	}
	f := workflow.Error{Code: CodeError, Message: err.Error(), Retryable: true}
	var known *workflow.Error
	var group interface{ Fingerprint() string }
	switch {
	case errors.As(err, &known):
		f = *known
		inner := err
		if g, ok := err.(*grouped); ok { //nolint:errorlint // only the outermost counts here
			inner = g.error
		}
		if _, direct := inner.(*coded); !direct && inner != error(known) { //nolint:errorlint // only the outermost counts here
			f.Message = err.Error() // somebody wrapped it to say where
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrTimedOut):
		f.Code = CodeTimedOut
	case errors.Is(err, context.Canceled), errors.Is(err, ErrCanceled):
		f.Code = CodeCanceled
	}
	if f.Code == "" {
		f.Code = CodeError
	}
	if errors.As(err, &group) {
		f.Fingerprint = group.Fingerprint()
	}
	f.Message = clip(f.Message, maxMessage)
	return &f
}

// clip is s as valid UTF-8 of at most limit bytes, and says so where it cut.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s ... (%d bytes more)", s[:end], len(s)-end)
}
