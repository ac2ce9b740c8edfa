// Command worker is a worker binary with one task type, journal, that writes a
// line into the file $JOURNAL when a handler starts and another one when it has
// ended, so that a test can count from outside what really ran.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
)

// Line is an entry of the journal.
type Line struct {
	At        int64  `json:"at"` // ns since 1970
	What      string `json:"what"`
	PID       int    `json:"pid"`
	Execution string `json:"execution"`
	Ref       string `json:"ref"`
	Attempt   int    `json:"attempt"`
}

type with struct {
	Ms    int    `json:"ms"`              // how long the work takes
	Until string `json:"until,omitempty"` // a file, without which it fails
}

type journal struct{ file *os.File }

// write adds a line; one small write to a file opened with O_APPEND is not torn.
func (j journal) write(job *tasks.Job, what string) error {
	b, err := json.Marshal(Line{time.Now().UnixNano(), what, os.Getpid(), job.Execution, job.Ref, job.Attempt})
	if err != nil {
		return fmt.Errorf("encoding a line: %w", err)
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

func (j journal) run(ctx context.Context, job *tasks.Job, in with) (int, error) {
	if err := j.write(job, "start"); err != nil {
		return 0, err
	}
	work := time.NewTimer(time.Duration(in.Ms) * time.Millisecond)
	defer work.Stop()
	select {
	case <-work.C:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if in.Until != "" {
		if _, err := os.Stat(in.Until); err != nil {
			return 0, tasks.Fatal("switched_off", "%w", err)
		}
	}
	return in.Ms, j.write(job, "end")
}

func main() {
	file, err := os.OpenFile(os.Getenv("JOURNAL"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		var registry *tasks.Registry
		if registry, err = tasks.NewRegistry(tasks.New("journal", journal{file}.run)); err == nil {
			os.Exit(worker.Main(registry))
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
