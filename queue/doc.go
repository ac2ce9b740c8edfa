// Package queue is everything of Redrive that touches Redis: key names, the Lua
// transitions, the store, the relay to asynq, the lists and the shards' agenda.
// It implements the ports of package engine and is the only package that knows
// a Redis key.
//
// The key space (keys.go), by hash slot:
//
//	{s:042}  one of 256 shards, chosen by the last two hex digits of the execution id
//	         x: t: v: a: p: d: h: e:   the eight keys of one execution
//	         jobs timers decide index expire building   what becomes due in the shard
//	{p:name} one project: workflows, definitions, lists of executions, idempotency keys
//	{n:7}    execution numbers 7000 to 7999
//	{fleet} {access} {lead:3}
//
// No script touches two slots. What lies outside the shard is either reserved
// before the execution exists or fed from the shard's index set, idempotently.
package queue
