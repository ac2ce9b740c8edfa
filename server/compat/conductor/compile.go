package conductor

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/workflow"
)

// What a compiled definition keeps with it.
const (
	annotationDefinition = "conductor.definition" // as it was registered
	annotationTasks      = "conductor.tasks"      // what each node stands for: JSON of nodes
	annotationPart       = "conductor.part"       // "true": made at run time, and shown as a part of what it runs in
	annotationDomains    = "conductor.domains"    // where its tasks go, as the start that it was made for said
)

// node says what a native node stands for.
type node struct {
	Ref    string `json:"ref"`
	Type   string `json:"type"`
	Name   string `json:"name"`             // of the task's definition
	Helper bool   `json:"helper,omitempty"` // it is not shown
	Inner  bool   `json:"inner,omitempty"`  // its sub-execution is shown in its place
}

// body is a list of native tasks: the outermost one, or that of a loop.
type body struct {
	loop   string // native name of the loop
	parent *body
	tasks  []workflow.Task
	before map[string]map[string]bool // what each task may read of those beside it
	sets   []setter                   // in the order in which they run
	start  string                     // of a loop: the node that holds what each iteration begins with; "" = none
}

// place is a task of the definition and where it is natively.
type place struct {
	task *workflowTask
	name string // of its main node
	body *body
	ends []string // the nodes behind which its successors stand

	fork   *place // of a JOIN: the dynamic fork before it; nil = none
	inside *body  // of a loop
	again  string // of a loop: the node that ends each iteration
}

// cursor is where the next task stands: behind which nodes, and under which condition.
type cursor struct {
	needs  []string
	guards []string
}

type compiler struct {
	def      *workflowDef
	taskDefs map[string]*taskDef
	places   map[string]*place
	names    map[string]bool
	nodes    map[string]node
	reading  []*place // inputs that are being translated
	stops    []string // TERMINATE tasks in the body whose successors are not reached yet
	whole    string   // all of the definition, as text
	problems []validationError
}

var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	odd        = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// compile translates a definition to a native one. The error is invalidDef.
func compile(s *source, taskDefs map[string]*taskDef) (*workflow.Definition, error) {
	c := &compiler{
		def: &s.def, taskDefs: taskDefs, places: map[string]*place{}, names: map[string]bool{workflow.HandlersPath: true}, nodes: map[string]node{},
	}
	text, err := s.text()
	if err != nil {
		return nil, err
	}
	c.whole = text
	if !c.check() {
		return nil, invalidDef(c.problems)
	}
	outer := &body{before: map[string]map[string]bool{}}
	c.settle(outer, s.def.Tasks)
	if s.parallel {
		for i := range s.def.Tasks {
			c.list(outer, s.def.Tasks[i:i+1], cursor{}, fmt.Sprintf("tasks[%d]", i))
		}
	} else {
		c.list(outer, s.def.Tasks, cursor{}, "tasks")
	}
	d := &workflow.Definition{Name: s.def.Name, Description: clipped(s.def.Description, 4000), FailFast: !c.permissive(), Tasks: outer.tasks}
	d.Output = c.result(outer)
	if s.def.TimeoutSeconds > 0 && s.def.TimeoutPolicy == "TIME_OUT_WF" {
		d.Timeout = seconds(s.def.TimeoutSeconds)
	}
	if s.def.FailureWorkflow != "" {
		d.OnFailure = c.failureWorkflow()
	}
	if len(c.problems) > 0 {
		return nil, invalidDef(c.problems)
	}
	nodes, err := json.Marshal(c.nodes)
	if err != nil {
		return nil, fmt.Errorf("conductor: writing what nodes stand for: %w", err)
	}
	d.Annotations = map[string]string{annotationDefinition: text, annotationTasks: string(nodes)}
	return d, nil
}

func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// seconds is a time, at most the longest there is natively.
func seconds(n int64) workflow.Duration {
	const most = 720 * 3600
	return workflow.Duration(time.Duration(min(n, most)) * time.Second)
}

// wrong notes what cannot be compiled.
func (c *compiler) wrong(r reader, format string, args ...any) {
	v := validationError{Path: r.field, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(c.problems, v) {
		c.problems = append(c.problems, v)
	}
}

// check looks at what must hold before anything is compiled, and gives every task its place.
func (c *compiler) check() bool {
	at := func(field string) reader { return reader{field: field} }
	if c.def.Name == "" {
		c.wrong(at("name"), "WorkflowDef name cannot be null or empty")
	} else if strings.ContainsAny(c.def.Name, "/") || len(c.def.Name) > 255 {
		c.wrong(at("name"), "a name has 1 to 255 characters and no slash")
	}
	if len(c.def.Tasks) == 0 {
		c.wrong(at("tasks"), "WorkflowTask list cannot be empty")
	}
	if c.def.TimeoutSeconds < 0 {
		c.wrong(at("timeoutSeconds"), "timeoutSeconds: %d, but should be 0 or more", c.def.TimeoutSeconds)
	}
	each(c.def.Tasks, func(t *workflowTask) {
		switch {
		case t.Name == "":
			c.wrong(at("tasks"), "WorkflowTask name cannot be empty or null")
		case t.Ref == "":
			c.wrong(at("tasks"), "WorkflowTask taskReferenceName name cannot be empty or null")
		case t.Ref == "workflow":
			c.wrong(at("tasks"), "taskReferenceName: workflow means the workflow itself")
		case c.places[t.Ref] != nil:
			c.wrong(at("tasks"), "taskReferenceName: %s should be unique across tasks for a given workflowDefinition: %s", t.Ref, c.def.Name)
		default:
			c.places[t.Ref] = &place{task: t, name: c.named(t.Ref)}
		}
	})
	return len(c.problems) == 0
}

// named answers a native name that nothing has yet.
func (c *compiler) named(ref string) string {
	name := odd.ReplaceAllString(ref, "_")
	if name[0] == '_' || name[0] == '-' {
		name = "t" + name
	}
	name = name[:min(len(name), 100)]
	unique := name
	for n := 2; c.names[unique]; n++ {
		unique = name + "-" + strconv.Itoa(n)
	}
	c.names[unique] = true
	return unique
}

func (c *compiler) permissive() bool {
	found := false
	each(c.def.Tasks, func(t *workflowTask) { found = found || t.Permissive })
	return found
}

// list compiles tasks that come one after the other, and answers where what follows them stands.
func (c *compiler) list(b *body, tasks []workflowTask, at cursor, field string) cursor {
	for i := range tasks {
		t := &tasks[i]
		p := c.places[t.Ref]
		where := fmt.Sprintf("%s[%d]", field, i)
		if len(c.stops) > 0 {
			for _, name := range c.stops {
				at.needs = append(at.needs, name)
				at.guards = append(at.guards, "tasks["+literal(name)+"].status == \"skipped\"")
			}
			c.stops = nil
		}
		if t.Type == "FORK_JOIN" || t.Type == "FORK_JOIN_DYNAMIC" {
			if i+1 == len(tasks) || tasks[i+1].Type != "JOIN" && (tasks[i+1].Type != "EXCLUSIVE_JOIN" || t.Type == "FORK_JOIN_DYNAMIC") {
				c.wrong(reader{field: where}, "a %s must be followed by a JOIN task: %s is not", t.Type, t.Ref)
				return at
			}
		}
		at = c.task(p, at, where)
		p.ends = at.needs
	}
	return at
}

// settle says in which body tasks are.
func (c *compiler) settle(b *body, tasks []workflowTask) {
	for i := range tasks {
		t := &tasks[i]
		p := c.places[t.Ref]
		p.body = b
		if t.Type == "JOIN" && i > 0 && tasks[i-1].Type == "FORK_JOIN_DYNAMIC" {
			p.fork = c.places[tasks[i-1].Ref]
		}
		for _, inner := range t.DecisionCases {
			c.settle(b, inner)
		}
		c.settle(b, t.DefaultCase)
		for _, branch := range t.ForkTasks {
			c.settle(b, branch)
		}
		if len(t.LoopOver) > 0 {
			p.inside = &body{loop: p.name, parent: b, before: map[string]map[string]bool{}}
			p.again = c.named(p.name + "-again")
			c.settle(p.inside, t.LoopOver)
		}
	}
}

// emit adds a native task to a body.
func (c *compiler) emit(b *body, t workflow.Task, at cursor, n node) {
	needs := slices.Compact(slices.Sorted(slices.Values(at.needs)))
	t.Needs = needs
	if len(at.guards) > 0 {
		t.If = "${" + strings.Join(at.guards, " && ") + "}"
	}
	before := map[string]bool{}
	for _, need := range needs {
		before[need] = true
		maps.Copy(before, b.before[need])
	}
	b.before[t.Name] = before
	b.tasks = append(b.tasks, t)
	c.nodes[t.Name] = n
}

// reader is what the inputs of the task at a cursor may read.
func (c *compiler) reader(b *body, at cursor, field string) reader {
	after := map[string]bool{}
	for _, need := range at.needs {
		after[need] = true
		maps.Copy(after, b.before[need])
	}
	return reader{body: b, after: after, field: field}
}

// object writes translated values as JSON.
func (c *compiler) object(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		c.wrong(reader{}, "%v", err)
	}
	return raw
}

// result is the output of the workflow: its outputParameters, or else the output of its last task.
func (c *compiler) result(outer *body) json.RawMessage {
	r := reader{body: outer, all: true, field: "outputParameters"}
	var usual any
	if len(c.def.OutputParameters) > 0 {
		usual = c.values(c.def.OutputParameters, r)
	} else {
		last := c.places[c.def.Tasks[len(c.def.Tasks)-1].Ref]
		usual = "${" + c.output(last, r).expression() + "}"
	}
	var stops []*place
	each(c.def.Tasks, func(t *workflowTask) {
		if t.Type == "TERMINATE" {
			stops = append(stops, c.places[t.Ref])
		}
	})
	if len(stops) == 0 {
		return c.object(usual)
	}
	var b strings.Builder
	for _, p := range stops {
		if p.task.Input["terminationStatus"] == "COMPLETED" {
			base := c.base(p, r)
			b.WriteString("dig(" + base + ", [\"terminated\"]) == true ? " + terminateOutput(base) + " : ")
		}
	}
	switch {
	case b.Len() == 0:
		return c.object(usual)
	case len(c.def.OutputParameters) > 0:
		b.WriteString(c.expression(c.def.OutputParameters, r))
	default:
		b.WriteString(c.output(c.places[c.def.Tasks[len(c.def.Tasks)-1].Ref], r).expression())
	}
	return c.object("${" + b.String() + "}")
}

// failureWorkflow starts another workflow when this one failed.
func (c *compiler) failureWorkflow() []workflow.Task {
	name := c.named("failure-workflow")
	c.nodes[name] = node{Ref: name, Type: "START_WORKFLOW", Name: name, Helper: true}
	r := reader{body: &body{before: map[string]map[string]bool{}}, field: "failureWorkflow"}
	return []workflow.Task{{
		Name: name, Type: typeStart, Retry: &workflow.Retry{MaxAttempts: 3},
		With: c.object(map[string]any{inputFailure: "${workflow.id}", "startWorkflow": map[string]any{
			"name":  c.text(c.def.FailureWorkflow, r),
			"input": map[string]any{"workflowId": "${workflow.id}", "reason": "${workflow.error.message}", "failureStatus": "FAILED"},
		}}),
	}}
}
