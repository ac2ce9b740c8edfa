package workflow

import (
	"slices"
	"strings"
)

// Roots answers the outermost tasks without needs, in the order of Nodes.
func (p *Program) Roots() []*Node { return Roots(p.Nodes) }

// Roots answers those of tasks that stand beside each other that need nothing.
func Roots(nodes []*Node) []*Node {
	var roots []*Node
	for _, n := range nodes {
		if len(n.Needs) == 0 {
			roots = append(roots, n)
		}
	}
	return roots
}

// Siblings answers the nodes beside this one with these names.
func (n *Node) Siblings(names []string) []*Node {
	nodes := make([]*Node, len(names))
	for i, name := range names {
		nodes[i] = n.among.byName[name]
	}
	return nodes
}

// Walk calls f for every node, a body behind its owner; the handlers come last.
func (p *Program) Walk(f func(*Node)) {
	var walk func(nodes []*Node)
	walk = func(nodes []*Node) {
		for _, n := range nodes {
			f(n)
			walk(n.Body)
		}
	}
	walk(p.Nodes)
	if p.Handlers != nil {
		walk([]*Node{p.Handlers})
	}
}

// Ancestors answers what the outermost task needs, directly and through others, sorted.
func (p *Program) Ancestors(name string) []string {
	return sortedKeys(p.reach([]string{name}, func(n *Node) []string { return n.Needs }))
}

// Descendants answers everything that needs one of the outermost tasks, directly or
// through others. A task is its own descendant only when it needs another of the names.
func (p *Program) Descendants(names ...string) map[string]bool {
	return p.reach(names, func(n *Node) []string { return n.Dependents })
}

func (p *Program) reach(names []string, next func(*Node) []string) map[string]bool {
	seen := map[string]bool{}
	open := slices.Clone(names)
	for len(open) > 0 {
		n := p.byPath[open[len(open)-1]]
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

// ancestry knows for every node of a body, by its index in the source, what it
// needs directly and through others: one bit a task.
type ancestry map[int][]uint64

func (a ancestry) reads(n, other *Node) bool {
	set := a[n.index]
	return set != nil && set[other.index/64]&(1<<(other.index%64)) != 0
}

// order fills in the edges and sorts the nodes topologically; of those that
// could come next, the one that stands first in the source does.
func (c *compiler) order(b *body) {
	c.edges(b)
	b.reach = ancestry{}
	words := len(b.tasks)/64 + 1
	open := map[string]int{}
	var ready []*Node
	for _, n := range b.nodes {
		if open[n.Task.Name] = len(n.Needs); len(n.Needs) == 0 {
			ready = append(ready, n)
		}
	}
	sorted := make([]*Node, 0, len(b.nodes))
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		sorted = append(sorted, n)
		set := make([]uint64, words)
		for _, name := range n.Needs {
			need := b.byName[name]
			for i, w := range b.reach[need.index] {
				set[i] |= w
			}
			set[need.index/64] |= 1 << (need.index % 64)
		}
		b.reach[n.index] = set
		for _, name := range n.Dependents {
			if open[name]--; open[name] == 0 {
				ready = insertBySource(ready, b.byName[name])
			}
		}
	}
	if len(sorted) < len(b.nodes) {
		c.cycles(b, open)
		b.cyclicReach(words)
		return
	}
	b.nodes = sorted
}

func insertBySource(ready []*Node, n *Node) []*Node {
	i, _ := slices.BinarySearchFunc(ready, n, func(a, b *Node) int { return a.index - b.index })
	return slices.Insert(ready, i, n)
}

// edges fills in Needs and Dependents from what the tasks say.
func (c *compiler) edges(b *body) {
	var names []string
	for _, n := range b.nodes {
		names = append(names, n.Task.Name)
	}
	for _, n := range slices.Concat(b.nodes, b.strays) {
		needs := b.at.index(n.index).field("needs")
		for _, name := range n.Task.Needs {
			if b.byName[name] == nil {
				c.add(needAt(needs, name), CodeUnknownNeed, list(without(names, n.Task.Name)), "there is no task %q%s", name, Suggest(name, names))
				continue
			}
			if b.byName[n.Task.Name] != n {
				continue
			}
			n.Needs = append(n.Needs, name)
			b.byName[name].Dependents = append(b.byName[name].Dependents, n.Task.Name)
		}
		slices.Sort(n.Needs)
	}
	for _, n := range b.nodes {
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
func (c *compiler) cycles(b *body, open map[string]int) {
	const unseen, onPath, done = 0, 1, 2
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = onPath
		path = append(path, name)
		for _, need := range b.byName[name].Needs {
			if open[need] == 0 || state[need] == done {
				continue
			}
			if state[need] == unseen {
				visit(need)
				continue
			}
			names := append(slices.Clone(path[slices.Index(path, need):]), need)
			needs := b.at.index(b.byName[name].index).field("needs")
			c.add(needAt(needs, need), CodeCycle, "tasks that do not need each other in a circle",
				"the tasks need each other in a circle: %s", strings.Join(names, " -> "))
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, n := range b.nodes {
		if open[n.Task.Name] > 0 && state[n.Task.Name] == unseen {
			visit(n.Task.Name)
		}
	}
}

// cyclicReach lets tasks in or behind a circle read everything, so that a
// circle is not reported a second time by each of their expressions.
func (b *body) cyclicReach(words int) {
	all := make([]uint64, words)
	for i := range all {
		all[i] = ^uint64(0)
	}
	for _, n := range b.nodes {
		if b.reach[n.index] == nil {
			b.reach[n.index] = all
		}
	}
}
