package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// check refuses a Redis that would lose work. What INFO does not tell is a warning.
func (r *Redis) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis at %s cannot be reached: %w; start one (`redis-server --appendonly yes --maxmemory-policy noeviction`), or name another with --redis or REDRIVE_REDIS", redacted(r.o.URL), err)
	}
	if r.o.Embedded {
		return nil
	}
	check := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			r.o.Logger.Warn("Redis does not answer INFO; its version and maxmemory-policy are not checked", "error", err)
			return nil
		}
		return r.checkInfo(info)
	}
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, check)
	case *redis.Client:
		return check(ctx, c)
	}
	return nil
}

// infoField is one value of what INFO answers.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

// Nodes answers what the nodes that hold the data say of themselves.
func (r *Redis) Nodes(ctx context.Context) ([]engine.RedisNode, error) {
	if r.o.Embedded {
		return []engine.RedisNode{{Embedded: true}}, nil
	}
	var mu sync.Mutex
	var nodes []engine.RedisNode
	look := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx).Result()
		if err != nil {
			info = "" // some providers allow no INFO; whether Redis can be reached, others say
		}
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, engine.RedisNode{
			Address: c.Options().Addr, Version: infoField(info, "redis_version"), Policy: infoField(info, "maxmemory_policy"),
			Persistent: infoField(info, "aof_enabled") == "1", Used: atoi(infoField(info, "used_memory")), Most: atoi(infoField(info, "maxmemory")),
		})
		return nil
	}
	var err error
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, look)
	case *redis.Client:
		err = look(ctx, c)
	}
	slices.SortFunc(nodes, func(a, b engine.RedisNode) int { return strings.Compare(a.Address, b.Address) })
	return nodes, err
}

func (r *Redis) checkInfo(info string) error {
	version := infoField(info, "redis_version")
	major, minor := 0, 0
	if parts := strings.SplitN(version, ".", 3); len(parts) >= 2 {
		major, _ = strconv.Atoi(parts[0])
		minor, _ = strconv.Atoi(parts[1])
	}
	switch {
	case major == 0:
		r.o.Logger.Warn("Redis does not tell its version; 6.2 or newer is needed")
	case major < 6 || (major == 6 && minor < 2):
		return fmt.Errorf("redis %s at %s is too old: 6.2 or newer is needed", version, redacted(r.o.URL))
	}
	switch policy := infoField(info, "maxmemory_policy"); policy {
	case "noeviction":
	case "":
		r.o.Logger.Warn("Redis does not tell its maxmemory-policy; it must be noeviction")
	default:
		return fmt.Errorf("redis at %s has maxmemory-policy %s, which throws work away when memory is full: set `maxmemory-policy noeviction` in redis.conf, or now with `redis-cli CONFIG SET maxmemory-policy noeviction`", redacted(r.o.URL), policy)
	}
	return nil
}

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return unreachable(err)
	}
	return nil
}

func (r *Redis) offset() int64 {
	if r.o.ClockOffset == nil {
		return 0
	}
	return r.o.ClockOffset().Milliseconds()
}
