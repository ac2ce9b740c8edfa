package digdag

import (
	"bytes"
	"encoding/json"
	"time"
)

// The wire types. What is not there is null, as Digdag has it; ids are text.

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type project struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Revision    string  `json:"revision"`
	CreatedAt   instant `json:"createdAt"`
	UpdatedAt   instant `json:"updatedAt"`
	DeletedAt   *string `json:"deletedAt"` // null: projects stay
	ArchiveType string  `json:"archiveType"`
	ArchiveMD5  *string `json:"archiveMd5"`
}

type projects struct {
	Projects []project `json:"projects"`
}

type revision struct {
	Revision    string         `json:"revision"`
	CreatedAt   instant        `json:"createdAt"`
	ArchiveType string         `json:"archiveType"`
	ArchiveMD5  *string        `json:"archiveMd5"`
	UserInfo    map[string]any `json:"userInfo"`
}

type revisions struct {
	Revisions []revision `json:"revisions"`
}

type definition struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Project  named           `json:"project"`
	Revision string          `json:"revision"`
	Timezone string          `json:"timezone"`
	Config   json.RawMessage `json:"config"`
}

type definitions struct {
	Workflows []definition `json:"workflows"`
}

type truncated struct {
	Project     named  `json:"project"`
	Revision    string `json:"revision"`
	SessionTime string `json:"sessionTime"`
	Timezone    string `json:"timezone"`
}

// state is how far an attempt is.
type state struct {
	Status           string          `json:"status"`
	ID               string          `json:"id"`
	RetryAttemptName *string         `json:"retryAttemptName"`
	Done             bool            `json:"done"`
	Success          bool            `json:"success"`
	CancelRequested  bool            `json:"cancelRequested"`
	Params           json.RawMessage `json:"params"`
	CreatedAt        instant         `json:"createdAt"`
	FinishedAt       *instant        `json:"finishedAt"`
}

type attempt struct {
	state
	Index       int    `json:"index"`
	Project     named  `json:"project"`
	Workflow    named  `json:"workflow"`
	SessionID   string `json:"sessionId"`
	SessionUUID string `json:"sessionUuid"`
	SessionTime string `json:"sessionTime"`
}

type attempts struct {
	Attempts []attempt `json:"attempts"`
}

type session struct {
	ID          string `json:"id"`
	Project     named  `json:"project"`
	Workflow    named  `json:"workflow"`
	SessionUUID string `json:"sessionUuid"`
	SessionTime string `json:"sessionTime"`
	LastAttempt *state `json:"lastAttempt"`
}

type sessions struct {
	Sessions []session `json:"sessions"`
}

type task struct {
	ID              string          `json:"id"`
	FullName        string          `json:"fullName"`
	ParentID        *string         `json:"parentId"`
	Config          json.RawMessage `json:"config"`
	Upstreams       []string        `json:"upstreams"`
	State           string          `json:"state"`
	ExportParams    json.RawMessage `json:"exportParams"`
	StoreParams     json.RawMessage `json:"storeParams"`
	StateParams     struct{}        `json:"stateParams"`
	UpdatedAt       instant         `json:"updatedAt"`
	RetryAt         *instant        `json:"retryAt"`
	StartedAt       *instant        `json:"startedAt"`
	Error           json.RawMessage `json:"error"`
	CancelRequested bool            `json:"cancelRequested"`
	IsGroup         bool            `json:"isGroup"` // as Digdag has it
	Group           bool            `json:"group"`   // as Treasure Data has it
}

type tasks struct {
	Tasks []task `json:"tasks"`
}

type logFile struct {
	FileName      string  `json:"fileName"`
	FileSize      int     `json:"fileSize"`
	TaskName      string  `json:"taskName"`
	FileTime      instant `json:"fileTime"`
	FileTimestamp string  `json:"fileTimestamp"`
	AgentID       string  `json:"agentId"`
	Direct        *string `json:"direct"` // null: there is no other place to get it from
}

type logFiles struct {
	Files []logFile `json:"files"`
}

type schedule struct {
	ID               string   `json:"id"`
	Project          named    `json:"project"`
	Workflow         named    `json:"workflow"`
	NextRunTime      instant  `json:"nextRunTime"`
	NextScheduleTime string   `json:"nextScheduleTime"`
	DisabledAt       *instant `json:"disabledAt"`
}

type schedules struct {
	Schedules []schedule `json:"schedules"`
}

type scheduleSummary struct {
	schedule
	CreatedAt instant `json:"createdAt"`
	UpdatedAt instant `json:"updatedAt"`
}

type backfill struct {
	ID       string    `json:"id"`
	Project  named     `json:"project"`
	Workflow named     `json:"workflow"`
	Attempts []attempt `json:"attempts"`
}

// instant is a time as Digdag writes it: in UTC, in whole seconds.
type instant time.Time

// MarshalJSON writes 2017-06-24T06:45:26Z.
func (i instant) MarshalJSON() ([]byte, error) {
	return []byte(`"` + time.Time(i).UTC().Format("2006-01-02T15:04:05Z") + `"`), nil
}

func instantOf(t *time.Time) *instant {
	if t == nil {
		return nil
	}
	i := instant(*t)
	return &i
}

// local is a time with the numeric offset of a time zone, never with Z.
func local(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02T15:04:05-07:00")
}

// id is an id in a request: text or a number.
type id string

// UnmarshalJSON reads both.
func (i *id) UnmarshalJSON(raw []byte) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] != '"' {
		var n json.Number
		err := json.Unmarshal(raw, &n)
		*i = id(n)
		return err
	}
	var s string
	err := json.Unmarshal(raw, &s)
	*i = id(s)
	return err
}

type attemptRequest struct {
	WorkflowID       *id             `json:"workflowId"`
	ProjectName      string          `json:"projectName"`
	WorkflowName     string          `json:"workflowName"`
	SessionTime      string          `json:"sessionTime"`
	RetryAttemptName *string         `json:"retryAttemptName"`
	Params           json.RawMessage `json:"params"`
	Resume           *resume         `json:"resume"`
	AllowQueueing    bool            `json:"allowQueueing"`
}

type resume struct {
	Mode      string `json:"mode"`
	AttemptID id     `json:"attemptId"`
	From      string `json:"from"`
}

type backfillRequest struct {
	FromTime        string `json:"fromTime"`
	DryRun          bool   `json:"dryRun"`
	AttemptName     string `json:"attemptName"`
	Count           *int   `json:"count"`
	SkipExisting    bool   `json:"skipExisting"`
	AdvanceSchedule bool   `json:"advanceSchedule"`
}
