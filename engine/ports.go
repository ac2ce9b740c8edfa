package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Store is everything the engine needs kept. Package queue implements it on
// Redis; its behaviour suite is what another implementation would have to pass.
type Store interface {
	Definitions
	Executions
	Runs
	Decisions
	RedriveStore
	Holders
	Insides
	Lineages
	Shards
	Fleet
	Inspection
	Remote
	Access
	History
	Logs
	Memos
	Slots
	Sessions
	Schedules
	Failures
	Bulks
	BulkItems
	Audits
	Bundles
	Names
	Notes
}

// Definitions keeps projects and the immutable versions of workflows.
type Definitions interface {
	// PutWorkflow stores the definition as the next version, unless the newest
	// version has the same hash: then it answers that one and false. ErrMoved when
	// the newest version is another than after, which is AnyVersion or 0 = none.
	PutWorkflow(ctx context.Context, w Workflow, after int) (Workflow, bool, error)
	// Workflow answers one version, 0 = the newest; nil when there is none.
	Workflow(ctx context.Context, project, name string, version int) (*Workflow, error)
	// Head answers the version (0 = the newest) and the hash of a workflow, and whether the number of its executions is limited; version 0 when there is none.
	Head(ctx context.Context, project, name string, version int) (Head, error)
	Workflows(ctx context.Context, project string, page Page) ([]Workflow, string, error)
	Versions(ctx context.Context, project, name string, page Page) ([]Workflow, string, error)
	// Definition answers canonical JSON by its hash: that of a version of a workflow, else the one
	// that the execution keeps itself; nil when there is none.
	Definition(ctx context.Context, project, hash, execution string) (json.RawMessage, error)
}

// Head is what a start needs to know of a workflow.
type Head struct {
	Version int
	Hash    string
	Limited bool // by the newest version, whichever this is
}

// NewExecution is an execution about to be created, with its task graph.
type NewExecution struct {
	Execution
	Tasks []NewTask   // every task
	Roots []Successor // the tasks that may run at once
	Ahead []Job       // jobs of roots, which may be sent out in the same trip
	Till  time.Time   // until when what was reserved for it holds; ErrMoved afterwards. Zero = nothing was
	By    string      // who asked for it

	Newest bool // its version must be the newest of the workflow, which must not limit how many run; ErrMoved otherwise

	Definition json.RawMessage // its own; nil = a version of its workflow has it

	Deadline time.Duration // from its start; 0 = none
}

// NewTask is a task of a new execution: its ref and its direct predecessors.
type NewTask struct {
	Ref   string
	Needs []string
}

// Successor is a task that waits for another one.
type Successor struct {
	Ref    string
	Decide bool // its condition, or its kind, needs a decision before it may run
	Join   bool // it has other predecessors, too
}

// Executions creates, controls, reads and lists executions.
type Executions interface {
	// Reserve binds the idempotency key to id for 24 hours and answers the id and
	// body hash that hold it now; they are the given ones when the key was free.
	Reserve(ctx context.Context, project, key, id, bodyHash string) (heldBy, heldHash string, err error)
	// Reserved answers the id and body hash that hold an idempotency key; "" = nothing does.
	Reserved(ctx context.Context, project, key string) (heldBy, heldHash string, err error)
	// Number answers the next execution number. Index binds it to the id.
	Number(ctx context.Context) (int64, error)
	// Create is idempotent: created is false when the execution existed already.
	// ErrStale when it is a sub-workflow that its parent does not want any more.
	Create(ctx context.Context, x NewExecution) (s Settled, created bool, err error)
	// Execution reads an execution; withValues also its input, output and error. ErrGone when it is not there.
	Execution(ctx context.Context, id string, withValues bool) (*Execution, error)
	// FindNumber answers the id of an execution number, "" when there is none.
	FindNumber(ctx context.Context, number int64) (string, error)
	List(ctx context.Context, project string, f ExecutionFilter, page Page) ([]Execution, string, error)
	// Control pauses, resumes or begins to cancel. *StatusError when the status forbids it, ErrStale when
	// the deadline of the pause passed; of its memos ErrMoved, ErrMemosFull.
	Control(ctx context.Context, id string, op Operation, r Request) (Controlled, error)
	// Controlled reports whether Control was called with a token, and did it.
	Controlled(ctx context.Context, id, token string) (bool, error)
}

// Operation is what Control does to an execution.
type Operation string

// The operations of Control.
const (
	OperationPause  Operation = "pause"
	OperationResume Operation = "resume"
	OperationCancel Operation = "cancel"
)

// Controlled is the effect of Control.
type Controlled struct {
	Status workflow.ExecutionStatus
	Relay  []Fence // the jobs to send out
	More   bool    // held tasks are left: resume again

	Cascades bool // its sub-executions are to follow: Advance
}

// StatusError says in which status an execution is that forbids an operation.
type StatusError struct{ Status workflow.ExecutionStatus }

func (e *StatusError) Error() string { return "engine: not possible when " + string(e.Status) }

// State is what follows from a settled transition.
type State int

// What follows from a settled transition.
const (
	StateGoesOn State = iota
	StateDecide       // something waits for Advance
	StateEnded        // the execution ended
)

// Settled is the effect of a transition that ended a task.
type Settled struct {
	State State
	Now   time.Time // by Redis' clock
	Relay []Fence   // jobs that became ready: send them out

	Listed bool // of Create: the lists have the execution
}

// Document is what expressions and handlers may know of an execution.
// It changes only with the epoch.
type Document struct {
	Epoch      int
	Number     int64
	Project    string
	Workflow   string
	Version    int
	Definition string // hash
	Root       string // of the lineage
	Path       string // of a sub-workflow: the tasks that lead to it, each with a slash behind it
	Depth      int    // of sub-workflows
	Parent     string // id of the execution that it is a sub-workflow of, or ""
	Priority   int
	Input      json.RawMessage

	SessionTime time.Time // zero = none
	Session     int64     // its number
	AttemptName string
}

// Read is the state of a task that an expression reads.
type Read struct {
	Status  workflow.TaskStatus
	Attempt int
	Output  json.RawMessage
	Error   *workflow.Error
}

// Claimed is a dispatch taken by a worker.
type Claimed struct {
	Now      time.Time // by Redis' clock
	Sent     time.Time // when the claim was sent, by this process' monotonic clock
	Epoch    int
	Try      int
	Document *Document       // nil when the caller's epoch is the present one
	Reads    []Read          // in the order asked for
	Given    json.RawMessage // the input that a redrive gave; nil = none
}

// Result is how a run ended. Input is what is recorded of its input.
type Result struct {
	Fence
	Input      json.RawMessage
	InputHash  string
	Output     json.RawMessage
	Error      *workflow.Error
	TimedOut   bool
	Lost       bool // only when the lease ran out
	Rests      bool // of a task that holds others: only when nothing in it moves
	OnFailure  Onward
	Successors []Successor
	Ahead      []Job // jobs of successors that are bound to become ready, which may be sent out in the same trip
	Simple     bool  // the end of the execution needs no computing
}

// Onward is what a final failure means for the rest of the execution.
type Onward string

// What a final failure means.
const (
	OnwardContinue Onward = "continue"   // dependents go on
	OnwardStop     Onward = "stop"       // dependents are never reached
	OnwardStopAll  Onward = "stop_all"   // everything else is canceled
	OnwardHalt     Onward = "stop_items" // of an item: those that have not begun do not begin
)

// Why says why an attempt is sent out again under its next dispatch number.
type Why string

// The reasons for another dispatch.
const (
	WhyRelease  Why = "release"  // a draining worker handed it back
	WhyPostpone Why = "postpone" // a remote worker handed it back until later
	WhyExpire   Why = "expire"   // its lease ran out
	WhyVanish   Why = "vanish"   // its job is gone from asynq
	WhyDecline  Why = "decline"  // the worker that got it has no such task type
)

// Runs is the life of one delivery, fenced by (attempt, dispatch). Each answers
// ErrStale when another delivery took the task's place and ErrGone when the
// execution is not there; nothing was written then.
type Runs interface {
	// Claim also answers ErrPaused and *FailedBefore.
	Claim(ctx context.Context, f Fence, worker string, lease time.Duration, epoch int, reads []string) (*Claimed, error)
	Complete(ctx context.Context, r Result) (Settled, error)
	Fail(ctx context.Context, r Result) (Settled, error)
	// BackOff answers how long it is until the retry is due, by Redis' clock.
	BackOff(ctx context.Context, r Result, delay time.Duration) (time.Duration, error)
	// Retry makes the next attempt of a task whose back-off is over; *NotDue when it is not.
	Retry(ctx context.Context, f Fence) (next Fence, then Next, err error)
	Redispatch(ctx context.Context, f Fence, why Why, relayIn time.Duration) (next Fence, relay bool, err error)
	// Hasten makes due what an attempt waits for: that it is retried, or that it is delivered to whoever handed it back until later.
	Hasten(ctx context.Context, f Fence) (retrying bool, err error)
	// Heartbeat extends leases; the answer is false for those that were superseded.
	Heartbeat(ctx context.Context, fences []Fence, lease time.Duration) ([]bool, error)
}

// Next is what follows from a retry.
type Next int

// What follows from a retry.
const (
	NextNothing Next = iota // the execution is paused
	NextRelay               // send the job out
	NextDecide              // Advance begins the task again
)

// FailedBefore says that this very attempt already failed for good. It is ErrFailedBefore.
type FailedBefore struct{ Failure *workflow.Error }

func (e *FailedBefore) Error() string { return ErrFailedBefore.Error() + ": " + e.Failure.Error() }

// Is makes errors.Is(err, ErrFailedBefore) true.
func (e *FailedBefore) Is(target error) bool { return target == ErrFailedBefore }

// NotDue says how long a timer still has.
type NotDue struct{ In time.Duration }

func (e *NotDue) Error() string { return "engine: not due for " + e.In.String() }

// Agenda is what an execution waits for Go to decide.
type Agenda struct {
	Execution
	Epoch   int
	Open    []string                 // tasks to decide, at most 500
	Held    int                      // tasks kept aside while it was paused
	Cascade Operation                // to be passed on to its sub-executions; "" = none
	Ending  workflow.ExecutionStatus // it is to end so as soon as nothing runs; "" = as its tasks say

	Holding bool // nothing starts for a moment, while a redrive of it is planned
}

// Record is the state of one task as it is stored.
type Record struct {
	Status    workflow.TaskStatus `json:"status"`
	Attempt   int                 `json:"attempt,string"`
	Dispatch  int                 `json:"dispatch,string"`
	Try       int                 `json:"try,string"`
	Redrive   int                 `json:"redrive,string"`
	Worker    string              `json:"worker"`
	Reason    string              `json:"reason"`
	Outcome   workflow.TaskStatus `json:"outcome"` // of an attempt that another one followed
	Continued bool                `json:"continued"`
	Lost      int                 `json:"lost,string"` // how often its lease ran out
	Hash      string              `json:"hash"`        // of its input
	Queued    int64               `json:"queued,string"`
	Started   int64               `json:"started,string"`
	Ended     int64               `json:"ended,string"`
	Due       int64               `json:"due,string"`
	Deadline  int64               `json:"deadline,string"` // of a run that a remote worker was given
	Silence   int64               `json:"silence,string"`  // ms after which it is timed out when its worker is silent; 0 = it is not

	// Of a task that no worker runs.
	Control string `json:"control"`      // "1" once it began
	Size    int    `json:"size,string"`  // how many tasks it holds directly; of a loop the iterations so far
	Child   string `json:"child"`        // its sub-execution
	Limit   int64  `json:"limit,string"` // when it times out
	Timed   string `json:"timed"`        // "1" when it did
	Hand    string `json:"hand"`         // how an operator said it ends, as JSON

	// Of one that a redrive reset.
	Given   string        `json:"given"`   // "1" where the redrive gave its input
	Keep    workflow.Keep `json:"keep"`    // what stays of what it holds
	Plan    string        `json:"plan"`    // draft of the steps that its sub-execution goes on with, and the token of that
	Maybe   string        `json:"maybe"`   // "1" where it stays as it was if its input has the same hash
	Rearmed string        `json:"rearmed"` // "1" where it begins after a back-off: its condition was asked before

	// Final is true for a former attempt that had ended its task before a redrive.
	Final bool `json:"-"`
}

// Begun reports whether its attempt is of now. A task that a redrive reset, and that waits, or was skipped or canceled before
// its turn, still counts its former attempts: what the last one took and why it failed is history.
func (r Record) Begun() bool { return r.Dispatch > 0 }

// SpreadMark in front of a ref on an agenda: its successors are still to be released.
const SpreadMark = ">"

// OrphanMark in front of the id of a sub-execution on an agenda: its task was canceled, and it is to be.
const OrphanMark = "!"

// StepSize is how many tasks one transition may touch.
const StepSize = 500

// StepNeeds is how many dependencies the steps of a redrive may write in one
// transition; those of one task are written together, however many they are.
const StepNeeds = 5000

// Decisions applies what Advance decided. ErrMoved when what the decision
// rested on is no longer so.
type Decisions interface {
	Agenda(ctx context.Context, id string) (*Agenda, error)
	// Records reads tasks; all of them when refs is nil.
	Records(ctx context.Context, id string, refs []string) (map[string]Record, error)
	// Values reads the input of the execution where it is asked for, its first final failure and, per ref, what expressions read.
	Values(ctx context.Context, id string, refs []string, withInput bool) (input json.RawMessage, failure *workflow.Error, reads []Read, err error)
	Verdict(ctx context.Context, id, ref string, epoch int, v workflow.Verdict, r Result) (Settled, error)
	// Spread releases up to 500 successors of a task that has too many for one
	// transition; until the last part, Agenda lists it as SpreadMark + ref.
	Spread(ctx context.Context, id, ref string, epoch int, part []Successor, last bool) (Settled, error)
	// Drop cancels, or skips, up to 500 tasks that have not ended; it answers the jobs that were out.
	Drop(ctx context.Context, id string, d Drop) ([]Fence, error)
	// Settle takes an execution off the list of those that wait for Go; ErrMoved when it does wait,
	// or when not just so many tasks of it failed or timed out (fail_fast may ask for more then).
	Settle(ctx context.Context, id string, failed int) error
	// Finish ends an execution; causes are why it did not succeed, nil when it did or was canceled.
	Finish(ctx context.Context, id string, epoch int, status workflow.ExecutionStatus, output json.RawMessage, failure *workflow.Error, causes []Cause) error
}

// Due is what one shard has to do now.
type Due struct {
	Now      time.Time
	Live     bool    // the shard holds anything that may become due
	Jobs     []Fence // waited for long, or runs whose lease ended
	Timers   []Timer // due soon
	Decide   []string
	Index    []string
	Expire   []string
	Building []string
}

// Timer is something that becomes due. Those of an execution have no ref.
type Timer struct {
	Kind TimerKind
	Fence
	In time.Duration // until it is due, by Redis' clock; negative when late
}

// TimerKind says what becomes due.
type TimerKind string

// The kinds of timers.
const (
	TimerRetry   TimerKind = "retry"   // a back-off ends
	TimerWake    TimerKind = "wake"    // a wait ends
	TimerLimit   TimerKind = "limit"   // a task that no worker runs times out
	TimerExpire  TimerKind = "expire"  // the deadline of an execution
	TimerUnpause TimerKind = "unpause" // the deadline of a pause
)

// Known reports whether there are timers of this kind.
func (k TimerKind) Known() bool {
	switch k {
	case TimerRetry, TimerWake, TimerLimit, TimerExpire, TimerUnpause:
		return true
	}
	return false
}

// TaskValue is what was recorded of one attempt.
type TaskValue struct {
	Input, Output json.RawMessage
	Error         *workflow.Error
	Progress      json.RawMessage // what it gave before it ended
}

// History reads what is kept of an execution.
type History interface {
	// Events reads up to limit entries of an execution's history from index on.
	Events(ctx context.Context, id string, from int64, limit int) ([]Event, error)
	// EventCount answers how many entries an execution's history has.
	EventCount(ctx context.Context, id string) (int64, error)
	// Attempts reads attempts 1 to upTo of a task that another one followed, oldest first.
	Attempts(ctx context.Context, id, ref string, upTo int) ([]Record, error)
	// TaskValues reads refs[i] at attempts[i]; current says that these are the tasks' present attempts.
	TaskValues(ctx context.Context, id string, refs []string, attempts []int, current bool) ([]TaskValue, error)
	// TaskCounts counts the tasks of executions that have not ended, by status; of at most limit executions.
	TaskCounts(ctx context.Context, project string, limit int) (map[workflow.TaskStatus]int64, error)
	// StatusCounts counts the executions of a project by status, as the lists show them.
	StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error)
}

// Shards is the housekeeping of the 256 shards.
type Shards interface {
	// Lead takes or keeps the lead over a group of shards for ttl.
	Lead(ctx context.Context, group int, owner string, ttl time.Duration) (bool, error)
	Resign(ctx context.Context, group int, owner string) error
	Due(ctx context.Context, shards []int, ahead time.Duration, limit int) ([]Due, error)
	// States reads the records of tasks of any executions in one trip; a task that is not there has none.
	States(ctx context.Context, fences []Fence) ([]Record, error)
	// Look puts off when a waiting job is looked after again and records why it waits.
	Look(ctx context.Context, f Fence, in time.Duration, reason string) error
	// Index brings the entries of executions in the lists, and their slots, up to date, and binds their numbers.
	Index(ctx context.Context, ids []string) ([]Turn, error)
	// Doom lets nothing go on any more in an execution that holds others and whose retention is over, or with inner
	// in one that is a part of such; ErrStale when it is not over, or it goes on.
	Doom(ctx context.Context, id string, inner bool) error
	// Purge removes everything of an execution whose retention is over; with inner,
	// of a sub-execution together with the execution that it is a part of. ErrStale when it is not over, or it goes on.
	Purge(ctx context.Context, id string, inner bool) error
}

// Job is a delivery to send out through asynq.
type Job struct {
	Fence
	Type    string
	Queue   string // with its priority lane
	Timeout time.Duration
	Project string
}

// JobState is what asynq knows of a job.
type JobState string

// The states of a job.
const (
	JobWaiting   JobState = "waiting"
	JobDelivered JobState = "delivered" // a worker has it
	JobArchived  JobState = "archived"
	JobGone      JobState = "gone" // completed, or never there
)

// Fleet is asynq and the worker processes.
type Fleet interface {
	// Relay sends jobs out; sent is false where asynq already knew the id.
	Relay(ctx context.Context, jobs []Job) (sent []bool, err error)
	JobState(ctx context.Context, j Job) (JobState, error)
	DeleteJob(ctx context.Context, j Job) error
	Announce(ctx context.Context, w Worker, ttl time.Duration) error
	Retire(ctx context.Context, id string) error
	Workers(ctx context.Context) ([]Worker, error)
	Time(ctx context.Context) (time.Time, error)
	Queues
}

// Queues reads and pauses the queues of asynq.
type Queues interface {
	Queues(ctx context.Context) ([]Queue, error)
	SetQueuePaused(ctx context.Context, name string, paused bool) error
	// KeepQueues makes sure that asynq lists the queues.
	KeepQueues(ctx context.Context, names []string) error
	PublishCancel(ctx context.Context, execution string) error
	Cancellations(ctx context.Context) (<-chan string, error)
	Ping(ctx context.Context) error
}

// Access keeps projects and API keys.
type Access interface {
	Projects(ctx context.Context) ([]Project, error)
	PutProject(ctx context.Context, p Project) (created bool, err error)
	PutKey(ctx context.Context, k Key, hash string) error
	Keys(ctx context.Context) ([]Key, error)
	// KeyByHash answers the key whose secret has the hash; nil when there is none.
	KeyByHash(ctx context.Context, hash string) (*Key, error)
}

// Schedules keeps schedules. Each changes as a whole, and only from the revision that was read.
type Schedules interface {
	// Schedule answers a schedule; nil when there is none.
	Schedule(ctx context.Context, project, name string) (*ScheduleRecord, error)
	// Schedules answers a project's schedules by name.
	Schedules(ctx context.Context, project string, page Page) ([]ScheduleRecord, string, error)
	// PutSchedule stores a schedule under the next revision; ErrMoved when the revision is not the stored one.
	PutSchedule(ctx context.Context, r ScheduleRecord) error
	// DropSchedule removes a schedule; ErrMoved when the revision is not the stored one.
	DropSchedule(ctx context.Context, r ScheduleRecord) error
	// DueSchedules answers what is due in the projects that mine lets pass, at most limit of each.
	DueSchedules(ctx context.Context, mine func(project string) bool, limit int) (DueSchedules, error)
	// FindSchedule answers which schedule has a number; an empty name when none has.
	FindSchedule(ctx context.Context, number int64) (ScheduleName, error)
	// Statuses reads the statuses of executions; "" for one that is not there.
	Statuses(ctx context.Context, ids []string) ([]workflow.ExecutionStatus, error)
}
