package drawing

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

var update = flag.Bool("update", false, "write the golden files again")

var formats = map[string]func(*engine.Graph) string{"mermaid": Mermaid, "dot": DOT, "svg": SVG}

// graph reads "ref type status [holds] [< needs,...]" lines.
func graph(lines string) *engine.Graph {
	g := &engine.Graph{Of: engine.Execution{Workflow: "weather-report", Number: 12, Status: workflow.ExecutionRunning}}
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		what, needs, _ := strings.Cut(strings.TrimSpace(line), " < ")
		f := strings.Fields(what)
		g.Nodes = append(g.Nodes, engine.GraphNode{
			Ref: f[0], Name: f[0], Type: f[1], Status: workflow.TaskStatus(f[2]), Attempt: 1, Inside: workflow.Outside(f[0]), Holds: len(f) > 3,
		})
		for _, need := range strings.FieldsFunc(needs, func(r rune) bool { return r == ',' }) {
			g.Edges = append(g.Edges, engine.GraphEdge{From: need, To: f[0]})
		}
	}
	return g
}

func nested() *engine.Graph {
	g := graph(`
load http succeeded
year group running holds < load
year[2012] group succeeded holds
year[2012].parse exec succeeded
year[2012].sum transform succeeded < year[2012].parse
year[2013] group running holds
year[2013].parse exec running
year[2013].sum transform pending < year[2013].parse
year[a~2Fb] group failed holds
year[a~2Fb].parse exec failed
year[a~2Fb].sum transform canceled < year[a~2Fb].parse
poll loop running holds < load
poll[1] loop succeeded holds
poll[1].check http succeeded
poll[2] loop running holds
poll[2].pause wait waiting
poll[2].check http pending < poll[2].pause
ask approval waiting < load
ship workflow pending < year,ask,load
later group pending holds < ship
mail noop skipped < year,poll,ship
`)
	g.Nodes[5].Attempt = 3
	return g
}

// wide has more items than are drawn one by one.
func wide(items int) *engine.Graph {
	var b strings.Builder
	b.WriteString("load http succeeded\nyear exec running holds < load\n")
	for i := range items {
		fmt.Fprintf(&b, "year[%d] exec %s\n", i, []string{"succeeded", "succeeded", "failed", "queued"}[i%4])
	}
	b.WriteString("sum noop pending < year\n")
	return graph(b.String())
}

func TestGolden(t *testing.T) {
	for name, g := range map[string]*engine.Graph{"nested": nested(), "folded": wide(100)} {
		for format, draw := range formats {
			path := "testdata/" + name + "." + format
			got := draw(g)
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), got, "%s: see what changed, then go test ./server/drawing -update", path)
		}
	}
}

// TestEveryRefIsThereOnce looks for each task where the formats define it.
func TestEveryRefIsThereOnce(t *testing.T) {
	for _, g := range []*engine.Graph{nested(), wide(50)} {
		for _, n := range g.Nodes {
			require.Equal(t, 1, strings.Count(SVG(g), "<title>"+n.Ref+": "), n.Ref)
			require.Equal(t, 1, strings.Count(Mermaid(g), `["`+n.Ref+"<br/>"), n.Ref)
			dot := DOT(g)
			require.Equal(t, 1, strings.Count(dot, `  "`+n.Ref+`" [`)+strings.Count(dot, `subgraph "cluster_`+n.Ref+`" {`), n.Ref)
		}
	}
}

func TestManyItemsAreFolded(t *testing.T) {
	count := func(g *engine.Graph) int { return len(newPicture(g).all) }
	require.Equal(t, 3+50, count(wide(50)))
	require.Equal(t, 3+3, count(wide(51)), "a node for each status")
	drawn := Mermaid(wide(10_000))
	for _, part := range []string{"year<br/>running 7500/10000", "5000 of year<br/>succeeded", "2500 of year<br/>failed", "2500 of year<br/>queued"} {
		require.Contains(t, drawn, part)
	}
	var b strings.Builder
	b.WriteString("all group running holds\n")
	for i := range 50 {
		fmt.Fprintf(&b, "all[%d] group running holds\nall[%d].each noop running holds\n", i, i)
		for j := range 40 {
			fmt.Fprintf(&b, "all[%d].each[%d] noop running\n", i, j)
		}
	}
	require.Equal(t, 2, count(graph(b.String())), "of 2,101 nodes what has more than 10 items is folded, too")
}

func TestHostileText(t *testing.T) {
	g := nested()
	g.Of.Workflow = "</title><script>alert(1)</script> & \"quotes\" ]]> \x01 \\"
	g.Nodes[0].Type = `"><b onload=x>`
	wellFormed(t, SVG(g))
	require.NotContains(t, SVG(g), "<script")
	require.NotContains(t, SVG(g), "<b ")
	require.Contains(t, DOT(g), `\"quotes\"`)
}

// wellFormed reads XML to its end, and refuses what could run or be fetched.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			require.Contains(t, []string{"svg", "title", "defs", "marker", "path", "rect", "text", "tspan", "g"}, e.Name.Local)
		}
	}
}

// TestNothingOverlaps draws random nested graphs: neighbours keep apart, what is
// inside stays inside, and edges go from left to right.
func TestNothingOverlaps(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := graph(random(r, "", 3))
		wellFormed(t, SVG(g))
		p := newPicture(g)
		p.arrange()
		require.Len(t, p.all, len(g.Nodes))
		for _, n := range append(p.all, &p.node) {
			apart(t, n)
		}
	}
}

func apart(t *testing.T, n *node) {
	t.Helper()
	for i, a := range n.inside {
		require.True(t, a.x >= 0 && a.y >= headHigh && a.x+a.w <= n.w && a.y+a.h <= n.h, "%s leaves %s", a.ref, n.ref)
		for _, b := range n.inside[i+1:] {
			require.True(t, a.x+a.w <= b.x || b.x+b.w <= a.x || a.y+a.h <= b.y || b.y+b.h <= a.y, "%s and %s overlap", a.ref, b.ref)
		}
		for _, to := range a.after {
			require.Less(t, a.x+a.w, to.x, "%s needs %s", to.ref, a.ref)
		}
	}
}

func random(r *rand.Rand, of string, depth int) string {
	var b strings.Builder
	count := 1 + r.IntN(12)
	for i := range count {
		ref := workflow.Inside(of, fmt.Sprintf("t%d%s", i, strings.Repeat("x", r.IntN(50))))
		status := workflow.TaskStatuses[r.IntN(len(workflow.TaskStatuses))]
		holds := depth > 0 && r.IntN(4) == 0
		fmt.Fprintf(&b, "%s noop %s%s", ref, status, map[bool]string{true: " holds"}[holds])
		if i > 0 && r.IntN(3) > 0 {
			for line := range strings.Lines(b.String()) {
				if at, _, _ := strings.Cut(line, " "); workflow.Outside(at) == of && at != ref && r.IntN(4) == 0 {
					fmt.Fprintf(&b, "%s%s", map[bool]string{true: " < ", false: ","}[!strings.Contains(b.String()[strings.LastIndex(b.String(), "\n")+1:], "<")], at)
				}
			}
		}
		b.WriteString("\n")
		if holds {
			b.WriteString(random(r, ref, depth-1))
		}
	}
	return b.String()
}

func TestAnEmptyGraphIsDrawn(t *testing.T) {
	g := graph("a noop pending")
	g.Nodes, g.Edges = nil, nil
	for _, draw := range formats {
		require.NotEmpty(t, draw(g))
	}
	wellFormed(t, SVG(g))
}
