package drawing

import (
	"fmt"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// Mermaid draws a graph as a Mermaid flowchart.
func Mermaid(g *engine.Graph) string {
	p := newPicture(g)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range p.inside {
		n.mermaid(&b, "  ")
	}
	for _, n := range p.all {
		for _, to := range n.after {
			fmt.Fprintf(&b, "  %s --> %s\n", n.id, to.id)
		}
	}
	for _, s := range workflow.TaskStatuses {
		c := colors[s]
		fmt.Fprintf(&b, "  classDef %s fill:%s,stroke:%s,color:#111827\n", s, c.fill, c.line)
		fmt.Fprintf(&b, "  classDef in_%s fill:%s,stroke:%s,color:#111827\n", s, c.ground, c.line)
	}
	return b.String()
}

func (n *node) mermaid(b *strings.Builder, indent string) {
	label := mermaidText(n.ref) + "<br/>" + n.state()
	if n.count > 0 {
		label = fmt.Sprintf("%d of %s<br/>%s", n.count, mermaidText(n.ref), n.status)
	}
	switch {
	case len(n.inside) > 0:
		fmt.Fprintf(b, "%ssubgraph %s[\"%s\"]\n", indent, n.id, label)
		for _, t := range n.inside {
			t.mermaid(b, indent+"  ")
		}
		fmt.Fprintf(b, "%send\n%sclass %s in_%s\n", indent, indent, n.id, n.status)
	case n.holds:
		fmt.Fprintf(b, "%s%s[[\"%s\"]]:::%s\n", indent, n.id, label, n.status)
	case n.count > 0:
		fmt.Fprintf(b, "%s%s([\"%s\"]):::%s\n", indent, n.id, label, n.status)
	default:
		fmt.Fprintf(b, "%s%s[\"%s\"]:::%s\n", indent, n.id, label, n.status)
	}
}

// mermaidText keeps text from being read as markup.
var mermaidText = strings.NewReplacer(`#`, "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace
