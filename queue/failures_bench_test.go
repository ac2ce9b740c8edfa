package queue_test

import (
	"testing"

	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// BenchmarkFailedExecution is a task that fails and with it its execution, from the start until the groups of failures have it.
func BenchmarkFailedExecution(b *testing.B) {
	h := newHouse(b, queuetest.URL(b))
	d := &workflow.Definition{Name: "w", Tasks: tasksOf("a", "b a", "c b", "d c", "e d")}
	h.publish(d)
	for i := 0; b.Loop(); i++ {
		x := h.start(d)
		for _, ref := range []string{"a", "b", "c", "d"} {
			h.complete(x.ID, ref)
		}
		h.failWith(x.ID, "e", "user %d not found", i)
	}
}
