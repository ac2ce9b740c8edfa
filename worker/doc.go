// Package worker is the fleet process: it takes jobs from asynq, claims the
// attempt that each of them names, runs its handler and reports the result.
//
//	asynq job ─► slot ─► Claim ─► handler ─► Complete / Fail / Release ─► ack
//	                       │         ▲
//	                refused: ack     └── canceled with a cause: timed out,
//	                                     canceled, lease lost, draining
//
// The engine's state is the truth; the job is only a hint. So every outcome
// that the engine has recorded is acknowledged. Two are not: an attempt that
// failed for good is archived with its error, so that asynqmon shows it, and
// what Redis could not be asked is tried again shortly.
package worker
