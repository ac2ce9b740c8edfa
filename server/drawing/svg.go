package drawing

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/redrive/redrive/engine"
)

// SVG draws a graph as a picture that needs nothing else: no style sheet, font or script.
func SVG(g *engine.Graph) string {
	p := newPicture(g)
	p.ref = p.title
	p.arrange()
	w, h := p.w, p.h
	if len(p.inside) == 0 {
		h = headHigh + margin
	}
	w = max(w, letterWide*len([]rune(p.title))+2*margin)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-labelledby="title" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n", escaped(p.title))
	b.WriteString(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#6b7280"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", w, h)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-size="13" font-weight="bold" fill="#111827">%s</text>`+"\n", margin, escaped(p.title))
	p.svgInside(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

func (n *node) svgInside(b *strings.Builder) {
	for _, t := range n.inside {
		t.svg(b)
	}
	for _, r := range n.routes {
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#6b7280" marker-end="url(#arrow)"/>`+"\n", r.path())
	}
}

func (n *node) svg(b *strings.Builder) {
	c := colors[n.status]
	about := n.ref + ": " + n.state()
	if n.count > 0 {
		about = fmt.Sprintf("%d of %s: %s", n.count, n.ref, n.status)
	}
	fmt.Fprintf(b, "<g transform=\"translate(%d %d)\"><title>%s</title>\n", n.x, n.y, escaped(about))
	if len(n.inside) > 0 {
		fmt.Fprintf(b, `<rect width="%d" height="%d" rx="8" fill="%s" stroke="%s" stroke-width="1.5"/>`+"\n", n.w, n.h, c.ground, c.line)
		fmt.Fprintf(b, `<text x="12" y="20" font-size="13" font-weight="bold" fill="#111827">%s<tspan font-size="11" font-weight="normal" fill="#374151" dx="8">%s</tspan></text>`+"\n",
			escaped(clipped(n.name())), escaped(clipped(n.caption())))
		n.svgInside(b)
		b.WriteString("</g>\n")
		return
	}
	if n.holds || n.count > 0 { // it stands for several
		fmt.Fprintf(b, `<rect x="4" y="4" width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>`+"\n", n.w, n.h, c.fill, c.line)
	}
	fmt.Fprintf(b, `<rect width="%d" height="%d" rx="6" fill="%s" stroke="%s"/>`+"\n", n.w, n.h, c.fill, c.line)
	fmt.Fprintf(b, `<text x="12" y="18" font-size="13" font-weight="bold" fill="#111827">%s</text>`+"\n", escaped(clipped(n.name())))
	fmt.Fprintf(b, `<text x="12" y="34" font-size="11" fill="#374151">%s</text>`+"\n</g>\n", escaped(clipped(n.caption())))
}

// path goes from the right side of one task to the left side of another: straight
// along and past columns, and in curves from one to the next.
func (r route) path() string {
	var b strings.Builder
	x, y := r.from.x+r.from.w, r.from.y+r.from.h/2
	fmt.Fprintf(&b, "M%d %d", x, y)
	straight := func(to int) {
		if to != x {
			fmt.Fprintf(&b, "H%d", to)
		}
		x = to
	}
	curve := func(toX, toY int) {
		bend := (toX - x) / 2
		fmt.Fprintf(&b, "C%d %d %d %d %d %d", x+bend, y, toX-bend, toY, toX, toY)
		x, y = toX, toY
	}
	straight(r.from.right)
	for _, s := range r.past {
		curve(s.left, s.y)
		straight(s.left + s.wide)
	}
	curve(r.to.left, r.to.y+r.to.h/2)
	straight(r.to.x)
	return b.String()
}

func clipped(text string) string {
	all := []rune(text)
	if len(all) <= mostLetters {
		return text
	}
	return string(all[:mostLetters-1]) + "…"
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
