// Package drawing draws the graph of an execution as Mermaid, as Graphviz DOT
// and, with a layout of its own, as SVG. Tasks that hold others are drawn around
// them; many items of one are folded into a node for each status.
package drawing

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Folding: more items or iterations of one task than the first number are drawn
// as one node for each status. Where that leaves more than mostNodes, the next number counts.
var foldAbove = []int{50, 10, 0}

const mostNodes = 1000

// node is a task as it is drawn, or several of one status.
type node struct {
	id     string // n0, n1, ...
	ref    string // of several: the task that holds them
	kind   string
	status workflow.TaskStatus
	try    int // attempt
	holds  bool
	done   int // of those directly inside
	total  int
	count  int // of several: how many they are
	inside []*node
	after  []*node // those beside it that need it
	of     *node

	x, y, w, h  int     // inside the one that holds it
	left, right int     // of the column that it stands in
	routes      []route // among those inside
}

// picture is a graph made ready to be drawn.
type picture struct {
	title string
	node          // holds the outermost ones
	all   []*node // each behind the one that holds it
}

func newPicture(g *engine.Graph) *picture {
	p := &picture{title: fmt.Sprintf("%s #%d: %s", g.Of.Workflow, g.Of.Number, g.Of.Status)}
	for _, most := range foldAbove {
		p.plant(g)
		p.fold(&p.node, most)
		p.all = p.walk(p.all[:0], p.inside)
		if len(p.all) <= mostNodes {
			break
		}
	}
	at := make(map[string]*node, len(p.all))
	for i, n := range p.all {
		n.id = "n" + strconv.Itoa(i)
		if n.count == 0 {
			at[n.ref] = n
		}
	}
	for _, e := range g.Edges {
		from, to := at[e.From], at[e.To]
		if from != nil && to != nil && from.of == to.of { // others are folded: only neighbours need each other
			from.after = append(from.after, to)
		}
	}
	return p
}

// plant puts each node into the one that holds it.
func (p *picture) plant(g *engine.Graph) {
	p.inside = nil
	at := make(map[string]*node, len(g.Nodes))
	for _, n := range g.Nodes {
		of := at[n.Inside]
		if of == nil {
			of = &p.node
		}
		t := &node{ref: n.Ref, kind: n.Type, status: n.Status, try: n.Attempt, holds: n.Holds, of: of}
		at[n.Ref] = t
		of.inside = append(of.inside, t)
		of.total++
		if n.Status.Ended() {
			of.done++
		}
	}
}

func (p *picture) fold(n *node, most int) {
	if n.ref != "" && n.total > most && strings.HasSuffix(n.inside[0].ref, "]") {
		counts := map[workflow.TaskStatus]int{}
		for _, t := range n.inside {
			counts[t.status]++
		}
		n.inside = nil
		for _, s := range workflow.TaskStatuses {
			if counts[s] > 0 {
				n.inside = append(n.inside, &node{ref: n.ref, kind: n.kind, status: s, count: counts[s], of: n})
			}
		}
		return
	}
	for _, t := range n.inside {
		p.fold(t, most)
	}
}

func (p *picture) walk(all, inside []*node) []*node {
	for _, n := range inside {
		all = p.walk(append(all, n), n.inside)
	}
	return all
}

// name is what tells a node from its neighbours.
func (n *node) name() string {
	if n.count > 0 {
		return strconv.Itoa(n.count) + " ×"
	}
	if i := strings.LastIndexByte(n.ref, '['); strings.HasSuffix(n.ref, "]") && i >= 0 {
		return n.ref[i:]
	}
	return n.ref[strings.LastIndexByte(n.ref, '.')+1:]
}

// state says how a task is, and how far what it holds.
func (n *node) state() string {
	text := string(n.status)
	if n.total > 0 {
		text += fmt.Sprintf(" %d/%d", n.done, n.total)
	}
	if n.try > 1 {
		text += fmt.Sprintf(", attempt %d", n.try)
	}
	return text
}

// color is how a status looks: the fill of a task, its line, and the ground of one that others are drawn in.
type color struct{ fill, line, ground string }

var colors = map[workflow.TaskStatus]color{
	workflow.TaskPending:   {"#e5e7eb", "#9ca3af", "#f9fafb"},
	workflow.TaskQueued:    {"#dbeafe", "#60a5fa", "#f5f9ff"},
	workflow.TaskRunning:   {"#93c5fd", "#2563eb", "#eff6ff"},
	workflow.TaskRetrying:  {"#fde68a", "#d97706", "#fffbeb"},
	workflow.TaskWaiting:   {"#ddd6fe", "#7c3aed", "#f5f3ff"},
	workflow.TaskSucceeded: {"#86efac", "#16a34a", "#f0fdf4"},
	workflow.TaskFailed:    {"#fca5a5", "#dc2626", "#fef2f2"},
	workflow.TaskTimedOut:  {"#fdba74", "#ea580c", "#fff7ed"},
	workflow.TaskCanceled:  {"#d1d5db", "#4b5563", "#f3f4f6"},
	workflow.TaskSkipped:   {"#f3f4f6", "#9ca3af", "#fcfcfd"},
}
