package tasks

import (
	"context"
	"encoding/json"
)

// noopType does nothing: its output is its resolved `with`.
func noopType() Type {
	return Type{
		Name:        "noop",
		Description: "Does nothing: its output is its resolved `with`.",
		Handler: HandlerFunc(func(_ context.Context, job *Job) (json.RawMessage, error) {
			return job.Input, nil
		}),
	}
}
