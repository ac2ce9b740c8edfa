package engine

import (
	"context"
	"encoding/json"
	"time"
)

// BulkRecord is a bulk operation as it is stored.
type BulkRecord struct {
	Project   string
	ID        string // UUIDv7
	Spec      json.RawMessage
	State     BulkState
	Reason    string // why it is held, or was aborted
	Cursor    string // how far its executions were collected
	Counts    BulkCounts
	CreatedAt time.Time
	StartedAt *time.Time // when the last of its executions was collected
	EndedAt   *time.Time
	BulkPace
}

// BulkPace is what bounds how fast a bulk operation goes, and when it holds itself.
type BulkPace struct {
	Rate      float64 // executions a second; 0 = any number
	Most      int     // in flight at once
	Canary    int     // the outcomes of so many are waited for first; 0 = of none
	Tolerated float64 // the part of the executions that may fail again; negative = all
}

// BulkCounts says how far a bulk operation is. In every reading the others add up to Total.
type BulkCounts struct {
	Total     int `json:"total"`
	Pending   int `json:"pending"`
	InFlight  int `json:"in_flight"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
}

// BulkName names a bulk operation.
type BulkName struct{ Project, ID string }

// BulkAdd adds executions to the snapshot of a bulk operation.
type BulkAdd struct {
	From, To string // cursors: where they were found, and where the next ones are
	IDs      []string
	Last     bool
}

// Flight is an execution of a bulk operation that is in flight: it is redriven under the token, once.
type Flight struct {
	Place     int       `json:"-"` // in the snapshot
	Execution string    `json:"x"`
	Token     string    `json:"t"`
	Before    string    `json:"b"` // its status
	Epoch     int       `json:"e"`
	Unseen    bool      `json:"u,omitempty"` // it could not be read when it was taken: Before and Epoch say nothing
	Due       time.Time `json:"d"`
}

// BulkResult is what became of an execution of a bulk operation.
type BulkResult struct {
	Place   int         `json:"-"`
	Outcome BulkOutcome `json:"o"`
	Before  string      `json:"b,omitempty"`
	After   string      `json:"a,omitempty"`
	Into    string      `json:"i,omitempty"` // the new execution that a redrive made
	Code    string      `json:"c,omitempty"`
	Message string      `json:"m,omitempty"`
	At      time.Time   `json:"t"`
}

// BulkEntry is an execution of a snapshot: with a result, in flight, or neither.
type BulkEntry struct {
	Place     int
	Execution string
	Flight    *Flight
	Result    *BulkResult
}

// Recovery counts what failed in a project, and what is done about it.
type Recovery struct {
	Bulks    map[BulkState]int    // operations of which something is still to come
	Outcomes map[BulkOutcome]int  // of all executions of operations that ever had one
	Groups   map[FailureState]int // groups with open failures
}

// Bulks keeps bulk operations.
type Bulks interface {
	// CreateBulk stores one whose executions are still to be collected, to be looked at after a while. It is idempotent.
	CreateBulk(ctx context.Context, r BulkRecord, look time.Duration) error
	// Bulk answers one; nil when there is none.
	Bulk(ctx context.Context, n BulkName) (*BulkRecord, error)
	// Bulks answers a page of a project's, newest first.
	Bulks(ctx context.Context, project string, page Page) ([]BulkRecord, string, error)
	// AddToBulk collects executions; ErrMoved when others were added from there, *StatusError when it is made, ErrGone.
	AddToBulk(ctx context.Context, n BulkName, a BulkAdd, look time.Duration) error
	// ControlBulk does hold, continue or abort; *StatusError, ErrGone.
	ControlBulk(ctx context.Context, n BulkName, action BulkAction, reason string) error
	// Recovery counts bulk operations and groups of open failures of a project, without looking at each.
	Recovery(ctx context.Context, project string) (Recovery, error)
	// DropBulk removes one whose retention, or whose time to be made, is over; ErrStale when it is not.
	DropBulk(ctx context.Context, n BulkName) error
	// DueBulks answers which have something to do, in the projects that mine lets pass, at most limit of each.
	DueBulks(ctx context.Context, mine func(project string) bool, limit int) ([]BulkName, error)
}

// BulkItems keeps what becomes of the executions of bulk operations.
type BulkItems interface {
	// BulkIDs answers executions of the snapshot from a place on.
	BulkIDs(ctx context.Context, n BulkName, from, limit int) ([]string, error)
	// TakeBulk takes the next executions, which begin at a place: each in flight or with its result. It answers how many the
	// pace allowed, and how long until it allows more. ErrMoved, ErrGone, *StatusError when it takes none.
	TakeBulk(ctx context.Context, n BulkName, from int, next []BulkEntry) (taken int, wait time.Duration, err error)
	// Flights answers what is in flight.
	Flights(ctx context.Context, n BulkName) ([]Flight, error)
	// SettleBulk gives what is in flight its results; those of others change nothing. ErrGone.
	SettleBulk(ctx context.Context, n BulkName, results []BulkResult) (BulkState, error)
	// BulkEntries answers the executions of the snapshot from a place on, with what became of them.
	BulkEntries(ctx context.Context, n BulkName, from, limit int) ([]BulkEntry, error)
	// Heads reads executions without their values; nil where one is not there.
	Heads(ctx context.Context, ids []string) ([]*Execution, error)
	// Numbered answers the ids of a project's executions by their numbers, "" where there is none of one.
	Numbered(ctx context.Context, project string, numbers []int64) ([]string, error)
	// Choose answers a page of the executions that a filter lets pass, oldest first, without their values. A page may be short.
	Choose(ctx context.Context, project string, f ExecutionFilter, page Page) ([]Execution, string, error)
}
