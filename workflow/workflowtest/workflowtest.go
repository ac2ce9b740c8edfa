// Package workflowtest makes definitions for the tests of other packages.
package workflowtest

import (
	"fmt"
	"math/rand/v2"

	"pgregory.net/rapid"

	"github.com/redrive/redrive/workflow"
)

// Random answers a workflow of noop tasks t0, t1, ... that need earlier ones at
// random. Equal arguments give equal workflows.
func Random(seed int64, tasks int) *workflow.Definition {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	return definition(tasks, func(task, _ int) bool { return r.IntN(task+1) < 2 })
}

// Definitions draws workflows of 1 to most noop tasks with any needs among them.
func Definitions(most int) *rapid.Generator[*workflow.Definition] {
	return rapid.Custom(func(t *rapid.T) *workflow.Definition {
		n := rapid.IntRange(1, most).Draw(t, "tasks")
		return definition(n, func(task, _ int) bool { return rapid.IntRange(0, task).Draw(t, "edge") < 2 })
	})
}

// Chain answers tasks that need each other one after the other.
func Chain(tasks int) *workflow.Definition {
	return definition(tasks, func(task, need int) bool { return need == task-1 })
}

// FanOut answers a first task, so many that need it, and a last one that needs them all.
func FanOut(width int) *workflow.Definition {
	return definition(width+2, func(task, need int) bool {
		return task <= width && need == 0 || task == width+1 && need > 0
	})
}

// Compile answers the program of a definition, which must be valid.
func Compile(d *workflow.Definition) *workflow.Program {
	p, err := workflow.Open(d.Canonical(), workflow.DefaultLimits())
	if err != nil {
		panic(fmt.Sprintf("workflowtest: %v", err))
	}
	return p
}

func definition(tasks int, needs func(task, need int) bool) *workflow.Definition {
	d := &workflow.Definition{Name: "random", Tasks: make([]workflow.Task, tasks)}
	for i := range d.Tasks {
		t := &d.Tasks[i]
		t.Name, t.Type = fmt.Sprintf("t%d", i), "noop"
		for need := range i {
			if needs(i, need) {
				t.Needs = append(t.Needs, d.Tasks[need].Name)
			}
		}
	}
	return d
}
