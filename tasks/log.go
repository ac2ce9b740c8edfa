package tasks

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
)

const maxLogMessage = 8 << 10

var logSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false, "required": ["message"],
  "properties": {
    "message": {"description": "a string as it is, anything else as JSON"},
    "level": {"enum": ["debug", "info", "warn", "error"], "default": "info"}
  }
}`)

type logInput struct {
	Message json.RawMessage `json:"message"`
	Level   string          `json:"level"`
}

// logType writes one line to the attempt's log.
func logType() Type {
	t := New("log", func(ctx context.Context, job *Job, in logInput) (struct{}, error) {
		level, ok := map[string]slog.Level{
			"": slog.LevelInfo, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}[in.Level]
		if !ok {
			return struct{}{}, Fatal(CodeInputInvalid, "with.level: is %q; allowed: debug, info, warn, error", in.Level)
		}
		if len(in.Message) == 0 {
			return struct{}{}, Fatal(CodeInputInvalid, "with.message: is missing; say what to log")
		}
		job.Log.Log(ctx, level, clip(text(in.Message), maxLogMessage))
		return struct{}{}, nil
	})
	t.Description = "Writes one line to the log of the attempt."
	t.Input = logSchema
	return t
}

// text is a JSON string's content, or any other JSON value as it stands.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil && strings.HasPrefix(string(value), `"`) {
		return s
	}
	return string(value)
}
