package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/engine"
)

// PutBundle keeps a bundle under the next number, unless its name is taken.
func (r *Redis) PutBundle(ctx context.Context, one engine.Bundle) (engine.Bundle, bool, error) {
	record, err := json.Marshal(one)
	if err != nil {
		return one, false, fmt.Errorf("queue: encoding a bundle: %w", err)
	}
	reply, err := r.run(ctx, scriptBundle, []string{bundlesKey(one.Project)},
		one.Name, r.offset(), string(record), string(one.Content), engine.BundlesKept, engine.BundleContents)
	if err != nil {
		return one, false, err
	}
	one.Number = number(reply, 1)
	if number(reply, 0) != 1 {
		return one, false, nil
	}
	if at := moment(number(reply, 2)); at != nil {
		one.CreatedAt = *at
	}
	return one, true, nil
}

// Bundle answers a bundle by its name, "" = the newest; nil when there is none.
func (r *Redis) Bundle(ctx context.Context, project, name string) (*engine.Bundle, error) {
	field := "last"
	if name != "" {
		field = "n:" + name
	}
	n, err := r.client.HGet(ctx, bundlesKey(project), field).Result()
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreachable(err)
	}
	v, err := r.client.HMGet(ctx, bundlesKey(project), "i:"+n, "t:"+n, "r:"+n, "c:"+n).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	one, err := decodeBundle(project, atoi(n), v)
	if one != nil {
		one.Content = []byte(text(v, 3))
	}
	return one, err
}

func decodeBundle(project string, n int64, v []any) (*engine.Bundle, error) {
	if text(v, 0) == "" {
		return nil, nil
	}
	one := &engine.Bundle{Project: project, Name: text(v, 0), Number: n}
	if err := json.Unmarshal([]byte(text(v, 2)), one); err != nil {
		return nil, fmt.Errorf("queue: bundle %s of project %s: %w", one.Name, project, err)
	}
	if at := moment(number(v, 1)); at != nil {
		one.CreatedAt = *at
	}
	return one, nil
}

// Bundles answers a page of bundles, newest first, without content.
func (r *Redis) Bundles(ctx context.Context, project string, page engine.Page) ([]engine.Bundle, string, error) {
	from := atoi(page.Cursor) - 1
	if page.Cursor == "" {
		last, err := r.client.HGet(ctx, bundlesKey(project), "last").Result()
		if err != nil && !isNil(err) {
			return nil, "", unreachable(err)
		}
		from = atoi(last)
	}
	till := max(from-int64(page.Limit), 0)
	var fields []string
	for n := from; n > till; n-- {
		at := strconv.FormatInt(n, 10)
		fields = append(fields, "i:"+at, "t:"+at, "r:"+at)
	}
	if len(fields) == 0 {
		return nil, "", nil
	}
	v, err := r.client.HMGet(ctx, bundlesKey(project), fields...).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	var all []engine.Bundle
	for i := 0; i < len(v); i += 3 {
		one, err := decodeBundle(project, from-int64(i/3), v[i:i+3])
		if err != nil {
			return nil, "", err
		}
		if one == nil { // it and all before it are forgotten
			return all, "", nil
		}
		all = append(all, *one)
	}
	next := ""
	if till > 0 {
		next = strconv.FormatInt(till+1, 10)
	}
	return all, next, nil
}

// NumberOf answers the number of a name, and gives it one when it has none.
func (r *Redis) NumberOf(ctx context.Context, name string) (int64, error) {
	reply, err := r.run(ctx, scriptName, []string{namesKey}, name)
	if err != nil {
		return 0, err
	}
	return number(reply, 1), nil
}

// Named answers what a number stands for, "" when it was not given out.
func (r *Redis) Named(ctx context.Context, n int64) (string, error) {
	name, err := r.client.HGet(ctx, namesKey, strconv.FormatInt(n, 10)).Result()
	if isNil(err) {
		return "", nil
	}
	if err != nil {
		return "", unreachable(err)
	}
	return name, nil
}
