package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// PutWorkflow stores a definition as the next version, unless the newest is the same, or one that was not expected.
func (r *Redis) PutWorkflow(ctx context.Context, w engine.Workflow, after int) (engine.Workflow, bool, error) {
	reply, err := r.run(ctx, scriptPublish,
		[]string{
			workflowKey(w.Project, w.Name), workflowsKey(w.Project), definitionKey(w.Project, w.Hash),
			waitingKey(w.Project, w.Name), dueKey(w.Project),
		}, w.Name, r.offset(), w.Hash, string(w.Definition), w.Source, limitOf(w.Concurrency), after)
	if err != nil {
		return engine.Workflow{}, false, err
	}
	stored, err := r.Workflow(ctx, w.Project, w.Name, int(number(reply, 1)))
	if err != nil {
		return engine.Workflow{}, false, err
	}
	if stored == nil {
		return engine.Workflow{}, false, fmt.Errorf("queue: version %d of workflow %s is gone right after it was published", number(reply, 1), w.Name)
	}
	return *stored, number(reply, 0) == 1, nil
}

// limitOf is how a workflow's limit of running executions is stored.
func limitOf(c *workflow.Concurrency) string {
	if c == nil {
		return ""
	}
	full := c.WhenFull
	if full == "" {
		full = workflow.WhenFullQueue
	}
	return strconv.Itoa(c.MaxRunning) + " " + string(full)
}

// Workflow answers one version, 0 = the newest; nil when there is none.
func (r *Redis) Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error) {
	if version == 0 {
		head, err := r.Head(ctx, project, name, 0)
		if err != nil || head.Version == 0 {
			return nil, err
		}
		version = head.Version
	}
	all, err := r.workflows(ctx, project, []string{name}, []int{version})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// workflows reads versions[i] of names[i], with their definitions in two trips; nil where there is none.
func (r *Redis) workflows(ctx context.Context, project string, names []string, versions []int) ([]*engine.Workflow, error) {
	all := make([]*engine.Workflow, len(names))
	if len(names) == 0 {
		return all, nil
	}
	p := r.client.Pipeline()
	heads := make([]*redis.SliceCmd, len(names))
	for i, name := range names {
		n := strconv.Itoa(versions[i])
		heads[i] = p.HMGet(ctx, workflowKey(project, name), "h:"+n, "s:"+n, "t:"+n)
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	definitions := make([]*redis.StringCmd, len(names))
	p = r.client.Pipeline()
	for i, name := range names {
		v := heads[i].Val()
		if text(v, 0) == "" {
			continue
		}
		all[i] = &engine.Workflow{Project: project, Name: name, Version: versions[i], Hash: text(v, 0), Source: text(v, 1)}
		if at := moment(number(v, 2)); at != nil {
			all[i].CreatedAt = *at
		}
		definitions[i] = p.Get(ctx, definitionKey(project, all[i].Hash))
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	for i, d := range definitions {
		switch {
		case d == nil || isNil(d.Err()):
		case d.Err() != nil:
			return nil, unreachable(d.Err())
		default:
			all[i].Definition = raw(d.Val())
		}
	}
	return all, nil
}

// Head answers the version (0 = the newest) and the hash of a workflow, and whether its newest version limits how many run; version 0 when there is none.
func (r *Redis) Head(ctx context.Context, project, name string, version int) (engine.Head, error) {
	field := "head"
	if version != 0 {
		field = "h:" + strconv.Itoa(version)
	}
	v, err := r.client.HMGet(ctx, workflowKey(project, name), field, "limit").Result()
	if err != nil {
		return engine.Head{}, unreachable(err)
	}
	found := text(v, 0)
	if found == "" {
		return engine.Head{}, nil
	}
	h := engine.Head{Version: version, Hash: found, Limited: text(v, 1) != ""}
	if version == 0 {
		newest, hash, _ := strings.Cut(found, " ")
		h.Version, h.Hash = int(atoi(newest)), hash
	}
	return h, nil
}

// headOf is the field head of a workflow.
func headOf(version int, hash string) string { return strconv.Itoa(version) + " " + hash }

// Definition answers canonical JSON by its hash, else the one that the execution keeps itself; nil when there is none.
func (r *Redis) Definition(ctx context.Context, project, hash, execution string) (json.RawMessage, error) {
	s, err := r.client.Get(ctx, definitionKey(project, hash)).Result()
	if err == nil {
		return json.RawMessage(s), nil
	}
	if isNil(err) && execution != "" {
		s, err = r.client.HGet(ctx, keysOf(execution).values, "d:"+hash).Result()
	}
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreachable(err)
	}
	return raw(s), nil
}

// newest are the newest versions of workflows; 0 where there is none.
func (r *Redis) newest(ctx context.Context, project string, names []string) ([]int, error) {
	p := r.client.Pipeline()
	heads := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		heads[i] = p.HGet(ctx, workflowKey(project, name), "head")
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	versions := make([]int, len(names))
	for i, h := range heads {
		if err := h.Err(); err != nil && !isNil(err) {
			return nil, unreachable(err)
		}
		version, _, _ := strings.Cut(h.Val(), " ")
		versions[i] = int(atoi(version))
	}
	return versions, nil
}

// Workflows answers the newest version of each workflow, by name.
func (r *Redis) Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error) {
	low := "-"
	if page.Cursor != "" {
		low = "(" + page.Cursor
	}
	names, err := r.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: workflowsKey(project), Start: low, Stop: "+", ByLex: true, Count: int64(page.Limit) + 1,
	}).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	next := ""
	if len(names) > page.Limit {
		names = names[:page.Limit]
		next = names[page.Limit-1]
	}
	versions, err := r.newest(ctx, project, names)
	if err != nil {
		return nil, "", err
	}
	all, err := r.workflows(ctx, project, names, versions)
	return there(all), next, err
}

// Versions answers the versions of a workflow, newest first.
func (r *Redis) Versions(ctx context.Context, project, name string, page engine.Page) ([]engine.Workflow, string, error) {
	var from int
	if page.Cursor != "" {
		from = int(atoi(page.Cursor)) - 1
	} else {
		newest, err := r.Workflow(ctx, project, name, 0)
		if err != nil || newest == nil {
			return nil, "", err
		}
		from = newest.Version
	}
	var names []string
	var versions []int
	for v := from; v > 0 && len(versions) < page.Limit; v-- {
		names, versions = append(names, name), append(versions, v)
	}
	next := ""
	if last := from - len(versions); last > 0 {
		next = strconv.Itoa(last + 1)
	}
	all, err := r.workflows(ctx, project, names, versions)
	return there(all), next, err
}

// there are those that were found.
func there(all []*engine.Workflow) []engine.Workflow {
	found := make([]engine.Workflow, 0, len(all))
	for _, w := range all {
		if w != nil {
			found = append(found, *w)
		}
	}
	return found
}

// Projects answers the projects by name.
func (r *Redis) Projects(ctx context.Context) ([]engine.Project, error) {
	return readAll[engine.Project](ctx, r, projectsKey)
}

func readAll[T any](ctx context.Context, r *Redis, key string) ([]T, error) {
	values, err := r.client.HGetAll(ctx, key).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all := make([]T, 0, len(values))
	for field, s := range values {
		var v T
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			return nil, fmt.Errorf("queue: %s in %s cannot be read: %w", field, key, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// PutProject creates or changes a project.
func (r *Redis) PutProject(ctx context.Context, p engine.Project) (bool, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return false, fmt.Errorf("queue: encoding project %s: %w", p.Name, err)
	}
	added, err := r.client.HSet(ctx, projectsKey, p.Name, string(b)).Result()
	if err != nil {
		return false, unreachable(err)
	}
	return added == 1, nil
}

// PutKey creates or changes an API key; hash is the sha256 of its secret, "" to leave it.
func (r *Redis) PutKey(ctx context.Context, k engine.Key, hash string) error {
	b, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("queue: encoding key %s: %w", k.ID, err)
	}
	_, err = r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, keysKey, k.ID, string(b))
		if hash != "" {
			p.HSet(ctx, hashesKey, hash, k.ID)
		}
		return nil
	})
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// Keys answers every API key.
func (r *Redis) Keys(ctx context.Context) ([]engine.Key, error) {
	return readAll[engine.Key](ctx, r, keysKey)
}

// KeyByHash answers the API key whose secret has the hash; nil when there is none.
func (r *Redis) KeyByHash(ctx context.Context, hash string) (*engine.Key, error) {
	id, err := r.client.HGet(ctx, hashesKey, hash).Result()
	if err == nil {
		var s string
		if s, err = r.client.HGet(ctx, keysKey, id).Result(); err == nil {
			var k engine.Key
			if err := json.Unmarshal([]byte(s), &k); err != nil {
				return nil, fmt.Errorf("queue: key %s cannot be read: %w", id, err)
			}
			return &k, nil
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return nil, unreachable(err)
}
