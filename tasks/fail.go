package tasks

import (
	"context"
	"encoding/json"
	"regexp"
)

var (
	failCode   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	failSchema = json.RawMessage(`{
  "type": "object", "additionalProperties": false,
  "properties": {
    "message": {"description": "a string as it is, anything else as JSON", "default": "failed on purpose"},
    "code": {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$", "default": "failed"},
    "retryable": {"type": "boolean", "default": false},
    "fingerprint": {"type": "string", "minLength": 1, "maxLength": 255, "description": "the group of failures that it belongs to"}
  }
}`)
)

type failInput struct {
	Message   json.RawMessage `json:"message"`
	Code      string          `json:"code"`
	Retryable bool            `json:"retryable"`

	Fingerprint string `json:"fingerprint"`
}

// failType fails on purpose.
func failType() Type {
	t := New("fail", func(_ context.Context, _ *Job, in failInput) (any, error) {
		code, message := in.Code, "failed on purpose"
		if code == "" {
			code = "failed"
		}
		if !failCode.MatchString(code) {
			return nil, Fatal(CodeInputInvalid, "with.code: is %q; allowed: a lower-case letter or digit, then up to 63 of a-z 0-9 . _ -", code)
		}
		if len(in.Message) > 0 {
			message = text(in.Message)
		}
		if in.Retryable {
			return nil, Grouped(in.Fingerprint, Error(code, "%s", message))
		}
		return nil, Grouped(in.Fingerprint, Fatal(code, "%s", message))
	})
	t.Description = "Fails on purpose, with the code and message it is given."
	t.Input = failSchema
	return t
}
