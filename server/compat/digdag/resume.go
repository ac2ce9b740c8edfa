package digdag

import (
	"slices"
	"strconv"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat/digdag/dig"
	"github.com/redrive/redrive/workflow"
)

// resume redrives an attempt into the next one of its session, with the version and the params of the request.
func (v *view) resume(q *wanted) (*engine.Execution, error) {
	x, err := v.source(q)
	if err != nil {
		return nil, err
	}
	r := engine.RedriveRequest{By: auth.From(v.ctx).By(), WhenFull: q.whenFull(), Redrive: workflow.Redrive{
		Operation: workflow.OperationRetry, Identity: workflow.NewExecution, Definition: strconv.Itoa(q.w.Version), WorkflowInput: q.Params,
	}}
	if x.Session != nil {
		r.AttemptName = q.name
	}
	t, err := v.tree(x)
	if err != nil {
		return nil, err
	}
	if q.Resume.Mode == "from" {
		r.Operation = workflow.OperationRerun
		r.From, err = t.from(q.Resume.From)
	} else if r.From, err = t.failed(), nil; len(r.From) > 0 {
		r.Operation = workflow.OperationRerun
	}
	if err != nil {
		return nil, err
	}
	made, err := v.engine.Redrive(v.ctx, x.ID, r)
	return made, v.refused(q, err)
}

// source is the attempt that is resumed, after all that forbids it.
func (v *view) source(q *wanted) (*engine.Execution, error) {
	id := string(q.Resume.AttemptID)
	x, err := v.execution(id)
	if err != nil {
		return nil, err
	}
	at, _ := place(x)
	switch {
	case x.Project != q.w.Project || x.Workflow != q.w.Name:
		return nil, refuse("resume.attemptId: attempt %s is one of workflow %s in project %s; allowed: an attempt of workflow %s in project %s", id, x.Workflow, x.Project, q.w.Name, q.w.Project)
	case !at.Equal(q.at):
		return nil, refuse("resume.attemptId: attempt %s belongs to the session of %s; allowed: an attempt of the session of sessionTime", id, at.Format("2006-01-02T15:04:05Z07:00"))
	case x.Session == nil && q.name != "":
		q.name = ""
	case x.Session != nil:
		all, err := v.ofSession(x.Project, x.Session.Number)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if name := attemptName(&all[i]); name == nil && q.name == "" || name != nil && *name == q.name {
				return nil, v.inTheWay(q, &all[i])
			}
		}
	}
	switch {
	case !x.Status.Ended():
		return nil, refuse("resume.attemptId: attempt %s is %s; allowed: one that is done, so kill it or wait for its end", id, statuses[x.Status])
	case x.Status == workflow.ExecutionSucceeded && q.Resume.Mode == "failed":
		return nil, refuse("Resuming successfully completed attempts is not supported")
	}
	return x, nil
}

// tree are the tasks of an attempt with Digdag's names.
type tree struct {
	open    *opened
	rows    []node
	byRef   map[string]int
	storing map[string]stored // by full name: what stores params, be it shown or inside of what is
}

type stored struct {
	task *dig.Task
	row  int
}

type node struct {
	engine.Task
	full   string
	shown  bool
	parent string // ref of the task around it; "" = the workflow
	of     string // ref of the task whose failure it handles; "" = none
	loop   bool   // it is a turn of the loop around it
	helper string // ref of the task that computes its templates; "" = none
	seq    bool   // of a loop: its turns come one after the other
	absent bool   // it is of what Digdag makes once it is needed: a branch, a check, what runs after a failure
}

func (v *view) tree(x *engine.Execution) (*tree, error) {
	o, err := v.open(x.Project, x.Workflow, x.Version)
	if err != nil {
		return nil, err
	}
	t := &tree{open: o, byRef: map[string]int{}, storing: map[string]stored{}}
	for page := (engine.Page{Limit: whole}); ; {
		some, next, err := v.engine.Tasks(v.ctx, x.ID, page)
		if err != nil {
			return nil, err
		}
		for _, one := range some {
			t.add(one)
		}
		if page.Cursor = next; next == "" {
			return t, nil
		}
	}
}

func (t *tree) add(one engine.Task) {
	n := node{Task: one}
	n.parent, n.loop = around(one.Ref)
	full, task, shown := t.open.FullName(one.Ref)
	if at, ok := t.byRef[n.parent]; ok {
		n.absent = t.rows[at].absent
	}
	if task != nil && task.Maybe && !n.loop {
		n.absent = n.absent || one.Status == workflow.TaskPending || one.Status == workflow.TaskSkipped || one.Reason == "upstream_failed" ||
			one.Status == workflow.TaskCanceled && one.StartedAt == nil
	}
	if task != nil && n.loop && one.Status == workflow.TaskSkipped {
		n.absent = true // a turn of a list that was made anew, without it
	}
	n.full, n.shown = full, shown && !n.absent
	if task != nil {
		n.of = task.Of
		n.seq = task.Loop && !task.Parallel && !n.loop
		if task.Helper != "" && !n.loop {
			n.helper = strings.TrimSuffix(one.Ref, one.Name) + task.Helper
		}
		if len(task.Stores) > 0 {
			t.storing[full] = stored{task, len(t.rows)}
		}
	}
	t.byRef[one.Ref] = len(t.rows)
	t.rows = append(t.rows, n)
}

// around answers the ref of the task around one, and whether the one is an item of it.
func around(ref string) (parent string, item bool) {
	if strings.HasSuffix(ref, "]") {
		return ref[:strings.LastIndexByte(ref, '[')], true
	}
	if at := strings.LastIndexByte(ref, '.'); at >= 0 {
		return ref[:at], false
	}
	return "", false
}

// needs reports whether a task waits for another one beside it.
func (n node) needs(other node) bool {
	return slices.Contains(n.Needs, other.Ref) || n.parent == "" && slices.Contains(n.Needs, other.Name)
}

// isHandler reports whether a task runs after a failure only.
func isHandler(ref string) bool { return strings.HasPrefix(ref, "on_failure.") }

func good(s workflow.TaskStatus) bool {
	return s == workflow.TaskSucceeded || s == workflow.TaskSkipped
}

// failed answers where a resume of what failed has to begin; nothing = a retry does it. A retry keeps what succeeded, also
// what computed the templates of a task that failed: with other params or another version that would be what it was.
func (t *tree) failed() []string {
	var from []string
	computed := false
	for _, n := range t.rows {
		if isHandler(n.Ref) || good(n.Status) || n.Reason == "upstream_failed" || t.holdsFailed(n.Ref) {
			continue
		}
		start := n.Ref
		if checked := t.checked(n); checked != "" {
			n, start, computed = t.rows[t.byRef[checked]], checked, true
		}
		if at, ok := t.byRef[n.helper]; ok && n.helper != "" && t.rows[at].Status == workflow.TaskSucceeded {
			start, computed = n.helper, true
		}
		from = append(from, start)
	}
	if !computed {
		return nil
	}
	return from
}

// checked is the ref of the task that a failed one checks: it runs again with it, or it would be found wrong for ever. "" = none.
func (t *tree) checked(n node) string {
	for ref := n.Ref; ref != ""; ref, _ = around(ref) {
		at, ok := t.byRef[ref]
		if !ok {
			return ""
		}
		if _, task, _ := t.open.FullName(ref); task == nil || task.Suffix != dig.Check || t.rows[at].loop {
			continue
		}
		for _, other := range t.rows {
			if other.parent == t.rows[at].parent && t.rows[at].needs(other) {
				return other.Ref
			}
		}
	}
	return ""
}

// holdsFailed reports whether a task in it did not succeed.
func (t *tree) holdsFailed(ref string) bool {
	return slices.ContainsFunc(t.rows, func(n node) bool {
		return n.parent == ref && !good(n.Status) && n.Reason != "upstream_failed"
	})
}

// from answers where a resume from a task has to begin: there, and with all that neither comes before it
// nor after it, at each level, for Digdag skips only what the task waits for.
func (t *tree) from(pattern string) ([]string, error) {
	ref, err := t.match(pattern)
	if err != nil || ref == "" {
		return nil, err
	}
	from, skipped := []string{}, []string{}
	for at := ref; at != ""; {
		n := t.rows[t.byRef[at]]
		begin := at
		if n.helper != "" && t.byRef[n.helper] >= 0 {
			if _, there := t.byRef[n.helper]; there {
				begin = n.helper
			}
		}
		if at == ref {
			from = append(from, begin)
		}
		before, beside := t.siblings(n, begin)
		skipped, from = append(skipped, before...), append(from, beside...)
		at = n.parent
	}
	if err := t.allGood(skipped); err != nil {
		return nil, err
	}
	return from, nil
}

// siblings answers what a task waits for, and what has nothing to do with it, of the tasks beside it.
func (t *tree) siblings(n node, begin string) (before, beside []string) {
	if n.loop {
		passed := false
		for _, other := range t.rows {
			switch {
			case other.parent != n.parent || !other.loop:
			case other.Ref == n.Ref:
				passed = true
			case !passed && t.rows[t.byRef[n.parent]].seq:
				before = append(before, other.Ref)
			default:
				beside = append(beside, other.Ref)
			}
		}
		return before, beside
	}
	up := t.closure(n.parent, begin, func(from, to node) bool { return from.needs(to) })
	down := t.closure(n.parent, n.Ref, func(from, to node) bool { return to.needs(from) })
	for _, other := range t.rows {
		switch {
		case other.parent != n.parent || other.Ref == n.Ref || other.Ref == begin || isHandler(other.Ref):
		case slices.Contains(up, other.Ref):
			before = append(before, other.Ref)
		case !slices.Contains(down, other.Ref):
			beside = append(beside, other.Ref)
		}
	}
	return before, beside
}

// closure are the tasks beside one that can be reached from it.
func (t *tree) closure(parent, start string, leads func(from, to node) bool) []string {
	var found []string
	for open := []string{start}; len(open) > 0; open = open[1:] {
		from := t.rows[t.byRef[open[0]]]
		for _, to := range t.rows {
			if to.parent == parent && !to.loop && to.Ref != start && leads(from, to) && !slices.Contains(found, to.Ref) {
				found, open = append(found, to.Ref), append(open, to.Ref)
			}
		}
	}
	return found
}

// allGood refuses to skip what did not succeed.
func (t *tree) allGood(skipped []string) error {
	for i, n := range t.rows {
		inside := slices.ContainsFunc(skipped, func(ref string) bool {
			return n.Ref == ref || strings.HasPrefix(n.Ref, ref+".") || strings.HasPrefix(n.Ref, ref+"[")
		})
		if inside && !good(n.Status) {
			return refuse("Resuming non-successful tasks is not allowed: task_id=%d (%s is %s); allowed: a task before which all succeeded", i+2, n.full, stateOfTask(n.Task, false))
		}
	}
	return nil
}

// match finds the one task whose full name ends so; "" = the whole workflow.
func (t *tree) match(pattern string) (string, error) {
	names, refs := []string{t.open.Root.Suffix}, []string{""}
	for _, n := range t.rows {
		if n.shown {
			names, refs = append(names, n.full), append(refs, n.Ref)
		}
	}
	var found []int
	for i, name := range names {
		if strings.HasSuffix(name, pattern) {
			found = append(found, i)
		}
	}
	switch {
	case len(strings.Trim(pattern, "+^")) == 0 || len(found) == 0:
		return "", refuse("resume.from: Task pattern '%s' doesn't match with any tasks; allowed: the end of one of %s", pattern, list(names))
	case len(found) > 1:
		some := make([]string, len(found))
		for i, at := range found {
			some[i] = names[at]
		}
		return "", refuse("resume.from: Task pattern '%s' is ambiguous. Matching candidates are %s", pattern, list(some))
	case isHandler(refs[found[0]]):
		return "", refuse("resume.from: %s runs after a failure only; allowed: a task before it", names[found[0]])
	}
	return refs[found[0]], nil
}

func list(names []string) string {
	const most = 30
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "...")
	}
	return "[" + strings.Join(names, ", ") + "]"
}
