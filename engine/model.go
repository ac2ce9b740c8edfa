package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Project is a namespace with its own workflows, executions and keys.
type Project struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
}

// Workflow is one immutable version of a named definition.
type Workflow struct {
	Project    string          `json:"project"`
	Name       string          `json:"name"`
	Version    int             `json:"version"`
	Hash       string          `json:"hash"`
	Definition json.RawMessage `json:"definition"` // canonical JSON
	Source     string          `json:"source"`     // as it was published
	CreatedAt  time.Time       `json:"created_at"`

	Concurrency *workflow.Concurrency `json:"-"`
	limited     bool                  // by the newest version
	assumed     bool                  // to be the newest, and not limited
}

// Execution is one run of a workflow.
type Execution struct {
	ID             string                      `json:"id"` // UUIDv7
	Number         int64                       `json:"number"`
	Project        string                      `json:"project"`
	Workflow       string                      `json:"workflow"`
	Version        int                         `json:"version"` // 0 = none: see Inline
	DefinitionHash string                      `json:"-"`
	Parent         *Parent                     `json:"parent"` // of a sub-workflow
	Origin         *Origin                     `json:"origin"` // of one that a redrive made
	Root           string                      `json:"root"`   // of the lineage; the execution itself where it has no parent
	Definitions    []FormerDefinition          `json:"-"`      // oldest first
	Path           string                      `json:"-"`      // as Document.Path
	Depth          int                         `json:"-"`      // as Document.Depth
	Status         workflow.ExecutionStatus    `json:"status"`
	Input          json.RawMessage             `json:"input"`
	Output         json.RawMessage             `json:"output"`
	Error          *workflow.Error             `json:"error"`
	CorrelationID  string                      `json:"correlation_id,omitempty"`
	Correlations   []string                    `json:"-"` // ids that it had before a redrive changed them
	Metadata       map[string]string           `json:"metadata,omitempty"`
	Labels         map[string]string           `json:"labels,omitempty"`
	Priority       int                         `json:"priority"`
	Redrives       int                         `json:"redrives"`
	Revision       int64                       `json:"revision"` // rises with every change
	Reason         string                      `json:"reason,omitempty"`
	CreatedAt      time.Time                   `json:"created_at"`
	StartedAt      *time.Time                  `json:"started_at"`
	EndedAt        *time.Time                  `json:"ended_at"`
	TasksSummary   map[workflow.TaskStatus]int `json:"tasks_summary"`
	StartAt        time.Time                   `json:"start_at,omitzero"` // not before; zero = at once
	PausedAt       *time.Time                  `json:"-"`                 // of one that is paused
	ResumedAt      *time.Time                  `json:"-"`                 // after a pause, last; nil = it never was
	PausedUntil    *time.Time                  `json:"-"`                 // when its pause makes it fail; nil = it does not
	Memos          bool                        `json:"-"`                 // it has, or had, some
	Session        *SessionPlace               `json:"session,omitempty"`
	Timeout        time.Duration               `json:"-"` // of this execution; 0 = as its definition says
	Failed         *Failed                     `json:"-"` // how it failed last; nil = it never did
	SucceededAt    *time.Time                  `json:"-"` // when it succeeded last, whatever became of it since
	Waits          bool                        `json:"-"` // for its start time or for a slot: queued, or paused before its turn
	Line           int                         `json:"-"` // of one that waits: the redrive since which it does
	Applying       bool                        `json:"-"` // steps of its redrive are still to be applied: before anything else

	Unreadable error `json:"-"` // of Heads and Choose: why nothing but the id is known
}

// The reasons of a queued execution.
const (
	ReasonConcurrency = "concurrency_limit" // as many executions of its workflow run as may
	ReasonStartAt     = "start_at"          // its start time has not come
)

// SessionPlace says which attempt of which session an execution is.
type SessionPlace struct {
	Number      int64     `json:"number"` // of the session
	Time        time.Time `json:"time"`   // of the session, in whole seconds
	Attempt     int       `json:"attempt"`
	AttemptName string    `json:"attempt_name,omitempty"`
}

// Session is a workflow and a session time, which several executions may fill as attempts.
type Session struct {
	Number   int64
	Workflow string
	Time     time.Time
	Attempts int        // how many there are
	Last     *Execution // the last attempt
}

// Inline reports whether a task gave the execution its definition, instead of the name of a workflow.
func (x *Execution) Inline() bool { return x.Version == 0 }

// LimitedBy is the name of the workflow whose limit of running executions counts this one; "" = none.
func (x *Execution) LimitedBy() string {
	if x.Inline() {
		return ""
	}
	return x.Workflow
}

func (x *Execution) parentID() string {
	if x.Parent == nil {
		return ""
	}
	return x.Parent.Execution
}

// FormerDefinition is one that an execution ran before a redrive changed it.
type FormerDefinition struct {
	Last    int    `json:"last"` // the last redrive that ran it
	Version int    `json:"version"`
	Hash    string `json:"hash"`
}

// definitionAt answers the hash and the version of the definition that an execution ran in a redrive, 0 = from its start.
func (x *Execution) definitionAt(redrive int) (hash string, version int) {
	for _, d := range x.Definitions {
		if redrive <= d.Last {
			return d.Hash, d.Version
		}
	}
	return x.DefinitionHash, x.Version
}

// Parent is the task that an execution is the sub-workflow of.
type Parent struct {
	Execution string `json:"execution"`
	Task      string `json:"task"` // ref
}

// Task is the state of one task of an execution.
type Task struct {
	Ref           string              `json:"ref"`
	Name          string              `json:"name"`
	Type          string              `json:"type"`
	Needs         []string            `json:"needs"`
	Status        workflow.TaskStatus `json:"status"`
	Reason        string              `json:"reason,omitempty"`
	Attempt       int                 `json:"attempt"` // 0 = never dispatched
	Dispatch      int                 `json:"dispatch"`
	Try           int                 `json:"try"`
	MaxAttempts   int                 `json:"max_attempts"`
	Input         json.RawMessage     `json:"input"`
	Output        json.RawMessage     `json:"output"`
	Error         *workflow.Error     `json:"error"`
	Progress      json.RawMessage     `json:"progress,omitempty"` // what its attempt gave before it ended
	Queue         string              `json:"queue"`
	Worker        string              `json:"worker,omitempty"`
	Effects       workflow.Effects    `json:"effects"`
	QueuedAt      *time.Time          `json:"queued_at"`
	StartedAt     *time.Time          `json:"started_at"`
	EndedAt       *time.Time          `json:"ended_at"`
	NextAttemptAt *time.Time          `json:"next_attempt_at"`
	Redrive       int                 `json:"redrive"`
	Size          int                 `json:"size,omitempty"`  // how many tasks it holds directly
	Child         string              `json:"child,omitempty"` // id of its sub-execution
}

// Attempt is one try of one task, kept until retention.
type Attempt struct {
	Attempt   int                 `json:"attempt"`
	Redrive   int                 `json:"redrive"`
	Status    workflow.TaskStatus `json:"status"`
	Reason    string              `json:"reason,omitempty"` // why it ended so: superseded (by a redrive), pinned, what an operator said
	Input     json.RawMessage     `json:"input"`
	Output    json.RawMessage     `json:"output"`
	Error     *workflow.Error     `json:"error"`
	Progress  json.RawMessage     `json:"progress,omitempty"` // what it gave before it ended
	Worker    string              `json:"worker,omitempty"`
	Dispatch  int                 `json:"dispatch"` // the last delivery
	Queue     string              `json:"queue"`
	QueuedAt  *time.Time          `json:"queued_at"`
	StartedAt *time.Time          `json:"started_at"`
	EndedAt   *time.Time          `json:"ended_at"`
}

// Event is one entry of an execution's history. Seq is opaque, unique and
// rises; it is also the id of the server-sent event.
type Event struct {
	Seq     string    `json:"seq"`
	At      time.Time `json:"at"`
	Type    string    `json:"type"` // execution.started, task.running, ...
	Ref     string    `json:"ref,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	Status  string    `json:"status,omitempty"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// Fence names one delivery of one attempt. Every result carries it, and is
// refused when another attempt or delivery has taken its place.
type Fence struct {
	Execution string `json:"execution"`
	Ref       string `json:"ref"`
	Attempt   int    `json:"attempt"`
	Dispatch  int    `json:"dispatch"`
}

// JobID is the asynq task id of the delivery: execution:ref:attempt:dispatch.
func (f Fence) JobID() string {
	return f.Execution + ":" + f.Ref + ":" + strconv.Itoa(f.Attempt) + ":" + strconv.Itoa(f.Dispatch)
}

// ParseJobID reads what JobID writes.
func ParseJobID(id string) (Fence, error) {
	parts := strings.Split(id, ":")
	if len(parts) == 4 {
		attempt, err1 := strconv.Atoi(parts[2])
		dispatch, err2 := strconv.Atoi(parts[3])
		if err1 == nil && err2 == nil {
			return Fence{Execution: parts[0], Ref: parts[1], Attempt: attempt, Dispatch: dispatch}, nil
		}
	}
	return Fence{}, fmt.Errorf("engine: %q is not a job id (execution:ref:attempt:dispatch)", id)
}

// Queue is an asynq queue with its priority lanes added up.
type Queue struct {
	Name      string        `json:"name"`
	Paused    bool          `json:"paused"`
	Pending   int           `json:"pending"`
	Active    int           `json:"active"`
	Scheduled int           `json:"scheduled"`
	Retry     int           `json:"retry"`
	Archived  int           `json:"archived"`
	Latency   time.Duration `json:"-"` // age of the oldest waiting job
	Workers   int           `json:"workers"`
}

// Worker is a live worker process.
type Worker struct {
	ID          string         `json:"id"`
	Host        string         `json:"host"`
	PID         int            `json:"pid"`
	Queues      map[string]int `json:"queues"` // weights
	Types       []string       `json:"types"`
	Concurrency int            `json:"concurrency"`
	Running     int            `json:"running"`
	Draining    bool           `json:"draining"`
	Version     string         `json:"version"`
	StartedAt   time.Time      `json:"started_at"`
	SeenAt      time.Time      `json:"seen_at"`
	Remote      bool           `json:"remote,omitempty"`   // it polls over HTTP
	Projects    []string       `json:"projects,omitempty"` // whose tasks a remote one may take; empty = all
	SkewMillis  int64          `json:"skew,omitempty"`     // by how much its clock is ahead of Redis'
}

// Scope is what an API key may do. Each scope includes the ones before it.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
	ScopeAdmin Scope = "admin"
)

// Key is an API key. The secret itself is shown once and stored only hashed.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scope     Scope      `json:"scope"`
	Projects  []string   `json:"projects"` // empty = all
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"`
}

// Page is a place in a list and how much of it is wanted.
type Page struct {
	Cursor string
	Limit  int // 1 to 1000; 0 = 100
}

// ExecutionFilter narrows a list of executions. Zero fields do not narrow.
type ExecutionFilter struct {
	Status        []workflow.ExecutionStatus
	Workflow      string
	Version       int
	CorrelationID string
	LabelKey      string
	LabelValue    string
	Fingerprint   string    // of a group of failures: those that are open failures in it
	Since, Until  time.Time // of creation
}

// Matches reports whether the filter lets an execution pass, whenever it was created.
func (f ExecutionFilter) Matches(x *Execution) bool {
	return (len(f.Status) == 0 || slices.Contains(f.Status, x.Status)) &&
		(f.Workflow == "" || x.Workflow == f.Workflow) &&
		(f.Version == 0 || x.Version == f.Version) &&
		(f.CorrelationID == "" || x.CorrelationID == f.CorrelationID) &&
		(f.LabelKey == "" || x.Labels[f.LabelKey] == f.LabelValue)
}

// StartRequest asks for an execution of a workflow.
type StartRequest struct {
	Workflow       string
	Version        int // 0 = the newest
	Input          json.RawMessage
	CorrelationID  string
	IdempotencyKey string
	KeyAlone       bool // the key alone says that it is the same request, whatever else is asked
	Metadata       map[string]string
	Labels         map[string]string
	Priority       int               // 1 to 9; 0 = 5
	SessionTime    time.Time         // zero = no session
	AttemptName    string            // of a further attempt in the session; "" = the only unnamed one
	StartAt        time.Time         // zero = at once
	WhenFull       workflow.WhenFull // "" = as the workflow says
	Timeout        time.Duration     // of the whole execution; 0 = as the workflow says
	By             string
}

// Request is the common part of what an operator asks of an execution.
type Request struct {
	Reason   string
	By       string
	Deadline time.Duration // of a pause: after it the execution fails; 0 = never
	Above    string        // id of the execution that passes it on to this one, which is a part of it
	Token    string        // the same again changes nothing more; "" = it is not known again
	Memos    []MemoWrite   // written in the same step, or the request is refused with memo_changed
}
