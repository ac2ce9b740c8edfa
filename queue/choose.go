package queue

import (
	"context"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// Choose answers a page of the executions that a filter lets pass, oldest first. It walks the shortest list that the filter
// names, or those of its statuses where they are shorter together, and checks the rest on what it reads.
func (r *Redis) Choose(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error) {
	high, low := bounds(f)
	if page.Cursor != "" {
		low = "(" + page.Cursor
	}
	walked, err := r.fewest(ctx, project, f, low, high)
	if err != nil {
		return nil, "", err
	}
	p := r.client.TxPipeline() // all of one moment: one that changes its status meanwhile is not in none
	cmds := make([]*redis.StringSliceCmd, len(walked))
	for i, list := range walked {
		cmds[i] = p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: list, Start: low, Stop: high, ByLex: true, Count: int64(page.Limit)})
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, "", unreachable(err)
	}
	var ids []string
	for _, cmd := range cmds {
		ids = append(ids, cmd.Val()...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids) // one that changed its status a moment ago may be in two lists
	next := ""
	if len(ids) >= page.Limit { // what lies before the last of these was read of every list
		ids = ids[:page.Limit]
		next = ids[page.Limit-1]
	}
	all, err := r.legible(ctx, ids, false)
	if err != nil {
		return nil, "", err
	}
	var found []engine.Execution
	for _, x := range all {
		if x != nil && (x.Unreadable != nil || f.Matches(x)) {
			found = append(found, *x)
		}
	}
	return found, next, nil
}

// fewest answers the lists that hold everything the filter wants with the fewest entries between two ids.
func (r *Redis) fewest(ctx context.Context, project string, f engine.ExecutionFilter, low, high string) ([]string, error) {
	ways := [][]string{}
	for _, list := range waysTo(project, f) {
		ways = append(ways, []string{list})
	}
	if len(f.Status) > 1 {
		var each []string
		for _, s := range f.Status {
			each = append(each, statusList(project, s))
		}
		ways = append(ways, each)
	}
	p := r.client.Pipeline()
	sizes := make([][]*redis.IntCmd, len(ways))
	for i, lists := range ways {
		for _, list := range lists {
			sizes[i] = append(sizes[i], p.ZLexCount(ctx, list, low, high))
		}
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	best, least := 0, int64(-1)
	for i := range ways {
		total := int64(0)
		for _, size := range sizes[i] {
			total += size.Val()
		}
		if least < 0 || total < least {
			best, least = i, total
		}
	}
	return ways[best], nil
}

// Numbered answers the ids of a project's executions by their numbers, "" where there is none of one.
func (r *Redis) Numbered(ctx context.Context, project string, numbers []int64) ([]string, error) {
	p := r.client.Pipeline()
	cmds := make([]*redis.SliceCmd, len(numbers))
	for i, n := range numbers {
		cmds[i] = p.HMGet(ctx, numbersKey(n), strconv.FormatInt(n, 10))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	var found []string
	places := make([]int, 0, len(numbers))
	for i, cmd := range cmds {
		if id := text(cmd.Val(), 0); id != "" {
			found, places = append(found, id), append(places, i)
		}
	}
	heads, err := r.executions(ctx, found, false)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(numbers))
	for i, x := range heads {
		if x != nil && x.Project == project {
			ids[places[i]] = x.ID
		}
	}
	return ids, nil
}
