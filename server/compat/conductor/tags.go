package conductor

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
)

// notesTags is the group of notes that holds the tags of workflows, tasks and schedules, as "workflow:NAME".
const notesTags = "conductor.tags"

type tag struct {
	Type  string `json:"type,omitempty"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (h *handlers) tagRoutes() []compat.Route {
	read, write := auth.Rule{Scope: engine.ScopeRead}, auth.Rule{Scope: engine.ScopeWrite}
	var routes []compat.Route
	for kind, path := range map[string]string{
		"workflow": "/api/metadata/workflow/:name/tags", "task": "/api/metadata/task/:name/tags", "schedule": "/api/scheduler/schedules/:name/tags",
	} {
		routes = append(routes,
			compat.Route{Method: http.MethodGet, Path: path, Rule: read, Serve: h.listTags(kind)},
			compat.Route{Method: http.MethodPost, Path: path, Rule: write, Serve: h.changeTags(kind, func(old, given []tag) []tag { return append(without(old, given), given...) })},
			compat.Route{Method: http.MethodPut, Path: path, Rule: write, Serve: h.changeTags(kind, func(_, given []tag) []tag { return given })},
			compat.Route{Method: http.MethodDelete, Path: path, Rule: write, Serve: h.changeTags(kind, without)})
	}
	return routes
}

func without(tags, gone []tag) []tag {
	return slices.DeleteFunc(tags, func(t tag) bool {
		return slices.ContainsFunc(gone, func(g tag) bool { return g.Key == t.Key && g.Value == t.Value })
	})
}

func (h *handlers) tags(c *gin.Context, kind string) ([]tag, error) {
	tags := []tag{}
	ctx := c.Request.Context()
	raw, err := h.engine.Note(ctx, compat.Project(ctx), notesTags, kind+":"+c.Param("name"))
	if isMissing(err) {
		return tags, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &tags)
	}
	return tags, err
}

func (h *handlers) listTags(kind string) func(*gin.Context) error {
	return func(c *gin.Context) error {
		tags, err := h.tags(c, kind)
		if err != nil {
			return err
		}
		return answerJSON(c, tags)
	}
}

// changeTags takes one tag or a list of them.
func (h *handlers) changeTags(kind string, change func(old, given []tag) []tag) func(*gin.Context) error {
	return func(c *gin.Context) error {
		given, err := readList[tag](c.Request)
		if err != nil {
			return err
		}
		for _, t := range given {
			if t.Key == "" {
				return invalidDef{{Path: "key", Message: "a tag has a key"}}
			}
		}
		tags, err := h.tags(c, kind)
		if err != nil {
			return err
		}
		ctx, name := c.Request.Context(), kind+":"+c.Param("name")
		if tags = change(tags, given); len(tags) > 0 {
			err = h.engine.PutNote(ctx, compat.Project(ctx), notesTags, name, encoded(tags))
		} else if err = h.engine.DeleteNote(ctx, compat.Project(ctx), notesTags, name); isMissing(err) {
			err = nil
		}
		if err != nil {
			return err
		}
		return silent(c.Writer, http.StatusOK)
	}
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
