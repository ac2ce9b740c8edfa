package worker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	hidden = "[secret]"
	// shortestHidden keeps a value such as "1" from garbling all that is said.
	shortestHidden = 4
)

// redactor keeps the secrets that a run was given out of its log and its
// failure. nil hides nothing. Outputs are data and stay as they are.
type redactor struct{ replacer *strings.Replacer }

func (w *Worker) redactor(r *engine.Run) *redactor {
	if w.o.Secrets == nil {
		return nil
	}
	var values []string
	for _, name := range r.At.InputReads.Secrets {
		value, err := w.o.Secrets(name)
		if err != nil {
			continue // then the run was given none
		}
		values = append(values, value)
		for line := range strings.Lines(value) { // what exec prints is logged by the line
			values = append(values, strings.TrimSpace(line))
		}
	}
	values = slices.DeleteFunc(values, func(v string) bool { return len(v) < shortestHidden })
	if len(values) == 0 {
		return nil
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // whole secrets before their parts
	pairs := make([]string, 0, 2*len(values))
	for _, v := range values {
		pairs = append(pairs, v, hidden)
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

func (x *redactor) failure(f *workflow.Error) *workflow.Error {
	if x == nil || f == nil {
		return f
	}
	clean := *f
	clean.Code, clean.Message = x.replacer.Replace(f.Code), x.replacer.Replace(f.Message)
	return &clean
}

func (x *redactor) log(log *slog.Logger) *slog.Logger {
	if x == nil {
		return log
	}
	return slog.New(&redacting{log.Handler(), x})
}

func (x *redactor) attr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, x.replacer.Replace(v.String()))
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(x.attrs(v.Group())...)}
	case slog.KindAny:
		text := fmt.Sprintf("%+v", v.Any())
		if b, ok := v.Any().([]byte); ok {
			text = string(b)
		}
		if clean := x.replacer.Replace(text); clean != text {
			return slog.String(a.Key, clean)
		}
	}
	return a
}

func (x *redactor) attrs(list []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(list))
	for i, a := range list {
		clean[i] = x.attr(a)
	}
	return clean
}

// redacting is the handler of a log that secrets are kept out of.
type redacting struct {
	slog.Handler
	secrets *redactor
}

func (h *redacting) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.secrets.replacer.Replace(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.secrets.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

func (h *redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &redacting{h.Handler.WithAttrs(h.secrets.attrs(attrs)), h.secrets}
}

func (h *redacting) WithGroup(name string) slog.Handler {
	return &redacting{h.Handler.WithGroup(name), h.secrets}
}
