// Package tasks holds the task types that run code: the small interface that a
// type of your own implements, the registry a worker is started with, and the
// built-in types, one file each.
//
//	definition ──► with, resolved ──► Run ──► Handler ──► output
//	                                   │
//	                                   └── error, panic, bad output ──► *workflow.Error
//
// A type of your own is a Go function:
//
//	sum := tasks.New("sum", func(ctx context.Context, job *tasks.Job, in struct{ A, B int }) (int, error) {
//		return in.A + in.B, nil
//	})
//
// Handlers run at least once: the same attempt can be started a second time
// after its worker froze. Job.IdempotencyKey is the same for every try of a
// task, so that what the handler calls can recognise a repetition.
//
// Control nodes (wait, approval, workflow, group, loop) have no handler and are
// not types of this package.
package tasks
