package conductor

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// subWorkflowID is where the output of a SUB_WORKFLOW has the id of the workflow that ran.
const subWorkflowID = "subWorkflowId"

// subWorkflow compiles a SUB_WORKFLOW: by name and label, or with a definition of its own.
func (c *compiler) subWorkflow(p *place, at cursor, r reader) cursor {
	t := p.task
	param := t.SubWorkflow
	if param == nil {
		param = &subWorkflowParam{}
		if err := mold(t.Input["subWorkflowParam"], param); err != nil || t.Input["subWorkflowParam"] == nil {
			param.Name, _ = t.Input["subWorkflowName"].(string)
			param.Version = t.Input["subWorkflowVersion"]
		}
	}
	if len(param.TaskToDomain) > 0 {
		c.wrong(r.in("subWorkflowParam.taskToDomain"), "domains cannot be given to a sub-workflow here")
	}
	input := c.input(t, r)
	delete(input, "subWorkflowParam")
	with := map[string]any{"input": input, "id_field": subWorkflowID}
	switch definition := param.Definition.(type) {
	case nil:
		if param.Name == "" {
			c.wrong(r.in("subWorkflowParam"), "SubWorkflowParams name cannot be null: %s", t.Ref)
		}
		with["name"] = c.text(param.Name, r.in("subWorkflowParam.name"))
		with["label"] = c.label(param.Version, r.in("subWorkflowParam.version"))
	case map[string]any:
		compiled, err := c.part(definition)
		if err != nil {
			c.adopt(r.in("subWorkflowParam.workflowDefinition"), err)
			return at
		}
		with["definition"] = quoted(compiled)
	default:
		made := c.named(p.name + "-definition")
		expand := map[string]any{"kind": "definition", "definition": c.value(definition, r.in("subWorkflowParam.workflowDefinition"))}
		c.emit(p.body, workflow.Task{Name: made, Type: typeExpand, With: c.object(expand)}, at, node{Ref: t.Ref, Helper: true})
		at = cursor{needs: []string{made}}
		with["definition"] = "${tasks[" + literal(made) + "].output.definition}"
	}
	return c.control(p, at, workflow.Task{Type: workflow.TypeWorkflow, Retry: c.retry(t), With: c.object(with)})
}

// label is the label of the version that is asked for.
func (c *compiler) label(version any, r reader) string {
	switch v := version.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil && n > 0 {
			return strconv.FormatInt(n, 10)
		}
	case string:
		if v != "" && strings.Contains(v, "${") {
			text := asText(c.expression(v, r))
			return "${[" + text + "].map(n, n in [\"\", \"0\"] ? \"latest\" : n)[0]}"
		}
		if v != "" {
			return v
		}
	}
	return "latest"
}

// part compiles a definition that runs as a part of another one.
func (c *compiler) part(full map[string]any) (*workflow.Definition, error) {
	s, err := readDef(full)
	if err != nil {
		return nil, err
	}
	if s.def.Name == "" {
		s.def.Name = c.def.Name
	}
	return compile(s, c.taskDefs)
}

// adopt takes over what is wrong with a definition inside this one.
func (c *compiler) adopt(r reader, err error) {
	if wrong, ok := errors.AsType[invalidDef](err); ok {
		for _, v := range wrong {
			c.wrong(r.in(v.Path), "%s", v.Message)
		}
		return
	}
	c.wrong(r, "%v", err)
}

// quoted is a definition as a value in which nothing is evaluated.
func quoted(d *workflow.Definition) any {
	var v any
	_ = decode(d.Canonical(), &v) // it was written a moment ago
	return escape(v)
}

func escape(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "${", "$${")
	case []any:
		for i := range v {
			v[i] = escape(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = escape(v[key])
		}
	}
	return v
}

// dynamic compiles a task whose name is known only at run time: a node that makes the definition
// of that one task, and one that runs it.
func (c *compiler) dynamic(p *place, at cursor, r reader) cursor {
	t := p.task
	param := t.DynamicName
	if param == "" {
		c.wrong(r.in("dynamicTaskNameParam"), "a DYNAMIC task needs dynamicTaskNameParam: %s", t.Ref)
		return at
	}
	input := c.input(t, r)
	name := input[param]
	made := c.named(p.name + "-definition")
	expand := map[string]any{"kind": "task", "name": name, "ref": t.Ref, "input": input, "retryCount": t.RetryCount, "optional": t.Optional}
	c.emit(p.body, workflow.Task{Name: made, Type: typeExpand, With: c.object(expand)}, at, node{Ref: t.Ref, Helper: true})
	next := c.control(p, cursor{needs: []string{made}}, workflow.Task{Type: workflow.TypeWorkflow, With: c.object(map[string]any{
		"definition": "${tasks[" + literal(made) + "].output.definition}", "input": "${tasks[" + literal(made) + "].output.input}",
	})})
	c.inner(p)
	return next
}

// dynamicFork compiles the fork: a node that makes the definition of its branches. The JOIN behind it runs them.
func (c *compiler) dynamicFork(p *place, at cursor, r reader) cursor {
	t := p.task
	input := c.input(t, r)
	expand := map[string]any{"kind": "fork", "ref": t.Ref}
	switch {
	case t.DynamicForkTasks != "":
		expand["tasks"], expand["inputs"] = input[t.DynamicForkTasks], input[t.DynamicForkInput]
	case input["forkTaskName"] != nil || input["forkTaskWorkflow"] != nil:
		for _, key := range []string{"forkTaskName", "forkTaskType", "forkTaskInputs", "forkTaskWorkflow", "forkTaskWorkflowVersion"} {
			if input[key] != nil {
				expand[key] = input[key]
			}
		}
	default:
		c.wrong(r.in("dynamicForkTasksParam"), "%s needs dynamicForkTasksParam, or forkTaskName in its inputParameters", t.Ref)
		return at
	}
	return c.work(p, at, workflow.Task{Type: typeExpand, With: c.object(expand)})
}

func (c *compiler) terminate(p *place, at cursor, r reader) cursor {
	t := p.task
	status, _ := t.Input["terminationStatus"].(string)
	input := c.values(t.Input, r.in("inputParameters"))
	reason, _ := input["terminationReason"].(string)
	switch status {
	case "COMPLETED":
		input["terminated"] = true
		next := c.control(p, at, workflow.Task{Type: "noop", With: c.object(input)})
		c.stops = append(c.stops, p.name)
		return next
	case "FAILED", "TERMINATED":
		if reason == "" {
			reason = fmt.Sprintf("Workflow is %s by TERMINATE task: ${workflow.id}", status)
		}
		given := c.named(p.name + "-output") // what fails gives no output
		c.emit(p.body, workflow.Task{Name: given, Type: "noop", With: c.object(input)}, at, node{Ref: t.Ref, Type: t.Type, Name: t.Name, Helper: true})
		at = cursor{needs: []string{given}}
		return c.control(p, at, workflow.Task{Type: "fail", With: c.object(map[string]any{"code": strings.ToLower(status), "message": reason})})
	}
	c.wrong(r.in("inputParameters.terminationStatus"), "terminate task must have an valid terminationStatus parameter, COMPLETED, FAILED or TERMINATED, written out; %s", t.Ref)
	return at
}

// wait compiles a WAIT: for a time, until a time, or until somebody completes it.
func (c *compiler) wait(p *place, at cursor, r reader) cursor {
	duration, until := p.task.Input["duration"], p.task.Input["until"]
	with := c.given(p, r)
	switch {
	case duration != nil && until != nil:
		c.wrong(r.in("inputParameters"), "both 'duration' and 'until' specified. Please provide only one input")
		return at
	case duration == nil && until == nil:
		with["external"] = true
	default:
		text, _ := duration.(string)
		if s, ok := until.(string); ok {
			text = s
		}
		if strings.Contains(text, "${") {
			return c.waitAsTold(p, at, r, with)
		}
		field, value, err := waitTime(text, until != nil)
		if err != nil {
			c.wrong(r.in("inputParameters"), "%v", err)
			return at
		}
		with[field] = value
	}
	return c.control(p, at, workflow.Task{Type: workflow.TypeWait, With: c.object(with)})
}

// waitAsTold compiles a WAIT whose time is known only at run time: a node reads it first.
func (c *compiler) waitAsTold(p *place, at cursor, r reader, with map[string]any) cursor {
	made := c.named(p.name + "-time")
	expand := map[string]any{"kind": "wait"}
	for _, key := range []string{"duration", "until"} {
		if v := p.task.Input[key]; v != nil {
			expand[key] = c.value(v, r.in("inputParameters."+key))
		}
	}
	c.emit(p.body, workflow.Task{Name: made, Type: typeExpand, With: c.object(expand)}, at, node{Ref: p.task.Ref, Helper: true})
	field := "duration"
	if p.task.Input["until"] != nil {
		field = "until"
	}
	with[field] = "${tasks[" + literal(made) + "].output.time}"
	return c.control(p, cursor{needs: []string{made}}, workflow.Task{Type: workflow.TypeWait, With: c.object(with)})
}

// given is what a task that nobody runs is shown to be given.
func (c *compiler) given(p *place, r reader) map[string]any {
	if input := c.input(p.task, r); len(input) > 0 {
		return map[string]any{"input": input}
	}
	return map[string]any{}
}

var (
	period  = regexp.MustCompile(`(?i)^\s*(?:(\d+)\s*(?:days?|d))?\s*(?:(\d+)\s*(?:hours?|hrs?|h))?\s*(?:(\d+)\s*(?:minutes?|mins?|m))?\s*(?:(\d+)\s*(?:seconds?|secs?|s))?\s*$`)
	layouts = []string{"2006-01-02 15:04 MST", "2006-01-02 15:04", "2006-01-02", time.RFC3339}
)

// waitTime reads "2 days 3 hours" or "2026-01-01 10:00 GMT" as the native wait has it.
func waitTime(text string, until bool) (field, value string, err error) {
	if until {
		for _, layout := range layouts {
			if at, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
				return "until", at.UTC().Format(time.RFC3339), nil
			}
		}
		return "", "", fmt.Errorf("%q is no time: write yyyy-MM-dd HH:mm, yyyy-MM-dd HH:mm z or yyyy-MM-dd", text)
	}
	m := period.FindStringSubmatch(text)
	if m == nil || strings.TrimSpace(text) == "" {
		return "", "", fmt.Errorf("%q is no duration: write such as 2 days 3 hours 4 minutes 5 seconds", text)
	}
	total := time.Duration(0)
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if n, err := strconv.Atoi(m[i+1]); err == nil {
			total += time.Duration(min(n, 1e6)) * unit
		}
	}
	if total > 720*time.Hour {
		return "", "", fmt.Errorf("%q is longer than 30 days, which is as long as a task waits here", text)
	}
	return "duration", total.String(), nil
}
