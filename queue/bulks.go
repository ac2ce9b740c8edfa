package queue

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

var (
	scriptBulkCreate  = script("bulk_create")
	scriptBulkAdd     = script("bulk_add", "lib_bulk")
	scriptBulkTake    = script("bulk_take", "lib_bulk")
	scriptBulkSettle  = script("bulk_settle", "lib_bulk")
	scriptBulkControl = script("bulk_control", "lib_bulk")
	scriptBulkDrop    = script("bulk_drop")
)

// CreateBulk stores a bulk operation whose executions are still to be collected.
func (r *Redis) CreateBulk(ctx context.Context, b engine.BulkRecord, look time.Duration) error {
	// Known before the operation is there: it must not be overlooked.
	if err := r.client.SAdd(ctx, bulkProjects, b.Project).Err(); err != nil {
		return unreachable(err)
	}
	tolerated := ""
	if b.Tolerated >= 0 {
		tolerated = decimal(b.Tolerated)
	}
	_, err := r.run(ctx, scriptBulkCreate, []string{bulkKey(b.Project, b.ID), bulksKey(b.Project), bulkLooksKey(b.Project)},
		b.ID, r.offset(), look.Milliseconds(), "spec", string(b.Spec), "rate", decimal(b.Rate), "most", b.Most, "canary", b.Canary,
		"tolerated", tolerated, "keep", max(r.o.Retention, keyTTL).Milliseconds()) // as long as its idempotency key at least
	return err
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Bulk answers a bulk operation; nil when there is none.
func (r *Redis) Bulk(ctx context.Context, n engine.BulkName) (*engine.BulkRecord, error) {
	v, err := r.client.HGetAll(ctx, bulkKey(n.Project, n.ID)).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return decodeBulk(n, v), nil
}

func decodeBulk(n engine.BulkName, v map[string]string) *engine.BulkRecord {
	if len(v) == 0 {
		return nil
	}
	count := func(field string) int { return int(atoi(v[field])) }
	b := &engine.BulkRecord{
		Project: n.Project, ID: n.ID, Spec: json.RawMessage(v["spec"]), State: engine.BulkState(v["state"]), Reason: v["reason"], Cursor: v["cursor"],
		Counts:    engine.BulkCounts{Total: count("total"), Succeeded: count("succeeded"), Failed: count("failed"), Skipped: count("skipped")},
		StartedAt: moment(atoi(v["started"])), EndedAt: moment(atoi(v["ended"])),
	}
	b.Counts.Pending = b.Counts.Total - count("taken")
	b.Counts.InFlight = count("taken") - b.Counts.Succeeded - b.Counts.Failed - b.Counts.Skipped
	if created := moment(atoi(v["created"])); created != nil {
		b.CreatedAt = *created
	}
	b.Most, b.Canary, b.Rate, b.Tolerated = count("most"), count("canary"), fraction(v["rate"]), -1
	if v["tolerated"] != "" {
		b.Tolerated = fraction(v["tolerated"])
	}
	return b
}

func fraction(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return f
}

// Bulks answers a page of a project's bulk operations, newest first.
func (r *Redis) Bulks(ctx context.Context, project string, page engine.Page) ([]engine.BulkRecord, string, error) {
	high := "+"
	if page.Cursor != "" {
		high = "(" + page.Cursor
	}
	ids, err := r.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: bulksKey(project), Start: high, Stop: "-", ByLex: true, Rev: true, Count: int64(page.Limit) + 1,
	}).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	next := ""
	if len(ids) > page.Limit {
		ids = ids[:page.Limit]
		next = ids[page.Limit-1]
	}
	if len(ids) == 0 {
		return nil, "", nil
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(ids))
	for i, id := range ids {
		cmds[i] = p.HGetAll(ctx, bulkKey(project, id))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, "", unreachable(err)
	}
	all := make([]engine.BulkRecord, 0, len(ids))
	for i, id := range ids {
		if b := decodeBulk(engine.BulkName{Project: project, ID: id}, cmds[i].Val()); b != nil {
			all = append(all, *b)
		}
	}
	return all, next, nil
}

// AddToBulk adds executions to the snapshot of a bulk operation.
func (r *Redis) AddToBulk(ctx context.Context, n engine.BulkName, a engine.BulkAdd, look time.Duration) error {
	args := []any{n.ID, r.offset(), a.From, a.To, bit(a.Last), look.Milliseconds()}
	for _, id := range a.IDs {
		args = append(args, id)
	}
	_, err := r.run(ctx, scriptBulkAdd, []string{bulkKey(n.Project, n.ID), bulkIDsKey(n.Project, n.ID), bulkLooksKey(n.Project)}, args...)
	return err
}

// ControlBulk holds a bulk operation, lets it go on, or aborts it.
func (r *Redis) ControlBulk(ctx context.Context, n engine.BulkName, action engine.BulkAction, reason string) error {
	_, err := r.run(ctx, scriptBulkControl, []string{bulkKey(n.Project, n.ID), bulkLooksKey(n.Project)}, n.ID, r.offset(), string(action), oneLine(reason))
	return err
}

// Recovery counts bulk operations, the outcomes of their executions, and groups of open failures of a project, in one trip.
func (r *Redis) Recovery(ctx context.Context, project string) (engine.Recovery, error) {
	p := r.client.Pipeline()
	states, outcomes := p.HVals(ctx, bulkStatesKey(project)), p.HGetAll(ctx, bulkOutcomesKey(project))
	groups := make([]*redis.IntCmd, len(engine.FailureStates))
	for i, s := range engine.FailureStates {
		groups[i] = p.SCard(ctx, openGroupsKey(project, string(s)))
	}
	if _, err := p.Exec(ctx); err != nil {
		return engine.Recovery{}, unreachable(err)
	}
	c := engine.Recovery{Bulks: map[engine.BulkState]int{}, Outcomes: map[engine.BulkOutcome]int{}, Groups: map[engine.FailureState]int{}}
	for _, state := range states.Val() {
		c.Bulks[engine.BulkState(state)]++
	}
	for outcome, n := range outcomes.Val() {
		c.Outcomes[engine.BulkOutcome(outcome)] = int(atoi(n))
	}
	for i, s := range engine.FailureStates {
		c.Groups[s] = int(groups[i].Val())
	}
	return c, nil
}

// DropBulk removes a bulk operation whose time is over.
func (r *Redis) DropBulk(ctx context.Context, n engine.BulkName) error {
	keys := append(bulkKeys(n), bulksKey(n.Project), bulkLooksKey(n.Project))
	_, err := r.run(ctx, scriptBulkDrop, keys, n.ID, r.offset())
	return err
}

// DueBulks answers which bulk operations have something to do.
func (r *Redis) DueBulks(ctx context.Context, mine func(project string) bool, limit int) ([]engine.BulkName, error) {
	projects, err := r.client.SMembers(ctx, bulkProjects).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	projects = slices.DeleteFunc(projects, func(p string) bool { return !mine(p) })
	if len(projects) == 0 {
		return nil, nil
	}
	now, err := r.Time(ctx)
	if err != nil {
		return nil, err
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(projects))
	for i, project := range projects {
		cmds[i] = p.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: bulkLooksKey(project), Start: "-inf", Stop: strconv.FormatInt(now.UnixMilli(), 10), ByScore: true, Count: int64(limit),
		})
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	var due []engine.BulkName
	for i, project := range projects {
		for _, id := range cmds[i].Val() {
			due = append(due, engine.BulkName{Project: project, ID: id})
		}
	}
	return due, nil
}
