package dig

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// operator is one of Digdag's operators.
type operator struct {
	params  []string // that may stand beside it
	compile func(c *compiler, t *place, config, command *value, task *Task) (workflow.Task, map[string]string)
}

func operators() map[string]operator {
	return map[string]operator{
		"sh>":        {[]string{"shell", "_env"}, (*compiler).sh},
		"echo>":      {nil, (*compiler).echo},
		"fail>":      {nil, (*compiler).fail},
		"wait>":      {[]string{"blocking", "poll_interval"}, (*compiler).wait},
		"http>":      {httpParams, (*compiler).http},
		"if>":        {[]string{"_do", "_else_do"}, (*compiler).branch},
		"for_each>":  {[]string{"_do", "_parallel"}, (*compiler).forEach},
		"for_range>": {[]string{"_do", "_parallel"}, (*compiler).forRange},
		"loop>":      {[]string{"_do", "_parallel"}, (*compiler).loop},
		"call>":      {nil, (*compiler).call},
		"require>":   {[]string{"session_time", "params", "ignore_failure", "rerun_on", "project_name"}, (*compiler).require},
	}
}

func operatorNames() []string { return slices.Sorted(maps.Keys(operators())) }

// task compiles one task of a group. Where its templates are computed, the task that does so comes first.
func (c *compiler) task(t *place, config *value, task *Task, names *naming) ([]workflow.Task, map[string]string) {
	if config.kind == nothing {
		config = &value{kind: object, line: config.line}
	}
	if config.kind != object {
		c.wrong(t, "tasks, as +load:, or an operator, as echo>:", "the task is %s", config.kind)
		return nil, nil
	}
	task.Config, task.Export = c.local(config), export(config)
	if truth(config.get("_disable")) {
		return []workflow.Task{{Name: task.Native, Description: t.full, Type: "noop"}}, nil
	}
	inTask, inGroup := taskKeys, groupKeys
	if t.top {
		inTask, inGroup = append(slices.Clone(taskKeys), errorKey), append(slices.Clone(groupKeys), errorKey)
	}
	if operatorOf(config) != "" && config.get("_check") != nil {
		return c.checked(t, config, task, inTask)
	}
	if operatorOf(config) != "" {
		return c.operator(t, config, task, names, inTask)
	}
	c.checkGroup(t, config, inGroup)
	task.Group = true
	at := *t
	at.scope, at.top = &scope{parent: t.scope, export: c.exported(t, config)}, false
	body, stores := c.body(&at, config, task)
	return []workflow.Task{{Name: task.Native, Description: t.full, Type: workflow.TypeGroup, Retry: c.retry(t, config.get("_retry")), Tasks: body}}, stores
}

// Check is the suffix of what checks a task once it succeeded.
const Check = "^check"

// checked compiles a task with a _check: a group of the task and of what checks it.
func (c *compiler) checked(t *place, config *value, task *Task, beside []string) ([]workflow.Task, map[string]string) {
	names := &naming{scope: t.scope}
	task.Group = true
	run := &Task{Native: names.take("run", "")}
	made, stored := c.operator(t, config, run, names, beside)
	check := &Task{Suffix: Check, Native: names.take("check", ""), Group: true, Maybe: true, Upstream: []int{0}}
	task.Tasks = []*Task{run, check}

	around := &scope{parent: t.scope, export: config.get("_export"), stored: map[string]string{}}
	config = config.get("_check")
	stores := map[string]string{}
	for name, behind := range stored {
		around.stored[name] = outputOf(run.Native) + behind
		stores[name] = reach("", []step{{key: run.Native}}) + behind
	}
	at := &place{file: t.file, full: t.full + Check, line: config.line, scope: around}
	tasks, _ := c.inside(at, config, groupKeys, check, "run")
	checks := workflow.Task{Name: check.Native, Description: at.full, Type: workflow.TypeGroup, Needs: []string{run.Native}, Tasks: tasks}
	if config.kind == object && operatorOf(config) == "" {
		checks.Retry = c.retry(at, config.get("_retry"))
	}
	return []workflow.Task{{Name: task.Native, Description: t.full, Type: workflow.TypeGroup, Tasks: append(made, checks)}}, stores
}

// operator compiles a task that has an operator.
func (c *compiler) operator(t *place, config *value, task *Task, names *naming, beside []string) ([]workflow.Task, map[string]string) {
	name := operatorOf(config)
	at := *t
	at.operator, at.scope, at.top = name, &scope{parent: t.scope, export: c.exported(t, config)}, false
	at.helper = &scripts{name: names.take(task.Native, "-vars"), variables: map[string]string{}}
	if task.Config == nil {
		task.Config, task.Export = c.local(config), export(config)
	}
	o, known := operators()[name]
	if !known {
		c.wrong(&at, strings.Join(operatorNames(), ", "), "is not available")
		return nil, nil
	}
	allowed := slices.Concat(o.params, beside)
	for i, key := range config.keys {
		here := at
		here.line = config.items[i].line
		switch {
		case key == name || slices.Contains(allowed, key):
		case strings.HasPrefix(key, "+"):
			c.wrong(&here, "tasks in a task without an operator", "%s: a task with an operator holds no tasks", key)
		case strings.HasSuffix(key, ">"):
			c.wrong(&here, "one operator in a task", "%s: is a second operator", key)
		default:
			c.wrong(&here, strings.Join(allowed, ", "), "%s: cannot be used%s", key, elsewhere(key, allowed))
		}
	}
	made, stores := o.compile(c, &at, config, config.get(name), task)
	made.Name, made.Description = task.Native, t.full
	if retry := c.retry(&at, config.get("_retry")); retry != nil {
		made.Retry = retry
	}
	if len(at.helper.templates) == 0 {
		return []workflow.Task{made}, stores
	}
	task.Helper = at.helper.name
	made.Needs = []string{task.Helper}
	computes := workflow.Task{Name: task.Helper, Description: "Computes what stands in ${...} of " + t.full + ".", Type: "script", With: at.helper.with(c.out.TimeZone)}
	return []workflow.Task{computes, made}, stores
}

// retry reads _retry: N, or {limit, interval, max_interval, interval_type}.
func (c *compiler) retry(t *place, v *value) *workflow.Retry {
	if v == nil || v.kind == boolean && v.text == "false" {
		return nil
	}
	at := *t
	at.line = v.line
	const allowed = "how often it is tried again, 0 to 999, or {limit, interval, max_interval, interval_type} with seconds, and constant or exponential"
	limit, interval, most, kind := v, (*value)(nil), (*value)(nil), ""
	if v.kind == object {
		limit, interval, most = v.get("limit"), v.get("interval"), v.get("max_interval")
		if k := v.get("interval_type"); k != nil {
			kind = k.text
		}
		for _, key := range v.keys {
			if !slices.Contains([]string{"limit", "interval", "max_interval", "interval_type"}, key) {
				c.wrong(&at, allowed, "_retry has %s", key)
			}
		}
	}
	n, ok := whole(limit, 0, 999)
	seconds, ok2 := 0, true
	if interval != nil {
		seconds, ok2 = whole(interval, 0, 720*3600)
	}
	if !ok || !ok2 || !slices.Contains([]string{"", "constant", "exponential"}, kind) {
		c.wrong(&at, allowed, "_retry cannot be this")
		return nil
	}
	if n == 0 {
		return nil
	}
	delay, none := workflow.Duration(time.Duration(seconds)*time.Second), 0.0
	r := &workflow.Retry{MaxAttempts: n + 1, Delay: &delay, Backoff: workflow.BackoffFixed, Jitter: &none, MaxDelay: max(delay, workflow.Duration(time.Second))}
	if kind == "exponential" {
		r.Backoff, r.MaxDelay = workflow.BackoffExponential, workflow.Duration(720*time.Hour)
	}
	if most != nil {
		if n, ok := whole(most, 1, 720*3600); ok {
			r.MaxDelay = workflow.Duration(time.Duration(n) * time.Second)
		} else {
			c.wrong(&at, allowed, "_retry cannot be this")
		}
	}
	return r
}
