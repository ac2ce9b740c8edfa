// Command worker is a whole worker of your own: one task type beside the
// built-in ones, which worker.Main adds. It reads the flags that `redrive worker` reads.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/worker"
)

type greeting struct {
	Name string `json:"name"`
}

func greet(_ context.Context, job *tasks.Job, in greeting) (string, error) {
	if strings.TrimSpace(in.Name) == "" {
		return "", tasks.Fatal("name_missing", "with.name: is empty; say whom to greet")
	}
	job.Log.Info("greeting", "name", in.Name)
	return fmt.Sprintf("Hello, %s!", in.Name), nil
}

func main() {
	registry, err := tasks.NewRegistry(tasks.New("greet", greet))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(worker.Main(registry))
}
