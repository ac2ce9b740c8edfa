package cli

import (
	"fmt"
	"strings"
	"time"
)

// What is inside a for_each or a loop is shown task by task as long as it is
// little; of more, how many have ended, and what is in trouble.
const (
	fewInside   = 20 // rows of the board
	fewLines    = 50
	mostTrouble = 5
)

// unitOf is the outermost for_each or loop that a task is in; "" = in none.
func unitOf(ref string) string {
	if unit, _, inside := strings.Cut(ref, "["); inside {
		return unit
	}
	return ""
}

// tally counts what is inside a for_each or a loop.
type tally struct {
	seen  map[string]string // status by ref
	items int               // of those seen: items, or iterations
	done  int               // of the items: how many have ended
	ended int               // of all that were seen
	total int               // items that there are; 0 = not known

	lines, trouble int       // that were written
	shown          time.Time // when it was last written how far it is
}

func newTally() *tally { return &tally{seen: map[string]string{}} }

// see counts a task with its status, "" where that stays.
func (t *tally) see(ref, status string) {
	before, known := t.seen[ref]
	item := strings.IndexByte(ref, ']') == len(ref)-1
	if !known && item {
		t.items++
	}
	if status == "" {
		status = before
	}
	t.seen[ref] = status
	change := toInt(isEnded(status)) - toInt(isEnded(before))
	t.ended += change
	if item {
		t.done += change
	}
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// all is how many tasks there are inside, as far as is known.
func (t *tally) all() int { return len(t.seen) + max(t.total-t.items, 0) }

// measure asks for the number of items where more were seen than are known of.
func (t *tally) measure(unit string, size func(ref string) int) {
	if t.total < t.items {
		t.total = max(size(unit), t.items)
	}
}

func (t *tally) String() string { return fmt.Sprintf("%d/%d", t.done, max(t.total, t.items)) }

// isTrouble reports whether somebody should know of a task by name.
func isTrouble(status string) bool {
	return status == "failed" || status == "timed_out" || status == "waiting"
}
