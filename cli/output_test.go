package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
)

type thing struct {
	Name string `json:"name"`
	Note string `json:"note"`
}

func TestFormats(t *testing.T) {
	things := []thing{{"a", "<b>"}, {"c", "two\nlines"}}
	columns := []column[thing]{
		{title: "name", value: func(x thing) string { return x.Name }},
		{title: "note", wide: true, value: func(x thing) string { return x.Note }},
	}
	name := func(x thing) string { return x.Name }
	for format, want := range map[string]string{
		formatTable: "NAME\na\nc\n",
		formatWide:  "NAME   NOTE\na      <b>\nc      two lines\n",
		formatName:  "a\nc\n",
		formatJSONL: `{"name":"a","note":"<b>"}` + "\n" + `{"name":"c","note":"two\nlines"}` + "\n",
		formatJSON:  "{\n  \"items\": [\n    {\n      \"name\": \"a\",\n      \"note\": \"<b>\"\n    },\n    {\n      \"name\": \"c\",\n      \"note\": \"two\\nlines\"\n    }\n  ]\n}\n",
		formatYAML:  "- name: a\n  note: <b>\n- name: c\n  note: |-\n    two\n    lines\n",
	} {
		var b bytes.Buffer
		p := &printer{out: &b, format: format}
		require.NoError(t, printList(p, things, columns, name))
		require.Equal(t, want, b.String(), format)
	}
	var b bytes.Buffer
	require.NoError(t, printList(&printer{out: &b, format: formatJSON}, []thing(nil), columns, name))
	require.JSONEq(t, `{"items": []}`, b.String())
}

func TestExitCodes(t *testing.T) {
	refusal := func(status int, code string) error {
		return fmt.Errorf("start: %w", &client.Error{Status: status, Code: code, Title: "refused"})
	}
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{nil, exitOK, ""},
		{errors.New("x"), exitFailed, "error: x"},
		{usagef("bad %s", "flag"), exitUsage, "error: bad flag"},
		{refusal(http.StatusNotFound, "workflow_not_found"), exitNotFound, "redrive workflow list"},
		{refusal(http.StatusConflict, "already_ended"), exitConflict, "(already_ended)"},
		{refusal(http.StatusUnprocessableEntity, "invalid"), exitUsage, ""},
		{refusal(http.StatusUnauthorized, "key_missing"), exitFailed, "REDRIVE_API_KEY"},
		{refusal(http.StatusInternalServerError, "internal"), exitFailed, ""},
		{fmt.Errorf("x: %w", engine.NotFound("key", "k")), exitNotFound, `there is no key "k"`},
		{fmt.Errorf("x: %w", engine.Conflict("c", "no")), exitConflict, ""},
		{partial(3, []error{errors.New("x")}), exitPartial, "1 of 3 failed"},
		{partial(2, []error{refusal(404, ""), refusal(404, "")}), exitNotFound, "none of 2 succeeded"},
		{partial(2, nil), exitOK, ""},
	} {
		code, text := explain(c.err)
		require.Equal(t, c.code, code, "%v", c.err)
		require.Contains(t, text, c.text)
	}
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		3 * time.Second: "3s ago", 90 * time.Second: "1m ago", 3 * time.Hour: "3h ago", 72 * time.Hour: "3d ago", -5 * time.Minute: "in 5m",
	} {
		require.Equal(t, want, ago(now, now.Add(-d)))
	}
	require.Empty(t, ago(now, time.Time{}))
	require.Equal(t, "0s ago", ago(now, now.Add(20*time.Millisecond)))
	require.Equal(t, "1.5s", took(now, now.Add(-1500*time.Millisecond), time.Time{}))
	require.Equal(t, "12ms", took(now, now, now.Add(12*time.Millisecond)))
	require.Equal(t, "2m5s", took(now, now, now.Add(125*time.Second)))
	parsed, err := parseTime(now, "2h")
	require.NoError(t, err)
	require.Equal(t, now.Add(-2*time.Hour), parsed)
}

func TestBoard(t *testing.T) {
	begin := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	b := &board{w: &out, width: 80, height: 24, title: "report #1", status: "running", begin: begin, index: map[string]*boardRow{}}
	b.row("load", "exec", "pending")
	b.row("report", "transform", "pending")
	event := func(after time.Duration, ref, status string, attempt int) {
		b.apply(client.Event{At: begin.Add(after), Ref: ref, Status: status, Attempt: attempt})
	}
	event(0, "load", "running", 1)
	event(time.Second, "load", "retrying", 1)
	event(2*time.Second, "load", "running", 2)
	event(3*time.Second, "load", "succeeded", 2)
	event(3*time.Second, "report", "running", 1)
	got := strings.Join(b.render(begin.Add(5*time.Second), 20), "\n")
	require.Contains(t, got, "✔ load    succeeded     1.0s  attempt 2")
	require.Contains(t, got, "report  running       2.0s")
	require.Contains(t, got, "report #1  ▶ running  1 of 2 tasks, 5.0s")

	event(6*time.Second, "report", "failed", 1)
	event(6*time.Second, "", "failed", 0)
	require.Contains(t, strings.Join(b.render(begin.Add(time.Minute), 20), "\n"), "✘ failed  2 of 2 tasks, 6.0s")

	b.draw(begin)
	first := out.Len()
	b.draw(begin)
	require.Contains(t, out.String()[first:], "\x1b[3A", "the second drawing goes up over the first")
}

func TestBoardShowsTasksBelowWhatHoldsThem(t *testing.T) {
	b := &board{width: 60, height: 10, index: map[string]*boardRow{}}
	for _, ref := range []string{"load", "each", "report", "each[a]", "each[b.c]", "each[a].x", "each[b.c].x", "each[a].y", "other[1].z"} {
		b.row(ref, "", "pending")
	}
	var shown []string
	for _, row := range b.all() {
		shown = append(shown, row.ref)
	}
	require.Equal(t, []string{"load", "each", "each[a]", "each[a].x", "each[a].y", "each[b.c]", "each[b.c].x", "report", "other", "other[1].z"}, shown)
}

func TestBoardHidesWhatHasNoRoom(t *testing.T) {
	b := &board{width: 60, height: 10, index: map[string]*boardRow{}}
	for i := range 50 {
		b.row(fmt.Sprintf("t%02d", i), "noop", "pending")
	}
	b.index["t49"].status = "failed"
	b.index["t48"].status = "running"
	lines := b.render(time.Now(), 8)
	require.Len(t, lines, 8)
	require.Contains(t, lines[0], "t49")
	require.Contains(t, lines[1], "t48")
	require.Contains(t, lines[6], "and 44 more")
}
