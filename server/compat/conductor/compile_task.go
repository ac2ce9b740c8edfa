package conductor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// The types of the tasks that this server itself runs, as a remote worker of its own.
const (
	typeStart  = "conductor:start"  // starts an execution and does not wait for it
	typeEvent  = "conductor:event"  // does what event handlers say
	typeExpand = "conductor:expand" // makes the definition of what is only known at run time
)

// inputFailure is what makes a start tell of the failure of the workflow that it is in. No task of a definition has it.
const inputFailure = "failureOf"

// taskIDMark stands in an input for the id of the task itself.
const taskIDMark = "${CPEWF_TASK_ID}"

// task compiles one task and answers where the next one stands.
func (c *compiler) task(p *place, at cursor, where string) cursor {
	t := p.task
	if t.StartDelay > 0 {
		name := c.named(p.name + "-delay")
		c.emit(p.body, workflow.Task{Name: name, Type: workflow.TypeWait, With: c.object(map[string]any{"duration": seconds(t.StartDelay)})}, at, node{Ref: t.Ref, Helper: true})
		at = cursor{needs: []string{name}}
	}
	if t.AsyncComplete && t.Type != "SIMPLE" && t.Type != "HUMAN" && t.Type != "WAIT" && t.Type != "YIELD" {
		c.wrong(reader{field: where + ".asyncComplete"}, "a %s that is completed from outside cannot be translated: put a HUMAN task behind it", t.Type)
	}
	r := c.reader(p.body, at, where)
	switch t.Type {
	case "SIMPLE", "USER_DEFINED", "":
		return c.simple(p, at, r)
	case "HTTP":
		return c.http(p, at, r)
	case "INLINE", "LAMBDA":
		return c.inline(p, at, r)
	case "SWITCH", "DECISION":
		return c.choice(p, at, r, where)
	case "FORK_JOIN":
		return c.fork(p, at, where)
	case "FORK_JOIN_DYNAMIC":
		return c.dynamicFork(p, at, r)
	case "JOIN", "EXCLUSIVE_JOIN":
		return c.join(p, at, r)
	case "DYNAMIC":
		return c.dynamic(p, at, r)
	case "DO_WHILE":
		return c.loop(p, at, where)
	case "SUB_WORKFLOW":
		return c.subWorkflow(p, at, r)
	case "START_WORKFLOW":
		input := c.values(t.Input, r.in("inputParameters"))
		delete(input, inputFailure)
		return c.work(p, at, workflow.Task{Type: typeStart, With: c.object(input)})
	case "EVENT":
		input := map[string]any{"sink": c.text(t.Sink, r.in("sink")), "input": c.values(t.Input, r.in("inputParameters"))}
		return c.work(p, at, workflow.Task{Type: typeEvent, With: c.object(input)})
	case "WAIT":
		return c.wait(p, at, r)
	case "HUMAN", "YIELD":
		with := c.given(p, r)
		with["external"] = true
		return c.control(p, at, workflow.Task{Type: workflow.TypeWait, With: c.object(with)})
	case "TERMINATE":
		return c.terminate(p, at, r)
	case "SET_VARIABLE":
		next := c.work(p, at, workflow.Task{Type: "noop", With: c.object(c.values(t.Input, r.in("inputParameters")))})
		p.body.sets = append(p.body.sets, setter{node: p.name, keys: sorted(t.Input), value: func(key string, base string) shape { return plain(base).at([]any{key}) }})
		return next
	case "JSON_JQ_TRANSFORM":
		return c.jq(p, at, r)
	case "NOOP":
		return c.work(p, at, workflow.Task{Type: "noop", With: c.object(c.values(t.Input, r.in("inputParameters")))})
	}
	c.wrong(r.in("type"), "tasks of type %q cannot be translated here", t.Type)
	return at
}

// work emits the main node of a task that a worker runs.
func (c *compiler) work(p *place, at cursor, t workflow.Task) cursor {
	t.Retry, t.Timeout = c.retry(p.task), c.timeout(p.task)
	return c.control(p, at, t)
}

// control emits the main node of a task.
func (c *compiler) control(p *place, at cursor, t workflow.Task) cursor {
	t.Name = p.name
	if t.Description == "" {
		t.Description = clipped(p.task.Description, 4000)
	}
	if p.task.Optional {
		t.OnFailure = workflow.OnFailureContinue
	}
	c.emit(p.body, t, at, node{Ref: p.task.Ref, Type: p.task.Type, Name: p.task.Name})
	return cursor{needs: []string{p.name}}
}

// taskDef is the definition that holds for a task; nil = there is none.
func (c *compiler) taskDef(t *workflowTask) *taskDef {
	if t.TaskDefinition != nil && t.TaskDefinition.Name != "" {
		return t.TaskDefinition
	}
	return c.taskDefs[t.Name]
}

// retry is what a task's definition says of further tries. A SIMPLE task without one has Conductor's usual.
func (c *compiler) retry(t *workflowTask) *workflow.Retry {
	def := c.taskDef(t)
	if def == nil && t.Type != "SIMPLE" {
		none := 0
		def = &taskDef{RetryCount: &none}
	} else if def == nil {
		def = &taskDef{}
	}
	count := or(t.RetryCount, or(def.RetryCount, usualRetries))
	delay := or(def.RetryDelay, usualRetryDelay)
	r := &workflow.Retry{MaxAttempts: min(max(count, 0)+1, 1000), Backoff: workflow.BackoffFixed, MaxDelay: seconds(1 << 30), NonRetryable: []string{}}
	switch def.RetryLogic {
	case "LINEAR_BACKOFF":
		r.Backoff = workflow.BackoffLinear
		delay *= max(or(def.BackoffScale, 1), 1)
	case "EXPONENTIAL_BACKOFF":
		r.Backoff = workflow.BackoffExponential
	}
	if def.MaxRetryDelay > 0 {
		r.MaxDelay = seconds(def.MaxRetryDelay)
	}
	pause, none := seconds(max(delay, 0)), 0.0
	r.Delay, r.Jitter = &pause, &none
	if def.TimeoutPolicy != "RETRY" {
		r.NonRetryable = []string{"timed_out"}
	}
	return r
}

// timeout is the time of one attempt.
func (c *compiler) timeout(t *workflowTask) workflow.Duration {
	if def := c.taskDef(t); def != nil && def.Timeout > 0 && def.TimeoutPolicy != "ALERT_ONLY" {
		return seconds(def.Timeout)
	}
	return seconds(1 << 30)
}

// input is a task's inputParameters over the inputTemplate of its definition.
func (c *compiler) input(t *workflowTask, r reader) map[string]any {
	all := map[string]any{}
	if def := c.taskDef(t); def != nil {
		maps.Copy(all, def.InputTemplate)
	}
	maps.Copy(all, t.Input)
	return c.values(all, r.in("inputParameters"))
}

func (c *compiler) simple(p *place, at cursor, r reader) cursor {
	name, ok := nativeType(p.task.Name)
	if !ok {
		c.wrong(r.in("name"), "%q cannot be the name of a task that workers poll: it has at most 100 characters", p.task.Name)
	}
	return c.work(p, at, workflow.Task{Type: name, With: c.object(c.input(p.task, r))})
}

func (c *compiler) inline(p *place, at cursor, r reader) cursor {
	t := p.task
	script, evaluator := t.Expression, t.EvaluatorType
	input := c.input(t, r)
	for _, key := range []string{"scriptExpression", "expression"} {
		if text, ok := input[key].(string); ok {
			script = text
		}
		delete(input, key)
	}
	if text, ok := t.Input["evaluatorType"].(string); ok {
		evaluator = text
		delete(input, "evaluatorType")
	}
	if script == "" && t.ScriptExpression != "" {
		script = c.text(t.ScriptExpression, r.in("scriptExpression"))
	}
	switch evaluator {
	case "", "javascript", "graaljs":
		if strings.TrimSpace(script) == "" {
			c.wrong(r.in("inputParameters.expression"), "a non-empty value is required for the expression")
		}
		if t.Type == "LAMBDA" { // what it gives, it returns
			script = "(function () {\n" + script + "\n})()"
		}
		return c.work(p, at, workflow.Task{Type: "script", With: c.object(map[string]any{"script": script, "input": input})})
	case "value-param":
		value := any(nil)
		if v, ok := input[script]; ok {
			value = v
		}
		return c.work(p, at, workflow.Task{Type: "noop", With: c.object(value)})
	}
	c.wrong(r.in("evaluatorType"), "%q cannot be evaluated here: javascript, graaljs and value-param can", evaluator)
	return at
}

func (c *compiler) jq(p *place, at cursor, r reader) cursor {
	query, _ := p.task.Input["queryExpression"].(string)
	if strings.TrimSpace(query) == "" {
		c.wrong(r.in("inputParameters.queryExpression"), "a non-empty jq expression is required")
		return at
	}
	// Conductor answers all results and the first of them.
	program := "[" + c.text(query, r.in("inputParameters.queryExpression")) + "\n] | {result: .[0], resultList: .}"
	return c.work(p, at, workflow.Task{Type: "transform", With: c.object(map[string]any{"jq": program, "value": c.input(p.task, r)})})
}

// http translates a request, and its answer back.
func (c *compiler) http(p *place, at cursor, r reader) cursor {
	input, where := any(p.task.Input), r.in("inputParameters")
	if request, ok := p.task.Input["http_request"]; ok {
		input, where = request, where.in("http_request")
	}
	field := func(name string) any {
		switch v := input.(type) {
		case map[string]any:
			if v[name] == nil {
				return nil
			}
			return c.value(v[name], where.in(name))
		case string:
			return "${" + plain(c.expression(v, where)).at([]any{name}).expression() + "}"
		}
		return nil
	}
	call := map[string]any{"url": field("uri")}
	if call["url"] == nil {
		c.wrong(where, "Missing HTTP URI. See documentation for HttpTask for required input parameters")
	}
	if uri, ok := call["url"].(string); ok && !strings.Contains(uri, "${") && !strings.HasPrefix(strings.ToLower(uri), "http") {
		call["url"] = "${" + literal(uri) + "}" // there it fails when it runs
	}
	if _, dynamic := input.(string); dynamic {
		call["method"] = "${" + orElse(plain(c.expression(input, where)).at([]any{"method"}).cel, `"GET"`) + "}"
		call["headers"] = "${" + orElse(plain(c.expression(input, where)).at([]any{"headers"}).cel, "{}") + "}"
	} else {
		if method := field("method"); method != nil {
			call["method"] = method
		}
		headers, _ := field("headers").(map[string]any)
		for key, name := range map[string]string{"accept": "Accept", "contentType": "Content-Type"} {
			if value := field(key); value != nil && !slices.ContainsFunc(sorted(headers), func(h string) bool { return strings.EqualFold(h, name) }) {
				if headers == nil {
					headers = map[string]any{}
				}
				headers[name] = value
			}
		}
		if text, ok := field("headers").(string); ok {
			call["headers"] = text
		} else if len(headers) > 0 {
			call["headers"] = headers
		}
	}
	if body := field("body"); body != nil {
		call["body"] = body
	}
	return c.work(p, at, workflow.Task{Type: "http", With: c.object(call)})
}

func orElse(cel, otherwise string) string {
	return fmt.Sprintf("%s == null ? %s : %s", cel, otherwise, cel)
}
