package queue

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
)

// logLevels are the levels as they are stored: one letter each.
var logLevels = map[engine.LogLevel]string{engine.LogDebug: "d", engine.LogInfo: "i", engine.LogWarn: "w", engine.LogError: "e"}

// Stored in the place of a level: an entry that the script wrote about the log itself.
const (
	logCut = "cut" // from here on lines are cut; the message is the limit that was reached
	logSum = "sum" // what is missing: lines cut, bytes, lines lost, bytes, the limit
)

// AppendLog keeps a batch of an attempt's log.
func (r *Redis) AppendLog(ctx context.Context, b engine.LogBatch) (bool, error) {
	if len(b.Lines) > engine.LogBatchLines {
		return false, fmt.Errorf("queue: %d lines in one batch; at most %d", len(b.Lines), engine.LogBatchLines)
	}
	k := keysOf(b.Execution)
	args := make([]any, 0, 13+3*len(b.Lines))
	args = append(args, b.Execution, r.offset(), b.Ref, b.Attempt, b.Dispatch, b.Number, bit(b.Last), engine.LogAttemptBytes,
		engine.LogExecutionBytes, b.Cut.Lines, b.Cut.Bytes, b.Lost.Lines, b.Lost.Bytes)
	for _, l := range b.Lines {
		args = append(args, max(l.Ago, 0).Milliseconds(), logLevels[l.Level], l.Message)
	}
	reply, err := r.run(ctx, scriptLog, []string{k.execution, k.tasks, k.log, k.logSizes}, args...)
	return number(reply, 1) == 1, err
}

// Log reads lines of an execution's log from index on.
func (r *Redis) Log(ctx context.Context, id string, from int64, limit int) ([]engine.LogEntry, error) {
	lines, err := r.client.LRange(ctx, keysOf(id).log, from, from+int64(limit)-1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	entries := make([]engine.LogEntry, len(lines))
	for i, line := range lines {
		f := strings.SplitN(line, "\t", 6) // time, level, ref, attempt, dispatch, message
		if len(f) != 6 {
			return nil, fmt.Errorf("queue: line %d of the log of %s is %.100q", from+int64(i), id, line)
		}
		e := engine.LogEntry{
			Seq: strconv.FormatInt(from+int64(i)+1, 10), At: time.UnixMilli(atoi(f[0])).UTC(),
			Ref: f[2], Attempt: int(atoi(f[3])), Message: f[5],
		}
		switch f[1] {
		case logCut:
			e.Level, e.Message = engine.LogWarn, "... from here on lines are cut; "+logLimit(f[5])
		case logSum:
			e.Level, e.Message = engine.LogWarn, missing(strings.Fields(f[5]))
		default:
			for level, letter := range logLevels {
				if letter == f[1] {
					e.Level = level
				}
			}
		}
		entries[i] = e
	}
	return entries, nil
}

// missing says what is not in the log of an attempt.
func missing(f []string) string {
	if len(f) != 5 {
		return "... lines are missing"
	}
	var parts []string
	if f[0] != "0" {
		parts = append(parts, fmt.Sprintf("%s cut; %s", amount(f[0], f[1]), logLimit(f[4])))
	}
	if f[2] != "0" {
		parts = append(parts, amount(f[2], f[3])+" lost, because Redis could not be reached")
	}
	return "... " + strings.Join(parts, "; ")
}

func amount(lines, bytes string) string {
	n, word := atoi(lines), "lines"
	were := "were"
	if n == 1 {
		word, were = "line", "was"
	}
	return fmt.Sprintf("%s %s (%s) %s", thousands(n), word, size(atoi(bytes)), were)
}

func logLimit(which string) string {
	if which == "execution" {
		return "the limit is " + size(engine.LogExecutionBytes) + " per execution"
	}
	return "the limit is " + size(engine.LogAttemptBytes) + " per attempt"
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1<<20:
		return thousands((n+1<<9)>>10) + " KiB"
	}
	return thousands((n+1<<19)>>20) + " MiB"
}

// thousands is a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
