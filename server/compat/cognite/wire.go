package cognite

import "encoding/json"

// The wire types, under the names of Cognite's document. Times are milliseconds since 1970.

type items[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor,omitempty"`
}

type authentication struct {
	Nonce string `json:"nonce"`
}

type workflowUpsert struct {
	ExternalID              string `json:"externalId"`
	Description             string `json:"description,omitempty"`
	DataSetID               int64  `json:"dataSetId,omitempty"`
	MaxConcurrentExecutions *int   `json:"maxConcurrentExecutions,omitempty"`
}

type workflowView struct {
	workflowUpsert
	CreatedTime     int64 `json:"createdTime"`
	LastUpdatedTime int64 `json:"lastUpdatedTime"`
}

type workflowID struct {
	ExternalID string `json:"externalId"`
}

type versionID struct {
	WorkflowExternalID string `json:"workflowExternalId"`
	Version            string `json:"version"`
}

type versionUpsert struct {
	versionID
	WorkflowDefinition json.RawMessage `json:"workflowDefinition"`
}

type versionView struct {
	versionID
	WorkflowDefinition definitionView `json:"workflowDefinition"`
	CreatedTime        int64          `json:"createdTime"`
	LastUpdatedTime    int64          `json:"lastUpdatedTime"`
}

type definitionView struct {
	Hash        string          `json:"hash"`
	Description string          `json:"description,omitempty"`
	Tasks       json.RawMessage `json:"tasks"`
}

type workflowFilter struct {
	ExternalID string `json:"externalId"`
	Version    string `json:"version"`
}

type versionsList struct {
	Filter struct {
		WorkflowFilters []workflowFilter `json:"workflowFilters"`
	} `json:"filter"`
	Limit  *int   `json:"limit"`
	Cursor string `json:"cursor"`
}

type executionsList struct {
	Filter executionsFilter `json:"filter"`
	Limit  *int             `json:"limit"`
	Cursor string           `json:"cursor"`
}

type executionsFilter struct {
	WorkflowFilters  []workflowFilter `json:"workflowFilters"`
	CreatedTimeStart *int64           `json:"createdTimeStart"` // both included
	CreatedTimeEnd   *int64           `json:"createdTimeEnd"`
	Status           []string         `json:"status"`
}

type runRequest struct {
	Authentication authentication    `json:"authentication"`
	Input          json.RawMessage   `json:"input"`
	Metadata       map[string]string `json:"metadata"`
}

type retryRequest struct {
	Authentication authentication `json:"authentication"`
}

type cancelRequest struct {
	Reason *string `json:"reason"`
}

type taskUpdate struct {
	Status string          `json:"status"`
	Output json.RawMessage `json:"output"`
}

type executionView struct {
	ID                    string            `json:"id"`
	WorkflowExternalID    string            `json:"workflowExternalId"`
	Version               string            `json:"version"`
	Status                string            `json:"status"`
	EngineExecutionID     string            `json:"engineExecutionId"`
	CreatedTime           int64             `json:"createdTime"`
	StartTime             int64             `json:"startTime,omitempty"`
	EndTime               int64             `json:"endTime,omitempty"`
	ReasonForIncompletion string            `json:"reasonForIncompletion,omitempty"`
	Metadata              map[string]string `json:"metadata"`
}

type executionDetail struct {
	executionView
	WorkflowDefinition definitionView  `json:"workflowDefinition"`
	ExecutedTasks      []taskView      `json:"executedTasks"`
	Input              json.RawMessage `json:"input,omitempty"`
}

type taskView struct {
	ID                    string          `json:"id"`
	ExternalID            string          `json:"externalId"`
	ParentTaskExternalID  *string         `json:"parentTaskExternalId"`
	Status                string          `json:"status"`
	TaskType              string          `json:"taskType"`
	StartTime             int64           `json:"startTime,omitempty"`
	EndTime               int64           `json:"endTime,omitempty"`
	Input                 json.RawMessage `json:"input"`
	Output                json.RawMessage `json:"output"`
	ReasonForIncompletion string          `json:"reasonForIncompletion,omitempty"`
}

type triggerRule struct {
	TriggerType    string `json:"triggerType"`
	CronExpression string `json:"cronExpression"`
	Timezone       string `json:"timezone"`
}

type triggerUpsert struct {
	ExternalID         string            `json:"externalId"`
	TriggerRule        triggerRule       `json:"triggerRule"`
	Input              json.RawMessage   `json:"input"`
	Metadata           map[string]string `json:"metadata"`
	WorkflowExternalID string            `json:"workflowExternalId"`
	WorkflowVersion    string            `json:"workflowVersion"`
	Authentication     authentication    `json:"authentication"`
}

type triggerView struct {
	ExternalID         string            `json:"externalId"`
	TriggerRule        triggerRule       `json:"triggerRule"`
	Input              json.RawMessage   `json:"input,omitempty"`
	Metadata           map[string]string `json:"metadata"`
	WorkflowExternalID string            `json:"workflowExternalId"`
	WorkflowVersion    string            `json:"workflowVersion"`
	CreatedTime        int64             `json:"createdTime"`
	LastUpdatedTime    int64             `json:"lastUpdatedTime"`
	IsPaused           bool              `json:"isPaused"`
}

type fireView struct {
	FireTime            int64   `json:"fireTime"`
	ExternalID          string  `json:"externalId"`
	WorkflowExternalID  string  `json:"workflowExternalId"`
	WorkflowVersion     string  `json:"workflowVersion"`
	WorkflowExecutionID *string `json:"workflowExecutionId"`
	Status              string  `json:"status"`
	ReasonForFailure    *string `json:"reasonForFailure"`
}

type sessionRequest struct {
	ClientID             string `json:"clientId"`
	ClientSecret         string `json:"clientSecret"`
	TokenExchange        bool   `json:"tokenExchange"`
	OneshotTokenExchange bool   `json:"oneshotTokenExchange"`
}

type sessionView struct {
	ID       int64  `json:"id"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Nonce    string `json:"nonce"`
	ClientID string `json:"clientId,omitempty"`
}

type failure struct {
	Error   failureBody `json:"error"`
	Code    int         `json:"code,omitempty"`
	Message string      `json:"message,omitempty"`
}

type failureBody struct {
	Code       int                 `json:"code"`
	Message    string              `json:"message"`
	Missing    []map[string]string `json:"missing,omitempty"`
	Duplicated []map[string]string `json:"duplicated,omitempty"`
}
