package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Commit is a redrive made ready: everything in it comes true, or nothing.
type Commit struct {
	Token string // the same token again changes nothing
	Draft string // under which steps were written before
	Parts []CommitPart
}

// CommitPart is what a redrive does to one execution.
type CommitPart struct {
	Execution string
	Epoch     int   // the plan rests on it
	Revision  int64 // and on this revision; -1 = each step is compared with its task instead
	By        string
	Reason    string
	Live      bool            // it has not ended, and goes on
	Waits     bool            // for a slot
	Till      time.Time       // until when what was reserved for it holds; ErrMoved afterwards
	Deadline  time.Duration   // from now, or from its turn; 0 = none
	Record    json.RawMessage // for its history
	Input     json.RawMessage // that takes the place of its own; nil = none does
	Fields    map[string]string
	Steps     []workflow.Step // at most StepSize, where none were written before
	Written   int             // how many rows Write wrote
	Grows     int             // by how many bytes its values grow
	Hold      string          // token of the hold that it was planned in; "" = none
}

// Applied is what follows from steps that were applied to an execution.
type Applied struct {
	Settled
	Execution string
	Out       []Fence // jobs of attempts that were superseded
}

// RedriveStore commits redrives and applies their steps.
type RedriveStore interface {
	// Write keeps steps for a commit of the execution as a draft that nobody wrote before, with a header that
	// Header answers, and says how many rows that took. They are forgotten after a day, unless they are committed.
	Write(ctx context.Context, id, draft string, header json.RawMessage, steps []workflow.Step) (rows int, err error)
	// Header answers the header of what was written, and how many rows there are; ErrGone when it is not there.
	Header(ctx context.Context, id, draft string) (header json.RawMessage, rows int, err error)
	// Commit answers what follows per execution, or which redrive the token made before. ErrMoved when what the
	// plan rests on is no longer so, *StatusError, ErrGone, ErrValuesFull.
	Commit(ctx context.Context, c Commit) (applied []Applied, before int, err error)
	// Adopt makes an execution from another one, as one that has ended and was redriven -1 times; Commit lets it run.
	Adopt(ctx context.Context, a Adoption) error
	// Apply applies up to StepSize steps more; ErrMoved when there are none.
	Apply(ctx context.Context, id string, epoch int) (a Applied, more bool, err error)
	// Hold keeps aside for d what becomes ready in an execution that goes on; 0 ends that, an empty token one whose time
	// is over. ErrMoved when steps of a redrive are applied, or another hold is there, *StatusError, ErrGone.
	Hold(ctx context.Context, id, token string, d time.Duration) error
	// RedriveOf answers which redrive a token made; 0 = none.
	RedriveOf(ctx context.Context, id, token string) (int, error)
	// RedriveRecords answers what was kept of redrives from up to till, and when they were made; nil where there is none.
	RedriveRecords(ctx context.Context, id string, from, till int) ([]json.RawMessage, []time.Time, error)
}
