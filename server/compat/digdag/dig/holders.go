package dig

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// Branch is the suffix of the two tasks that an if> chooses from.
const Branch = "^sub"

// branch compiles if>: two groups, of which one is skipped.
func (c *compiler) branch(t *place, config, command *value, task *Task) (workflow.Task, map[string]string) {
	task.Group = true
	condition := fmt.Sprintf(`"%%s".format([%s]) == "true"`, c.cel(t, command, 0))
	if command.kind == boolean {
		condition = command.text
	}
	group, names := workflow.Task{Type: workflow.TypeGroup}, &naming{scope: t.scope}
	for _, b := range []struct{ key, native, condition string }{
		{"_do", "do", "${" + condition + "}"}, {"_else_do", "else", "${!(" + condition + ")}"},
	} {
		body := config.get(b.key)
		if body == nil {
			continue
		}
		inner := &Task{Suffix: Branch, Native: names.take(b.native, ""), Group: true, Maybe: true}
		task.Tasks = append(task.Tasks, inner)
		at := *t
		at.full, at.line, at.helper, at.operator = t.full+Branch, body.line, nil, ""
		tasks, _ := c.inside(&at, body, groupKeys, inner, "run")
		retry := (*workflow.Retry)(nil)
		if body.kind == object && operatorOf(body) == "" {
			retry = c.retry(&at, body.get("_retry"))
		}
		group.Tasks = append(group.Tasks, workflow.Task{Name: inner.Native, Description: at.full, Type: workflow.TypeGroup, If: b.condition, Retry: retry, Tasks: tasks})
	}
	if len(group.Tasks) == 0 {
		c.wrong(t, "_do, and perhaps _else_do", "_do: is missing")
	}
	return group, nil
}

// turns is what a loop goes through.
type turns struct {
	items string            // CEL, or a list
	set   map[string]string // its variables
	key   string
}

func (c *compiler) forEach(t *place, config, command *value, task *Task) (workflow.Task, map[string]string) {
	if command.kind != object || len(command.keys) == 0 {
		c.wrong(t, "an object of lists, as {fruit: [apple, orange]}", "this is %s", command.kind)
		return workflow.Task{}, nil
	}
	lists := make([]string, len(command.keys))
	for i, name := range command.keys {
		v := command.items[i]
		switch {
		case !identifier.MatchString(name) || literals[name]:
			c.wrong(t, "letters, digits and _", "%q is no name of a variable", clip(name))
		case v.kind == list:
			lists[i] = c.cel(t, v, 0)
		case v.kind == text && strings.Contains(v.text, "${"):
			one := c.cel(t, v, 0)
			lists[i] = fmt.Sprintf("(type(%s) == string ? json.parse(%s).value() : %s)", one, one, one)
		default:
			c.wrong(t, "a list, or one ${...} that gives one", "%s is %s", name, v.kind)
		}
	}
	task.Names = command.keys
	return c.over(t, config, task, c.turns(t, command.keys, lists))
}

// turns goes through all combinations of lists. The variables of the loops around are handed on in the items, for
// in the native language only those of the innermost loop can be read.
func (c *compiler) turns(t *place, names, lists []string) turns {
	around, meaning := t.scope.loopVariables()
	around = slices.DeleteFunc(around, func(n string) bool { return slices.Contains(names, n) })
	if len(names) == 1 && len(around) == 0 {
		return turns{items: lists[0], set: map[string]string{names[0]: "item"}, key: `("%d-%s".format([index, item])).substring(0, math.least(100, size("%d-%s".format([index, item]))))`}
	}
	made := turns{set: map[string]string{}, key: `item["^"].substring(0, math.least(100, size(item["^"])))`}
	fields, layout, args := []string{}, []string{}, []string{}
	for i, name := range names {
		fields = append(fields, fmt.Sprintf("%s: l%d[i%d]", literal(name), i, i))
		layout = append(layout, "%d-%s")
		args = append(args, fmt.Sprintf(`i%d, "%%s".format([l%d[i%d]]).replace(".", "_")`, i, i, i))
		made.set[name] = reach("item", []step{{key: name}})
	}
	for _, name := range around {
		fields = append(fields, literal(name)+": "+meaning[name])
		made.set[name] = reach("item", []step{{key: name}})
	}
	fields = append(fields, fmt.Sprintf(`"^": %s.format([%s])`, literal(strings.Join(layout, ".")), strings.Join(args, ", ")))
	made.items = "{" + strings.Join(fields, ", ") + "}"
	for i := range slices.Backward(names) {
		made.items = fmt.Sprintf("cel.bind(l%d, %s, lists.range(size(l%d)).map(i%d, %s))", i, lists[i], i, i, made.items)
	}
	if len(names) > 1 {
		made.items = fmt.Sprintf("%s.flatten(%d)", made.items, len(names)-1)
	}
	return made
}

func (c *compiler) loop(t *place, config, command *value, task *Task) (workflow.Task, map[string]string) {
	const most = 10_000
	var items string
	if n, ok := whole(command, 0, most); ok {
		items = fmt.Sprintf("lists.range(%d)", n)
	} else if command.kind == text && strings.Contains(command.text, "${") {
		items = "lists.range(int(" + c.cel(t, command, 0) + "))"
	} else {
		c.wrong(t, "a number from 0 to "+strconv.Itoa(most)+", or ${...}", "how often cannot be this")
		return workflow.Task{}, nil
	}
	over := turns{items: items, set: map[string]string{"i": "item"}}
	if around, _ := t.scope.loopVariables(); len(around) > 0 {
		over = c.turns(t, []string{"i"}, []string{items})
		over.key = `"%d".format([index])`
	}
	return c.over(t, config, task, over)
}

// forRange goes through a range of numbers in steps, or in so many slices.
func (c *compiler) forRange(t *place, config, command *value, task *Task) (workflow.Task, map[string]string) {
	const allowed = "from, to, and step or slices: {from: 0, to: 10, step: 3}"
	if command.kind != object {
		c.wrong(t, allowed, "this is %s", command.kind)
		return workflow.Task{}, nil
	}
	numbers := map[string]string{}
	for i, key := range command.keys {
		item, least := command.items[i], 1
		if key == "from" || key == "to" {
			least = -1 << 53
		}
		n, ok := whole(item, least, 1<<53)
		switch {
		case !slices.Contains([]string{"from", "to", "step", "slices"}, key):
			c.wrong(t, allowed, "%s: cannot be used", key)
		case ok:
			numbers[key] = strconv.Itoa(n)
		case item.kind == text && strings.Contains(item.text, "${"):
			numbers[key] = "int(" + c.cel(t, item, 0) + ")"
		default:
			c.wrong(t, "a whole number, of steps and slices one from 1 on, or ${...}", "%s: cannot be this", key)
		}
	}
	if command.get("from") == nil || command.get("to") == nil || (command.get("step") == nil) == (command.get("slices") == nil) {
		c.wrong(t, allowed, "what the range is made of is not clear")
	}
	step := numbers["step"]
	if slices := numbers["slices"]; slices != "" {
		step = "cel.bind(n, " + slices + ", (t - f + n - 1) / n)"
	}
	items := fmt.Sprintf(`cel.bind(f, %s, cel.bind(t, %s, cel.bind(s, %s, lists.range(f < t ? (t - f + s - 1) / s : 0).map(i, {"from": f + i * s, "to": math.least(f + i * s + s, t), "index": i}))))`,
		numbers["from"], numbers["to"], step)
	task.Range = true
	over := c.turns(t, []string{"range"}, []string{items})
	at := over.set["range"]
	over.key = fmt.Sprintf(`"%%d.%%d".format([%s.from, %s.to])`, at, at)
	return c.over(t, config, task, over)
}

// over compiles a loop: a group for each of its turns.
func (c *compiler) over(t *place, config *value, task *Task, o turns) (workflow.Task, map[string]string) {
	task.Group, task.Loop = true, true
	body := config.get("_do")
	if body == nil {
		c.wrong(t, "_do, with tasks or an operator", "_do: is missing")
		return workflow.Task{}, nil
	}
	each := &workflow.ForEach{Items: raw(&value{kind: text, text: "${" + o.items + "}"}), MaxParallel: 1, OnItemFailure: workflow.OnItemFailureStop}
	if o.key != "" {
		each.Key = "${" + o.key + "}"
	}
	if p := config.get("_parallel"); p != nil {
		if at, limit := c.parallel(t, p); at {
			task.Parallel = true
			each.OnItemFailure, each.MaxParallel = workflow.OnItemFailureFinish, limit
			if limit == 0 {
				each.MaxParallel = 10_000
			}
		}
	}
	at := *t
	at.full, at.line, at.helper, at.operator = t.full+"^sub", body.line, nil, ""
	at.scope = &scope{parent: t.scope, set: o.set, looped: true}
	tasks, _ := c.inside(&at, body, groupKeys, task, "run")
	made := workflow.Task{Type: workflow.TypeGroup, ForEach: each, Tasks: tasks}
	if body.kind == object && operatorOf(body) == "" {
		made.Retry = c.retry(&at, body.get("_retry"))
	}
	return made, nil
}

// call compiles call>: the tasks of another file, in the place of the task.
func (c *compiler) call(t *place, _, command *value, task *Task) (workflow.Task, map[string]string) {
	task.Group, task.Inside = true, "^sub"
	name := strings.TrimSpace(command.text)
	if command.kind != text || name == "" || strings.Contains(name, "${") {
		c.wrong(t, "the name of a file of the project, as sub.dig", "which file must be written out")
		return workflow.Task{}, nil
	}
	name = path.Clean(path.Join(path.Dir(t.file), strings.TrimSuffix(name, Extension)+Extension))
	if _, ok := c.files[name]; !ok {
		c.wrong(t, strings.Join(Files(c.files), ", "), "there is no file %s", name)
		return workflow.Task{}, nil
	}
	if slices.Contains(c.calls, name) || name == c.out.Name+Extension {
		c.wrong(t, "files that do not call one another in a circle", "%s calls itself", name)
		return workflow.Task{}, nil
	}
	root := c.file(name)
	if root == nil {
		return workflow.Task{}, nil
	}
	c.calls = append(c.calls, name)
	at := &place{file: name, full: t.full, line: root.line, scope: t.scope}
	keys := slices.Concat(groupKeys, []string{"timezone", "schedule"}) // of the file as a workflow of its own
	tasks, stores := c.inside(at, root, keys, task, "run")
	c.calls = c.calls[:len(c.calls)-1]
	made := workflow.Task{Type: workflow.TypeGroup, Tasks: tasks}
	if operatorOf(root) == "" {
		made.Retry = c.retry(at, root.get("_retry"))
	}
	return made, stores
}

// require compiles require>: an execution of another workflow of the project.
func (c *compiler) require(t *place, config, command *value, _ *Task) (workflow.Task, map[string]string) {
	name := strings.TrimSpace(command.text)
	if command.kind != text || name == "" || strings.Contains(name, "${") {
		c.wrong(t, "the name of a workflow of the project", "which workflow must be written out")
		return workflow.Task{}, nil
	}
	for key, allowed := range map[string]string{"rerun_on": "all: each require> runs the workflow", "session_time": "${session_time}, or nothing", "project_name": "nothing: the workflow is one of the same project"} {
		if v := config.get(key); v != nil && (key != "rerun_on" || v.text != "all") && (key != "session_time" || v.text != "${session_time}") {
			at := *t
			at.line = v.line
			c.wrong(&at, allowed, "%s: cannot be this", key)
		}
	}
	params := config.get("params")
	input := &value{kind: object}
	switch {
	case params == nil:
	case params.kind == object:
		input = c.native(t, params, 0)
	default:
		c.wrong(t, "an object, as params: {name: value}", "params: cannot be this")
	}
	if input.get("session_time") == nil {
		input.put("session_time", &value{kind: text, text: "${" + c.session()["session_time"] + "}"})
	}
	task := made(workflow.TypeWorkflow, "name", &value{kind: text, text: name}, "input", input)
	if truth(config.get("ignore_failure")) {
		task.OnFailure = workflow.OnFailureContinue
	}
	return task, nil
}
