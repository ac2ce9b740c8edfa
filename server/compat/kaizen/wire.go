package kaizen

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
)

// The wire types, in the order of Kaizen's document. Its fields are all there, empty where
// Redrive has nothing of the kind; only times that have not come are left out.

type idRequest struct {
	ID string `json:"id"`
}

type batchRequest struct {
	BatchID string `json:"batchId"`
}

type listRequest struct {
	Status     string   `json:"status"`
	LoginID    string   `json:"loginId"`
	Search     []string `json:"search"`
	Batch      string   `json:"batch"`
	WorkflowID string   `json:"workflowId"`
	TagFilters []string `json:"tagFilters"`
	Limit      *int     `json:"limit"`
	Cursor     string   `json:"cursor"`
}

type executeRequest struct {
	Params       json.RawMessage `json:"params"`
	WorkflowID   string          `json:"workflowId"`
	WorkflowName string          `json:"workflowName"`
	LoginID      string          `json:"loginId"`
	Name         text            `json:"name"`
	Timeout      *int64          `json:"timeout"` // seconds
	UseProxy     bool            `json:"useProxy"`
	StartBlockID string          `json:"startBlockId"`
	BatchID      string          `json:"batchId"`
	IsTest       bool            `json:"isTest"`
}

// text is a string that may be written as a number.
type text string

// UnmarshalJSON reads a string, or keeps a number as it is written.
func (t *text) UnmarshalJSON(raw []byte) error {
	var s *string
	if json.Unmarshal(raw, &s) == nil {
		if s != nil {
			*t = text(*s)
		}
		return nil
	}
	number := string(bytes.TrimSpace(raw))
	if _, err := strconv.ParseFloat(number, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return &json.UnmarshalTypeError{Value: kind(raw), Type: reflect.TypeFor[text]()} // the decoder says of which field
	}
	*t = text(number)
	return nil
}

type failure struct {
	Success bool   `json:"success"` // false
	Message string `json:"message"`
}

type retryAnswer struct {
	Success   bool            `json:"success"`
	Message   string          `json:"message"`
	Execution executionAnswer `json:"execution"`
}

type executionAnswer struct {
	Execution execution `json:"execution"`
}

type listAnswer struct {
	Executions []execution `json:"executions"`
	NextCursor *string     `json:"nextCursor"`
}

type batchAnswer struct {
	Name          string     `json:"name"`
	Statistics    statistics `json:"statistics"`
	BatchDownload *struct{}  `json:"batchDownload"` // null: there is none
}

type statistics struct {
	Total                      int `json:"total"`
	Completed                  int `json:"completed"`
	Failed                     int `json:"failed"`
	InProgress                 int `json:"inProgress"`
	ExecutionDownloadsCreated  int `json:"executionDownloadsCreated"`
	ExecutionDownloadsFinished int `json:"executionDownloadsFinished"`
}

type executeAnswer struct {
	ExecutionID string `json:"executionId"`
	Status      string `json:"status"`
	Message     string `json:"message"`
}

type execution struct {
	ID                        string            `json:"id"`
	Workflow                  named             `json:"workflow"`
	Batch                     named             `json:"batch"`
	Logins                    []named           `json:"logins"`
	Authentications           []struct{}        `json:"authentications"`
	StartTime                 string            `json:"startTime,omitempty"`
	Params                    json.RawMessage   `json:"params"`
	Metadata                  map[string]string `json:"metadata"`
	Name                      string            `json:"name"`
	StartBlock                block             `json:"startBlock"`
	ContextAuthentications    []struct{}        `json:"contextAuthentications"`
	SessionID                 string            `json:"sessionId"`
	AgentConversationThreadID string            `json:"agentConversationThreadId"`
	Attempts                  int               `json:"attempts"`
	TotalAttempts             int               `json:"totalAttempts"`
	IsLastAttempt             bool              `json:"isLastAttempt"`
	IsTest                    bool              `json:"isTest"`
	Status                    string            `json:"status"`
	LiveViewURL               string            `json:"liveViewUrl"`
	BrowserSessionID          string            `json:"browserSessionId"`
	BrowserSessionVendorID    string            `json:"browserSessionVendorId"`
	Downloads                 downloads         `json:"downloads"`
	ParentExecutionID         string            `json:"parentExecutionId"`
	*end
}

// end is what only an execution that has ended has.
type end struct {
	EndTime           string          `json:"endTime"`
	DurationMS        int64           `json:"durationMs"`
	Response          json.RawMessage `json:"response"`
	TruncatedResponse string          `json:"truncatedResponse"`
	Error             *fault          `json:"error,omitempty"` // of one that did not succeed; not in Kaizen's document
}

type fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type downloads struct {
	Status  string     `json:"status"`
	Files   []struct{} `json:"files"`
	Message string     `json:"message"`
}

type block struct {
	ID                       string       `json:"id"`
	Name                     string       `json:"name"`
	BlockReferenceID         string       `json:"blockReferenceId"`
	Type                     string       `json:"type"`
	IsCacheable              bool         `json:"isCacheable"`
	SkipIfNotPresent         bool         `json:"skipIfNotPresent"`
	UseWorkflowRecoveryAgent bool         `json:"useWorkflowRecoveryAgent"`
	Data                     blockData    `json:"data"`
	ParentRelationship       relationship `json:"parentRelationship"`
	Locator                  locator      `json:"locator"`
}

type blockData struct {
	LoginID             string `json:"loginId"`
	IsParameter         bool   `json:"isParameter"`
	ForceLoginEveryTime bool   `json:"forceLoginEveryTime"`
}

type relationship struct {
	BlockDepth         int    `json:"blockDepth"`
	PositionInSequence int    `json:"positionInSequence"`
	ParentBlockID      string `json:"parentBlockId"`
	ParentSequenceID   string `json:"parentSequenceId"`
}

type locator struct {
	Role        string `json:"role"`
	Text        string `json:"text"`
	Label       string `json:"label"`
	Placeholder string `json:"placeholder"`
	AltText     string `json:"altText"`
	Title       string `json:"title"`
	CSS         string `json:"css"`
	XPath       string `json:"xpath"`
}
