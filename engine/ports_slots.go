package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Entry is what an execution asks for before it is created, or redriven: a slot
// among the running ones of its workflow, and an attempt of a session.
type Entry struct {
	Project   string
	Workflow  string
	Execution string
	Number    int64
	Epoch     int // of the run that needs the slot
	WhenFull  workflow.WhenFull
	StartAt   time.Time     // zero = at once
	Session   *SessionPlace // nil = none; its Number holds if the session is new
	Tasks     int           // of the execution: many take longer to be written
}

// Entered is what an execution got.
type Entered struct {
	Waits   bool      // it has a place in the line, and no slot yet
	Till    time.Time // until when it must be created, by Redis' clock
	Session int64     // number of its session
	Attempt int       // its index in the session
}

// Turn is something that follows from a change of the slots: an execution that
// has its slot is to be begun; without one, the line of the workflow may move on.
type Turn struct {
	Project, Workflow, Execution string
	Epoch                        int
}

// Look is a reservation, or a line, that is to be looked at.
type Look struct {
	Project   string
	Kind      LookKind
	Workflow  string
	Execution string
	Epoch     int
	Session   time.Time
	Entry     string    // as it is stored
	Due       int64     // as it was seen
	Now       time.Time // by Redis' clock
}

// LookKind says what is to be looked at.
type LookKind string

// What is to be looked at.
const (
	LookSlot    LookKind = "slot"    // given or reserved, and not known to be taken
	LookSession LookKind = "session" // an attempt reserved, and not known to be created; or about to be purged
	LookFill    LookKind = "fill"    // somebody waits
)

// SlotsFull says that as many executions of a workflow run as may, and that one more is to be refused.
type SlotsFull struct {
	Limit int
	Line  bool // nobody else may wait either
}

func (e *SlotsFull) Error() string { return fmt.Sprintf("engine: %d executions run", e.Limit) }

// SessionTaken says which execution holds the attempt that was asked for.
type SessionTaken struct {
	Session, Attempt int64
	Execution        string
	Number           int64
}

func (e *SessionTaken) Error() string {
	return "engine: the attempt of the session is execution " + e.Execution
}

// SessionFull says that a session has as many attempts as it may have.
type SessionFull struct{ Limit int }

func (e *SessionFull) Error() string {
	return fmt.Sprintf("engine: the session has %d attempts", e.Limit)
}

// Slots gives out what limits how many executions of a workflow run. Between two
// calls anything may crash: what was reserved and not taken, given and not begun,
// or freed and not given on, becomes overdue.
type Slots interface {
	// Enter reserves all that an execution asks for, or nothing: *SlotsFull, *SessionTaken,
	// *SessionFull. The same execution and epoch again gets what it has.
	Enter(ctx context.Context, x Entry) (Entered, error)
	// Fill gives free slots to those who wait, at most limit now; it answers them, and whether more may be let in.
	Fill(ctx context.Context, project, workflow string, limit int) ([]Turn, bool, error)
	// Placed says whether a waiting execution has its slot; one that has lost its place in the line gets a new one.
	Placed(ctx context.Context, l Look) (bool, error)
	// Begin lets a queued execution run that has its slot. ErrStale when it began before, *StatusError when it was canceled.
	Begin(ctx context.Context, id string, epoch int) (workflow.ExecutionStatus, error)
	// Leave gives back what an execution holds for the run of that epoch; ErrStale when it was due at another
	// time than seen (0 = whatever). waits says that somebody may be let in.
	Leave(ctx context.Context, l Look, seen int64) (waits bool, err error)
	// Overdue answers what is to be looked at in projects, at most limit of each.
	Overdue(ctx context.Context, projects []string, limit int) ([]Look, error)
	// Looked puts off when something is looked at again; 0 = never again.
	Looked(ctx context.Context, l Look, in time.Duration) error
	// Reserving answers the projects in which anything was ever reserved.
	Reserving(ctx context.Context) ([]string, error)
}

// SessionFilter narrows a list of sessions.
type SessionFilter struct {
	Workflow string
	Time     time.Time // with Workflow: the one of that time; zero = of any
}

// Sessions keeps which executions are the attempts of a session.
type Sessions interface {
	// SessionNumber answers the next number of a session.
	SessionNumber(ctx context.Context) (int64, error)
	// Sessions answers a page of sessions, newest first.
	Sessions(ctx context.Context, project string, f SessionFilter, page Page) ([]Session, string, error)
	// Session answers a session by its number; nil when there is none.
	Session(ctx context.Context, project string, number int64) (*Session, error)
	// SessionAttempts answers a page of the executions of a session, oldest first.
	SessionAttempts(ctx context.Context, project string, s *Session, page Page) ([]Execution, string, error)
	// AttemptNamed says of each time whether the session of a workflow at it has an attempt of that name; one that is only reserved counts.
	AttemptNamed(ctx context.Context, project, workflow, name string, times []time.Time) ([]bool, error)
	// Detach takes an execution that was never created out of its session; ErrStale when it was reserved anew.
	Detach(ctx context.Context, l Look) error
}
