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

// board shows each task on a line of its own and is drawn over itself.
type board struct {
	w             io.Writer
	style         style
	width, height int
	title         string
	status        string
	begin, end    time.Time
	rows          []*boardRow
	index         map[string]*boardRow
	drawn         int // lines of the last drawing
}

type boardRow struct {
	ref, kind, status string
	attempt           int
	started, ended    time.Time
	note              string
}

func (s *session) newBoard(ctx context.Context, x *client.Execution, w io.Writer, width, height int) (*board, error) {
	b := &board{
		w: w, style: styleFor(w), width: width, height: height, status: string(x.Status), begin: x.CreatedAt,
		title: fmt.Sprintf("%s #%d", x.Workflow, x.Number), index: map[string]*boardRow{},
	}
	for task, err := range s.api.Tasks(ctx, x.ID) {
		if err != nil {
			return nil, err
		}
		// The events are told from the beginning: every task starts as pending.
		b.add(task.Ref, task.Type)
	}
	return b, nil
}

// add puts a task behind what is in the same one already; what is in none comes last.
func (b *board) add(ref, kind string) *boardRow {
	row := &boardRow{ref: ref, kind: kind, status: "pending"}
	at := len(b.rows)
	for up := workflow.Outside(ref); up != ""; up = workflow.Outside(up) {
		if b.index[up] == nil {
			continue
		}
		for at > 0 && b.rows[at-1].ref != up && !workflow.Within(up, b.rows[at-1].ref) {
			at--
		}
		break
	}
	b.rows = slices.Insert(b.rows, at, row)
	b.index[ref] = row
	return row
}

func (b *board) apply(e client.Event) {
	status := statusOf(e)
	if e.Ref == "" {
		if status != "" {
			b.status = status
		}
		if isEnded(b.status) {
			b.end = e.At
		}
		return
	}
	row := b.index[e.Ref]
	if row == nil {
		row = b.add(e.Ref, "")
	}
	if status == "" {
		return
	}
	row.status, row.note = status, e.Reason
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

// render is the board as lines, at most `most` of them. Where not all tasks
// have room, those that ended well or wait give way first.
func (b *board) render(now time.Time, most int) []string {
	shown := b.rows
	room := max(most-2, 1)
	if len(shown) > room {
		shown = append([]*boardRow(nil), b.rows...)
		sort.SliceStable(shown, func(i, j int) bool { return weight(shown[i].status) < weight(shown[j].status) })
		shown = shown[:room]
	}
	widest := 0
	for _, row := range shown {
		widest = max(widest, min(len([]rune(row.ref)), 40))
	}
	lines := make([]string, 0, len(shown)+2)
	for _, row := range shown {
		lines = append(lines, b.row(row, widest, now))
	}
	if hidden := len(b.rows) - len(shown); hidden > 0 {
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

func (b *board) row(r *boardRow, widest int, now time.Time) string {
	l := looks[r.status]
	symbol := l.symbol
	if r.status == "running" {
		symbol = string(spinner[int(now.UnixMilli()/100)%len(spinner)])
	}
	text := fmt.Sprintf("  %s %-*s  %-9s", b.style.paint(l.color, symbol), widest, clip(r.ref, 40), r.status)
	used := 4 + widest + 2 + 9
	tail := fmt.Sprintf("  %7s", took(now, r.started, r.ended))
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
	done := 0
	for _, row := range b.rows {
		if isEnded(row.status) {
			done++
		}
	}
	return fmt.Sprintf("%s  %s  %s", b.style.bold(b.title), b.style.status(b.status),
		b.style.dim(fmt.Sprintf("%d of %d tasks, %s", done, len(b.rows), took(now, b.begin, b.end))))
}
