package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redrive/redrive/workflow"
)

// LogLevel is how grave a line of a log is.
type LogLevel string

// The levels, from the least grave one on.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogLevels lists the levels from the least grave one on.
var LogLevels = []LogLevel{LogDebug, LogInfo, LogWarn, LogError}

// LogLine is one line that a handler wrote.
type LogLine struct {
	Ago     time.Duration // how long before it is handed over it was written
	Level   LogLevel
	Message string
}

// LogBatch is what one delivery has to add to the log of its attempt.
type LogBatch struct {
	Fence
	Lines []LogLine
	// Number counts the batches of a delivery from 1: one that is there already
	// is not added again. 0 = it is not numbered.
	Number int
	Last   bool // the delivery ends: the log says what is missing in it
	Cut    LogLoss
	Lost   LogLoss
}

// LogLoss is how much of a log is not there: Cut because of a limit, Lost
// because Redis could not be reached.
type LogLoss struct {
	Lines int
	Bytes int
}

// LogEntry is a line as it is kept. Seq is opaque, unique in its execution and rises.
type LogEntry struct {
	Seq     string    `json:"seq"`
	At      time.Time `json:"at"` // by Redis' clock
	Level   LogLevel  `json:"level"`
	Ref     string    `json:"ref"`
	Attempt int       `json:"attempt"`
	Message string    `json:"message"`
}

// LogFilter narrows a log. Zero fields do not narrow.
type LogFilter struct {
	Ref     string
	Attempt int
	Level   LogLevel // this one and graver ones
}

func (f LogFilter) lets(e LogEntry) bool {
	return (f.Ref == "" || e.Ref == f.Ref) && (f.Attempt == 0 || e.Attempt == f.Attempt) &&
		slices.Index(LogLevels, e.Level) >= slices.Index(LogLevels, f.Level)
}

// Logs keeps what attempts have to say.
type Logs interface {
	// AppendLog keeps a batch, up to the limits of LogLimits, and says whether the log of the
	// attempt is full. ErrGone when the execution is not there, ErrStale when the attempt never was.
	AppendLog(ctx context.Context, b LogBatch) (full bool, err error)
	// Log reads up to limit lines of an execution's log from index on.
	Log(ctx context.Context, id string, from int64, limit int) ([]LogEntry, error)
}

// The limits of logs.
const (
	LogAttemptBytes   = 256 << 10 // of one attempt
	LogExecutionBytes = 16 << 20  // of all attempts of an execution
	LogMessageBytes   = 16 << 10  // of one line; a longer one is clipped
	LogBatchLines     = 500
)

// ClipLogMessage is a message as it is kept: valid UTF-8, and not longer than the limit.
func ClipLogMessage(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= LogMessageBytes {
		return s
	}
	end := LogMessageBytes
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s ... (%d bytes more)", s[:end], len(s)-end)
}

// WriteLog keeps a batch of a delivery's log; full says that the attempt's log
// takes nothing more. The lines of a superseded delivery are kept, too: they
// are under their attempt and change nothing else.
func (e *Engine) WriteLog(ctx context.Context, b LogBatch) (full bool, err error) {
	return e.store.AppendLog(ctx, b)
}

// AppendLogs keeps lines that a delivery wrote, in batches as small as need be.
// What exceeds the limits of LogAttemptBytes and LogExecutionBytes is cut, and
// the log says so. ErrGone when there is no such execution, ErrStale when the
// attempt was never made.
func (e *Engine) AppendLogs(ctx context.Context, f Fence, lines []LogLine) error {
	if problems := checkLogLines(lines); len(problems) > 0 {
		return Invalid("request_invalid", "the lines cannot be kept", problems...)
	}
	for part := range slices.Chunk(lines, LogBatchLines) {
		b := LogBatch{Fence: f, Lines: slices.Clone(part)}
		for i := range b.Lines {
			b.Lines[i].Message = ClipLogMessage(b.Lines[i].Message)
		}
		if _, err := e.WriteLog(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

const maxAppendedLines = 10 * LogBatchLines

func checkLogLines(lines []LogLine) workflow.Problems {
	var problems workflow.Problems
	add := func(field, code, message, allowed string) {
		problems = append(problems, workflow.Problem{Field: field, Code: code, Message: message, Allowed: allowed})
	}
	if len(lines) > maxAppendedLines {
		add("lines", "too_many", fmt.Sprintf("has %d lines", len(lines)), fmt.Sprintf("at most %d", maxAppendedLines))
		return problems
	}
	size := 0
	for i, l := range lines {
		size += len(l.Message)
		if !slices.Contains(LogLevels, l.Level) {
			add(fmt.Sprintf("lines[%d].level", i), "enum", fmt.Sprintf("%q is not allowed", l.Level), "debug, info, warn, error")
		}
		if l.Ago < 0 {
			add(fmt.Sprintf("lines[%d].ago", i), "out_of_range", "is in the future", "0s or more")
		}
	}
	if size > LogAttemptBytes {
		add("lines", "too_large", fmt.Sprintf("has %d bytes", size), fmt.Sprintf("at most %d", LogAttemptBytes))
	}
	return problems
}

const (
	logPage  = 1000 // lines read at once
	logPages = 20   // read for one answer when a filter lets few through
)

// Logs answers a page of an execution's log in the order in which the lines
// arrived. A page that a filter thins out may be short; the log ends where the
// cursor is "".
func (e *Engine) Logs(ctx context.Context, id string, f LogFilter, page Page) ([]LogEntry, string, error) {
	full, from, err := e.openLog(ctx, id, f, page.Cursor)
	if err != nil {
		return nil, "", err
	}
	found, next, end, err := e.scanLog(ctx, full, f, from, page.filled().Limit)
	if err != nil || end {
		return found, "", err
	}
	return found, strconv.FormatInt(next, 10), nil
}

// openLog checks what is asked of a log.
func (e *Engine) openLog(ctx context.Context, id string, f LogFilter, cursor string) (full string, from int64, err error) {
	if from, err = seq(cursor); err != nil {
		return "", 0, err
	}
	if f.Ref == "" {
		x, err := e.Execution(ctx, id)
		if err != nil {
			return "", 0, err
		}
		return x.ID, from, nil
	}
	x, _, err := e.open(ctx, id)
	if err != nil {
		return "", 0, err
	}
	recs, err := e.store.Records(ctx, x.ID, []string{f.Ref})
	if err != nil {
		return "", 0, err
	}
	if _, ok := recs[f.Ref]; !ok {
		return "", 0, NotFound("task", f.Ref)
	}
	return x.ID, from, nil
}

// scanLog reads from index `from` on until limit lines went through the filter,
// or it read enough for one answer. next is where to go on; end says that there
// was nothing behind it.
func (e *Engine) scanLog(ctx context.Context, id string, f LogFilter, from int64, limit int) (found []LogEntry, next int64, end bool, err error) {
	size := logPage
	if f == (LogFilter{}) {
		size = min(limit+1, logPage)
	}
	for next = from; next-from < logPages*logPage; {
		lines, err := e.store.Log(ctx, id, next, size)
		if err != nil {
			return nil, next, false, err
		}
		for _, l := range lines {
			if len(found) == limit {
				return found, next, false, nil
			}
			next++
			if f.lets(l) {
				found = append(found, l)
			}
		}
		if len(lines) < size {
			return found, next, true, nil
		}
	}
	return found, next, false, nil
}

// WatchedLog is what WatchLogs saw.
type WatchedLog struct {
	Entries []LogEntry
	Next    string // to go on from, whether or not the filter let anything through
	Ended   bool   // the execution ended, and this is all there is
}

// WatchLogs answers the lines behind `after` ("" = all), and waits for the
// first of them. When ctx ends before, Next says how far it got.
func (e *Engine) WatchLogs(ctx context.Context, id string, f LogFilter, after string) (WatchedLog, error) {
	w := WatchedLog{Next: after}
	full, from, err := e.openLog(ctx, id, f, after)
	if err != nil {
		return w, err
	}
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	for {
		x, err := e.store.Execution(ctx, full, false) // before the lines, so that none of an ended one is missed
		if errors.Is(err, ErrGone) {
			return w, NotFound("execution", id)
		}
		if err != nil {
			return w, err
		}
		found, next, end, err := e.scanLog(ctx, full, f, from, watchPage)
		if err != nil {
			return w, err
		}
		from = next
		w.Entries, w.Next, w.Ended = found, strconv.FormatInt(next, 10), x.Status.Ended() && end
		if len(found) > 0 || w.Ended {
			return w, nil
		}
		if !end {
			continue
		}
		select {
		case <-ctx.Done():
			return w, ctx.Err()
		case <-ticker.C:
		}
	}
}
