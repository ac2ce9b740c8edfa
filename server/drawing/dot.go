package drawing

import (
	"fmt"
	"strings"

	"github.com/redrive/redrive/engine"
)

// DOT draws a graph for Graphviz.
func DOT(g *engine.Graph) string {
	p := newPicture(g)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph execution {\n  label=%s\n  labelloc=t\n  rankdir=LR\n  compound=true\n  fontname=\"sans-serif\"\n", quoted(p.title))
	b.WriteString("  node [shape=box style=\"rounded,filled\" fontname=\"sans-serif\"]\n")
	for _, n := range p.inside {
		n.dot(&b, "  ")
	}
	for _, n := range p.all {
		for _, to := range n.after {
			n.dotEdge(&b, to)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (n *node) dot(b *strings.Builder, indent string) {
	c := colors[n.status]
	label := quoted(n.name() + "\n" + n.state())
	if len(n.inside) > 0 {
		fmt.Fprintf(b, "%ssubgraph %s {\n%s  label=%s tooltip=%s style=\"rounded,filled\" fillcolor=%q color=%q\n",
			indent, quoted("cluster_"+n.ref), indent, label, quoted(n.ref), c.ground, c.line)
		for _, t := range n.inside {
			t.dot(b, indent+"  ")
		}
		fmt.Fprintf(b, "%s}\n", indent)
		return
	}
	more := ""
	if n.holds || n.count > 0 {
		more = " peripheries=2"
	}
	fmt.Fprintf(b, "%s%s [label=%s tooltip=%s fillcolor=%q color=%q%s]\n", indent, quoted(n.dotID()), label, quoted(n.ref), c.fill, c.line, more)
}

func (n *node) dotID() string {
	if n.count > 0 {
		return n.ref + " " + string(n.status)
	}
	return n.ref
}

// dotEdge draws an edge to and from what is drawn around others by way of one
// that is inside: Graphviz has no edges between clusters.
func (n *node) dotEdge(b *strings.Builder, to *node) {
	var more []string
	tail, head := n, to
	for len(tail.inside) > 0 {
		tail = tail.inside[len(tail.inside)-1]
	}
	for len(head.inside) > 0 {
		head = head.inside[0]
	}
	if tail != n {
		more = append(more, "ltail="+quoted("cluster_"+n.ref))
	}
	if head != to {
		more = append(more, "lhead="+quoted("cluster_"+to.ref))
	}
	attributes := ""
	if more != nil {
		attributes = " [" + strings.Join(more, " ") + "]"
	}
	fmt.Fprintf(b, "  %s -> %s%s\n", quoted(tail.dotID()), quoted(head.dotID()), attributes)
}

var dotText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace

func quoted(text string) string { return `"` + dotText(text) + `"` }
