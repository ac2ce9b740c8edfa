package queue

import (
	"context"
	"encoding/json"
)

// PutNote keeps a note, in place of one with its name.
func (r *Redis) PutNote(ctx context.Context, project, group, name string, value json.RawMessage, most int) (bool, error) {
	reply, err := r.run(ctx, scriptKeep, []string{notesKey(project, group)}, name, string(value), most)
	return number(reply, 1) == 1, err
}

// DeleteNote answers whether there was one.
func (r *Redis) DeleteNote(ctx context.Context, project, group, name string) (bool, error) {
	n, err := r.client.HDel(ctx, notesKey(project, group), name).Result()
	if err != nil {
		return false, unreachable(err)
	}
	return n == 1, nil
}

// Note answers one note; nil when there is none.
func (r *Redis) Note(ctx context.Context, project, group, name string) (json.RawMessage, error) {
	s, err := r.client.HGet(ctx, notesKey(project, group), name).Result()
	if isNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, unreachable(err)
	}
	return json.RawMessage(s), nil
}

// Notes answers all notes of a group.
func (r *Redis) Notes(ctx context.Context, project, group string) (map[string]json.RawMessage, error) {
	all, err := r.client.HGetAll(ctx, notesKey(project, group)).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	notes := make(map[string]json.RawMessage, len(all))
	for name, s := range all {
		notes[name] = json.RawMessage(s)
	}
	return notes, nil
}
