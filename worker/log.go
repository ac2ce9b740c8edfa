package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
)

// asynqLog sends what asynq logs to slog, one level lower: what asynq calls
// information is detail to somebody who runs workflows.
type asynqLog struct{ log *slog.Logger }

func (a asynqLog) Debug(args ...any) { a.write(slog.LevelDebug-4, args) }
func (a asynqLog) Info(args ...any)  { a.write(slog.LevelDebug, args) }
func (a asynqLog) Warn(args ...any)  { a.write(slog.LevelWarn, args) }
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
