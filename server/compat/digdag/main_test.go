package digdag_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/redrive/redrive/queue/queuetest"
)

func TestMain(m *testing.M) {
	code := queuetest.Run(m)
	if code == 0 {
		// The clock of the regular expressions of scripts runs on for a minute.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/dlclark/regexp2/v2.runClock")); err != nil {
			_, _ = os.Stderr.WriteString("goroutines are left: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
