package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	stepSize     = engine.StepSize
	buildTimeout = 5 * time.Minute
	keyTTL       = 24 * time.Hour // of an idempotency key
)

// numbers hands out numbers from blocks that this process reserved.
type numbers struct {
	key        string
	mu         sync.Mutex
	next, last int64
}

const reservedNumbers = 100

// Number answers the next execution number. Index binds it to the id.
func (r *Redis) Number(ctx context.Context) (int64, error) { return r.numbered(ctx, &r.numbers) }

// SessionNumber answers the next number of a session.
func (r *Redis) SessionNumber(ctx context.Context) (int64, error) {
	return r.numbered(ctx, &r.sessions)
}

func (r *Redis) numbered(ctx context.Context, of *numbers) (int64, error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.next == 0 || of.next > of.last {
		last, err := r.client.IncrBy(ctx, of.key, reservedNumbers).Result()
		if err != nil {
			return 0, unreachable(err)
		}
		of.next, of.last = last-reservedNumbers+1, last
	}
	n := of.next
	of.next++
	return n, nil
}

// FindNumber answers the id of an execution number, "" when there is none.
func (r *Redis) FindNumber(ctx context.Context, number int64) (string, error) {
	v, err := r.client.HMGet(ctx, numbersKey(number), strconv.FormatInt(number, 10)).Result()
	if err != nil {
		return "", unreachable(err)
	}
	return text(v, 0), nil
}

// Reserve binds an idempotency key to an execution id for 24 hours.
func (r *Redis) Reserve(ctx context.Context, project, key, id, bodyHash string) (string, string, error) {
	reply, err := r.run(ctx, scriptReserve, []string{idempotencyKey(project, key)}, id, bodyHash, keyTTL.Milliseconds())
	return text(reply, 1), text(reply, 2), err
}

// Reserved answers what holds an idempotency key.
func (r *Redis) Reserved(ctx context.Context, project, key string) (string, string, error) {
	v, err := r.client.HMGet(ctx, idempotencyKey(project, key), "id", "hash").Result()
	if err != nil {
		return "", "", unreachable(err)
	}
	return text(v, 0), text(v, 1), nil
}

// Create makes the execution, its tasks and the jobs of its roots. A larger one
// has its tasks written in parts before; parts without an execution are swept away.
func (r *Redis) Create(ctx context.Context, x engine.NewExecution) (engine.Settled, bool, error) {
	k := keysOf(x.ID)
	refs, preds := graph(x.Tasks)
	if len(refs) > stepSize || len(preds) > 2*stepSize {
		if err := r.build(ctx, k, x.ID, refs, preds); err != nil {
			return engine.Settled{}, false, err
		}
		refs, preds = nil, nil
	}
	fields, err := fieldsOf(x.Execution)
	if err != nil {
		return engine.Settled{}, false, err
	}
	args := append([]any{x.ID, r.offset(), len(x.Tasks), stored(x.Input), milliseconds(x.Deadline), len(refs)}, refs...)
	args = append(append(args, len(preds)/2), preds...)
	args = append(args, len(x.Roots))
	for _, s := range x.Roots {
		args = append(args, s.Ref, mode(s))
	}
	args = append(args, fields...)
	status := workflow.ExecutionRunning
	if x.Waits {
		status = workflow.ExecutionQueued
	}
	list := r.listNew(ctx, k, x)
	keys := []string{
		k.execution, k.tasks, k.values, k.attempts, k.preds, k.open, k.held, k.events,
		k.shard.jobs, k.shard.decide, k.shard.index, k.shard.building, k.shard.timers,
	}
	task, head := "", ""
	switch {
	case x.Parent != nil:
		above := keysOf(x.Parent.Execution)
		keys, task = append(keys, above.execution, above.tasks), x.Parent.Task
	case x.Newest && r.ordered:
		keys, head = append(keys, workflowKey(x.Project, x.Workflow)), headOf(x.Version, x.DefinitionHash)
	case x.Newest: // it lies in another slot
		now, err := r.Head(ctx, x.Project, x.Workflow, 0)
		if err != nil {
			return engine.Settled{}, false, err
		}
		if now != (engine.Head{Version: x.Version, Hash: x.DefinitionHash}) {
			return engine.Settled{}, false, engine.ErrMoved
		}
	}
	own := ""
	if x.Definition != nil {
		own = "d:" + x.DefinitionHash
	}
	args = append(args, string(status), milli(x.Till), task, oneLine(x.By), own, stored(x.Definition), head)
	reply, err := r.runAhead(ctx, &r.starts, scriptCreate, keys, args, x.Ahead, list...)
	if err != nil {
		return engine.Settled{}, false, err
	}
	if number(reply, 0) == 2 {
		return engine.Settled{}, false, nil
	}
	s := r.without(settled(x.ID, reply), x.Ahead)
	s.Listed = r.listed(ctx, list)
	return s, true, nil
}

// fieldsOf are those of an execution that are written with its creation.
func fieldsOf(x engine.Execution) ([]any, error) {
	metadata, err := json.Marshal(x.Metadata)
	if err != nil {
		return nil, fmt.Errorf("queue: encoding metadata: %w", err)
	}
	labels, err := json.Marshal(x.Labels)
	if err != nil {
		return nil, fmt.Errorf("queue: encoding labels: %w", err)
	}
	args := []any{"number", x.Number, "project", x.Project, "workflow", x.Workflow, "version", x.Version,
		"definition", x.DefinitionHash, "root", x.Root, "priority", x.Priority, "correlation_id", x.CorrelationID,
		"metadata", string(metadata), "labels", string(labels)}
	if x.Parent != nil {
		args = append(args, "parent", x.Parent.Execution, "parent_task", x.Parent.Task)
	}
	if x.Path != "" {
		args = append(args, "path", x.Path, "depth", x.Depth)
	}
	if x.Origin != nil {
		args = append(args, "origin", x.Origin.Execution, "relation", string(x.Origin.Relation))
	}
	if !x.StartAt.IsZero() {
		args = append(args, "start_at", x.StartAt.UnixMilli())
	}
	if x.Timeout > 0 {
		args = append(args, "timeout", milliseconds(x.Timeout))
	}
	if s := x.Session; s != nil {
		args = append(args, "session", s.Number, "session_time", s.Time.Unix(), "attempt_name", s.AttemptName, "attempt", s.Attempt)
	}
	return args, nil
}

// listNew is the command that lists an execution behind its creation. One that
// waits, needs a place or is a part of another is listed by Index, as all are on a Cluster.
func (r *Redis) listNew(ctx context.Context, k executionKeys, x engine.NewExecution) []redis.Cmder {
	if !r.ordered || x.Waits || !x.Till.IsZero() || x.Session != nil || x.Parent != nil {
		return nil
	}
	made := x.Execution
	made.Status, made.Revision = workflow.ExecutionRunning, 1
	keys, args := r.indexCall(&made, "")
	return []redis.Cmder{evalSha(ctx, scriptList, append([]string{k.execution, k.shard.index, numbersKey(x.Number)}, keys...),
		append([]any{x.ID, x.Number}, args...))}
}

// listed says whether the command of listNew did it. A Redis that does not know
// the script gets it, for the next.
func (r *Redis) listed(ctx context.Context, list []redis.Cmder) bool {
	if len(list) == 0 {
		return false
	}
	reply, err := list[0].(*redis.Cmd).Slice()
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = r.load(ctx, scriptList)
	}
	if err != nil {
		r.o.Logger.Debug("a new execution was not listed in the trip that made it", "error", err)
	}
	return number(reply, 1) == 1
}

// milliseconds writes a duration; "" = none.
func milliseconds(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}

// milli is a moment as a script takes it; "" = none.
func milli(t time.Time) any {
	if t.IsZero() {
		return ""
	}
	return t.UnixMilli()
}

// graph answers the refs, and the open predecessors of the joins as field, value.
func graph(tasks []engine.NewTask) (refs, preds []any) {
	for _, t := range tasks {
		refs = append(refs, t.Ref)
		if len(t.Needs) < 2 {
			continue
		}
		preds = append(preds, "#"+t.Ref, len(t.Needs))
		for _, need := range t.Needs {
			preds = append(preds, t.Ref+" "+need, 1)
		}
	}
	return refs, preds
}

// build writes the tasks in parts of stepSize refs and stepSize predecessors.
func (r *Redis) build(ctx context.Context, k executionKeys, id string, refs, preds []any) error {
	for len(refs) > 0 || len(preds) > 0 {
		n, m := min(len(refs), stepSize), min(len(preds), 2*stepSize)
		args := append([]any{id, r.offset(), buildTimeout.Milliseconds(), n}, refs[:n]...)
		args = append(append(args, m/2), preds[:m]...)
		refs, preds = refs[n:], preds[m:]
		if _, err := r.run(ctx, scriptBuild, []string{k.execution, k.tasks, k.preds, k.shard.building}, args...); err != nil {
			return err
		}
	}
	return nil
}
