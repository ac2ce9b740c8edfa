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
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString("goroutines are left: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
