package conductor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
)

// workflowDef is a definition as Conductor's clients register it, as far as it is compiled.
type workflowDef struct {
	Name             string         `json:"name"`
	Description      string         `json:"description"`
	Version          int            `json:"version"`
	Tasks            []workflowTask `json:"tasks"`
	InputTemplate    map[string]any `json:"inputTemplate"`
	OutputParameters map[string]any `json:"outputParameters"`
	FailureWorkflow  string         `json:"failureWorkflow"`
	Restartable      *bool          `json:"restartable"`
	TimeoutPolicy    string         `json:"timeoutPolicy"`
	TimeoutSeconds   int64          `json:"timeoutSeconds"`
	Variables        map[string]any `json:"variables"`
}

type workflowTask struct {
	Name             string                    `json:"name"`
	Ref              string                    `json:"taskReferenceName"`
	Description      string                    `json:"description"`
	Type             string                    `json:"type"`
	Input            map[string]any            `json:"inputParameters"`
	DynamicName      string                    `json:"dynamicTaskNameParam"`
	CaseValueParam   string                    `json:"caseValueParam"`
	CaseExpression   string                    `json:"caseExpression"`
	ScriptExpression string                    `json:"scriptExpression"`
	DynamicForkTasks string                    `json:"dynamicForkTasksParam"`
	DynamicForkInput string                    `json:"dynamicForkTasksInputParamName"`
	DecisionCases    map[string][]workflowTask `json:"decisionCases"`
	DefaultCase      []workflowTask            `json:"defaultCase"`
	ForkTasks        [][]workflowTask          `json:"forkTasks"`
	StartDelay       int64                     `json:"startDelay"`
	SubWorkflow      *subWorkflowParam         `json:"subWorkflowParam"`
	JoinOn           []string                  `json:"joinOn"`
	JoinDefault      []string                  `json:"defaultExclusiveJoinTask"` // of an EXCLUSIVE_JOIN, where none of joinOn ran
	Sink             string                    `json:"sink"`
	Optional         bool                      `json:"optional"`
	TaskDefinition   *taskDef                  `json:"taskDefinition"`
	AsyncComplete    bool                      `json:"asyncComplete"`
	LoopCondition    string                    `json:"loopCondition"`
	LoopOver         []workflowTask            `json:"loopOver"`
	RetryCount       *int                      `json:"retryCount"`
	EvaluatorType    string                    `json:"evaluatorType"`
	Expression       string                    `json:"expression"`
	Permissive       bool                      `json:"permissive"`
}

type subWorkflowParam struct {
	Name         string            `json:"name"`
	Version      any               `json:"version"`
	TaskToDomain map[string]string `json:"taskToDomain"`
	Definition   any               `json:"workflowDefinition"` // a definition, or an expression that gives one
}

// taskDef is what a registered task says of its retries and its time.
type taskDef struct {
	Name             string         `json:"name"`
	RetryCount       *int           `json:"retryCount"`
	RetryLogic       string         `json:"retryLogic"`
	RetryDelay       *int64         `json:"retryDelaySeconds"`
	BackoffScale     *int64         `json:"backoffScaleFactor"`
	MaxRetryDelay    int64          `json:"maxRetryDelaySeconds"`
	Timeout          int64          `json:"timeoutSeconds"`
	TimeoutPolicy    string         `json:"timeoutPolicy"`
	ResponseTimeout  *int64         `json:"responseTimeoutSeconds"`
	TotalTimeout     int64          `json:"totalTimeoutSeconds"`
	InputTemplate    map[string]any `json:"inputTemplate"`
	RateLimit        int64          `json:"rateLimitPerFrequency"`
	RateLimitSeconds int64          `json:"rateLimitFrequencyInSeconds"`
	ExecLimit        int64          `json:"concurrentExecLimit"`
}

// What holds where a task's definition says nothing, and where there is none.
const (
	usualRetries    = 3
	usualRetryDelay = 60
	usualResponse   = 3600
)

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// decode reads JSON with its numbers as they are written.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

// mold reads a value that was decoded before as another type.
func mold(value, into any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return decode(raw, into)
}

// What Conductor fills in where a definition says nothing, in the order of its own models.
var (
	usualDef = map[string]any{
		"version": json.Number("1"), "schemaVersion": json.Number("2"), "restartable": true, "workflowStatusListenerEnabled": false,
		"timeoutPolicy": "ALERT_ONLY", "timeoutSeconds": json.Number("0"), "inputParameters": []any{}, "outputParameters": map[string]any{},
		"variables": map[string]any{}, "inputTemplate": map[string]any{}, "enforceSchema": true, "failureWorkflow": nil,
	}
	usualTask = map[string]any{
		"type": "SIMPLE", "inputParameters": map[string]any{}, "decisionCases": map[string]any{}, "defaultCase": []any{}, "forkTasks": []any{},
		"startDelay": json.Number("0"), "joinOn": []any{}, "optional": false, "defaultExclusiveJoinTask": []any{}, "asyncComplete": false,
		"loopOver": []any{}, "onStateChange": map[string]any{}, "permissive": false,
	}
	usualTaskDef = map[string]any{
		"retryCount": json.Number("3"), "timeoutSeconds": json.Number("0"), "inputKeys": []any{}, "outputKeys": []any{}, "timeoutPolicy": "TIME_OUT_WF",
		"retryLogic": "FIXED", "retryDelaySeconds": json.Number("60"), "responseTimeoutSeconds": json.Number("3600"), "inputTemplate": map[string]any{},
		"rateLimitPerFrequency": json.Number("0"), "rateLimitFrequencyInSeconds": json.Number("1"), "backoffScaleFactor": json.Number("1"),
		"maxRetryDelaySeconds": json.Number("0"), "backoffJitterMs": json.Number("0"), "totalTimeoutSeconds": json.Number("0"), "enforceSchema": false,
	}
)

// filled puts what Conductor fills in where an object says nothing, or null, and takes nulls out.
func filled(object, usual map[string]any) map[string]any {
	for key, value := range usual {
		if object[key] == nil && value != nil {
			object[key] = value
		}
	}
	for key, value := range object {
		if value == nil {
			delete(object, key)
		}
	}
	return object
}

// normalized is a definition as the server answers it: with everything filled in, in each task, too.
func normalized(def map[string]any) map[string]any {
	filled(def, usualDef)
	def["tasks"] = normalizedTasks(def["tasks"])
	return def
}

func normalizedTasks(value any) any {
	list, ok := value.([]any)
	if !ok {
		return []any{}
	}
	for i := range list {
		list[i] = normalizedTask(list[i])
	}
	return list
}

func normalizedTask(value any) any {
	t, ok := value.(map[string]any)
	if !ok {
		return value
	}
	filled(t, usualTask)
	for _, key := range []string{"defaultCase", "loopOver"} {
		t[key] = normalizedTasks(t[key])
	}
	if cases, ok := t["decisionCases"].(map[string]any); ok {
		for name := range cases {
			cases[name] = normalizedTasks(cases[name])
		}
	}
	if forks, ok := t["forkTasks"].([]any); ok {
		for i := range forks {
			forks[i] = normalizedTasks(forks[i])
		}
	}
	return t
}

// source is a definition that is read: what it says, and all of it as it is answered.
type source struct {
	def  workflowDef
	full map[string]any

	parallel bool // its tasks run beside each other
	empty    bool // it has no tasks: one stands in for them
}

// noDefinition refuses null in the place of a definition, of a workflow or a task.
var noDefinition = refuse(http.StatusBadRequest, "Cannot read the request: a definition is an object, and not null")

// readDef reads a definition that a client sent.
func readDef(full map[string]any) (*source, error) {
	if full == nil {
		return nil, noDefinition
	}
	s := &source{full: normalized(full)}
	if err := mold(s.full, &s.def); err != nil {
		return nil, malformed(err)
	}
	if s.def.Version == 0 {
		s.def.Version = 1
	}
	return s, nil
}

func (s *source) text() (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s.full); err != nil {
		return "", fmt.Errorf("conductor: writing a definition: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// each visits every task, those inside others, too.
func each(tasks []workflowTask, visit func(*workflowTask)) {
	for i := range tasks {
		t := &tasks[i]
		visit(t)
		for _, inner := range t.DecisionCases {
			each(inner, visit)
		}
		each(t.DefaultCase, visit)
		for _, branch := range t.ForkTasks {
			each(branch, visit)
		}
		each(t.LoopOver, visit)
	}
}

// taskNames are the names of all tasks, those of definitions that are given in place, too.
func taskNames(tasks []workflowTask) map[string]bool {
	names := map[string]bool{}
	each(tasks, func(t *workflowTask) {
		names[t.Name] = true
		if t.SubWorkflow == nil {
			return
		}
		if full, ok := t.SubWorkflow.Definition.(map[string]any); ok {
			if s, err := readDef(full); err == nil { // what is wrong with it is said where it is compiled
				maps.Copy(names, taskNames(s.def.Tasks))
			}
		}
	})
	return names
}
