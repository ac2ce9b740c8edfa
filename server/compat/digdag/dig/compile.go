package dig

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// Options are what a compilation needs to know beside the files.
type Options struct {
	ProjectID string
	Project   string // its name
}

// Workflow is a compiled workflow file.
type Workflow struct {
	Name       string
	TimeZone   string
	Definition json.RawMessage // native, canonical
	Config     json.RawMessage // the file as JSON, in its order
	Schedule   *Schedule       // nil = none
	Root       *Task
	Handlers   []*Task // of _error
}

// Task is a task of Digdag and the native one that runs it.
type Task struct {
	Suffix   string // of its full name, behind that of the task around it: +load, ^sub; "" = it is that task
	Native   string // name of the native task; "" = the workflow itself
	Helper   string // name of the native task that computes its templates; "" = none
	Loop     bool   // its instances are those of a for_each>, with Range of a for_range>, else with Names nil of a loop>
	Parallel bool   // of a loop: its turns do not wait for one another
	Names    []string
	Range    bool   // of a loop: it is a for_range>
	Inside   string // what stands between its name and those of the tasks in it: ^sub, or nothing
	Maybe    bool   // Digdag has it only where it runs
	Of       string // native name of the task whose failure it handles; "" = none
	Group    bool
	Stores   []string // params that it stores, as http.last_content
	Config   json.RawMessage
	Export   json.RawMessage
	Upstream []int // indexes of the siblings that it waits for directly
	Tasks    []*Task
}

// Extension is that of workflow files.
const Extension = ".dig"

// Compile compiles one of the files of a project. The error is Problems.
func Compile(files map[string]string, file string, o Options) (*Workflow, error) {
	c := &compiler{files: files, options: o, parsed: map[string]*value{}, handlers: &naming{}, out: &Workflow{Name: strings.TrimSuffix(file, Extension), TimeZone: "UTC"}}
	root := c.file(file)
	if root == nil {
		return nil, c.problems
	}
	c.workflow(file, root)
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.out, nil
}

type compiler struct {
	files    map[string]string
	options  Options
	parsed   map[string]*value
	calls    []string // files that are being called
	problems Problems
	out      *Workflow
	size     int // tasks so far

	onFailure []workflow.Task
	handlers  *naming

	variables map[string]string // of the session
}

// place is where in the files something stands, and what it may use there.
type place struct {
	file     string
	full     string // name of the task
	operator string
	line     int
	scope    *scope
	helper   *scripts
	top      bool // its tasks are those at the top of the native workflow, whose failures a handler can read
}

const maxProblems = 100

func (c *compiler) wrong(t *place, allowed, format string, args ...any) {
	p := Problem{File: t.file, Line: max(t.line, 1), Task: t.full, Operator: t.operator, Message: fmt.Sprintf(format, args...), Allowed: allowed}
	if len(c.problems) < maxProblems && !slices.Contains(c.problems, p) {
		c.problems = append(c.problems, p)
	}
}

// file reads a file once.
func (c *compiler) file(name string) *value {
	if v, ok := c.parsed[name]; ok {
		return v
	}
	v, problem := parse(name, c.files[name])
	if problem != nil {
		c.problems = append(c.problems, *problem)
	}
	c.parsed[name] = v
	return v
}

// Keys that stand at the top of a workflow file, of a group, and beside an operator.
var (
	topKeys   = []string{"timezone", "schedule", errorKey, "_export", "_parallel", "_retry", "_disable"}
	groupKeys = []string{"_parallel", "_background", "_after", "_retry", "_export", "_disable"}
	taskKeys  = []string{"_background", "_after", "_retry", "_export", "_check", "_disable"}
	errorKey  = "_error"
)

const maxTasks = 1000 // of a workflow, what is called counted each time

func (c *compiler) workflow(file string, root *value) {
	c.out.Config = raw(root)
	full := "+" + c.out.Name
	t := &place{file: file, full: full, line: root.line, scope: &scope{}, top: root.get("_retry") == nil}
	if zone := root.get("timezone"); zone != nil {
		c.zone(t, zone)
	}
	if s := root.get("schedule"); s != nil {
		c.out.Schedule = c.schedule(&place{file: file, line: s.line, scope: t.scope}, s)
	}
	d := workflow.Definition{Name: c.out.Name, Description: describe(c.out.TimeZone)}
	c.out.Root = &Task{Suffix: full, Group: true, Config: c.local(root), Export: export(root)}
	d.Tasks, _ = c.inside(t, root, topKeys, c.out.Root, "run")
	if root.get("_retry") != nil {
		d.Tasks = c.retried(t, root, d.Tasks)
	}
	if root.get(errorKey) != nil {
		c.handler(t, root, &Task{Suffix: ErrorSuffix, Native: c.handlers.take("error", ""), Maybe: true}, "", "workflow.error")
	}
	d.OnFailure = c.onFailure
	c.out.Definition = d.Canonical()
}

// describe is the description of a native workflow. The time zone makes another version of it.
func describe(zone string) string { return "A Digdag workflow. Its time zone is " + zone + "." }

// retried wraps the whole of a workflow in a group that is tried again.
func (c *compiler) retried(t *place, root *value, tasks []workflow.Task) []workflow.Task {
	c.out.Root.Tasks = []*Task{{Native: "all", Group: true, Tasks: c.out.Root.Tasks}}
	return []workflow.Task{{Name: "all", Description: t.full, Type: workflow.TypeGroup, Retry: c.retry(t, root.get("_retry")), Tasks: tasks}}
}

// inside compiles what a task holds: tasks, or an operator, which becomes one task with the given name.
func (c *compiler) inside(t *place, config *value, keys []string, into *Task, alone string) (tasks []workflow.Task, stores map[string]string) {
	if config.kind != object {
		c.wrong(t, "tasks, as +load:, or an operator", "this is %s", config.kind)
		return nil, nil
	}
	if operatorOf(config) == "" {
		c.checkGroup(t, config, keys)
		s := &scope{parent: t.scope, export: c.exported(t, config)}
		return c.body(&place{file: t.file, full: t.full + into.Inside, line: t.line, scope: s, top: t.top}, config, into)
	}
	names := &naming{scope: t.scope}
	task := &Task{Native: names.take(alone, "")}
	into.Tasks = append(into.Tasks, task)
	at := &place{file: t.file, full: t.full, line: config.line, scope: t.scope}
	beside := slices.Concat(taskKeys, without(keys, groupKeys))
	made, behind := c.operator(at, config, task, names, beside)
	stores = map[string]string{}
	for name, rest := range behind {
		stores[name] = reach("", []step{{key: task.Native}}) + rest
	}
	return made, stores
}

func without(keys, others []string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(others, k) })
}

// operatorOf answers the key of the first operator of a task; "" = it is a group.
func operatorOf(config *value) string {
	for _, key := range config.keys {
		if strings.HasSuffix(key, ">") {
			return key
		}
	}
	return ""
}

func (c *compiler) checkGroup(t *place, config *value, keys []string) {
	for i, key := range config.keys {
		if !strings.HasPrefix(key, "+") && !slices.Contains(keys, key) {
			at := *t
			at.line = config.items[i].line
			c.wrong(&at, strings.Join(keys, ", ")+", tasks as +load, and operators: "+strings.Join(operatorNames(), ", "), "%s: cannot be used%s", key, elsewhere(key, keys))
		}
	}
}

// elsewhere says why a key of Digdag's is not taken, and of what is none of its keys which may be meant.
func elsewhere(key string, allowed []string) string {
	switch key {
	case errorKey:
		return " here; it is possible at the top of a workflow, and of the tasks there when the workflow has no _retry"
	case "schedule", "timezone":
		return " here; it is possible at the top of a workflow"
	case "_check":
		return " in a group; it is possible beside an operator"
	case "sla":
		return ": nothing here watches how long a workflow takes; give a task of the native language a timeout"
	case "_secrets":
		return ": ${secret:NAME} is a secret of the worker"
	}
	return workflow.Suggest(key, allowed)
}

// exported answers _export.
func (c *compiler) exported(t *place, config *value) *value {
	e := config.get("_export")
	if e != nil && e.kind != object {
		at := *t
		at.line = e.line
		c.wrong(&at, "an object, as _export: {name: value}", "_export is %s", e.kind)
		return nil
	}
	return e
}

// naming gives the siblings of a body names of the native language.
// None hides a task outside of the body of which something is read in it.
type naming struct {
	taken []string
	scope *scope
}

func (n *naming) take(name, suffix string) string {
	const most = 110 // of 128: room for what is added
	made := strings.Map(func(r rune) rune {
		if r < 128 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '-') {
			return r
		}
		return '-'
	}, name)
	if made == "" || made[0] == '-' || made[0] == '_' {
		made = "t" + made
	}
	made = made[:min(len(made), most)] + suffix
	unique := made
	for i := 2; slices.Contains(n.taken, unique) || n.scope.reads(unique); i++ {
		unique = made + "-" + itoa(i)
	}
	n.taken = append(n.taken, unique)
	return unique
}

// local is the config of a task without what Digdag shows elsewhere.
func (c *compiler) local(config *value) json.RawMessage {
	made := &value{kind: object}
	for i, key := range config.keys {
		if !strings.HasPrefix(key, "+") && !slices.Contains([]string{errorKey, "schedule", "timezone"}, key) {
			made.put(key, config.items[i])
		}
	}
	return raw(made)
}

func export(config *value) json.RawMessage {
	if e := config.get("_export"); e != nil && e.kind == object {
		return raw(e)
	}
	return json.RawMessage("{}")
}

// Files are the workflow files of a project: those at its top.
func Files(files map[string]string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool {
		return path.Dir(name) != "." || !strings.HasSuffix(name, Extension) || name == Extension
	})
}

// Used are the files that a workflow is made of: its own, and those that it calls, as far as is known from their text.
func Used(files map[string]string, file string) map[string]string {
	used := map[string]string{}
	var add func(name string)
	add = func(name string) {
		if _, ok := used[name]; ok {
			return
		}
		used[name] = files[name]
		for _, m := range calls.FindAllStringSubmatch(files[name], -1) {
			called := path.Clean(path.Join(path.Dir(name), strings.TrimSuffix(strings.Trim(m[1], `"' `), Extension)+Extension))
			if _, ok := files[called]; ok {
				add(called)
			}
		}
	}
	add(file)
	return used
}

var calls = regexp.MustCompile(`call>\s*["']?\s*:\s*([^\s,}#]+)`)
