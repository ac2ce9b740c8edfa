package kaizen

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// checked is a request that knows what is wrong with it.
type checked interface{ check() workflow.Problems }

// read reads the body of a request. An empty one is an empty object; fields that nobody knows are ignored, as Kaizen does.
func read(r *http.Request, into checked) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, into); err != nil {
		return malformed(err)
	}
	if problems := into.check(); len(problems) > 0 {
		return problem.Invalid("request_invalid", "the request is malformed", problems...)
	}
	return nil
}

func malformed(err error) error {
	var wrongType *json.UnmarshalTypeError
	if !errors.As(err, &wrongType) {
		return problem.Invalid("request_malformed", "the body is not JSON: "+err.Error())
	}
	if wrongType.Field == "" {
		return problem.Invalid("request_malformed", "the body is not a JSON object")
	}
	field, _, _ := strings.Cut(wrongType.Field, ".")
	what := compat.IsKind(wrongType.Value)
	if strings.HasPrefix(kindOf[field], "a list") && wrongType.Type.Kind() != reflect.Slice {
		what = "holds " + strings.TrimPrefix(what, "is ")
	}
	return problem.Invalid("request_invalid", "the request is malformed", wrong(wrongType.Field, what, kindOf[field]))
}

// kind is that of a JSON value, in the decoder's words.
func kind(raw []byte) string {
	switch raw[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// kindOf says what a field takes.
var kindOf = map[string]string{
	"id": "a string", "batchId": "a string", "status": "a string", "loginId": "a string", "batch": "a string",
	"workflowId": "a string", "workflowName": "a string", "startBlockId": "a string", "cursor": "a string",
	"search": "a list of strings", "tagFilters": "a list of strings", "limit": limits, "timeout": seconds,
	"name": "a string or a number", "useProxy": "true or false", "isTest": "true or false",
}

const (
	limits  = "a whole number from 1 to 1000"
	seconds = "a whole number of seconds, 1 or more"
)

func wrong(field, message, allowed string) workflow.Problem {
	return workflow.Problem{Field: field, Code: "invalid", Message: message, Allowed: allowed}
}

func required(field, value string) workflow.Problems {
	if value == "" {
		return workflow.Problems{wrong(field, "is missing", kindOf[field])}
	}
	return nil
}

func (q *idRequest) check() workflow.Problems    { return required("id", q.ID) }
func (q *batchRequest) check() workflow.Problems { return required("batchId", q.BatchID) }

func (q *listRequest) check() workflow.Problems {
	var problems workflow.Problems
	if _, ok := statuses[q.Status]; !ok && q.Status != "" {
		problems = append(problems, wrong("status", "is "+strconv.Quote(q.Status), "InProgress, Completed, Enqueued, Failed, Paused"))
	}
	if q.Limit != nil && (*q.Limit < 1 || *q.Limit > 1000) {
		problems = append(problems, wrong("limit", "is "+strconv.Itoa(*q.Limit), limits))
	}
	return problems
}

func (q *executeRequest) check() workflow.Problems {
	var problems workflow.Problems
	switch {
	case len(q.Params) == 0:
		problems = append(problems, wrong("params", "is missing", "an object"))
	case q.Params[0] != '{':
		problems = append(problems, wrong("params", compat.IsKind(kind(q.Params)), "an object"))
	}
	if q.WorkflowID == "" && q.WorkflowName == "" {
		problems = append(problems, wrong("workflowId", "is missing, and workflowName, too", "the name of a workflow in one of them"))
	}
	if q.Timeout != nil && *q.Timeout < 1 {
		problems = append(problems, wrong("timeout", "is "+strconv.FormatInt(*q.Timeout, 10), seconds))
	}
	return problems
}
