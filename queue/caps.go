package queue

import (
	"context"
	"strconv"
	"time"

	"github.com/redrive/redrive/engine"
)

// capKept is the TTL of what counts against a cap: longer than an attempt may run, and than any cap's time.
const capKept = 32 * 24 * time.Hour

// Admit counts a claimed run against a cap. ErrMoved when that is reached.
func (r *Redis) Admit(ctx context.Context, c engine.Cap, f engine.Fence) error {
	_, err := r.run(ctx, scriptAdmit, []string{heldKey(c.Project, c.Type), begunKey(c.Project, c.Type)},
		r.offset(), f.JobID(), c.Running, c.Starts, c.Per.Milliseconds(), capKept.Milliseconds())
	return err
}

// Room answers how many runs a cap lets begin now and, where all its places are held, which runs were admitted there.
func (r *Redis) Room(ctx context.Context, c engine.Cap, most int) (int, []engine.Fence, error) {
	now, err := r.Time(ctx)
	if err != nil {
		return 0, nil, err
	}
	p := r.client.Pipeline()
	held := p.ZCard(ctx, heldKey(c.Project, c.Type))
	begun := p.ZCount(ctx, begunKey(c.Project, c.Type), "("+strconv.FormatInt(now.Add(-c.Per).UnixMilli(), 10), "+inf")
	if _, err := p.Exec(ctx); err != nil {
		return 0, nil, unreachable(err)
	}
	if c.Starts > 0 {
		most = min(most, max(c.Starts-int(begun.Val()), 0))
	}
	if c.Running == 0 || most == 0 {
		return most, nil, nil
	}
	if most = min(most, max(c.Running-int(held.Val()), 0)); most > 0 {
		return most, nil, nil
	}
	ids, err := r.client.ZRange(ctx, heldKey(c.Project, c.Type), 0, int64(max(c.Running, int(held.Val())))).Result()
	if err != nil {
		return 0, nil, unreachable(err)
	}
	fences := make([]engine.Fence, 0, len(ids))
	for _, id := range ids {
		f, err := engine.ParseJobID(id)
		if err != nil {
			r.o.Logger.Error("a place of a cap is held by what cannot be read", "type", c.Type, "error", err)
			continue
		}
		fences = append(fences, f)
	}
	return 0, fences, nil
}

// Vacate takes runs off a cap that hold no place any more.
func (r *Redis) Vacate(ctx context.Context, c engine.Cap, gone []engine.Fence) error {
	ids := make([]any, len(gone))
	for i, f := range gone {
		ids[i] = f.JobID()
	}
	if err := r.client.ZRem(ctx, heldKey(c.Project, c.Type), ids...).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}
