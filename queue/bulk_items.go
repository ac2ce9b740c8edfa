package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redrive/redrive/engine"
)

// bulkKeys are the keys of one bulk operation.
func bulkKeys(n engine.BulkName) []string {
	return []string{bulkKey(n.Project, n.ID), bulkIDsKey(n.Project, n.ID), bulkFlightKey(n.Project, n.ID), bulkResultsKey(n.Project, n.ID)}
}

// changing are the KEYS of the scripts that change what becomes of executions.
func changing(n engine.BulkName) []string {
	return []string{bulkKey(n.Project, n.ID), bulkFlightKey(n.Project, n.ID), bulkResultsKey(n.Project, n.ID), bulkLooksKey(n.Project)}
}

// BulkIDs answers executions of the snapshot from a place on.
func (r *Redis) BulkIDs(ctx context.Context, n engine.BulkName, from, limit int) ([]string, error) {
	ids, err := r.client.LRange(ctx, bulkIDsKey(n.Project, n.ID), int64(from), int64(from+limit)-1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return ids, nil
}

// TakeBulk takes the next executions, as many as the pace allows.
func (r *Redis) TakeBulk(ctx context.Context, n engine.BulkName, from int, next []engine.BulkEntry) (int, time.Duration, error) {
	args := []any{n.ID, r.offset(), from}
	for _, e := range next {
		kind, record := "fly", any(e.Flight)
		if e.Result != nil {
			kind, record = "skip", e.Result
		}
		text, err := json.Marshal(record)
		if err != nil {
			return 0, 0, fmt.Errorf("queue: encoding an execution of bulk operation %s: %w", n.ID, err)
		}
		args = append(args, kind, string(text))
	}
	reply, err := r.run(ctx, scriptBulkTake, changing(n), args...)
	return int(number(reply, 1)), time.Duration(number(reply, 2)) * time.Millisecond, err
}

// Flights answers what is in flight.
func (r *Redis) Flights(ctx context.Context, n engine.BulkName) ([]engine.Flight, error) {
	v, err := r.client.HGetAll(ctx, bulkFlightKey(n.Project, n.ID)).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all := make([]engine.Flight, 0, len(v))
	for place, text := range v {
		f := engine.Flight{Place: int(atoi(place))}
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return nil, fmt.Errorf("queue: execution %s of bulk operation %s cannot be read: %w", place, n.ID, err)
		}
		all = append(all, f)
	}
	return all, nil
}

// SettleBulk gives what is in flight its results.
func (r *Redis) SettleBulk(ctx context.Context, n engine.BulkName, results []engine.BulkResult) (engine.BulkState, error) {
	args := []any{n.ID, r.offset()}
	for _, result := range results {
		text, err := json.Marshal(result)
		if err != nil {
			return "", fmt.Errorf("queue: encoding a result of bulk operation %s: %w", n.ID, err)
		}
		args = append(args, result.Place, string(result.Outcome), string(text))
	}
	reply, err := r.run(ctx, scriptBulkSettle, changing(n), args...)
	return engine.BulkState(text(reply, 1)), err
}

// BulkEntries answers the executions of the snapshot from a place on, with what became of them.
func (r *Redis) BulkEntries(ctx context.Context, n engine.BulkName, from, limit int) ([]engine.BulkEntry, error) {
	fields := make([]string, limit)
	for i := range fields {
		fields[i] = strconv.Itoa(from + i)
	}
	p := r.client.TxPipeline() // all of one moment: one that lands meanwhile is not in neither
	ids := p.LRange(ctx, bulkIDsKey(n.Project, n.ID), int64(from), int64(from+limit)-1)
	flights := p.HMGet(ctx, bulkFlightKey(n.Project, n.ID), fields...)
	results := p.HMGet(ctx, bulkResultsKey(n.Project, n.ID), fields...)
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	all := make([]engine.BulkEntry, len(ids.Val()))
	for i, id := range ids.Val() {
		e := engine.BulkEntry{Place: from + i, Execution: id}
		var into any
		stored := text(results.Val(), i)
		if stored != "" {
			e.Result = &engine.BulkResult{Place: e.Place}
			into = e.Result
		} else if stored = text(flights.Val(), i); stored != "" {
			e.Flight = &engine.Flight{Place: e.Place}
			into = e.Flight
		}
		if into != nil {
			if err := json.Unmarshal([]byte(stored), into); err != nil {
				return nil, fmt.Errorf("queue: execution %s of bulk operation %s cannot be read: %w", id, n.ID, err)
			}
		}
		all[i] = e
	}
	return all, nil
}

// Heads reads executions without their values; nil where one is not there. Of one that cannot be read it has the id, and why.
func (r *Redis) Heads(ctx context.Context, ids []string) ([]*engine.Execution, error) {
	return r.legible(ctx, ids, false)
}
