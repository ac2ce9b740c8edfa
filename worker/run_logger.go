package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// runLogger is what a handler logs to: its lines go to the log of its attempt,
// and to the log of the process as far as that wants them.
func runLogger(process *slog.Logger, l *runLog) *slog.Logger {
	return slog.New(&runHandler{process: process.Handler(), log: l})
}

// runHandler writes a record as one line of text, with what was attached to it as key=value.
type runHandler struct {
	process  slog.Handler
	log      *runLog
	attached string // " key=value" of WithAttrs
	group    string // "name." of WithGroup
}

// Enabled takes debug and above; a process may want less of it.
func (h *runHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelDebug || h.process.Enabled(ctx, level)
}

// Handle never fails because of the log of the attempt.
func (h *runHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelDebug {
		var b strings.Builder
		b.WriteString(r.Message + h.attached)
		r.Attrs(func(a slog.Attr) bool {
			writeAttr(&b, h.group, a)
			return true
		})
		at := r.Time
		if at.IsZero() {
			at = time.Now()
		}
		h.log.add(at, logLevel(r.Level), b.String())
	}
	if !h.process.Enabled(ctx, r.Level) {
		return nil
	}
	return h.process.Handle(ctx, r)
}

// WithAttrs attaches to every line from here on.
func (h *runHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, h.group, a)
	}
	return &runHandler{h.process.WithAttrs(attrs), h.log, h.attached + b.String(), h.group}
}

// WithGroup puts a name before what is attached from here on.
func (h *runHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &runHandler{h.process.WithGroup(name), h.log, h.attached, h.group + name + "."}
}

func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			writeAttr(b, group, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := v.String()
	if raw, ok := v.Any().([]byte); ok {
		text = string(raw)
	}
	if text == "" || strings.ContainsAny(text, " \t\r\n\"=") {
		text = strconv.Quote(text)
	}
	fmt.Fprintf(b, " %s%s=%s", group, a.Key, text)
}
