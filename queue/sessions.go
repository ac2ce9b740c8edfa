package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// sessionEntry is an execution's entry of what is due in its project; "" when it has no session.
func sessionEntry(x *engine.Execution) string {
	if x.Session == nil {
		return ""
	}
	return string(engine.LookSession) + ":" + x.ID + ":" + placeOf(x.Session.Time.Unix(), x.Workflow)
}

// leavesSession has somebody look whether a purged execution left its session, should this process not come to it.
func (r *Redis) leavesSession(ctx context.Context, x *engine.Execution) error {
	entry := sessionEntry(x)
	if entry == "" {
		return nil
	}
	now, err := r.Time(ctx)
	if err != nil {
		return err
	}
	at := now.Add(reservationMargin).UnixMilli()
	if err := r.client.ZAdd(ctx, dueKey(x.Project), redis.Z{Score: float64(at), Member: entry}).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}

// Detach takes an execution that was never created, or is gone, out of its session.
func (r *Redis) Detach(ctx context.Context, l engine.Look) error {
	return r.detach(ctx, l.Project, l.Execution, placeOf(l.Session.Unix(), l.Workflow), l.Due, true)
}

func (r *Redis) detach(ctx context.Context, project, id, place string, seen int64, never bool) error {
	var when any = ""
	if seen != 0 {
		when = seen
	}
	_, name, _ := strings.Cut(place, ":")
	_, err := r.run(ctx, scriptDetach, []string{
		sessionKey(project, place), sessionsKey(project, ""), sessionsKey(project, name), dueKey(project),
	}, id, place, when, bit(never))
	return err
}

// Sessions answers a page of sessions, newest first.
func (r *Redis) Sessions(ctx context.Context, project string, f engine.SessionFilter, page engine.Page) ([]engine.Session, string, error) {
	if !f.Time.IsZero() {
		place := placeOf(f.Time.Unix(), f.Workflow)
		number, err := r.client.ZScore(ctx, sessionsKey(project, f.Workflow), place).Result()
		if isNil(err) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", unreachable(err)
		}
		all, err := r.sessionsAt(ctx, project, []redis.Z{{Score: number, Member: place}})
		return all, "", err
	}
	high := "+inf"
	if page.Cursor != "" {
		high = "(" + page.Cursor
	}
	found, err := r.client.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
		Key: sessionsKey(project, f.Workflow), Start: high, Stop: "-inf", ByScore: true, Rev: true, Count: int64(page.Limit) + 1,
	}).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	next := ""
	if len(found) > page.Limit {
		found = found[:page.Limit]
		next = strconv.FormatInt(int64(found[page.Limit-1].Score), 10)
	}
	all, err := r.sessionsAt(ctx, project, found)
	return all, next, err
}

// Session answers a session by its number; nil when there is none.
func (r *Redis) Session(ctx context.Context, project string, number int64) (*engine.Session, error) {
	n := strconv.FormatInt(number, 10)
	found, err := r.client.ZRangeArgsWithScores(ctx, redis.ZRangeArgs{Key: sessionsKey(project, ""), Start: n, Stop: n, ByScore: true}).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all, err := r.sessionsAt(ctx, project, found)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// sessionFields are those of a session whatever its attempts, attemptFields those of each attempt.
const sessionFields, attemptFields = 3, 3

// sessionsAt reads sessions with their last attempts; one that ended meanwhile is left out.
func (r *Redis) sessionsAt(ctx context.Context, project string, found []redis.Z) ([]engine.Session, error) {
	lasts, sizes := make([]*redis.StringCmd, len(found)), make([]*redis.IntCmd, len(found))
	p := r.client.Pipeline()
	for i, z := range found {
		key := sessionKey(project, z.Member.(string))
		lasts[i], sizes[i] = p.HGet(ctx, key, "last"), p.HLen(ctx, key)
	}
	if len(found) == 0 {
		return nil, nil
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	var all []engine.Session
	var attempts []*redis.StringCmd
	p = r.client.Pipeline()
	for i, z := range found {
		if lasts[i].Err() != nil {
			continue
		}
		at, name, _ := strings.Cut(z.Member.(string), ":")
		all = append(all, engine.Session{
			Number: int64(z.Score), Workflow: name, Time: second(at), Attempts: int(sizes[i].Val()-sessionFields) / attemptFields,
		})
		attempts = append(attempts, p.HGet(ctx, sessionKey(project, z.Member.(string)), "i:"+lasts[i].Val()))
	}
	if len(all) == 0 {
		return nil, nil
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	last := make([]string, len(all))
	for i, cmd := range attempts {
		last[i] = executionOf(cmd.Val())
	}
	executions, err := r.executions(ctx, last, true)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Last = executions[i] // nil as long as it is only reserved
	}
	return all, nil
}

func executionOf(attempt string) string {
	id, _, _ := strings.Cut(attempt, " ")
	return id
}

// SessionAttempts answers a page of the executions of a session, oldest first.
func (r *Redis) SessionAttempts(ctx context.Context, project string, s *engine.Session, page engine.Page) ([]engine.Execution, string, error) {
	key := sessionKey(project, placeOf(s.Time.Unix(), s.Workflow))
	count, err := r.client.HGet(ctx, key, "count").Int()
	if errors.Is(err, redis.Nil) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", unreachable(err)
	}
	from := int(atoi(page.Cursor)) + 1
	till := min(from+page.Limit-1, count)
	if from > till {
		return nil, "", nil
	}
	fields := make([]string, 0, till-from+1)
	for n := from; n <= till; n++ {
		fields = append(fields, "i:"+strconv.Itoa(n))
	}
	v, err := r.client.HMGet(ctx, key, fields...).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	var ids []string
	for i := range fields {
		if id := executionOf(text(v, i)); id != "" {
			ids = append(ids, id)
		}
	}
	executions, err := r.executions(ctx, ids, true)
	if err != nil {
		return nil, "", err
	}
	var all []engine.Execution
	for _, x := range slices.DeleteFunc(executions, func(x *engine.Execution) bool { return x == nil }) {
		all = append(all, *x)
	}
	next := ""
	if till < count {
		next = strconv.Itoa(till)
	}
	return all, next, nil
}

// sessionsAtOnce is how many sessions one trip asks.
const sessionsAtOnce = 500

// AttemptNamed says of each time whether the session of a workflow at it has an attempt of that name; one that is only reserved counts.
func (r *Redis) AttemptNamed(ctx context.Context, project, workflow, name string, times []time.Time) ([]bool, error) {
	there := make([]bool, 0, len(times))
	for part := range slices.Chunk(times, sessionsAtOnce) {
		p := r.client.Pipeline()
		asked := make([]*redis.BoolCmd, len(part))
		for i, at := range part {
			asked[i] = p.HExists(ctx, sessionKey(project, placeOf(at.Unix(), workflow)), "a:"+name)
		}
		if _, err := p.Exec(ctx); err != nil {
			return nil, unreachable(err)
		}
		for _, cmd := range asked {
			there = append(there, cmd.Val())
		}
	}
	return there, nil
}
