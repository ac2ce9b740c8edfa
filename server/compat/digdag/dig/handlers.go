package dig

import (
	"github.com/redrive/redrive/workflow"
)

// ErrorSuffix is that of what runs when a task failed.
const ErrorSuffix = "^error"

// handled compiles the _error of a task at the top of a workflow: a handler of the native workflow, which runs if that task is what failed.
func (c *compiler) handled(r row) {
	if r.config.get(errorKey) == nil || len(r.made) == 0 || truth(r.config.get("_disable")) || r.made[len(r.made)-1].OnFailure == workflow.OnFailureContinue {
		return
	}
	failed, err := "", ""
	for _, one := range r.made { // what computes its templates is a part of it
		at := reach("tasks", []step{{key: one.Name}})
		if failed != "" {
			failed += " || "
		}
		failed += at + ".status in [\"failed\", \"timed_out\"]"
		err = at + ".error"
	}
	if len(r.made) > 1 {
		err = "(" + err + " != null ? " + err + " : " + reach("tasks", []step{{key: r.made[0].Name}}) + ".error)"
	}
	into := &Task{Suffix: r.task.Suffix + ErrorSuffix, Native: c.handlers.take(r.task.Native, "-error"), Maybe: true, Of: r.task.Native}
	c.handler(r.at, r.config, into, "${"+failed+"}", err)
}

// handler compiles an _error; err is where it finds what went wrong.
func (c *compiler) handler(t *place, config *value, into *Task, condition, err string) {
	into.Group = true
	body := config.get(errorKey)
	s := &scope{parent: t.scope, export: config.get("_export"), set: map[string]string{"error": err}}
	at := &place{file: t.file, full: t.full + ErrorSuffix, line: body.line, scope: s}
	tasks, _ := c.inside(at, body, groupKeys, into, "run")
	made := workflow.Task{Name: into.Native, Description: at.full, Type: workflow.TypeGroup, If: condition, Tasks: tasks}
	if body.kind == object && operatorOf(body) == "" {
		made.Retry = c.retry(at, body.get("_retry"))
	}
	c.onFailure, c.out.Handlers = append(c.onFailure, made), append(c.out.Handlers, into)
}
