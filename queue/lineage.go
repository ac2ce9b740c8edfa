package queue

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// lineageList is the list of the executions that redrives made in a lineage.
func lineageList(project, root string) string { return listKey(project, "lineage:"+root) }

// Family answers the ids of the executions that redrives made in a lineage, oldest first.
func (r *Redis) Family(ctx context.Context, project, root string, most int) ([]string, error) {
	ids, err := r.client.ZRange(ctx, lineageList(project, root), 0, int64(most)-1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return ids, nil
}

// Branches reads many executions with the ids of their sub-executions; nil where one is gone.
func (r *Redis) Branches(ctx context.Context, ids []string) ([]*engine.Branch, error) {
	all := make([]*engine.Branch, 0, len(ids))
	for part := range slices.Chunk(ids, stepSize) {
		p := r.client.Pipeline()
		heads, children := make([]*redis.MapStringStringCmd, len(part)), make([]*redis.StringSliceCmd, len(part))
		for i, id := range part {
			k := keysOf(id)
			heads[i], children[i] = p.HGetAll(ctx, k.execution), p.SMembers(ctx, k.children)
		}
		if _, err := p.Exec(ctx); err != nil {
			return nil, unreachable(err)
		}
		for i, id := range part {
			if len(heads[i].Val()) == 0 {
				all = append(all, nil)
				continue
			}
			x, _, err := decodeExecution(id, heads[i])
			if err != nil {
				return nil, err
			}
			all = append(all, &engine.Branch{Execution: *x, Children: slices.Sorted(slices.Values(children[i].Val()))})
		}
	}
	return all, nil
}
