package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
)

// eachOf tells a for_each with so many items, of which the last but one fails
// and asks for nothing, a millisecond apart.
func eachOf(items int) []client.Event {
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	var all []client.Event
	tell := func(kind, ref string) {
		at = at.Add(time.Millisecond)
		all = append(all, client.Event{Type: kind, Ref: ref, At: at, Attempt: 1})
	}
	tell("execution.started", "")
	tell("task.running", "year")
	for i := range items {
		ref := fmt.Sprintf("year[%d]", i)
		tell("task.running", ref)
		tell("task.running", ref+".load")
		end := map[bool]string{true: "task.failed", false: "task.succeeded"}[i == items-2]
		tell(end, ref+".load")
		tell(end, ref)
	}
	tell("task.failed", "year")
	tell("execution.failed", "")
	return all
}

func TestLinesOfManyItemsAreFew(t *testing.T) {
	var b bytes.Buffer
	asked := 0
	l := &lines{w: &b, tallies: map[string]*tally{}, size: func(ref string) int { asked++; require.Equal(t, "year", ref); return 10_000 }}
	for _, e := range eachOf(10_000) {
		l.apply(e)
	}
	out := b.String()
	require.Less(t, strings.Count(out, "\n"), 4+fewLines+mostTrouble+41, "one a second, of 40")
	require.Contains(t, out, "year[0].load ")
	require.Regexp(t, `year  +▶ running 2\d\d/10000\n`, out)
	require.Contains(t, out, "year[9998].load ")
	require.Regexp(t, `year  +✘ failed 10000/10000\n`, out)
	require.Equal(t, 1, asked)

	b.Reset()
	for _, e := range eachOf(5)[2:12] {
		(&lines{w: &b, tallies: map[string]*tally{}}).apply(e)
	}
	require.Equal(t, 10, strings.Count(b.String(), "\n"), "few are told one by one")
}

func TestBoardOfManyItemsIsSmall(t *testing.T) {
	after := func(items int) *board {
		b := &board{width: 100, index: map[string]*boardRow{}, size: func(string) int { return items }}
		for _, e := range eachOf(items) {
			b.apply(e)
		}
		return b
	}
	text := func(b *board) string { return strings.Join(b.render(time.Now(), 50), "\n") }
	many := text(after(10_000))
	require.Len(t, strings.Split(many, "\n"), 4, many)
	require.Regexp(t, `✘ year +failed .* 10000/10000`, many)
	require.Contains(t, many, "year[9998]")
	require.Contains(t, many, "20001 of 20001 tasks")
	few := text(after(3))
	require.Len(t, strings.Split(few, "\n"), 8, few)
	require.Contains(t, few, "year[0].load")
	require.Contains(t, few, "7 of 7 tasks")
}

func TestTallyFollowsRetries(t *testing.T) {
	c := newTally()
	c.see("each[a]", "failed")
	c.see("each[a].x", "failed")
	c.see("each[b]", "pending")
	require.Equal(t, "1/2", c.String())
	c.see("each[a]", "running")
	require.Equal(t, "0/2", c.String())
	c.see("each[a]", "") // an event that changes no status
	c.measure("each", func(string) int { return 5 })
	require.Equal(t, "0/5", c.String())
	require.Equal(t, 6, c.all())
}

// A redriven execution tells its history from the beginning; only what is since the last redrive is news.
func TestProgressOfARedrive(t *testing.T) {
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	tell := func(kind, ref string, attempt int) client.Event {
		at = at.Add(time.Second)
		return client.Event{Type: kind, Ref: ref, At: at, Attempt: attempt}
	}
	var events []client.Event
	for i := range 2 {
		events = append(events, tell("task.running", "year[b]", i+1), tell("task.failed", "year[b]", i+1), tell("task.failed", "year", i+1), tell("execution.failed", "", 0), tell(redriven, "", 0))
	}
	events = append(events, tell("task.running", "year", 3), tell("task.running", "year[b]", 3))

	var b bytes.Buffer
	l := &lines{w: &b, tallies: map[string]*tally{}, before: 2}
	for _, e := range events {
		l.apply(e)
	}
	require.Equal(t, 3, strings.Count(b.String(), "\n"), b.String())
	require.NotContains(t, b.String(), "failed")
	require.Equal(t, 1, l.tallies["year"].items, "what was before is counted")

	board := &board{width: 100, index: map[string]*boardRow{}, size: func(string) int { return 1 }, begin: at.Add(-time.Hour)}
	for _, e := range events {
		board.apply(e)
	}
	text := strings.Join(board.render(at.Add(time.Second), 50), "\n")
	require.Contains(t, text, "▶ running  0 of 2 tasks, 3.0s", "it runs since the redrive")
	require.Contains(t, text, "attempt 3")
}

// A task that would have seen what it saw before is told of as kept, and stays on the board as it was.
func TestProgressOfAKeptTask(t *testing.T) {
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	tell := func(kind string, after time.Duration) client.Event {
		return client.Event{Type: kind, Ref: "count", At: at.Add(after), Attempt: 1}
	}
	events := []client.Event{tell("task.running", 0), tell("task.succeeded", time.Second), {Type: redriven, At: at.Add(time.Hour)}, tell(kept, time.Hour)}
	var b bytes.Buffer
	l := &lines{w: &b, tallies: map[string]*tally{}, before: 1}
	board := &board{width: 100, index: map[string]*boardRow{}}
	for _, e := range events {
		l.apply(e)
		board.apply(e)
	}
	require.Regexp(t, `count +✔ kept\n$`, b.String())
	require.NotContains(t, b.String(), "succeeded")
	require.Regexp(t, `✔ count +succeeded +1\.0s`, strings.Join(board.render(at, 50), "\n"))
	require.Equal(t, "succeeded", statusOf(client.Event{Type: kept, Ref: "each[a]"}), "what is counted is a status")
}
