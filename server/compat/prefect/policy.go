package prefect

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
)

// The statuses of an outcome.
const (
	accept = "ACCEPT"
	reject = "REJECT"
	abort  = "ABORT"
	wait   = "WAIT"
)

// ruling is what Prefect's rules say of a state that is proposed.
type ruling struct {
	status string
	reason string
	delay  int
	next   *state // the state to be in, with what follows; nil = the present one stays
}

// rule applies the rules of Prefect's CoreFlowPolicy in their order, or with force those of its MinimalFlowPolicy, to
// a flow run in a state (nil = none) and the one that is proposed. Whether a pause is over is the engine's to say.
func (r *run) rule(now *state, next *state, force bool, at time.Time) ruling {
	rules := []func(*run, *state, *state, time.Time) *ruling{
		noDuplicate, leaveEnd, finishCancelling, cancelWithoutInfrastructure, preventPending, markLate, beginPause, endPause, copyTime, waitForTime, retryFailed,
	}
	if force {
		rules = []func(*run, *state, *state, time.Time) *ruling{cancelWithoutInfrastructure}
	}
	for _, apply := range rules {
		if verdict := apply(r, now, next, at); verdict != nil {
			return *verdict
		}
	}
	return ruling{status: accept, next: next}
}

func rejected(format string, args ...any) *ruling {
	return &ruling{status: reject, reason: fmt.Sprintf(format, args...)}
}

func aborted(format string, args ...any) *ruling {
	return &ruling{status: abort, reason: fmt.Sprintf(format, args...)}
}

func noDuplicate(_ *run, now, next *state, _ time.Time) *ruling {
	if now == nil || now.Details.TransitionID == nil || next.Details.TransitionID == nil || *now.Details.TransitionID != *next.Details.TransitionID {
		return nil
	}
	return rejected("This run has already made this state transition.")
}

func leaveEnd(r *run, now, next *state, _ time.Time) *ruling {
	switch {
	case now == nil || !final(now.Type):
		return nil
	case next.Type == cancelling || next.Type == paused || next.Type == crashed:
		return aborted("Run is already in terminal state %s.", now.Type)
	case now.Type == completed && persisted(now.Data) && !final(next.Type):
		return rejected("Run is already COMPLETED.")
	case now.Type == completed && persisted(now.Data) && next.Type == completed && !persisted(next.Data):
		return rejected("Cannot overwrite a COMPLETED state that carries persisted result data with one that does not.")
	case next.Type == scheduled && r.deployment() == nil:
		return aborted("Cannot reschedule a run without an associated deployment.")
	}
	return nil
}

// persisted reports whether data says where a result is stored.
func persisted(data json.RawMessage) bool {
	var d struct {
		StorageKey *string `json:"storage_key"`
	}
	return json.Unmarshal(data, &d) == nil && d.StorageKey != nil
}

func finishCancelling(_ *run, now, next *state, _ time.Time) *ruling {
	if now == nil || now.Type != cancelling || next.Type == cancelled {
		return nil
	}
	return rejected("Cannot transition flows that are cancelling to a state other than Cancelled.")
}

func cancelWithoutInfrastructure(r *run, now, next *state, at time.Time) *ruling {
	what := ""
	switch {
	case now == nil || next.Type != cancelling:
	case now.Type == scheduled && (r.about.InfrastructurePID == nil || now.Name == "Resuming"):
		what = "Scheduled"
	case now.Type == paused && now.Details.PauseReschedule:
		what = "Suspended"
	}
	if what == "" {
		return nil
	}
	return &ruling{status: reject, reason: what + " flow run has no infrastructure to terminate.", next: r.made(cancelled, "", at)}
}

func preventPending(_ *run, now, next *state, _ time.Time) *ruling {
	if now == nil || next.Type != pending || !slices.Contains([]string{pending, cancelling, running, cancelled}, now.Type) {
		return nil
	}
	if now.Type == pending && now.Name != next.Name && next.Name != "Pending" {
		next.Details.ScheduledTime = now.Details.ScheduledTime
		return nil
	}
	return aborted("This run is in a %s state and cannot transition to a PENDING state.", now.Type)
}

func markLate(_ *run, now, next *state, _ time.Time) *ruling {
	switch {
	case now == nil || next.Type != scheduled || next.Name != "Late":
		return nil
	case now.Type != scheduled:
		return rejected("Only scheduled flows can be marked late.")
	case now.Name == "Late":
		return rejected("This flow run is already marked late.")
	}
	return nil
}

func beginPause(r *run, now, next *state, _ time.Time) *ruling {
	if next.Type != paused {
		return nil
	}
	verb := "pause"
	if next.Name == "Suspended" {
		verb = "suspend"
	}
	switch key := next.Details.PauseKey; {
	case now == nil:
		return aborted("Cannot %s flows with no state.", verb)
	case now.Type != running:
		return rejected("Cannot %s flows that are not currently running.", verb)
	case key != nil && slices.Contains(r.said.PauseKeys, *key):
		return rejected("This %s has already fired.", verb)
	case next.Details.PauseReschedule && r.parentTaskRun() != nil:
		return aborted("Cannot %s subflows.", verb)
	case next.Details.PauseReschedule && r.deployment() == nil:
		return aborted("Cannot %s flows without a deployment.", verb)
	}
	return nil
}

func endPause(r *run, now, next *state, _ time.Time) *ruling {
	if now == nil || now.Type != paused {
		return nil
	}
	if next.Type != running && next.Type != scheduled && next.Type != cancelling && !final(next.Type) {
		return rejected("This run cannot transition to the StateType.%s state from the StateType.PAUSED state.", next.Type)
	}
	if now.Details.PauseReschedule && r.deployment() == nil {
		return rejected("Cannot reschedule a %s flow run without a deployment.", lower(next.Name))
	}
	return nil
}

func copyTime(_ *run, now, next *state, _ time.Time) *ruling {
	if now != nil && now.Type == scheduled && next.Type == pending && next.Details.ScheduledTime == nil {
		next.Details.ScheduledTime = now.Details.ScheduledTime
	}
	return nil
}

func waitForTime(_ *run, now, next *state, at time.Time) *ruling {
	if now == nil || next.Type != running || now.Type != scheduled && now.Type != pending || now.Details.ScheduledTime == nil {
		return nil
	}
	if delay := int(math.Round(now.Details.ScheduledTime.Sub(at).Seconds())); delay > 0 {
		return &ruling{status: wait, reason: "Scheduled time is in the future", delay: delay}
	}
	return nil
}

// retryFailed is for flow runs that Prefect's own process runs and repeats.
func retryFailed(r *run, now, next *state, at time.Time) *ruling {
	if now == nil || now.Type != running || next.Type != failed || r.about.Retries == nil || r.said.RunCount > *r.about.Retries {
		return nil
	}
	again := r.made(scheduled, "AwaitingRetry", at)
	again.Message, again.Data = next.Message, next.Data
	if r.about.RetryDelay != nil {
		at = at.Add(time.Duration(*r.about.RetryDelay) * time.Second)
	}
	again.Details.ScheduledTime = momentOf(&at)
	return &ruling{status: reject, reason: "Retrying", next: again}
}

// after is the document when the flow run has gone from one state to the next. What Prefect's rules keep of it is left
// as it was where they were not asked.
func (r *run) after(now, next *state, forced bool) document {
	d := r.said
	d.States, d.PauseKeys, d.Redrives = slices.Clone(d.States), slices.Clone(d.PauseKeys), r.x.Redrives
	from := ""
	if now != nil {
		from = now.Type
		known := slices.ContainsFunc(d.States, func(s state) bool { return s.ID == now.ID })
		if r.driven() && !known && from != next.Type { // it became that natively
			d.States = append(d.States, *now)
			d.date(now.Timestamp.Time)
		}
	}
	for i := range d.States {
		d.States[i].Data = json.RawMessage("null") // only the newest keeps its data
	}
	d.States = append(d.States, *next)
	if more := len(d.States) - keptStates; more > 0 {
		d.States = d.States[more:]
	}
	switch {
	case forced:
	case next.Type == paused:
		key := uuid.NewString()
		if next.Details.PauseKey != nil {
			key = *next.Details.PauseKey
		}
		d.PauseKeys = append(d.PauseKeys, key)
	case next.Name == "AwaitingRetry" && from == running:
		d.again("in_process")
	case from == running && next.Type == failed:
		d.RetryType = nil
	case final(from) && next.Type == scheduled, from == paused && !now.Details.PauseReschedule && next.Type == scheduled:
		d.again("reschedule")
	case final(from) && !final(next.Type):
		d.again("")
	}
	if next.Type == running && !d.Resuming {
		d.RunCount++
	}
	if next.Type == running || final(next.Type) {
		d.Resuming = false
	}
	if from == paused && !forced && (next.Type != scheduled || now.Details.PauseReschedule) {
		d.Resuming = true
	}
	return d
}

// again forgets the pauses of a former go.
func (d *document) again(retryType string) {
	d.PauseKeys, d.Resuming, d.RetryType = nil, false, textOf(retryType)
}

// keptStates is how many states are kept that clients set, the newest ones.
const keptStates = 100
