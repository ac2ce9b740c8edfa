package queue_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

func TestMain(m *testing.M) {
	code := queuetest.Run(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString("goroutines are left: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// retrying asks to retry all that did not succeed.
func retrying() engine.RedriveRequest {
	return engine.RedriveRequest{Redrive: workflow.Redrive{Operation: workflow.OperationRetry}, By: "me"}
}
