package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// asynqLog sends what asynq logs to slog, one level lower: what asynq calls
// information is detail to somebody who runs workflows.
type asynqLog struct{ log *slog.Logger }

func (a asynqLog) Debug(args ...any) { a.write(slog.LevelDebug-4, args) }
func (a asynqLog) Info(args ...any)  { a.write(slog.LevelDebug, args) }

// Warn leaves to debug what asynq says of a task that failed for good: the engine decides that, and says so itself.
func (a asynqLog) Warn(args ...any) {
	level := slog.LevelWarn
	if strings.HasPrefix(fmt.Sprint(args...), "Retry exhausted") {
		level = slog.LevelDebug
	}
	a.write(level, args)
}

func (a asynqLog) Error(args ...any) { a.write(slog.LevelError, args) }

// Fatal ends the process, as asynq demands of it.
func (a asynqLog) Fatal(args ...any) {
	a.write(slog.LevelError, args)
	os.Exit(1)
}

func (a asynqLog) write(level slog.Level, args []any) {
	if a.log.Enabled(context.Background(), level) {
		a.log.Log(context.Background(), level, fmt.Sprint(args...), "from", "asynq")
	}
}
