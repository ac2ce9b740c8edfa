// Package chaos kills processes, loses jobs and cuts connections under load,
// and checks afterwards that nothing was lost, run under one delivery twice, or
// left behind.
package chaos

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/queue/queuetest"
)

// Graphs answers what each task of an execution needs, by ref.
type Graphs func(execution string) (map[string][]string, error)

var (
	ownKey   = regexp.MustCompile(`^redrive:\{s:\d{3}\}:([xtvapdheckqr]|l|ls):([^:]+)(:.+)?$`)
	agendaOf = regexp.MustCompile(`^redrive:\{s:\d{3}\}:(jobs|timers|decide|index|expire|building)$`)
	listKey  = regexp.MustCompile(`^redrive:\{p:[^}]+\}:list:`)
	indexKey = regexp.MustCompile(`^redrive:\{p:[^}]+\}:indexed$`)
	numKey   = regexp.MustCompile(`^redrive:\{n:\d+\}$`)
	jobKey   = regexp.MustCompile(`^asynq:\{([^}]+)\}:t:(.+)$`)
	jobList  = regexp.MustCompile(`^asynq:\{([^}]+)\}:(pending|active|lease|scheduled|retry|archived|completed)$`)
)

// disk is a whole Redis as it lies there.
type disk struct {
	client   redis.UniversalClient
	keys     []string
	live     map[string]bool                // executions with their main key
	entries  map[string]map[string][]string // kind of agenda -> key -> members
	jobs     map[string]bool                // queue/id of asynq's jobs
	lists    map[string]map[string]bool     // asynq's lists: kind -> queue/id
	listed   map[string][]string            // executions in lists -> the lists' keys
	problems []string
}

// scan reads every key of every node.
func scan(ctx context.Context, c redis.UniversalClient) (*disk, error) {
	d := &disk{client: c, live: map[string]bool{}, entries: map[string]map[string][]string{}, jobs: map[string]bool{}, lists: map[string]map[string]bool{}, listed: map[string][]string{}}
	var mu sync.Mutex
	walk := func(ctx context.Context, node *redis.Client) error {
		it := node.Scan(ctx, 0, "*", 1000).Iterator()
		for it.Next(ctx) {
			mu.Lock()
			d.keys = append(d.keys, it.Val())
			mu.Unlock()
		}
		return it.Err()
	}
	var err error
	switch c := c.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, walk)
	case *redis.Client:
		err = walk(ctx, c)
	default:
		err = fmt.Errorf("a %T cannot be scanned", c)
	}
	if err != nil {
		return nil, fmt.Errorf("chaos: scanning Redis: %w", err)
	}
	slices.Sort(d.keys)
	d.keys = slices.Compact(d.keys)
	return d, d.read(ctx)
}

func (d *disk) read(ctx context.Context) error {
	if err := d.forgetDrafts(ctx); err != nil {
		return err
	}
	for _, key := range d.keys {
		if m := ownKey.FindStringSubmatch(key); m != nil && m[1] == "x" {
			d.live[m[2]] = true
		}
		if m := jobKey.FindStringSubmatch(key); m != nil {
			d.jobs[m[1]+"/"+m[2]] = true
		}
		members, err := d.members(ctx, key)
		if err != nil {
			return fmt.Errorf("chaos: reading %s: %w", key, err)
		}
		if m := agendaOf.FindStringSubmatch(key); m != nil {
			if d.entries[m[1]] == nil {
				d.entries[m[1]] = map[string][]string{}
			}
			d.entries[m[1]][key] = members
		}
		if m := jobList.FindStringSubmatch(key); m != nil {
			if d.lists[m[2]] == nil {
				d.lists[m[2]] = map[string]bool{}
			}
			for _, id := range members {
				d.lists[m[2]][m[1]+"/"+id] = true
			}
		}
		if listKey.MatchString(key) || indexKey.MatchString(key) || numKey.MatchString(key) {
			for _, id := range members {
				d.listed[id] = append(d.listed[id], key)
			}
		}
	}
	return nil
}

// forgetDrafts drops the steps of redrives whose process died before they were committed: they end by themselves.
func (d *disk) forgetDrafts(ctx context.Context) error {
	var keys []string
	for _, key := range d.keys {
		if m := ownKey.FindStringSubmatch(key); m != nil && m[3] != "" {
			ttl, err := d.client.PTTL(ctx, key).Result()
			if err != nil {
				return fmt.Errorf("chaos: reading %s: %w", key, err)
			}
			if ttl > 0 {
				continue
			}
		}
		keys = append(keys, key)
	}
	d.keys = keys
	return nil
}

// members are the entries of the keys that hold execution or job ids.
func (d *disk) members(ctx context.Context, key string) ([]string, error) {
	switch {
	case agendaOf.MatchString(key), listKey.MatchString(key):
		return d.client.ZRange(ctx, key, 0, -1).Result()
	case indexKey.MatchString(key):
		return d.client.HKeys(ctx, key).Result()
	case numKey.MatchString(key):
		return d.client.HVals(ctx, key).Result()
	}
	m := jobList.FindStringSubmatch(key)
	switch {
	case m == nil:
		return nil, nil
	case m[2] == "pending", m[2] == "active":
		return d.client.LRange(ctx, key, 0, -1).Result()
	}
	return d.client.ZRange(ctx, key, 0, -1).Result()
}

func (d *disk) add(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

// Fsck checks what lies in Redis: each execution against the rules of
// queuetest.Audit, and that no key or entry is without its owner. With quiet,
// nothing may be left to do either. It answers every breach.
// Ghosts are jobs that a killed worker left active in asynq, which gives them
// back by itself after up to two minutes; with ghosts they are no breach.
func Fsck(ctx context.Context, c redis.UniversalClient, graphs Graphs, quiet, ghosts bool) ([]string, error) {
	d, err := scan(ctx, c)
	if err != nil {
		return nil, err
	}
	if ghosts {
		d.forgetGhosts()
	}
	for id := range d.live {
		needs, err := graphs(id)
		if err != nil {
			return nil, fmt.Errorf("chaos: the graph of %s: %w", id, err)
		}
		found, err := queuetest.Audit(ctx, c, id, needs)
		if err != nil {
			return nil, fmt.Errorf("chaos: %w", err)
		}
		for _, p := range found {
			d.add("%s: %s", id, p)
		}
	}
	d.orphans()
	if quiet {
		d.idle()
	}
	return d.problems, nil
}

// forgetGhosts drops what asynq believes to be active.
func (d *disk) forgetGhosts() {
	for id := range d.lists["active"] {
		queue, job, _ := strings.Cut(id, "/")
		key := "asynq:{" + queue + "}:t:" + job
		d.keys = slices.DeleteFunc(d.keys, func(k string) bool { return k == key })
		delete(d.jobs, id)
		delete(d.lists["lease"], id)
	}
	delete(d.lists, "active")
}

// orphans finds what belongs to no execution, and jobs and lists of asynq that do not fit.
func (d *disk) orphans() {
	building := map[string]bool{}
	for _, members := range d.entries["building"] {
		for _, id := range members {
			building[id] = true
		}
	}
	for _, key := range d.keys {
		if m := ownKey.FindStringSubmatch(key); m != nil && !d.live[m[2]] && !building[m[2]] {
			d.add("%s has no execution", key)
		}
		if m := jobKey.FindStringSubmatch(key); m != nil && !d.live[executionOf(m[2])] {
			d.add("%s is a job of no execution", key)
		}
	}
	for kind, keys := range d.entries {
		for key, members := range keys {
			for _, member := range members {
				entry := member
				if kind == "timers" { // which begin with what is to happen
					_, entry, _ = strings.Cut(member, ":")
				}
				if id := executionOf(entry); !d.live[id] && !building[id] {
					d.add("%s has %s, of no execution (%s)", key, member, kind)
				}
			}
		}
	}
	for id, keys := range d.listed {
		if !d.live[id] {
			d.add("%s is listed in %s and does not exist", id, strings.Join(keys, ", "))
		}
	}
	for kind, ids := range d.lists {
		for id := range ids {
			if !d.jobs[id] {
				d.add("asynq lists %s as %s, and there is no such job", id, kind)
			}
		}
	}
}

// idle finds what is still to be done.
func (d *disk) idle() {
	for kind, keys := range d.entries {
		for key, members := range keys {
			if kind != "expire" && len(members) > 0 {
				d.add("%s has %d entries although all is quiet: %v", key, len(members), members[:min(len(members), 3)])
			}
		}
	}
	for kind, ids := range d.lists {
		if kind != "archived" && len(ids) > 0 {
			d.add("asynq has %d %s jobs although all is quiet", len(ids), kind)
		}
	}
	for id := range d.jobs {
		if !d.lists["archived"][id] {
			d.add("job %s is in no list of asynq", id)
		}
	}
}

// executionOf is the execution of a job id, a timer, or an entry that is its id alone.
func executionOf(entry string) string {
	id, _, _ := strings.Cut(entry, ":")
	return id
}

// Left answers every key and entry of any execution that is still there, as
// none may be once retention is over. Ghosts as for Fsck.
func Left(ctx context.Context, c redis.UniversalClient, ghosts bool) ([]string, error) {
	d, err := scan(ctx, c)
	if err != nil {
		return nil, err
	}
	if ghosts {
		d.forgetGhosts()
	}
	var left []string
	for _, key := range d.keys {
		if strings.HasPrefix(key, "redrive:{s:") || jobKey.MatchString(key) || listKey.MatchString(key) || indexKey.MatchString(key) || numKey.MatchString(key) {
			left = append(left, key)
		}
	}
	for kind, ids := range d.lists {
		for id := range ids {
			left = append(left, kind+" "+id)
		}
	}
	return left, nil
}
