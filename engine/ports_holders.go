package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Drop is an end of tasks that have not ended, those inside a task before it.
type Drop struct {
	Epoch   int                 // the decision rested on it
	To      workflow.TaskStatus // canceled or skipped
	Reason  string
	If      DropIf
	Holder  string // the task that If is about; "" = the execution
	Attempt int    // of Holder
	Refs    []string
}

// DropIf is what must hold for tasks to be dropped.
type DropIf string

// What must hold.
const (
	DropAlways  DropIf = ""
	DropIfRests DropIf = "rests" // nothing is in motion
	DropIfWaits DropIf = "waits" // the holder is to begin
	DropIfCut   DropIf = "cut"   // the holder is to end although what is in it goes on
)

// Begin is how a task begins that no worker runs.
type Begin struct {
	Ref       string
	Epoch     int             // the decision rested on it
	Waiting   bool            // for a time, or somebody; else it runs
	Input     json.RawMessage // as it is recorded
	InputHash string
	Child     string // id of its sub-execution
	Plan      string // draft of the steps that this goes on with; "" = it is to be made
	Part             // the last part of what it holds
	Size      int    // how many tasks it holds
	Roots     []Successor
	Keys      json.RawMessage // of a for_each: of its items, in order
	Parallel  int             // of a for_each: how many items may be in motion; it begins with the first
	Turns     int             // of a for_each: how many items wait for their turn
	Decide    bool            // of a for_each: its items need a decision
	Wakes     bool            // a wait that ends after Wake, or at WakeAt
	Wake      time.Duration
	WakeAt    time.Time
	Limit     time.Duration   // until it times out; 0 = never
	Missing   bool            // its record may be missing: it is the group of the failure handlers
	Failure   *workflow.Error // what they read as the error of the execution
}

// Part is some of the tasks that one holds, at most StepSize.
type Part struct {
	Tasks []Inside
	Items bool // of a for_each, from item First on
	First int
}

// Inside is a task inside another: its direct predecessors, and of an item what its expressions see.
type Inside struct {
	Ref     string
	Needs   []string
	Waits   []string // those of Needs that have not ended well; nil = all
	Context json.RawMessage
}

// Close is how a task ends without a worker's result.
type Close struct {
	Ref        string
	Epoch      int // the decision rested on it; -1 = any
	Attempt    int // 0 = any
	From       []workflow.TaskStatus
	When       CloseWhen
	To         workflow.TaskStatus
	Output     json.RawMessage // nil = none
	Error      *workflow.Error
	OnFailure  Onward
	By, Reason string
	Simple     bool
	Successors []Successor
}

// CloseWhen is what must hold for a task to be closed.
type CloseWhen string

// What must hold.
const (
	CloseAlways CloseWhen = ""
	CloseRests  CloseWhen = "rests" // nothing in it is in motion, and it is on the agenda
	CloseWoken  CloseWhen = "woken" // its wake is due
	CloseLimit  CloseWhen = "limit" // its time is over
)

// Holders is the life of tasks that no worker runs. ErrMoved when what a
// decision rested on is no longer so, *NotDue before its time.
type Holders interface {
	// BeginTask sets the first tasks inside in motion; Grow writes parts of what is inside before.
	BeginTask(ctx context.Context, id string, b Begin) (Settled, error)
	Grow(ctx context.Context, id, ref string, epoch int, p Part) error
	// Reset makes up to 500 ended tasks inside ready to be reached again, before it begins again.
	Reset(ctx context.Context, id, holder string, epoch int, refs []string) error
	// Widen sets up to 500 more items in motion; until all that may be are, Agenda lists SpreadMark + ref.
	Widen(ctx context.Context, id, ref string, epoch int) (Settled, error)
	// Again begins the iteration behind the one that ended.
	Again(ctx context.Context, id, ref string, epoch, attempt, ended int) error
	// CloseTask also answers *TaskStatusError.
	CloseTask(ctx context.Context, id string, c Close) (Settled, error)
	// CutOff puts a running task on the agenda that is to end although what is in it goes on.
	CutOff(ctx context.Context, f Fence, hand json.RawMessage) error
	Expire(ctx context.Context, id string, kind TimerKind, failure *workflow.Error) error
	// Made takes a task off the agenda whose sub-execution is there; *StatusError when that ended.
	Made(ctx context.Context, id, ref, child string) error
	Cascaded(ctx context.Context, id string, op Operation) error
	// Postpone puts off the timer of a wait in a paused execution; ErrMoved when that is not paused.
	Postpone(ctx context.Context, kind TimerKind, f Fence, again time.Duration) error
	// Dismiss takes an entry off the agenda that asks for nothing.
	Dismiss(ctx context.Context, id, entry string) error
}

// Insides reads what tasks hold.
type Insides interface {
	Children(ctx context.Context, id string) ([]string, error)
	Item(ctx context.Context, id, ref string) (*workflow.Item, error)
	ItemKeys(ctx context.Context, id string, refs []string) ([][]string, error)
	// Given answers the input that a redrive gave to a task, as it was given; nil = none.
	Given(ctx context.Context, id, ref string) (json.RawMessage, error)
	// ValuesSize answers how many bytes the values of an execution have, as they are stored.
	ValuesSize(ctx context.Context, id string) (int, error)
	// Rests reports whether nothing in a task moves, and it is to be decided how it goes on.
	Rests(ctx context.Context, id, ref string) (bool, error)
	// Outputs answers ErrTooLarge when they have more than limit bytes.
	Outputs(ctx context.Context, id string, refs []string, limit int) ([]json.RawMessage, error)
}

// Lineages finds executions that belong together.
type Lineages interface {
	// Family answers the ids of the executions that redrives made in a lineage, oldest first, at most so many.
	Family(ctx context.Context, project, root string, most int) ([]string, error)
	// Branches reads many executions without their values; one that is gone is nil.
	Branches(ctx context.Context, ids []string) ([]*Branch, error)
}

// Branch is an execution with the ids of its sub-executions, oldest first.
type Branch struct {
	Execution
	Children []string
}

// TaskStatusError says in which status a task is that forbids an operation.
type TaskStatusError struct{ Ref, Status string }

func (e *TaskStatusError) Error() string { return "engine: task " + e.Ref + " is " + e.Status }
