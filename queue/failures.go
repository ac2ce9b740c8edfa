package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func encodeCauses(causes []engine.Cause) (string, error) {
	if len(causes) == 0 {
		return "", nil
	}
	b, err := json.Marshal(causes)
	if err != nil {
		return "", fmt.Errorf("queue: encoding why an execution failed: %w", err)
	}
	return string(b), nil
}

// decodeFailed reads how an execution failed, and when it succeeded.
func decodeFailed(x *engine.Execution, f map[string]string) error {
	x.SucceededAt = moment(atoi(f["success"]))
	if x.Status == workflow.ExecutionSucceeded {
		x.SucceededAt = x.EndedAt
	}
	at, causes, ok := strings.Cut(f["failed"], " ")
	if !ok {
		return nil
	}
	x.Failed = &engine.Failed{At: time.UnixMilli(atoi(at)).UTC()}
	if err := json.Unmarshal([]byte(causes), &x.Failed.Causes); err != nil {
		return fmt.Errorf("queue: why execution %s failed cannot be read: %w", x.ID, err)
	}
	return nil
}

// causesOf is what index.lua has to know of the failures of an execution. Those of a part of another are the other's.
func causesOf(x *engine.Execution) []any {
	if x.Failed == nil || x.Parent != nil {
		return []any{"", 0}
	}
	failed := (x.Status == workflow.ExecutionFailed || x.Status == workflow.ExecutionTimedOut) && x.EndedAt != nil && x.EndedAt.Equal(x.Failed.At)
	args := make([]any, 0, 2+5*len(x.Failed.Causes))
	args = append(args, x.Failed.At.UnixMilli(), bit(failed))
	for _, c := range x.Failed.Causes {
		args = append(args, c.Fingerprint, c.Type, c.Task, c.Code, c.Message)
	}
	return args
}

// longestOrigins bounds how far back a success supersedes failures.
const longestOrigins = 1000

// supersede closes the failures of what executions come from that succeeded: of the one that a redrive made them of, and of its own origins.
func (r *Redis) supersede(ctx context.Context, all []*engine.Execution) error {
	for _, x := range all {
		if x == nil || x.Origin == nil || x.SucceededAt == nil {
			continue
		}
		var failed []string
		for id, n := x.Origin.Execution, 0; id != "" && n < longestOrigins; n++ {
			v, err := r.client.HMGet(ctx, keysOf(id).execution, "failed", "origin").Result()
			if err != nil {
				return unreachable(err)
			}
			if text(v, 0) != "" {
				failed = append(failed, id)
			}
			id = text(v, 1)
		}
		if err := r.supersededBy(ctx, x, failed); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) supersededBy(ctx context.Context, x *engine.Execution, ids []string) error {
	for part := range slices.Chunk(ids, stepSize) {
		args := []any{x.SucceededAt.UnixMilli()}
		for _, id := range part {
			args = append(args, id)
		}
		if _, err := r.run(ctx, scriptSupersede, failuresOf(x.Project), args...); err != nil {
			return err
		}
		for _, id := range part { // of one that was purged in between nothing may stay
			n, err := r.client.Exists(ctx, keysOf(id).execution).Result()
			if err != nil {
				return unreachable(err)
			}
			if n == 0 {
				if _, err := r.run(ctx, scriptUnfile, failuresOf(x.Project), id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func failuresOf(project string) []string {
	return []string{failingKey(project), supersededKey(project), failuresKey(project)}
}

// unfile takes an execution out of its groups of failures.
func (r *Redis) unfile(ctx context.Context, x *engine.Execution) error {
	if x.Failed == nil || x.Parent != nil {
		return nil
	}
	_, err := r.run(ctx, scriptUnfile, failuresOf(x.Project), x.ID)
	return err
}

// FailureGroups answers a page of groups, the last seen first. The cursor is "<ms>:<fingerprint>" of the last one looked at.
func (r *Redis) FailureGroups(ctx context.Context, project string, f engine.FailureFilter, page engine.Page) ([]engine.FailureGroup, string, error) {
	cursor := page.Cursor
	var found []engine.FailureGroup
	for range scanPages {
		part, more, err := r.groupsBehind(ctx, project, cursor, page.Limit)
		if err != nil {
			return nil, "", err
		}
		groups, err := r.groups(ctx, project, part)
		if err != nil {
			return nil, "", err
		}
		served, err := r.serves(ctx, project, part, f.Workflow)
		if err != nil {
			return nil, "", err
		}
		for i, g := range groups {
			cursor = strconv.FormatInt(int64(part[i].Score), 10) + ":" + part[i].Member.(string)
			if g == nil || !served[i] || len(f.State) > 0 && !slices.Contains(f.State, g.State) {
				continue
			}
			if found = append(found, *g); len(found) == page.Limit {
				if i == len(groups)-1 && !more {
					cursor = ""
				}
				return found, cursor, nil
			}
		}
		if !more {
			return found, "", nil
		}
	}
	return found, cursor, nil
}

// groupsBehind answers the fingerprints behind a cursor, and whether there are more.
func (r *Redis) groupsBehind(ctx context.Context, project, cursor string, limit int) ([]redis.Z, bool, error) {
	high, after := "+inf", ""
	if cursor != "" {
		ms, member, ok := strings.Cut(cursor, ":")
		if _, err := strconv.ParseInt(ms, 10, 64); err != nil || !ok {
			return nil, false, engine.Invalid("cursor_invalid", "the list cannot be read from there")
		}
		high, after = ms, member
	}
	var part []redis.Z
	for offset := int64(0); ; offset += int64(limit) + 1 {
		all, err := r.client.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: failuresKey(project), Start: high, Stop: "-inf", ByScore: true, Rev: true, Offset: offset, Count: int64(limit) + 1,
		}).Result()
		if err != nil {
			return nil, false, unreachable(err)
		}
		for _, z := range all {
			if after != "" && strconv.FormatInt(int64(z.Score), 10) == high && z.Member.(string) >= after {
				continue // seen in the same millisecond, and before the cursor
			}
			if part = append(part, z); len(part) > limit {
				return part[:limit], true, nil
			}
		}
		if len(all) <= limit {
			return part, false, nil
		}
	}
}

// serves says of groups whether a workflow failed so; "" = any.
func (r *Redis) serves(ctx context.Context, project string, part []redis.Z, name string) ([]bool, error) {
	served := make([]bool, len(part))
	if name == "" || len(part) == 0 {
		for i := range served {
			served[i] = true
		}
		return served, nil
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.FloatCmd, len(part))
	for i, z := range part {
		cmds[i] = p.ZScore(ctx, failureKeysOf(project, z.Member.(string)).workflows, name)
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	for i := range cmds {
		served[i] = cmds[i].Err() == nil
	}
	return served, nil
}

const workflowsShown = 20

// groups reads groups in one trip; nil where one is gone.
func (r *Redis) groups(ctx context.Context, project string, part []redis.Z) ([]*engine.FailureGroup, error) {
	if len(part) == 0 {
		return nil, nil
	}
	now, err := r.client.Time(ctx).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	now = now.Add(time.Duration(r.offset()) * time.Millisecond)
	p := r.client.Pipeline()
	heads, open, seen, names := make([]*redis.MapStringStringCmd, len(part)), make([]*redis.IntCmd, len(part)), make([]*redis.IntCmd, len(part)), make([]*redis.StringSliceCmd, len(part))
	for i, z := range part {
		k := failureKeysOf(project, z.Member.(string))
		heads[i], open[i], seen[i] = p.HGetAll(ctx, k.group), p.ZCard(ctx, k.open), p.ZCard(ctx, k.seen)
		names[i] = p.ZRevRange(ctx, k.workflows, 0, workflowsShown-1)
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	all := make([]*engine.FailureGroup, len(part))
	for i, z := range part {
		f := heads[i].Val()
		if len(f) == 0 {
			continue
		}
		all[i] = &engine.FailureGroup{
			Fingerprint: z.Member.(string), State: engine.FailureState(f["state"]), StateAt: time.UnixMilli(atoi(f["at"])).UTC(),
			By: f["by"], Note: f["note"], ReopenedAt: moment(atoi(f["reopened"])), Type: f["type"], Task: f["task"], Code: f["code"], Message: f["message"],
			Open: int(open[i].Val()), Executions: int(seen[i].Val()), FirstSeen: time.UnixMilli(atoi(f["first"])).UTC(),
			LastSeen: time.UnixMilli(int64(z.Score)).UTC(), Workflows: names[i].Val(), Trend: trendOf(f, now),
		}
	}
	return all, nil
}

func trendOf(f map[string]string, now time.Time) (trend [engine.FailureHours]int) {
	hour := now.UnixMilli() / time.Hour.Milliseconds()
	for i := range trend {
		at := hour - int64(len(trend)-1-i)
		kept, n, _ := strings.Cut(f["h"+strconv.FormatInt(at%engine.FailureHours, 10)], " ")
		if kept == strconv.FormatInt(at, 10) {
			trend[i] = int(atoi(n))
		}
	}
	return trend
}

// FailureGroup answers one group with some of its open failures; nil when there is none.
func (r *Redis) FailureGroup(ctx context.Context, project, fingerprint string, samples int) (*engine.FailureGroup, error) {
	last, err := r.client.ZScore(ctx, failuresKey(project), fingerprint).Result()
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreachable(err)
	}
	all, err := r.groups(ctx, project, []redis.Z{{Score: last, Member: fingerprint}})
	if err != nil || all[0] == nil {
		return nil, err
	}
	if all[0].Samples, err = r.client.ZRevRange(ctx, failureKeysOf(project, fingerprint).open, 0, int64(samples)-1).Result(); err != nil {
		return nil, unreachable(err)
	}
	return all[0], nil
}

// OpenFailures answers a page of the ids of open failures, the oldest first. The cursor is the last id.
func (r *Redis) OpenFailures(ctx context.Context, project, fingerprint string, page engine.Page) ([]string, string, error) {
	low := "-"
	if page.Cursor != "" {
		low = "(" + page.Cursor
	}
	ids, err := r.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: failureKeysOf(project, fingerprint).open, Start: low, Stop: "+", ByLex: true, Count: int64(page.Limit),
	}).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	if len(ids) < page.Limit {
		return ids, "", nil
	}
	return ids, ids[len(ids)-1], nil
}

// StillOpen reports which executions are open failures of a group.
func (r *Redis) StillOpen(ctx context.Context, project, fingerprint string, ids []string) ([]bool, error) {
	open := make([]bool, len(ids))
	if len(ids) == 0 {
		return open, nil
	}
	args := make([]any, 0, 2+len(ids))
	args = append(args, "ZMSCORE", failureKeysOf(project, fingerprint).open)
	for _, id := range ids {
		args = append(args, id)
	}
	scores, err := r.client.Do(ctx, args...).Slice() // ZMScore of the client says 0 of what is not there, too
	if err != nil {
		return nil, unreachable(err)
	}
	for i, score := range scores {
		open[i] = score != nil
	}
	return open, nil
}

// JudgeFailures sets the state of a group.
func (r *Redis) JudgeFailures(ctx context.Context, project, fingerprint string, to engine.FailureState, by, note string) error {
	_, err := r.run(ctx, scriptJudge, []string{failureKeysOf(project, fingerprint).group, failuresKey(project)}, r.offset(), string(to), oneLine(by), note, fingerprint)
	return err
}
