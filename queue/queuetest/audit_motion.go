package queuetest

import (
	"slices"
	"strconv"
	"strings"
)

// movement recounts what is in motion in every task that holds others.
func (a *audit) movement() {
	moving := map[string]int{}
	for ref, rec := range a.tasks {
		active := slices.Contains(taskStatuses[1:5], rec.Status) || rec.Status == "pending" && a.open[ref] || a.spreading(ref) && rec.Ended > 0
		if active {
			moving[holderOf(ref)]++
		}
	}
	for ref, rec := range a.tasks {
		got, there := a.holders[ref]
		switch {
		case rec.holds() && got != strconv.Itoa(moving[ref]):
			a.add("task %s says that %q tasks move in it, and %d do", ref, got, moving[ref])
		case rec.holds() && moving[ref] == 0 && !a.open[ref] && !a.open[">"+ref] && !a.applying():
			a.add("nothing moves in task %s, and nobody would look at it", ref)
		case rec.holds() && moving[ref] > 0 && a.open[ref] && rec.Timed+rec.Hand == "":
			a.add("%d tasks move in task %s, and it waits for a decision", moving[ref], ref)
		case !rec.holds() && there:
			a.add("task %s is %s and says that %s tasks move in it", ref, rec.Status, got)
		case !rec.holds() && moving[ref] > 0:
			a.add("task %s is %s, and %d tasks move in it", ref, rec.Status, moving[ref])
		}
	}
}

// counted finds counts, and keys of items that have not begun, of tasks that hold nothing, and
// successors that are to be released although what they need did not end well.
func (a *audit) counted() {
	for field := range a.holders {
		ref, _, item := strings.Cut(field, "#")
		if rec := a.tasks[ref]; !rec.holds() && (!item || rec.Status != "pending") {
			a.add("holders has %s, and task %s is %q", field, ref, rec.Status)
		}
	}
	for entry := range a.open {
		ref, spreads := strings.CutPrefix(entry, ">")
		if rec := a.tasks[ref]; spreads && !rec.holds() && !rec.endedWell() {
			a.add("the successors of task %s are to be released, and it is %s", ref, rec.Status)
		}
	}
}

// holderOf answers the ref of the task that a ref is inside of.
func holderOf(ref string) string {
	if strings.HasSuffix(ref, "]") {
		return ref[:strings.LastIndex(ref, "[")]
	}
	return ref[:max(0, strings.LastIndex(ref, "."))]
}
