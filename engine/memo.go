package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Memo is a text that is kept with an execution under a key, until that is purged. Nothing
// of the execution depends on it: it is for what others know of the execution.
type Memo struct {
	Key     string
	Text    string
	Version int64     // another one after every write, also of a key that was dropped before
	At      time.Time // of the last write, by Redis' clock
}

// MemoWrite changes a memo.
type MemoWrite struct {
	Key    string
	Text   string
	Expect int64 // the version it must have now: 0 = there must be none, AnyVersion = whatever
	Drop   bool  // remove it
}

// AnyVersion is expected by a write that is done whatever is there.
const AnyVersion = -1

// MemoBytes is the most bytes of one memo. All of an execution have 4 MiB at most, and there are 1,000 at most.
const MemoBytes = 256 << 10

// Memos keeps them.
type Memos interface {
	// WriteMemos writes all or none. ErrGone; ErrMoved when one has not the version that is expected; ErrMemosFull.
	WriteMemos(ctx context.Context, id string, writes []MemoWrite) error
	// Memos reads the memos of an execution under these keys, or all where none is named; by key. What is not there is left out.
	Memos(ctx context.Context, id string, keys []string) (map[string]Memo, error)
}

// MemoKeys says what a key may be.
const MemoKeys = "1 to 256 letters, digits and . _ - : /, the first a letter or digit"

var memoKey = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$`)

func checkMemos(writes []MemoWrite) error {
	var problems workflow.Problems
	seen := map[string]bool{}
	for _, w := range writes {
		switch {
		case !memoKey.MatchString(w.Key):
			problems = append(problems, workflow.Problem{Field: "key", Code: "format", Message: fmt.Sprintf("%.100q is no key", w.Key), Allowed: MemoKeys})
		case seen[w.Key]:
			problems = append(problems, workflow.Problem{Field: "key", Code: "twice", Message: fmt.Sprintf("%q is there twice", w.Key), Allowed: "each key once"})
		case len(w.Text) > MemoBytes:
			problems = append(problems, workflow.Problem{
				Field: "text", Code: "too_large", Message: fmt.Sprintf("the text of %q has %d bytes", w.Key, len(w.Text)), Allowed: fmt.Sprintf("at most %d", MemoBytes),
			})
		}
		seen[w.Key] = true
	}
	if problems != nil {
		return Invalid("request_invalid", "the memo cannot be kept", problems...)
	}
	return nil
}

// WriteMemos writes memos of an execution, all of them or none. KindConflict memo_changed
// where one has not the version that is expected, memos_full.
func (e *Engine) WriteMemos(ctx context.Context, id string, writes ...MemoWrite) error {
	full, err := e.findID(ctx, id)
	if err != nil {
		return err
	}
	if err := checkMemos(writes); err != nil {
		return err
	}
	err = e.store.WriteMemos(ctx, full, writes)
	if errors.Is(err, ErrGone) {
		return NotFound("execution", id)
	}
	return memoError(full, err)
}

func memoError(id string, err error) error {
	switch {
	case errors.Is(err, ErrMoved):
		return Conflict("memo_changed", "a memo of execution %s was written meanwhile; read it again", id)
	case errors.Is(err, ErrMemosFull):
		return Conflict("memos_full", "execution %s has as many memos, or as long ones, as it may; drop some", id)
	}
	return err
}

// Memos answers the memos of an execution under these keys, or all where none is named; by key.
func (e *Engine) Memos(ctx context.Context, id string, keys ...string) (map[string]Memo, error) {
	full, err := e.findID(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.store.Memos(ctx, full, keys)
}
