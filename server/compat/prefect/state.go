package prefect

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// The types of states.
const (
	scheduled  = "SCHEDULED"
	pending    = "PENDING"
	running    = "RUNNING"
	completed  = "COMPLETED"
	failed     = "FAILED"
	cancelled  = "CANCELLED"
	crashed    = "CRASHED"
	paused     = "PAUSED"
	cancelling = "CANCELLING"
)

var stateTypes = []string{scheduled, pending, running, completed, failed, cancelled, crashed, paused, cancelling}

func final(kind string) bool {
	return kind == completed || kind == failed || kind == cancelled || kind == crashed
}

// endings are the states that an execution that ended may be in.
var endings = map[workflow.ExecutionStatus][]string{
	workflow.ExecutionSucceeded: {completed}, workflow.ExecutionFailed: {failed, crashed},
	workflow.ExecutionTimedOut: {failed}, workflow.ExecutionCanceled: {cancelled},
}

// defaultName is the name of a state that has none: its type, capitalised.
func defaultName(kind string) string { return kind[:1] + strings.ToLower(kind[1:]) }

const (
	runMemo   = "prefect.run"    // holds a document
	aboutMemo = "prefect.about"  // holds what is known about the run
	inputMemo = "prefect.input/" // in front of the key of a run input
)

// document is what Prefect's clients said of a flow run: what Redrive itself has no place for.
type document struct {
	States    []state       `json:"states,omitempty"` // oldest first; the newest one is dated by its memo
	Redrives  int           `json:"redrives,omitempty"`
	RunCount  int           `json:"run_count,omitempty"` // this, and the two below, of one that Prefect's own process runs
	Began     *moment       `json:"began,omitempty"`     // when it was RUNNING first
	RunTime   time.Duration `json:"run_time,omitempty"`  // how long it was RUNNING before its newest state
	PauseKeys []string      `json:"pause_keys,omitempty"`
	Resuming  bool          `json:"resuming,omitempty"`
	RetryType *string       `json:"retry_type,omitempty"`
}

// date dates the newest state, with which the one before it is over.
func (d *document) date(at time.Time) {
	n := len(d.States)
	if n == 0 {
		return
	}
	d.States[n-1].Timestamp = moment{at}
	if n > 1 && d.States[n-2].Type == running {
		d.RunTime += max(at.Sub(d.States[n-2].Timestamp.Time), 0)
	}
	if i := slices.IndexFunc(d.States, func(s state) bool { return s.Type == running }); i >= 0 && d.Began == nil {
		began := d.States[i].Timestamp
		d.Began = &began
	}
}

// about is what clients said about a flow run that is none of its states.
type about struct {
	Retries           *int            `json:"retries,omitempty"`
	RetryDelay        *int            `json:"retry_delay,omitempty"`
	Name              *string         `json:"name,omitempty"` // where it was changed
	Tags              []string        `json:"tags,omitempty"`
	FlowVersion       *string         `json:"flow_version,omitempty"`
	InfrastructurePID *string         `json:"infrastructure_pid,omitempty"`
	IdempotencyKey    *string         `json:"idempotency_key,omitempty"`
	ParentTaskRun     *string         `json:"parent_task_run,omitempty"`
	Expected          *moment         `json:"expected,omitempty"` // when it is to start, of one that Prefect's own process runs
	JobVariables      json.RawMessage `json:"job_variables,omitempty"`
	Context           json.RawMessage `json:"context,omitempty"`
}

// run is all that a flow run is made of.
type run struct {
	x       *engine.Execution
	said    document
	saidAt  time.Time // when its newest state was said
	version int64     // of the memo; 0 = there is none
	about   about
	noted   int64 // version of that memo
	gate    *engine.Gate
}

// labelDriven marks an execution that Prefect's own process runs; Redrive only keeps its state.
const labelDriven = "prefect.driven"

func (r *run) driven() bool { return r.x.Labels[labelDriven] != "" }

// lastSaid is the newest state that a client of Prefect set; nil = none did.
func (r *run) lastSaid() *state {
	if len(r.said.States) == 0 {
		return nil
	}
	s := r.said.States[len(r.said.States)-1]
	return &s
}

// state is the present one.
func (r *run) state() *state {
	if s := r.lastSaid(); s != nil && r.holds(s) {
		if s.Type == paused {
			s.Details.PauseTimeout = momentOf(r.x.PausedUntil)
		}
		return s
	}
	return r.derived()
}

// holds reports whether a state that was set is still what the execution is in: Redrive's status is the truth.
func (r *run) holds(s *state) bool {
	if r.said.Redrives != r.x.Redrives {
		return false
	}
	switch x := r.x; x.Status {
	case workflow.ExecutionPaused:
		return s.Type == paused && x.PausedAt != nil && x.PausedAt.Equal(r.saidAt)
	case workflow.ExecutionRunning:
		return r.gate == nil && (s.Type == running || r.driven() && (s.Type == scheduled || s.Type == pending || s.Type == cancelling))
	case workflow.ExecutionCanceling:
		return s.Type == cancelling
	case workflow.ExecutionQueued:
		return false
	default:
		return slices.Contains(endings[x.Status], s.Type) && (r.driven() || x.EndedAt != nil && !r.saidAt.Before(*x.EndedAt))
	}
}

func (r *run) made(kind, name string, at time.Time) *state {
	if name == "" {
		name = defaultName(kind)
	}
	id := r.x.ID
	return &state{
		ID: stateID(id, kind, strconv.FormatInt(at.UnixMilli(), 10)), Type: kind, Name: name, Timestamp: *momentOf(&at),
		Data: json.RawMessage("null"), Details: details{FlowRunID: &id, Deferred: new(bool)},
	}
}

func (r *run) began() time.Time {
	if r.x.StartedAt != nil {
		return *r.x.StartedAt
	}
	return r.x.CreatedAt
}

// derived is the state that follows from the execution alone.
func (r *run) derived() *state {
	x := r.x
	switch x.Status {
	case workflow.ExecutionQueued:
		s := r.made(scheduled, "", x.CreatedAt)
		if x.Reason == engine.ReasonConcurrency {
			s.Name = "AwaitingConcurrencySlot"
		}
		s.Details.ScheduledTime = momentOf(r.expected())
		return s
	case workflow.ExecutionPaused:
		at := r.began()
		if x.PausedAt != nil {
			at = *x.PausedAt
		}
		s := r.made(paused, "", at)
		s.Message, s.Details.PauseTimeout = textOf(x.Reason), momentOf(x.PausedUntil)
		return s
	case workflow.ExecutionCanceling:
		return r.made(cancelling, "", r.began())
	case workflow.ExecutionRunning:
		if r.gate != nil {
			return r.atGate()
		}
		at := r.began()
		if len(r.said.States) > 0 && r.saidAt.After(at) { // it goes on since somebody said so
			at = r.saidAt
		}
		return r.made(running, "", at)
	}
	return r.ended()
}

func (r *run) ended() *state {
	x, at := r.x, r.began()
	if x.EndedAt != nil {
		at = *x.EndedAt
	}
	kind, name := endings[x.Status][0], ""
	if x.Status == workflow.ExecutionTimedOut {
		name = "TimedOut"
	}
	s := r.made(kind, name, at)
	switch {
	case x.Error != nil && x.Error.Code == "pause_expired":
		s.Message = textOf("The flow was paused and never resumed.")
	case x.Error != nil:
		s.Message = textOf(x.Error.Code + ": " + x.Error.Message)
	case x.Reason != "":
		s.Message = textOf(x.Reason)
	}
	if kind == completed && len(x.Output) > 0 {
		s.Data = x.Output
	}
	return s
}

// atGate is the pause that an open approval is.
func (r *run) atGate() *state {
	at := r.gate.Since
	if len(r.said.States) > 0 && r.saidAt.After(at) { // a pause that was lifted since, say
		at = r.saidAt
	}
	s := r.asked(pauseKey(r.gate), at)
	s.Message, s.Details.PauseTimeout = textOf(r.gate.Message), momentOf(r.gate.Deadline)
	return s
}

// asked is the pause that asks for a run input.
func (r *run) asked(key string, at time.Time) *state {
	s := r.made(paused, "", at)
	s.ID = stateID(r.x.ID, paused, strconv.FormatInt(at.UnixMilli(), 10), key)
	s.Details.PauseKey, s.Details.RunInputKeyset = &key, keyset(key)
	return s
}

// pauseKey names the wait of a task at its approval, with letters that keys of inputs may have.
func pauseKey(g *engine.Gate) string {
	plain := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(g.Ref))
	return strings.Trim(plain, "-") + "-" + strconv.Itoa(g.Attempt)
}

func keyset(pauseKey string) map[string]string {
	set := map[string]string{}
	for _, part := range []string{"schema", "response", "description"} {
		set[part] = "paused-" + pauseKey + "-" + part
	}
	return set
}

func textOf(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// expected is when it was to start.
func (r *run) expected() *time.Time {
	if r.about.Expected != nil {
		return &r.about.Expected.Time
	}
	if !r.x.StartAt.IsZero() {
		return &r.x.StartAt
	}
	return &r.x.CreatedAt
}
