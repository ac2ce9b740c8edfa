package engine_test

import (
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const everything = `
name: w
tasks:
  - { name: first, type: noop }
  - name: each
    needs: [first]
    type: group
    for_each: { items: [1, 2, 3], max_parallel: 2 }
    tasks:
      - { name: poll, type: loop, until: "${iteration.number >= 2}", tasks: [{ name: step, type: noop, with: "${iteration.number}" }] }
      - { name: sub, type: workflow, with: { name: child, input: { n: "${item}" } } }
      - { name: last, needs: [poll, sub], type: noop, with: "${tasks.sub.output}" }
  - { name: pin, type: noop }
  - { name: give, type: noop, with: { k: 1 } }
  - { name: end, needs: [each, pin, give], type: noop, with: "${[tasks.pin.output, tasks.give.output]}" }
`

func underKey(op workflow.Operation, asks ...ask) func(*stage, *engine.Execution) (string, engine.RedriveRequest) {
	return func(_ *stage, x *engine.Execution) (string, engine.RedriveRequest) {
		return x.ID, asked(op, append(asks, key("once")))
	}
}

var wrecks = map[string]wreck{
	"a retry of everything in each other": {
		source: everything, fails: []string{"each[2].last", "each[1].poll[2].step", "double", "pin", "give"},
		ask: underKey(workflow.OperationRetry, output("pin", `{"v":7}`), taskInput("give", `{"k":2}`)),
	},
	"a rerun of what runs": {
		source: everything, first: []string{"each[1].poll[1].step", "double"},
		ask: underKey(workflow.OperationRerun, from("first", "pin")),
	},
	"a rerun inside of what runs": {
		source: everything, first: []string{"each[3].poll[1].step"},
		ask: underKey(workflow.OperationRerun, from("each[1].poll[2]", "each[2].sub/double")),
	},
	"a plan of 1,700 steps": {
		source: `
name: w
tasks:
  - { name: each, type: noop, for_each: { items: "${lists.range(1700)}", max_parallel: 20 }, with: "${item}" }
  - { name: end, type: noop, needs: [each] }
`,
		keep: true, stride: 3,
		before: func(s *stage, x *engine.Execution) {
			_, err := s.Cancel(s.ctx(), x.ID, engine.Request{})
			require.NoError(s.t, err)
		},
		ask: func(s *stage, x *engine.Execution) (string, engine.RedriveRequest) {
			p := s.plan(x, workflow.OperationRetry)
			return x.ID, asked(workflow.OperationRetry, []ask{planned(p.PlanHash)})
		},
		saw: func(s *stage, x *engine.Execution) bool { return s.at(x).Applying },
	},
	"a new execution": {
		source: everything, fails: []string{"each[2].last", "give"},
		ask: underKey(workflow.OperationRetry, anew, output("give", `{"v":7}`)),
	},
	"a child by its own id": {
		source: topOf3, fails: []string{"l2"},
		ask: func(s *stage, x *engine.Execution) (string, engine.RedriveRequest) {
			leaf := s.child(s.child(x, "sub"), "inner")
			return leaf.ID, asked(workflow.OperationRetry, []ask{key("once")})
		},
	},
}
