package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/workflow"
)

// board shows each task on a line of its own and is drawn over itself. Those
// inside a for_each or a loop stand behind it while they are few; of many it shows how many have ended.
type board struct {
	w             io.Writer
	style         style
	width, height int
	title         string
	status        string
	begin, end    time.Time
	rows          []*boardRow // that are in no for_each or loop
	index         map[string]*boardRow
	size          func(ref string) int
	asks          func(ref string) string // how to answer a task that waits; "" where it waits for nobody
	drawn         int                     // lines of the last drawing
}

type boardRow struct {
	ref, kind, status string
	attempt           int
	started, ended    time.Time
	note              string

	tally   *tally // of a for_each or a loop
	inside  []*boardRow
	trouble []*boardRow
}

// behind is what is shown of the tasks inside.
func (r *boardRow) behind() []*boardRow {
	if r.tally != nil && r.tally.all() > fewInside {
		return r.trouble
	}
	return r.inside
}

func (s *session) newBoard(ctx context.Context, x *client.Execution, w io.Writer, width, height int) (*board, error) {
	b := &board{
		w: w, style: styleFor(w), width: width, height: height, status: string(x.Status), begin: x.CreatedAt,
		title: fmt.Sprintf("%s #%d", x.Workflow, x.Number), index: map[string]*boardRow{},
	}
	g, err := s.api.Graph(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	for _, n := range g.Nodes {
		// The events are told from the beginning: every task starts as pending.
		b.row(n.Ref, n.Type, "pending")
	}
	return b, nil
}

// row finds or makes the row of a task; nil for one of many inside another that has none.
func (b *board) row(ref, kind, status string) *boardRow {
	unit := unitOf(ref)
	if unit == "" {
		if b.index[ref] == nil {
			b.index[ref] = &boardRow{ref: ref, kind: kind, status: "pending"}
			b.rows = placed(b.rows, b.index[ref])
		}
		return b.index[ref]
	}
	of := b.row(unit, "", "pending")
	if of.tally == nil {
		of.tally = newTally()
	}
	of.tally.see(ref, status)
	row := b.index[ref]
	few, trouble := len(of.inside) < fewInside, isTrouble(status) && len(of.trouble) < mostTrouble
	if row == nil && (few || trouble) {
		row = &boardRow{ref: ref, kind: kind, status: "pending"}
		b.index[ref] = row
		if few {
			of.inside = placed(of.inside, row)
		}
	}
	if trouble && !slices.Contains(of.trouble, row) {
		of.trouble = append(of.trouble, row)
	}
	return row
}

// placed puts a row behind what is in the same task already; what is in none comes last.
func placed(rows []*boardRow, row *boardRow) []*boardRow {
	at := len(rows)
	for up := workflow.Outside(row.ref); up != ""; up = workflow.Outside(up) {
		if !slices.ContainsFunc(rows, func(r *boardRow) bool { return r.ref == up }) {
			continue
		}
		for at > 0 && rows[at-1].ref != up && !workflow.Within(up, rows[at-1].ref) {
			at--
		}
		break
	}
	return slices.Insert(rows, at, row)
}

func (b *board) apply(e client.Event) {
	status := statusOf(e)
	if e.Ref == "" {
		if status != "" {
			b.status = status
		}
		switch {
		case isEnded(b.status):
			b.end = e.At
		case e.Type == redriven:
			b.begin, b.end = e.At, time.Time{}
		}
		return
	}
	row := b.row(e.Ref, "", status)
	if row == nil || status == "" || e.Type == kept {
		return
	}
	row.status, row.note = status, e.Reason
	if status == string(client.TaskStatusWaiting) {
		row.note = b.asks(e.Ref)
	}
	row.attempt = max(row.attempt, e.Attempt)
	switch {
	case status == "running":
		row.started, row.ended = e.At, time.Time{}
	case isEnded(status) || status == "retrying":
		row.ended = e.At
	}
}

func isEnded(status string) bool {
	switch status {
	case "succeeded", "failed", "timed_out", "canceled", "skipped":
		return true
	}
	return false
}

func (b *board) draw(now time.Time) {
	lines := b.render(now, b.height-2)
	var out strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", b.drawn)
	}
	for _, line := range lines {
		out.WriteString("\r\x1b[K" + line + "\n")
	}
	// Lines that are left from a higher drawing.
	out.WriteString("\x1b[J")
	b.drawn = len(lines)
	fmt.Fprint(b.w, out.String())
}

func (b *board) finish(now time.Time) { b.draw(now) }

func (b *board) all() []*boardRow {
	var all []*boardRow
	for _, row := range b.rows {
		all = append(append(all, row), row.behind()...)
	}
	return all
}

// render is the board as lines, at most `most` of them. Where not all tasks
// have room, those that ended well or wait give way first.
func (b *board) render(now time.Time, most int) []string {
	for _, row := range b.rows {
		if row.tally != nil {
			row.tally.measure(row.ref, b.size)
		}
	}
	all := b.all()
	shown := all
	room := max(most-2, 1)
	if len(shown) > room {
		shown = slices.Clone(all)
		sort.SliceStable(shown, func(i, j int) bool { return weight(shown[i].status) < weight(shown[j].status) })
		shown = shown[:room]
	}
	widest := 0
	for _, row := range shown {
		widest = max(widest, min(len([]rune(row.ref)), 40))
	}
	lines := make([]string, 0, len(shown)+2)
	for _, row := range shown {
		lines = append(lines, b.line(row, widest, now))
	}
	if hidden := len(all) - len(shown); hidden > 0 {
		lines = append(lines, b.style.dim(fmt.Sprintf("  … and %d more", hidden)))
	}
	return append(lines, b.foot(now))
}

func weight(status string) int {
	switch status {
	case "failed", "timed_out":
		return 0
	case "running", "retrying", "waiting":
		return 1
	case "queued", "canceled":
		return 2
	case "pending":
		return 3
	}
	return 4
}

func (b *board) line(r *boardRow, widest int, now time.Time) string {
	l := looks[r.status]
	symbol := l.symbol
	if r.status == "running" {
		symbol = string(spinner[int(now.UnixMilli()/100)%len(spinner)])
	}
	text := fmt.Sprintf("  %s %-*s  %-9s", b.style.paint(l.color, symbol), widest, clip(r.ref, 40), r.status)
	used := 4 + widest + 2 + 9
	tail := fmt.Sprintf("  %7s", took(now, r.started, r.ended))
	if r.tally != nil {
		tail += "  " + r.tally.String()
	}
	if r.attempt > 1 {
		tail += fmt.Sprintf("  attempt %d", r.attempt)
	}
	if r.note != "" {
		tail += "  " + oneLine(r.note)
	}
	if room := b.width - used - 1; room > 1 {
		text += b.style.dim(strings.TrimRight(clipEnd(tail, room), " "))
	}
	return text
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// clipEnd cuts text that has no room, keeping its spaces.
func clipEnd(s string, most int) string {
	letters := []rune(s)
	if len(letters) <= most {
		return s
	}
	return string(letters[:most-1]) + "…"
}

func (b *board) foot(now time.Time) string {
	done, all := 0, len(b.rows)
	for _, row := range b.rows {
		done += toInt(isEnded(row.status))
		if row.tally != nil {
			done, all = done+row.tally.ended, all+row.tally.all()
		}
	}
	return fmt.Sprintf("%s  %s  %s", b.style.bold(b.title), b.style.status(b.status),
		b.style.dim(fmt.Sprintf("%d of %d tasks, %s", done, all, took(now, b.begin, b.end))))
}
