package engine

import (
	"encoding/json"
	"time"

	"github.com/redrive/redrive/workflow"
)

// CatchUp says what becomes of ticks that were missed because nothing ran that could have seen them.
type CatchUp string

// The policies of catching up.
const (
	CatchUpNone CatchUp = "none" // they are skipped
	CatchUpLast CatchUp = "last" // the latest of them runs
	CatchUpAll  CatchUp = "all"  // all run, in order and one after the other
)

// Overlap says what a tick does while an execution of the same schedule has not ended.
type Overlap string

// The policies of overlap.
const (
	OverlapSkip   Overlap = "skip"   // it is skipped
	OverlapQueue  Overlap = "queue"  // it starts when the former has ended
	OverlapCancel Overlap = "cancel" // it cancels the former and starts
	OverlapAllow  Overlap = "allow"  // it starts beside it, as long as there is room
)

// ScheduleSpec is what a schedule starts, and when.
type ScheduleSpec struct {
	Workflow   string            `json:"workflow"`
	Version    int               `json:"version,omitempty"` // 0 = the newest at each tick
	Cron       string            `json:"cron"`
	TimeZone   string            `json:"time_zone"`
	Delay      workflow.Duration `json:"delay,omitempty"` // a tick starts that much later; its session is that of the tick
	Jitter     workflow.Duration `json:"jitter"`
	CatchUp    CatchUp           `json:"catch_up"`
	Overlap    Overlap           `json:"overlap"`
	Input      json.RawMessage   `json:"input,omitempty"` // strings may hold ${schedule.time}, ${schedule.date}, ${schedule.name}
	Labels     map[string]string `json:"labels,omitempty"`
	Priority   int               `json:"priority"`
	StartAfter *time.Time        `json:"start_after,omitempty"` // no tick before it
	EndBefore  *time.Time        `json:"end_before,omitempty"`  // no tick at it or later
	Enabled    bool              `json:"enabled"`
}

// ScheduleRequest asks for a schedule, in the words of whoever wrote it. What is
// "" or nil falls back to its default; Enabled falls back to how it is now.
type ScheduleRequest struct {
	Workflow              string
	Version               int
	Cron, TimeZone        string
	Delay                 string
	Jitter                string
	CatchUp, Overlap      string
	Input                 json.RawMessage
	Labels                map[string]string
	Priority              int
	StartAfter, EndBefore *time.Time
	Enabled               *bool
}

// Schedule starts executions of a workflow at the times of a cron expression.
type Schedule struct {
	ScheduleSpec
	Project    string
	Name       string
	Number     int64
	Generation int // counts the changes of what it is
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Cursor     time.Time     // every tick up to here was decided
	Next       *PlannedTick  // nil when disabled, or when none is left
	Running    []ScheduleRun // of its ticks, without those of backfills
	Waiting    []time.Time   // ticks that start when the former has ended
	Ticks      []ScheduleTick
	Backfills  []Backfill
}

// PlannedTick is a tick to come, and when it starts: later by the jitter.
type PlannedTick struct{ Time, Due time.Time }

// ScheduleRun is an execution that a tick started and that has not ended.
type ScheduleRun struct {
	Execution string    `json:"execution"`
	Time      time.Time `json:"time"` // of the tick
}

// TickOutcome is what became of a tick.
type TickOutcome string

// The outcomes of a tick.
const (
	TickStarted TickOutcome = "started"
	TickSkipped TickOutcome = "skipped"
	TickFailed  TickOutcome = "failed" // the execution could not be started
)

// The reasons why a tick is skipped.
const (
	SkippedMissed    = "missed"     // nothing ran when it was due, and catch_up says so
	SkippedOverlap   = "overlap"    // the execution named with it had not ended
	SkippedQueueFull = "queue_full" // too many ticks waited already
	SkippedDisabled  = "disabled"   // it waited when the schedule was disabled
	SkippedReplaced  = "replaced"   // it waited when a later tick canceled what it waited for
)

// ScheduleTick is a tick, or Count ticks up to one, and what became of it.
type ScheduleTick struct {
	Time      time.Time   `json:"time"`
	At        time.Time   `json:"at"` // when that was decided
	Outcome   TickOutcome `json:"outcome"`
	Reason    string      `json:"reason,omitempty"`
	Execution string      `json:"execution,omitempty"` // that was started, or that stood in the way
	Error     string      `json:"error,omitempty"`
	Count     int         `json:"count"`
}

// BackfillStatus is how far a backfill got.
type BackfillStatus string

// The statuses of a backfill.
const (
	BackfillRunning  BackfillStatus = "running"
	BackfillFinished BackfillStatus = "finished" // everything was started and has ended
	BackfillCanceled BackfillStatus = "canceled" // nothing more is started
)

// BackfillRequest asks for the ticks of a range: From <= tick < To.
type BackfillRequest struct {
	From, To   time.Time
	MaxRunning int             // 0 = 1
	Input      json.RawMessage // nil = the schedule's
	Attempt    string          // name of the attempts in their sessions; "" = one of its own, that no other backfill has
	By         string
}

// BackfillPreview is what a backfill would start.
type BackfillPreview struct {
	Count int
	Times []time.Time // the first ones
	Last  time.Time   // zero when there is none
}

// Backfill runs the ticks of a range, at most MaxRunning at once.
type Backfill struct {
	ID         int             `json:"id"`
	Status     BackfillStatus  `json:"status"`
	From       time.Time       `json:"from"`
	To         time.Time       `json:"to"`
	MaxRunning int             `json:"max_running"`
	Input      json.RawMessage `json:"input,omitempty"`
	Attempt    string          `json:"attempt,omitempty"` // the name that was given
	By         string          `json:"by,omitempty"`
	Cron       string          `json:"cron"` // as it was when the backfill was made
	TimeZone   string          `json:"time_zone"`
	CreatedAt  time.Time       `json:"created_at"`
	EndedAt    *time.Time      `json:"ended_at,omitempty"`

	Count      int           `json:"count"`       // of ticks in all
	Started    int           `json:"started"`     // executions
	NotStarted int           `json:"not_started"` // ticks whose execution could not be started
	Succeeded  int           `json:"succeeded"`   // executions
	Failed     int           `json:"failed"`      // executions that ended otherwise
	LastError  string        `json:"last_error,omitempty"`
	Cursor     *time.Time    `json:"cursor,omitempty"` // the last tick that was started
	Running    []ScheduleRun `json:"running,omitempty"`
}

// ScheduleRecord is a schedule as it is stored; Spec and State are the engine's own.
type ScheduleRecord struct {
	Project, Name string
	Revision      int64 // rises with every change; 0 = not stored yet
	Number        int64
	Look          time.Time // when to look at it next; zero = not at all
	Spec, State   json.RawMessage
}

// ScheduleName names a schedule in all projects.
type ScheduleName struct{ Project, Name string }

// DueSchedules is what schedules have to do now.
type DueSchedules struct {
	Now  time.Time
	Due  []ScheduleName
	Next time.Time // when the next one is due; zero when none is
}
