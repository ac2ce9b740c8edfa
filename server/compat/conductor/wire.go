package conductor

import "encoding/json"

// The wire types. What Conductor knows nothing of is left out, as it leaves out nulls.

type task struct {
	TaskType             string          `json:"taskType"`
	Status               string          `json:"status"`
	InputData            json.RawMessage `json:"inputData"`
	Ref                  string          `json:"referenceTaskName"`
	RetryCount           int             `json:"retryCount"`
	Seq                  int             `json:"seq"`
	CorrelationID        string          `json:"correlationId,omitempty"`
	PollCount            int             `json:"pollCount"`
	TaskDefName          string          `json:"taskDefName"`
	ScheduledTime        int64           `json:"scheduledTime"` // ms
	StartTime            int64           `json:"startTime"`
	EndTime              int64           `json:"endTime"`
	UpdateTime           int64           `json:"updateTime"`
	StartDelay           int64           `json:"startDelayInSeconds"`
	RetriedTaskID        string          `json:"retriedTaskId,omitempty"`
	Retried              bool            `json:"retried"`
	Executed             bool            `json:"executed"`
	CallbackFromWorker   bool            `json:"callbackFromWorker"`
	ResponseTimeout      int64           `json:"responseTimeoutSeconds"`
	WorkflowInstanceID   string          `json:"workflowInstanceId"`
	WorkflowType         string          `json:"workflowType"`
	TaskID               string          `json:"taskId"`
	Reason               string          `json:"reasonForIncompletion,omitempty"`
	CallbackAfterSeconds int64           `json:"callbackAfterSeconds"`
	WorkerID             string          `json:"workerId,omitempty"`
	OutputData           json.RawMessage `json:"outputData"`
	WorkflowTask         any             `json:"workflowTask,omitempty"`
	Domain               string          `json:"domain,omitempty"`
	RateLimit            int64           `json:"rateLimitPerFrequency"`
	RateLimitSeconds     int64           `json:"rateLimitFrequencyInSeconds"`
	WorkflowPriority     int             `json:"workflowPriority"`
	Iteration            int             `json:"iteration"`
	SubWorkflowID        string          `json:"subWorkflowId,omitempty"`
	SubworkflowChanged   bool            `json:"subworkflowChanged"`
	LoopOverTask         bool            `json:"loopOverTask"`
	QueueWaitTime        int64           `json:"queueWaitTime"`
}

type workflowRun struct {
	CreateTime      int64             `json:"createTime"` // ms
	UpdateTime      int64             `json:"updateTime"`
	CreatedBy       string            `json:"createdBy,omitempty"`
	Status          string            `json:"status"`
	EndTime         int64             `json:"endTime"`
	WorkflowID      string            `json:"workflowId"`
	ParentID        string            `json:"parentWorkflowId,omitempty"`
	ParentTaskID    string            `json:"parentWorkflowTaskId,omitempty"`
	Tasks           []task            `json:"tasks"`
	Input           json.RawMessage   `json:"input"`
	Output          json.RawMessage   `json:"output"`
	CorrelationID   string            `json:"correlationId,omitempty"`
	Reason          string            `json:"reasonForIncompletion,omitempty"`
	TaskToDomain    map[string]string `json:"taskToDomain"`
	FailedRefs      []string          `json:"failedReferenceTaskNames"`
	FailedNames     []string          `json:"failedTaskNames"`
	Definition      any               `json:"workflowDefinition,omitempty"`
	IdempotencyKey  string            `json:"idempotencyKey,omitempty"`
	Priority        int               `json:"priority"`
	Variables       map[string]any    `json:"variables"`
	LastRetriedTime int64             `json:"lastRetriedTime"`
	StartTime       int64             `json:"startTime"`
	WorkflowName    string            `json:"workflowName"`
	WorkflowVersion int               `json:"workflowVersion"`
}

type statusAnswer struct {
	WorkflowID    string          `json:"workflowId"`
	CorrelationID string          `json:"correlationId,omitempty"`
	Output        json.RawMessage `json:"output,omitempty"`
	Variables     *map[string]any `json:"variables,omitempty"` // nil = they were not asked for
	Status        string          `json:"status"`
}

// executed is the answer of an execution that was waited for.
type executed struct {
	ResponseType  string          `json:"responseType"`
	RequestID     string          `json:"requestId,omitempty"`
	TargetID      string          `json:"targetWorkflowId"`
	TargetStatus  string          `json:"targetWorkflowStatus"`
	WorkflowID    string          `json:"workflowId"`
	CorrelationID string          `json:"correlationId,omitempty"`
	Input         json.RawMessage `json:"input"`
	Output        json.RawMessage `json:"output"`
	Tasks         []task          `json:"tasks"`
	Variables     map[string]any  `json:"variables"`
	CreateTime    int64           `json:"createTime"`
	UpdateTime    int64           `json:"updateTime"`
	Priority      int             `json:"priority"`
	Status        string          `json:"status"`
}

type startRequest struct {
	Name                string            `json:"name"`
	Version             any               `json:"version"`
	CorrelationID       string            `json:"correlationId"`
	Input               json.RawMessage   `json:"input"`
	TaskToDomain        map[string]string `json:"taskToDomain"`
	Definition          map[string]any    `json:"workflowDef"`
	Priority            int               `json:"priority"`
	CreatedBy           string            `json:"createdBy"`
	IdempotencyKey      string            `json:"idempotencyKey"`
	IdempotencyStrategy string            `json:"idempotencyStrategy"`
	ExternalInput       string            `json:"externalInputPayloadStoragePath"`
}

type rerunRequest struct {
	FromTask      *string         `json:"reRunFromTaskId"`
	WorkflowInput json.RawMessage `json:"workflowInput"`
	TaskInput     json.RawMessage `json:"taskInput"`
	CorrelationID *string         `json:"correlationId"`
}

type skipRequest struct {
	TaskInput  json.RawMessage `json:"taskInput"`
	TaskOutput json.RawMessage `json:"taskOutput"`
}

// taskResult is what a worker reports.
type taskResult struct {
	WorkflowID    string          `json:"workflowInstanceId"`
	TaskID        string          `json:"taskId"`
	Status        string          `json:"status"`
	Output        json.RawMessage `json:"outputData"`
	Reason        string          `json:"reasonForIncompletion"`
	CallbackAfter float64         `json:"callbackAfterSeconds"`
	WorkerID      string          `json:"workerId"`
	Logs          []taskLog       `json:"logs"`
	ExtendLease   bool            `json:"extendLease"`
}

type taskLog struct {
	Log         string `json:"log"`
	TaskID      string `json:"taskId,omitempty"`
	CreatedTime int64  `json:"createdTime,omitempty"`
}

type bulkAnswer struct {
	Errors     map[string]string `json:"bulkErrorResults"`
	Successful []any             `json:"bulkSuccessfulResults"` // ids, or what was asked for
}

type searchAnswer struct {
	TotalHits int   `json:"totalHits"`
	Results   []any `json:"results"`
}

type summary struct {
	WorkflowType  string   `json:"workflowType"`
	Version       int      `json:"version"`
	WorkflowID    string   `json:"workflowId"`
	CorrelationID string   `json:"correlationId,omitempty"`
	StartTime     string   `json:"startTime,omitempty"` // ISO
	UpdateTime    string   `json:"updateTime,omitempty"`
	EndTime       string   `json:"endTime,omitempty"`
	Status        string   `json:"status"`
	Input         string   `json:"input"` // as text
	Output        string   `json:"output"`
	Reason        string   `json:"reasonForIncompletion,omitempty"`
	ExecutionTime int64    `json:"executionTime"` // ms
	FailedRefs    string   `json:"failedReferenceTaskNames"`
	FailedNames   []string `json:"failedTaskNames"`
	Priority      int      `json:"priority"`
	CreatedBy     string   `json:"createdBy,omitempty"`
	InputSize     int      `json:"inputSize"`
	OutputSize    int      `json:"outputSize"`
}
