// Package workflow is the pure core of Redrive: definitions, the task graph,
// expressions, statuses and their legal transitions, and the decisions that
// follow from them. It does no I/O, starts no goroutine and never reads the
// clock: time, randomness and ids are arguments.
//
// A task's life:
//
//	          ready                claim              complete
//	pending ────────► queued ───────────────► running ─────────► succeeded
//	   │                ▲  ▲                    │ │ │
//	   │          retry │  └──── release, lose ─┘ │ │  fail
//	   │                │                         │ ├──────────► failed
//	   │             retrying ◄───── back off ────┘ │  time out
//	   │                                            ├──────────► timed_out
//	   ├── skip ──► skipped                         │  cancel
//	   └── cancel (upstream failed, asked) ─────────┴──────────► canceled
//
// Every arrow is a row of the table in transition.go; Redis applies them, the
// tests walk them.
package workflow
