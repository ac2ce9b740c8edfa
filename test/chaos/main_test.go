package chaos

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/test/fleet"
)

// patience bounds what a test waits for; it is no measure of speed.
const patience = 2 * time.Minute

// soak asks for the long forms: REDRIVE_SOAK=1.
var soak = os.Getenv("REDRIVE_SOAK") != ""

func TestMain(m *testing.M) {
	flag.Parse()
	if !soak { // the tests wait more than they work
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	code := queuetest.Run(m)
	if err := fleet.Clean(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// parallel runs the short forms side by side; the long ones have the machine to themselves.
func parallel(t *testing.T) {
	if !soak {
		t.Parallel()
	}
}

// form chooses between the short and the long form of a test.
func form[T any](short, long T) T {
	if soak {
		return long
	}
	return short
}
