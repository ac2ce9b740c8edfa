package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Keys answers every key of a database or Cluster that holds text, sorted.
func Keys(ctx context.Context, c redis.UniversalClient, text string) ([]string, error) {
	var all []string
	scan := func(ctx context.Context, node redis.Cmdable) error {
		for it := node.Scan(ctx, 0, "*"+text+"*", 1000).Iterator(); ; {
			if !it.Next(ctx) {
				return it.Err()
			}
			all = append(all, it.Val())
		}
	}
	var err error
	if cluster, ok := c.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return scan(ctx, node)
		})
	} else {
		err = scan(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("queuetest: listing keys: %w", err)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
