package worker_test

import (
	"context"
	"fmt"
	"os"

	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
)

// A worker binary with a task type of its own.
func ExampleMain() {
	type input struct {
		Name string `json:"name"`
	}
	types, err := tasks.NewRegistry(tasks.New("greet",
		func(_ context.Context, job *tasks.Job, in input) (string, error) {
			job.Log.Info("greeting", "name", in.Name)
			return "Hello, " + in.Name, nil
		}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(worker.Main(types))
}
