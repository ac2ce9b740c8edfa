package drawing

import (
	"cmp"
	"math"
	"slices"
	"unicode/utf8"
)

// Measures of the SVG, in pixels. Text is set in a font of which every letter has the same width.
const (
	letterWide  = 8 // of a name; other text is smaller
	smallWide   = 7
	taskHigh    = 44
	besideGap   = 14 // between those in one column
	columnGap   = 48
	gridGap     = 14 // between columns that no edge crosses
	margin      = 14 // around what is inside another
	headHigh    = 30 // above it
	passHigh    = 10 // what an edge takes that passes a column
	mostPassing = 4000
	mostLetters = 36
	gridAbove   = 6 // tasks without edges among them stand in a grid
	sweeps      = 4
)

// route is the way of an edge: from a task past the columns between to another one.
type route struct {
	from, to *node
	past     []*slot
}

// slot is a place in a column: of a task, or of an edge that passes.
type slot struct {
	n          *node
	column     int
	y          int // of its middle
	left, wide int // of the column
	rank       float64
	before     []*slot
	after      []*slot
}

// arrange sizes a task and places what is inside it.
func (n *node) arrange() {
	for _, t := range n.inside {
		t.arrange()
	}
	if len(n.inside) == 0 {
		n.w, n.h = max(letterWide*letters(n.name()), smallWide*letters(n.caption()))+24, taskHigh
		return
	}
	columns := n.columns()
	n.cross(columns)
	w, h := n.stand(columns)
	n.w = max(w+2*margin, letterWide*letters(n.name())+smallWide*(letters(n.caption())+2)+24)
	n.h = h + headHigh + margin
}

func letters(text string) int { return min(utf8.RuneCountInString(text), mostLetters) }

// caption is the second line of a task: its type where that says something, and its state.
func (n *node) caption() string {
	if n.count > 0 || n.total > 0 {
		return n.state()
	}
	return n.kind + " · " + n.state()
}

// columns puts each task behind all that it needs, and lets edges pass the columns between.
func (n *node) columns() [][]*slot {
	at := make(map[*node]*slot, len(n.inside))
	edges := 0
	for _, t := range n.inside {
		at[t] = &slot{n: t}
		edges += len(t.after)
	}
	if edges == 0 && len(n.inside) > gridAbove {
		return grid(n.inside)
	}
	n.rank(at)
	var columns [][]*slot
	for _, t := range n.inside {
		s := at[t]
		for len(columns) <= s.column {
			columns = append(columns, nil)
		}
		columns[s.column] = append(columns[s.column], s)
	}
	passing := 0
	for _, t := range n.inside {
		for _, to := range t.after {
			r := route{from: t, to: to}
			last := at[t]
			for c := at[t].column + 1; c < at[to].column && passing < mostPassing; c++ {
				s := &slot{column: c}
				columns[c] = append(columns[c], s)
				r.past = append(r.past, s)
				join(last, s)
				last = s
				passing++
			}
			join(last, at[to])
			n.routes = append(n.routes, r)
		}
	}
	return columns
}

func join(from, to *slot) {
	from.after, to.before = append(from.after, to), append(to.before, from)
}

// rank gives each task the column behind the last of those that it needs.
func (n *node) rank(at map[*node]*slot) {
	open := make(map[*node]int, len(at))
	for _, t := range n.inside {
		for _, to := range t.after {
			open[to]++
		}
	}
	var ready []*node
	for _, t := range n.inside {
		if open[t] == 0 {
			ready = append(ready, t)
		}
	}
	for len(ready) > 0 {
		t := ready[0]
		ready = ready[1:]
		for _, to := range t.after {
			at[to].column = max(at[to].column, at[t].column+1)
			if open[to]--; open[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
}

// grid puts tasks that need nothing of each other into columns of about the same height and width.
func grid(all []*node) [][]*slot {
	high := int(math.Ceil(math.Sqrt(float64(2 * len(all)))))
	var columns [][]*slot
	for part := range slices.Chunk(all, high) {
		var column []*slot
		for _, t := range part {
			column = append(column, &slot{n: t, column: len(columns)})
		}
		columns = append(columns, column)
	}
	return columns
}

// cross orders each column so that few edges cross: by the middle of what a slot is joined to.
func (n *node) cross(columns [][]*slot) {
	if len(n.routes) == 0 {
		return
	}
	number := func(column []*slot) {
		for i, s := range column {
			s.rank = float64(i) - float64(len(column))/2
		}
	}
	sort := func(column []*slot, beside func(*slot) []*slot) {
		for _, s := range column {
			if to := beside(s); len(to) > 0 {
				sum := 0.0
				for _, t := range to {
					sum += t.rank
				}
				s.rank = sum / float64(len(to))
			}
		}
		slices.SortStableFunc(column, func(a, b *slot) int { return cmp.Compare(a.rank, b.rank) })
		number(column)
	}
	for _, column := range columns {
		number(column)
	}
	for range sweeps {
		for _, column := range columns[1:] {
			sort(column, func(s *slot) []*slot { return s.before })
		}
		for _, column := range slices.Backward(columns[:len(columns)-1]) {
			sort(column, func(s *slot) []*slot { return s.after })
		}
	}
}

// stand gives everything its place, columns from left to right, each in the middle of the height.
func (n *node) stand(columns [][]*slot) (w, h int) {
	heights := make([]int, len(columns))
	for i, column := range columns {
		for _, s := range column {
			heights[i] += s.high() + besideGap
		}
		heights[i] -= besideGap
		h = max(h, heights[i])
	}
	gap := columnGap
	if len(n.routes) == 0 {
		gap = gridGap
	}
	x := margin
	for i, column := range columns {
		wide, alike := 0, 0 // of all, and of those that nothing is drawn in
		for _, s := range column {
			if s.n != nil {
				wide = max(wide, s.n.w)
			}
			if s.n != nil && len(s.n.inside) == 0 {
				alike = max(alike, s.n.w)
			}
		}
		y := headHigh + (h-heights[i])/2
		for _, s := range column {
			s.left, s.wide, s.y = x, wide, y+s.high()/2
			if s.n != nil {
				if len(s.n.inside) == 0 {
					s.n.w = alike
				}
				s.n.x, s.n.y = x+(wide-s.n.w)/2, y
				s.n.left, s.n.right = x, x+wide
			}
			y += s.high() + besideGap
		}
		x += wide + gap
	}
	return x - gap - margin, h
}

func (s *slot) high() int {
	if s.n == nil {
		return passHigh
	}
	return s.n.h
}
