package dig

import (
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// row is one task of a group and what it waits for.
type row struct {
	task  *Task
	made  []workflow.Task // the task, after the one that computes its templates
	needs []string

	at     *place
	config *value
}

// body compiles the tasks of a group, in their order.
// What they store is answered with where it is found in the output of the group.
func (c *compiler) body(t *place, config *value, into *Task) (all []workflow.Task, stores map[string]string) {
	order := c.ordering(t, config)
	names := &naming{scope: t.scope}
	var rows []row
	for i, key := range config.keys {
		if !strings.HasPrefix(key, "+") {
			continue
		}
		child := config.items[i]
		at := &place{file: t.file, full: t.full + key, line: child.line, scope: &scope{parent: t.scope, stored: order.seen(child)}, top: t.top}
		if c.size++; c.size > maxTasks {
			c.wrong(at, itoa(maxTasks)+" tasks, what is called counted each time", "there are too many tasks")
			return nil, nil
		}
		task := &Task{Suffix: key, Native: names.take(key[1:], "")}
		needs := order.next(c, at, child, task, rows)
		r := row{task: task, needs: needs, at: at, config: child}
		var stored map[string]string
		r.made, stored = c.task(at, child, task, names)
		order.store(task.Native, stored)
		rows = append(rows, r)
		into.Tasks = append(into.Tasks, task)
	}
	for _, r := range rows {
		for i := range r.made {
			if i == 0 {
				r.made[i].Needs = r.needs
			}
		}
		all = append(all, r.made...)
	}
	if t.top {
		c.handlers = names // what a handler reads must not have the name of one
		for _, r := range rows {
			c.handled(r)
		}
	}
	if len(all) == 0 {
		into.Tasks = append(into.Tasks, &Task{Native: "nothing"})
		return []workflow.Task{{Name: "nothing", Description: "An empty group.", Type: "noop"}}, nil
	}
	return all, order.stores
}

// ordering says what each task of a group waits for.
type ordering struct {
	parallel   bool
	limit      int // of a chunk; 0 = all at once
	last       []int
	background []int
	chunk      []int             // what runs at once with the next, in a limited group
	stored     map[string]string // what the tasks so far stored, for their siblings
	stores     map[string]string // the same, for those outside
}

func (c *compiler) ordering(t *place, config *value) *ordering {
	o := &ordering{stored: map[string]string{}, stores: map[string]string{}}
	p := config.get("_parallel")
	if p == nil {
		return o
	}
	at := *t
	at.line = p.line
	o.parallel, o.limit = c.parallel(&at, p)
	return o
}

// parallel reads _parallel: true, false or {limit: N}.
func (c *compiler) parallel(t *place, p *value) (bool, int) {
	switch {
	case p.kind == boolean:
		return p.text == "true", 0
	case p.kind == text && (p.text == "true" || p.text == "false"):
		return p.text == "true", 0
	case p.kind == object && len(p.keys) == 1 && p.get("limit") != nil:
		if n, ok := whole(p.get("limit"), 1, 10_000); ok {
			return true, n
		}
	}
	c.wrong(t, "true, false, or {limit: N} with N from 1 to 10000", "_parallel cannot be this")
	return false, 0
}

// next answers the names of what a task waits for, and remembers it for those that come.
func (o *ordering) next(c *compiler, t *place, child *value, task *Task, rows []row) []string {
	i := len(rows)
	background := truth(child.get("_background"))
	after := child.get("_after")
	switch {
	case background && o.parallel:
		c.wrong(t, "in groups whose tasks run one after the other", "_background: cannot be used in a _parallel group")
	case after != nil && !o.parallel:
		c.wrong(t, "in groups with _parallel: true", "_after: cannot be used in a group whose tasks run one after the other")
	case background:
		o.background = append(o.background, i)
	case !o.parallel:
		task.Upstream = append(slices.Clone(o.last), o.background...)
		slices.Sort(task.Upstream)
		o.last, o.background = []int{i}, nil
	case o.limit > 0:
		if len(o.chunk) == o.limit {
			o.last, o.chunk = o.chunk, nil
		}
		task.Upstream = slices.Clone(o.last)
		if after != nil {
			task.Upstream = slices.Compact(slices.Sorted(slices.Values(append(task.Upstream, o.after(c, t, after, rows)...))))
		}
		o.chunk = append(o.chunk, i)
	case after != nil:
		task.Upstream = o.after(c, t, after, rows)
	}
	needs := make([]string, len(task.Upstream))
	for j, at := range task.Upstream {
		needs[j] = rows[at].task.Native
	}
	return needs
}

// after finds the tasks before it that _after names.
func (o *ordering) after(c *compiler, t *place, after *value, rows []row) (upstream []int) {
	named := []*value{after}
	if after.kind == list {
		named = after.items
	}
	for _, n := range named {
		found := slices.IndexFunc(rows, func(r row) bool { return n.kind == text && r.task.Suffix == "+"+strings.TrimPrefix(n.text, "+") })
		if found < 0 {
			c.wrong(t, "names of tasks of the same group that stand before it", "_after: there is no %s before it", n.text)
			continue
		}
		if !slices.Contains(upstream, found) {
			upstream = append(upstream, found)
		}
	}
	slices.Sort(upstream)
	return upstream
}

// seen is what a task may read of those before it: of those that it waits for.
func (o *ordering) seen(child *value) map[string]string {
	if o.parallel || truth(child.get("_background")) {
		return nil
	}
	return o.stored
}

func (o *ordering) store(native string, stores map[string]string) {
	for name, behind := range stores {
		o.stored[name] = outputOf(native) + behind
		o.stores[name] = reach("", []step{{key: native}}) + behind
	}
}

func truth(v *value) bool {
	return v != nil && v.text == "true" && (v.kind == boolean || v.kind == text)
}
