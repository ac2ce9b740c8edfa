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
	n := strconv.Itoa(version)
	v, err := r.client.HMGet(ctx, workflowKey(project, name), "h:"+n, "s:"+n, "t:"+n).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	if text(v, 0) == "" {
		return nil, nil
	}
	w := &engine.Workflow{Project: project, Name: name, Version: version, Hash: text(v, 0), Source: text(v, 1)}
	if at := moment(number(v, 2)); at != nil {
		w.CreatedAt = *at
	}
	w.Definition, err = r.Definition(ctx, project, w.Hash, "")
	return w, err
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
	all := make([]engine.Workflow, 0, len(names))
	for _, name := range names {
		w, err := r.Workflow(ctx, project, name, 0)
		if err != nil {
			return nil, "", err
		}
		if w != nil {
			all = append(all, *w)
		}
	}
	return all, next, nil
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
	var all []engine.Workflow
	for v := from; v > 0; v-- {
		if len(all) == page.Limit {
			return all, strconv.Itoa(v + 1), nil
		}
		w, err := r.Workflow(ctx, project, name, v)
		if err != nil {
			return nil, "", err
		}
		if w != nil {
			all = append(all, *w)
		}
	}
	return all, "", nil
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
