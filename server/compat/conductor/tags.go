package conductor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

// notesTags begins the group of notes that holds the tags of a workflow, a task, a schedule or an event handler, each tag a note of
// its own: calls beside each other lose none.
const notesTags = "conductor.tags:"

func tagsOf(kind, name string) string { return notesTags + kind + ":" + name }

type tag struct {
	Type  string          `json:"type,omitempty"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"` // a text, or any other value: a rate limit is a number
}

// note is the name of the note that holds the tag. What differs in key or value is another tag.
func (t *tag) note() string {
	sum := sha256.Sum256(slices.Concat([]byte(t.Key), []byte{0}, t.Value))
	return hex.EncodeToString(sum[:])
}

func (h *handlers) tagRoutes() []compat.Route {
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	var routes []compat.Route
	for kind, path := range map[string]string{
		"workflow": "/api/metadata/workflow/:name/tags", "task": "/api/metadata/task/:name/tags", "schedule": "/api/scheduler/schedules/:name/tags",
		"event": "/api/event/:name/tags",
	} {
		routes = append(routes,
			compat.Route{Method: http.MethodGet, Path: path, Rule: read, Serve: h.listTags(kind)},
			compat.Route{Method: http.MethodPost, Path: path, Rule: write, Serve: h.changeTags(kind, h.addTags)},
			compat.Route{Method: http.MethodPut, Path: path, Rule: write, Serve: h.changeTags(kind, h.setTags)},
			compat.Route{Method: http.MethodDelete, Path: path, Rule: write, Serve: h.changeTags(kind, h.deleteTags)})
	}
	return routes
}

func (h *handlers) listTags(kind string) func(*gin.Context) error {
	return func(c *gin.Context) error {
		tags, err := h.tags(c.Request.Context(), tagsOf(kind, c.Param("name")))
		if err != nil {
			return err
		}
		return answerJSON(c, tags)
	}
}

// tags are those of a group, by key and value.
func (h *handlers) tags(ctx context.Context, group string) ([]tag, error) {
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), group)
	if err != nil {
		return nil, err
	}
	tags := []tag{}
	for _, raw := range notes {
		var t tag
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, err
		}
		tags = append(tags, t)
	}
	slices.SortFunc(tags, func(a, b tag) int { return cmp.Or(cmp.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value)) })
	return tags, nil
}

// brought are the tags that a definition brings with it: they are kept beside it.
type brought struct {
	tags      []tag
	overwrite bool // those that it does not bring go
}

// takeTags takes the tags out of a definition; nil = it brings none.
func takeTags(full map[string]any) (*brought, error) {
	list, overwrite := full["tags"], full["overwriteTags"]
	delete(full, "tags")
	delete(full, "overwriteTags")
	if list == nil {
		return nil, nil
	}
	g := &brought{overwrite: overwrite == true}
	if err := decode(encoded(list), &g.tags); err != nil {
		return nil, invalidDef{{Path: "tags", Message: "is no list of tags: each has a key, a value and, if need be, a type"}}
	}
	for i := range g.tags {
		if err := g.tags[i].check(fmt.Sprintf("tags[%d].key", i)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// keepTags keeps what a definition brought.
func (h *handlers) keepTags(ctx context.Context, kind, name string, g *brought) error {
	switch {
	case g == nil:
		return nil
	case g.overwrite:
		return h.setTags(ctx, tagsOf(kind, name), g.tags)
	}
	return h.addTags(ctx, tagsOf(kind, name), g.tags)
}

// check refuses a tag without a key, whose path is given, and writes the value in one way, however it was written.
func (t *tag) check(path string) error {
	if t.Key == "" {
		return invalidDef{{Path: path, Message: "a tag has a key"}}
	}
	var value any = ""
	if len(t.Value) > 0 && string(t.Value) != "null" {
		if err := decode(t.Value, &value); err != nil {
			return malformed(err)
		}
	}
	t.Value = encoded(value)
	return nil
}

// changeTags takes one tag or a list of them.
func (h *handlers) changeTags(kind string, change func(ctx context.Context, group string, given []tag) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		given, err := readList[tag](c.Request)
		if err != nil {
			return err
		}
		for i := range given {
			if err := given[i].check("key"); err != nil {
				return err
			}
		}
		if err := change(c.Request.Context(), tagsOf(kind, c.Param("name")), given); err != nil {
			return err
		}
		return silent(c.Writer, http.StatusOK)
	}
}

func (h *handlers) addTags(ctx context.Context, group string, given []tag) error {
	for i := range given {
		if err := h.engine.PutNote(ctx, compat.Project(ctx), group, given[i].note(), encoded(given[i])); err != nil {
			return err
		}
	}
	return nil
}

// setTags takes away what is not given.
func (h *handlers) setTags(ctx context.Context, group string, given []tag) error {
	if err := h.addTags(ctx, group, given); err != nil {
		return err
	}
	return h.dropTags(ctx, group, func(note string) bool {
		return slices.ContainsFunc(given, func(t tag) bool { return t.note() == note })
	})
}

func (h *handlers) deleteTags(ctx context.Context, group string, given []tag) error {
	for i := range given {
		if err := h.engine.DeleteNote(ctx, compat.Project(ctx), group, given[i].note()); err != nil && !compat.IsMissing(err) {
			return err
		}
	}
	return nil
}

// dropTags takes the tags away that are not to stay; nil = all of them, as what they are on is deleted.
func (h *handlers) dropTags(ctx context.Context, group string, stays func(note string) bool) error {
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), group)
	if err != nil {
		return err
	}
	for note := range notes {
		if stays != nil && stays(note) {
			continue
		}
		if err := h.engine.DeleteNote(ctx, compat.Project(ctx), group, note); err != nil && !compat.IsMissing(err) {
			return err
		}
	}
	return nil
}

// readList reads a body that is a list, or one of what it would hold: servers and clients have the one or the other.
func readList[T any](r *http.Request) ([]T, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var list []T
	if err := decode(body, &list); err != nil {
		return nil, malformed(err)
	}
	if list == nil {
		return nil, malformed(io.EOF)
	}
	return list, nil
}
