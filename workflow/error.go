package workflow

import (
	"fmt"
	"strings"
)

// Error is how a task or an execution failed, as it is stored and shown.
type Error struct {
	Code        string `json:"code"`
	Message     string `json:"message"`
	Retryable   bool   `json:"retryable"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Problem is one thing wrong with a definition or an input.
// Line and Column count from 1; 0 means the source has no positions.
type Problem struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field"` // path as tasks[2].retry.delay
	Code    string `json:"code"`
	Message string `json:"message"`           // what was wrong
	Allowed string `json:"allowed,omitempty"` // what is allowed instead
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	if p.Allowed != "" {
		b.WriteString("; allowed: " + p.Allowed)
	}
	return b.String()
}

// Problems is every problem of a definition, in the order of the source.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}
