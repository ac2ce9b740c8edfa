package prefect

import (
	"encoding/json"
	"fmt"
	"time"
)

// The wire types, in the order of Prefect's document. Every field is written, null where there is nothing.

// moment is a time as Prefect writes it: in UTC, with microseconds where it has some.
type moment struct{ time.Time }

func momentOf(t *time.Time) *moment {
	if t == nil || t.IsZero() {
		return nil
	}
	return &moment{t.UTC().Truncate(time.Microsecond)}
}

// MarshalJSON writes the time.
func (m moment) MarshalJSON() ([]byte, error) {
	layout := "2006-01-02T15:04:05.000000Z"
	if m.Nanosecond() < 1000 {
		layout = "2006-01-02T15:04:05Z"
	}
	return json.Marshal(m.UTC().Format(layout))
}

// UnmarshalJSON reads what isTime lets pass.
func (m *moment) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	t, ok := parseTime(text)
	if !ok {
		return fmt.Errorf("prefect: %q is no time", text)
	}
	m.Time = t.UTC().Truncate(time.Microsecond)
	return nil
}

// parseTime reads a time; one without an offset is meant in UTC.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

type details struct {
	FlowRunID                    *string           `json:"flow_run_id"`
	TaskRunID                    *string           `json:"task_run_id"`
	ChildFlowRunID               *string           `json:"child_flow_run_id"`
	ScheduledTime                *moment           `json:"scheduled_time"`
	CacheKey                     *string           `json:"cache_key"`
	CacheExpiration              *moment           `json:"cache_expiration"`
	Deferred                     *bool             `json:"deferred"`
	UntrackableResult            bool              `json:"untrackable_result"`
	PauseTimeout                 *moment           `json:"pause_timeout"`
	PauseReschedule              bool              `json:"pause_reschedule"`
	PauseKey                     *string           `json:"pause_key"`
	RunInputKeyset               map[string]string `json:"run_input_keyset"`
	RefreshCache                 *bool             `json:"refresh_cache"`
	Retriable                    *bool             `json:"retriable"`
	TransitionID                 *string           `json:"transition_id"`
	TaskParametersID             *string           `json:"task_parameters_id"`
	Traceparent                  *string           `json:"traceparent"`
	DeploymentConcurrencyLeaseID *string           `json:"deployment_concurrency_lease_id"`
}

type state struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Name      string          `json:"name"`
	Timestamp moment          `json:"timestamp"`
	Message   *string         `json:"message"`
	Data      json.RawMessage `json:"data"`
	Details   details         `json:"state_details"`
}

type stateCreate struct {
	Type    string          `json:"type"`
	Name    *string         `json:"name"`
	Message *string         `json:"message"`
	Data    json.RawMessage `json:"data"`
	Details details         `json:"state_details"`
}

// outcome is an OrchestrationResult.
type outcome struct {
	State   *state  `json:"state"`
	Status  string  `json:"status"`
	Details verdict `json:"details"`
}

type verdict struct {
	Type         string `json:"type"`
	DelaySeconds *int   `json:"delay_seconds,omitempty"`
	Reason       string `json:"reason,omitempty"`
}

type policy struct {
	MaxRetries        int      `json:"max_retries"`
	RetryDelaySeconds float64  `json:"retry_delay_seconds"`
	Retries           *int     `json:"retries"`
	RetryDelay        *int     `json:"retry_delay"`
	PauseKeys         []string `json:"pause_keys"`
	Resuming          *bool    `json:"resuming"`
	RetryType         *string  `json:"retry_type"`
}

type creator struct {
	ID           *string `json:"id"`
	Type         *string `json:"type"`
	DisplayValue *string `json:"display_value"`
}

type flowRun struct {
	ID                       string          `json:"id"`
	Created                  *moment         `json:"created"`
	Updated                  *moment         `json:"updated"`
	Name                     string          `json:"name"`
	FlowID                   string          `json:"flow_id"`
	StateID                  *string         `json:"state_id"`
	DeploymentID             *string         `json:"deployment_id"`
	DeploymentVersion        *string         `json:"deployment_version"`
	WorkQueueID              *string         `json:"work_queue_id"`
	WorkQueueName            *string         `json:"work_queue_name"`
	FlowVersion              *string         `json:"flow_version"`
	Parameters               json.RawMessage `json:"parameters"`
	IdempotencyKey           *string         `json:"idempotency_key"`
	Context                  json.RawMessage `json:"context"`
	EmpiricalPolicy          policy          `json:"empirical_policy"`
	Tags                     []string        `json:"tags"`
	Labels                   map[string]any  `json:"labels"`
	ParentTaskRunID          *string         `json:"parent_task_run_id"`
	StateType                *string         `json:"state_type"`
	StateName                *string         `json:"state_name"`
	RunCount                 int             `json:"run_count"`
	ExpectedStartTime        *moment         `json:"expected_start_time"`
	NextScheduledStartTime   *moment         `json:"next_scheduled_start_time"`
	StartTime                *moment         `json:"start_time"`
	EndTime                  *moment         `json:"end_time"`
	TotalRunTime             float64         `json:"total_run_time"`
	EstimatedRunTime         float64         `json:"estimated_run_time"`
	EstimatedStartTimeDelta  float64         `json:"estimated_start_time_delta"`
	AutoScheduled            bool            `json:"auto_scheduled"`
	InfrastructureDocumentID *string         `json:"infrastructure_document_id"`
	InfrastructurePID        *string         `json:"infrastructure_pid"`
	CreatedBy                *creator        `json:"created_by"`
	WorkPoolID               *string         `json:"work_pool_id"`
	WorkPoolName             *string         `json:"work_pool_name"`
	State                    *state          `json:"state"`
	JobVariables             json.RawMessage `json:"job_variables"`
}

type runInput struct {
	ID        string  `json:"id"`
	Created   moment  `json:"created"`
	Updated   moment  `json:"updated"`
	FlowRunID string  `json:"flow_run_id"`
	Key       string  `json:"key"`
	Value     string  `json:"value"`
	Sender    *string `json:"sender"`
}

type flow struct {
	ID      string            `json:"id"`
	Created moment            `json:"created"`
	Updated moment            `json:"updated"`
	Name    string            `json:"name"`
	Tags    []string          `json:"tags"`
	Labels  map[string]string `json:"labels"`
}

type logLine struct {
	ID        string  `json:"id"`
	Created   moment  `json:"created"`
	Updated   moment  `json:"updated"`
	Name      string  `json:"name"`
	Level     int     `json:"level"`
	Message   string  `json:"message"`
	Timestamp moment  `json:"timestamp"`
	FlowRunID *string `json:"flow_run_id"`
	TaskRunID *string `json:"task_run_id"`
}
