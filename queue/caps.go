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

// Room answers how many runs a cap lets begin now and, where all its places are held, by how many.
func (r *Redis) Room(ctx context.Context, c engine.Cap, most int) (int, int, error) {
	now, err := r.Time(ctx)
	if err != nil {
		return 0, 0, err
	}
	p := r.client.Pipeline()
	held := p.ZCard(ctx, heldKey(c.Project, c.Type))
	begun := p.ZCount(ctx, begunKey(c.Project, c.Type), "("+strconv.FormatInt(now.Add(-c.Per).UnixMilli(), 10), "+inf")
	if _, err := p.Exec(ctx); err != nil {
		return 0, 0, unreachable(err)
	}
	if c.Starts > 0 {
		most = min(most, max(c.Starts-int(begun.Val()), 0))
	}
	if c.Running == 0 || most == 0 {
		return most, 0, nil
	}
	if most = min(most, max(c.Running-int(held.Val()), 0)); most > 0 {
		return most, 0, nil
	}
	return 0, int(held.Val()), nil
}

// Held answers which runs were admitted to the places of a cap. What cannot be read holds none from now on.
func (r *Redis) Held(ctx context.Context, c engine.Cap) ([]engine.Fence, error) {
	key := heldKey(c.Project, c.Type)
	ids, err := r.client.ZRange(ctx, key, 0, -1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	fences := make([]engine.Fence, 0, len(ids))
	for _, id := range ids {
		f, err := engine.ParseJobID(id)
		if err == nil {
			fences = append(fences, f)
			continue
		}
		r.o.Logger.Error("a place of a cap was held by what cannot be read", "type", c.Type, "error", err)
		if err := r.client.ZRem(ctx, key, id).Err(); err != nil {
			return nil, unreachable(err)
		}
	}
	return fences, nil
}

// Vacate takes runs off a cap that hold no place any more.
func (r *Redis) Vacate(ctx context.Context, c engine.Cap, gone []engine.Fence) error {
	if len(gone) == 0 {
		return nil
	}
	ids := make([]any, len(gone))
	for i, f := range gone {
		ids[i] = f.JobID()
	}
	if err := r.client.ZRem(ctx, heldKey(c.Project, c.Type), ids...).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}
