package workflow

import (
	"slices"
	"strings"
)

// Node answers the task with this ref, or nil.
func (p *Program) Node(ref string) *Node { return p.byRef[ref] }

// Roots answers the tasks without needs, in the order of Nodes.
func (p *Program) Roots() []*Node {
	var roots []*Node
	for _, n := range p.Nodes {
		if len(n.Needs) == 0 {
			roots = append(roots, n)
		}
	}
	return roots
}

// Ancestors answers what the task needs, directly and through others, sorted.
func (p *Program) Ancestors(ref string) []string {
	return sortedKeys(p.reach([]string{ref}, func(n *Node) []string { return n.Needs }))
}

// Descendants answers everything that needs one of the tasks, directly or
// through others. A task is its own descendant only when it needs another of the refs.
func (p *Program) Descendants(refs ...string) map[string]bool {
	return p.reach(refs, func(n *Node) []string { return n.Dependents })
}

func (p *Program) reach(refs []string, next func(*Node) []string) map[string]bool {
	seen := map[string]bool{}
	open := slices.Clone(refs)
	for len(open) > 0 {
		n := p.byRef[open[len(open)-1]]
		open = open[:len(open)-1]
		if n == nil {
			continue
		}
		for _, ref := range next(n) {
			if !seen[ref] {
				seen[ref] = true
				open = append(open, ref)
			}
		}
	}
	return seen
}

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// ancestry knows for every node, by its index in the source, what it needs
// directly and through others: one bit a task.
type ancestry struct {
	byRef map[string]*Node
	sets  map[int][]uint64
}

func (a ancestry) reads(n *Node, name string) bool {
	other := a.byRef[name]
	set := a.sets[n.index]
	return other != nil && set != nil && set[other.index/64]&(1<<(other.index%64)) != 0
}

// order fills in the edges and sorts the nodes topologically; of those that
// could come next, the one that stands first in the source does.
func (c *compiler) order(p *Program, at place, strays []*Node) ancestry {
	c.edges(p, at, strays)
	reach := ancestry{byRef: p.byRef, sets: map[int][]uint64{}}
	words := len(p.Definition.Tasks)/64 + 1
	open := map[string]int{}
	var ready []*Node
	for _, n := range p.Nodes {
		if open[n.Ref] = len(n.Needs); open[n.Ref] == 0 {
			ready = append(ready, n)
		}
	}
	sorted := make([]*Node, 0, len(p.Nodes))
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		sorted = append(sorted, n)
		set := make([]uint64, words)
		for _, ref := range n.Needs {
			need := p.byRef[ref]
			for i, w := range reach.sets[need.index] {
				set[i] |= w
			}
			set[need.index/64] |= 1 << (need.index % 64)
		}
		reach.sets[n.index] = set
		for _, ref := range n.Dependents {
			if open[ref]--; open[ref] == 0 {
				ready = insertBySource(ready, p.byRef[ref])
			}
		}
	}
	if len(sorted) < len(p.Nodes) {
		c.cycles(p, at, open)
		return c.cyclicReach(p, reach, words)
	}
	p.Nodes = sorted
	return reach
}

func insertBySource(ready []*Node, n *Node) []*Node {
	i, _ := slices.BinarySearchFunc(ready, n, func(a, b *Node) int { return a.index - b.index })
	return slices.Insert(ready, i, n)
}

// edges fills in Needs and Dependents from what the tasks say.
func (c *compiler) edges(p *Program, at place, strays []*Node) {
	var names []string
	for _, n := range p.Nodes {
		names = append(names, n.Ref)
	}
	for _, n := range slices.Concat(p.Nodes, strays) {
		needs := at.index(n.index).field("needs")
		for _, name := range n.Task.Needs {
			if p.byRef[name] == nil {
				c.add(needAt(needs, name), CodeUnknownNeed, list(without(names, n.Ref)), "there is no task %q%s", name, suggest(name, names))
				continue
			}
			if p.byRef[n.Ref] != n {
				continue
			}
			n.Needs = append(n.Needs, name)
			p.byRef[name].Dependents = append(p.byRef[name].Dependents, n.Ref)
		}
		slices.Sort(n.Needs)
	}
	for _, n := range p.Nodes {
		slices.Sort(n.Dependents)
	}
}

func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// needAt answers where a task names another as its need.
func needAt(needs place, name string) place {
	if needs.tree != nil {
		for i, item := range needs.tree.items {
			if item.text == name {
				return needs.index(i)
			}
		}
	}
	return needs
}

// cycles reports every cycle once, by a walk over what could not be ordered.
func (c *compiler) cycles(p *Program, at place, open map[string]int) {
	const unseen, onPath, done = 0, 1, 2
	state := map[string]int{}
	var path []string
	var visit func(ref string)
	visit = func(ref string) {
		state[ref] = onPath
		path = append(path, ref)
		for _, need := range p.byRef[ref].Needs {
			if open[need] == 0 || state[need] == done {
				continue
			}
			if state[need] == unseen {
				visit(need)
				continue
			}
			names := append(slices.Clone(path[slices.Index(path, need):]), need)
			needs := at.index(p.byRef[ref].index).field("needs")
			c.add(needAt(needs, need), CodeCycle, "tasks that do not need each other in a circle",
				"the tasks need each other in a circle: %s", strings.Join(names, " -> "))
		}
		path = path[:len(path)-1]
		state[ref] = done
	}
	for _, n := range p.Nodes {
		if open[n.Ref] > 0 && state[n.Ref] == unseen {
			visit(n.Ref)
		}
	}
}

// cyclicReach lets tasks in or behind a circle read everything, so that a
// circle is not reported a second time by each of their expressions.
func (c *compiler) cyclicReach(p *Program, reach ancestry, words int) ancestry {
	all := make([]uint64, words)
	for i := range all {
		all[i] = ^uint64(0)
	}
	for _, n := range p.Nodes {
		if reach.sets[n.index] == nil {
			reach.sets[n.index] = all
		}
	}
	return reach
}
