package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redrive/redrive/engine"
)

const (
	logPause   = 200 * time.Millisecond // that a line waits for others before it is sent
	logTimeout = 2 * time.Second        // of sending one batch
	// maxWaitingLogs bounds what all runs of the process hold back while Redis is away.
	maxWaitingLogs = 32 << 20
	// lineOverhead is less than what the store counts for a line beside its message and ref.
	lineOverhead = 20
)

// runLog collects what one delivery says and sends it in batches. A handler
// never waits for it: what cannot be kept is counted, and the log says so.
type runLog struct {
	send    func(context.Context, engine.LogBatch) (full bool, err error)
	fence   engine.Fence
	waiting *atomic.Int64 // bytes that wait in all runs of the process

	sending sync.Mutex // held while a batch is sent; taken before mu

	mu     sync.Mutex
	lines  []waitingLine
	next   []waitingLine // the batch that is being sent, until it is acknowledged
	number int           // of that batch
	taken  int           // bytes taken so far
	full   bool          // nothing more is kept of this attempt
	closed bool          // the delivery ended
	summed bool          // what is missing was told
	cut    engine.LogLoss
	lost   engine.LogLoss
	timer  *time.Timer // runs while lines wait
}

type waitingLine struct {
	at      time.Time
	level   engine.LogLevel
	message string
}

func (l *runLog) size(line waitingLine) int {
	return len(line.message) + len(l.fence.Ref) + lineOverhead
}

func (w *Worker) runLog(f engine.Fence) *runLog {
	return &runLog{send: w.o.Engine.WriteLog, fence: f, waiting: &w.waitingLogs}
}

// add takes a line, or counts it.
func (l *runLog) add(at time.Time, level engine.LogLevel, message string) {
	line := waitingLine{at, level, engine.ClipLogMessage(message)}
	n := l.size(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return
	case l.full || l.taken+n > engine.LogAttemptBytes:
		l.full = true
		l.cut.Lines++
		l.cut.Bytes += len(line.message)
		return
	case l.waiting.Add(int64(n)) > maxWaitingLogs:
		l.waiting.Add(int64(-n))
		l.lost.Lines++
		l.lost.Bytes += len(line.message)
		return
	}
	l.taken += n
	l.lines = append(l.lines, line)
	if l.timer == nil {
		l.timer = time.AfterFunc(logPause, l.tick)
	}
}

// tick sends what waits; while Redis is away it tries again after a pause.
func (l *runLog) tick() {
	ctx, cancel := context.WithTimeout(context.Background(), logTimeout)
	defer cancel()
	err := l.flush(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if !l.closed && (err != nil || len(l.lines) > 0) {
		l.timer = time.AfterFunc(logPause, l.tick)
	}
}

// end sends what is left and says what is missing; later lines are not kept. It
// may be called again after an error.
func (l *runLog) end() error {
	l.mu.Lock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	// Detached: what was said is kept however the run's context ended.
	ctx, cancel := context.WithTimeout(context.Background(), logTimeout)
	defer cancel()
	return l.flush(ctx)
}

// giveUp ends the log and forgets what could not be sent. It answers how many
// lines were lost, and how many of them the log does not tell of.
func (l *runLog) giveUp() (lost, untold int) {
	if l.end() == nil {
		return l.lost.Lines, 0
	}
	l.sending.Lock()
	defer l.sending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	untold = l.lost.Lines + len(l.next) + len(l.lines)
	l.acknowledge()
	l.next, l.lines = l.lines, nil
	l.acknowledge()
	return untold, untold
}

// flush sends all that waits, in order. A batch without an answer is sent again
// under its number, so that nothing is there twice.
func (l *runLog) flush(ctx context.Context) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	for {
		b, more := l.batch()
		if !more {
			return nil
		}
		full, err := l.send(ctx, b)
		if err != nil && !refusal(err) {
			return err
		}
		l.mu.Lock()
		l.acknowledge()
		l.full = l.full || full || err != nil // refused: there is nowhere to keep it
		l.summed = l.summed || b.Last
		l.mu.Unlock()
	}
}

// batch makes the next batch, or the one again that was not acknowledged.
func (l *runLog) batch() (b engine.LogBatch, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next) == 0 && len(l.lines) > 0 {
		n := min(len(l.lines), engine.LogBatchLines)
		l.next, l.lines = l.lines[:n:n], l.lines[n:]
		l.number++
	}
	b = engine.LogBatch{Fence: l.fence, Lines: ages(l.next, time.Now()), Number: l.number}
	if len(l.next) > 0 {
		return b, true
	}
	if !l.closed || l.summed || !l.full && l.lost.Lines == 0 {
		return b, false
	}
	b.Number, b.Last, b.Cut, b.Lost = l.number+1, true, l.cut, l.lost
	return b, true
}

// acknowledge forgets the batch that was sent. mu is held.
func (l *runLog) acknowledge() {
	for _, line := range l.next {
		l.waiting.Add(int64(-l.size(line)))
	}
	l.next = nil
}

func ages(lines []waitingLine, now time.Time) []engine.LogLine {
	out := make([]engine.LogLine, len(lines))
	for i, line := range lines {
		out[i] = engine.LogLine{Ago: max(now.Sub(line.at), 0), Level: line.level, Message: line.message}
	}
	return out
}

func logLevel(level slog.Level) engine.LogLevel {
	switch {
	case level < slog.LevelInfo:
		return engine.LogDebug
	case level < slog.LevelWarn:
		return engine.LogInfo
	case level < slog.LevelError:
		return engine.LogWarn
	}
	return engine.LogError
}
