package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// createWorkflow registers one definition: POST /metadata/workflow.
func (h *handlers) createWorkflow(c *gin.Context) error {
	var full map[string]any
	if err := read(c.Request, &full); err != nil {
		return err
	}
	tags, err := takeTags(full)
	if err != nil {
		return err
	}
	s, err := readDef(full)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if !boolean(c, "overwrite", false) {
		versions, err := h.versions(ctx, compat.Project(ctx), s.def.Name)
		if err != nil {
			return err
		}
		if slices.Contains(versions, s.def.Version) {
			return refuse(http.StatusConflict, "Workflow with %s.%d already exists!", s.def.Name, s.def.Version)
		}
	}
	if err := h.register(ctx, compat.Project(ctx), s); err != nil {
		return err
	}
	if err := h.keepTags(ctx, "workflow", s.def.Name, tags); err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// putWorkflows registers definitions, in place of those of their names and versions: PUT /metadata/workflow. One that is
// invalid keeps all of them out: clients do not look at the list of those that failed.
func (h *handlers) putWorkflows(c *gin.Context) error {
	list, err := readList[map[string]any](c.Request)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	project := compat.Project(ctx)
	sources, tags := make([]*source, len(list)), make([]*brought, len(list))
	for i, full := range list {
		if tags[i], err = takeTags(full); err != nil {
			return err
		}
		s, err := readDef(full)
		if err == nil {
			_, err = h.compiled(ctx, project, s)
		}
		if err != nil {
			return err
		}
		sources[i] = s
	}
	answer := bulkAnswer{Errors: map[string]string{}, Successful: []any{}}
	for i, s := range sources {
		err := h.register(ctx, project, s)
		if err == nil {
			err = h.keepTags(ctx, "workflow", s.def.Name, tags[i])
		}
		if message, ok := told(err); ok {
			answer.Errors[s.def.Name] = message
			continue
		}
		if err != nil {
			return err
		}
		answer.Successful = append(answer.Successful, s.def.Name)
	}
	return compat.Answer(c.Writer, http.StatusOK, answer)
}

// told is the message of an error that is the caller's.
func told(err error) (string, bool) {
	var invalid invalidDef
	var refused *refusal
	var known *engine.Error
	switch {
	case errors.As(err, &invalid), errors.As(err, &refused):
		return err.Error(), true
	case errors.As(err, &known) && known.Kind != engine.KindUnavailable:
		return known.Error(), true
	}
	return "", false
}

// validateWorkflow checks a definition and keeps nothing: POST /metadata/workflow/validate.
func (h *handlers) validateWorkflow(c *gin.Context) error {
	var full map[string]any
	if err := read(c.Request, &full); err != nil {
		return err
	}
	if _, err := takeTags(full); err != nil {
		return err
	}
	s, err := readDef(full)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if _, err := h.publish(ctx, compat.Project(ctx), s, true); err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// register publishes a definition, and makes its version mean it. What is the same as before stays as it is.
func (h *handlers) register(ctx context.Context, project string, s *source) error {
	labels, err := h.engine.Labels(ctx, project, s.def.Name)
	if err != nil {
		return err
	}
	label := strconv.Itoa(s.def.Version)
	now := json.Number(strconv.FormatInt(time.Now().UnixMilli(), 10))
	created := any(now)
	if former, ok := labels[label]; ok {
		k, err := h.known(ctx, project, s.def.Name, former)
		if err != nil && !compat.IsMissing(err) {
			return err
		}
		if err == nil && k.definition != nil {
			if same(k.definition, s.full) {
				return nil
			}
			created, s.full["updateTime"] = k.definition["createTime"], now
		}
	}
	s.full["createTime"] = created
	if _, ok := s.full["createdBy"]; !ok {
		s.full["createdBy"] = auth.From(ctx).Name
	}
	version, err := h.publish(ctx, project, s, false)
	if err != nil {
		return err
	}
	if err := h.label(ctx, project, s.def.Name, s.def.Version, version, labels); err != nil {
		return err
	}
	return h.follow(ctx, project, s.def.Name)
}

// label makes a version of Conductor's mean one of ours, and the newest of them "latest".
func (h *handlers) label(ctx context.Context, project, name string, label, version int, labels map[string]int) error {
	if err := h.engine.SetLabel(ctx, project, name, strconv.Itoa(label), version); err != nil {
		return err
	}
	if newest(labels) <= label {
		return h.engine.SetLabel(ctx, project, name, engine.LabelLatest, version)
	}
	return nil
}

// same compares definitions, whenever and by whomever they were registered.
func same(a, b map[string]any) bool {
	clean := func(m map[string]any) map[string]any {
		out := make(map[string]any, len(m))
		for key, value := range m {
			if key != "createTime" && key != "updateTime" && key != "createdBy" && key != "updatedBy" {
				out[key] = value
			}
		}
		return out
	}
	return reflect.DeepEqual(clean(a), clean(b))
}

// publish compiles a definition and publishes what comes of it.
func (h *handlers) publish(ctx context.Context, project string, s *source, dryRun bool) (int, error) {
	d, err := h.compiled(ctx, project, s)
	if err != nil {
		return 0, err
	}
	if !dryRun {
		if err := h.noteOwn(ctx, project, d); err != nil {
			return 0, err
		}
	}
	done, err := h.engine.PublishForeign(ctx, project, d.Canonical(), dryRun)
	return done.Workflow.Version, err
}

// compiled translates a definition with the definitions of its tasks that there are.
func (h *handlers) compiled(ctx context.Context, project string, s *source) (*workflow.Definition, error) {
	defs, err := h.taskDefsOf(ctx, project, s.def.Tasks)
	if err != nil {
		return nil, err
	}
	return compile(s, defs)
}

// taskDefsOf reads the definitions of tasks, as far as there are any.
func (h *handlers) taskDefsOf(ctx context.Context, project string, tasks []workflowTask) (map[string]*taskDef, error) {
	defs := map[string]*taskDef{}
	for name := range taskNames(tasks) {
		d, err := h.taskDef(ctx, project, name)
		if err != nil {
			return nil, err
		}
		defs[name] = d
	}
	return defs, nil
}

// versions are Conductor's versions of a workflow, in order.
func (h *handlers) versions(ctx context.Context, project, name string) ([]int, error) {
	labels, err := h.engine.Labels(ctx, project, name)
	if err != nil {
		return nil, err
	}
	return numbers(labels), nil
}

func numbers(labels map[string]int) []int {
	var all []int
	for label := range labels {
		if n, err := strconv.Atoi(label); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

func newest(labels map[string]int) int {
	all := numbers(labels)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

// definition answers a registered definition; version 0 is the newest.
func (h *handlers) definition(ctx context.Context, name string, version int) (map[string]any, error) {
	project := compat.Project(ctx)
	labels, err := h.engine.Labels(ctx, project, name)
	if err != nil {
		return nil, err
	}
	asked := version
	if version == 0 {
		version = newest(labels)
	}
	native, ok := labels[strconv.Itoa(version)]
	if !ok {
		if asked == 0 {
			return nil, refuse(http.StatusNotFound, "No such workflow found by name: %s, version: null", name)
		}
		return nil, refuse(http.StatusNotFound, "No such workflow found by name: %s, version: %d", name, asked)
	}
	k, err := h.known(ctx, project, name, native)
	if err != nil {
		return nil, err
	}
	return k.definition, nil
}

func (h *handlers) getWorkflow(c *gin.Context) error {
	version, err := count(c, "version", 0)
	if err != nil {
		return err
	}
	ctx, name := c.Request.Context(), c.Param("name")
	d, err := h.definition(ctx, name, version)
	if err != nil {
		return err
	}
	if boolean(c, "metadata", false) && d != nil {
		tags, err := h.tags(ctx, tagsOf("workflow", name))
		if err != nil {
			return err
		}
		d = maps.Clone(d)
		d["tags"] = tags
	}
	return compat.Answer(c.Writer, http.StatusOK, d)
}

// registered visits every registered version of every workflow, by name and version.
func (h *handlers) registered(ctx context.Context, visit func(name string, version, native int) error) error {
	project := compat.Project(ctx)
	for page := (engine.Page{Limit: 1000}); ; {
		all, next, err := h.engine.Workflows(ctx, project, page)
		if err != nil {
			return err
		}
		for _, w := range all {
			labels, err := h.engine.Labels(ctx, project, w.Name)
			if err != nil {
				return err
			}
			for _, n := range numbers(labels) {
				if err := visit(w.Name, n, labels[strconv.Itoa(n)]); err != nil {
					return err
				}
			}
		}
		if page.Cursor = next; next == "" {
			return nil
		}
	}
}

// listWorkflows answers definitions: all of them, or the newest of each name.
func (h *handlers) listWorkflows(latest bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		ctx := c.Request.Context()
		list := []map[string]any{}
		last := ""
		err := h.registered(ctx, func(name string, _, native int) error {
			k, err := h.known(ctx, compat.Project(ctx), name, native)
			if err != nil || k.definition == nil {
				return err
			}
			if latest && name == last {
				list = list[:len(list)-1]
			}
			list, last = append(list, k.definition), name
			return nil
		})
		if err != nil {
			return err
		}
		return compat.Answer(c.Writer, http.StatusOK, list)
	}
}

// namesAndVersions answers which versions there are of each name.
func (h *handlers) namesAndVersions(c *gin.Context) error {
	all := map[string][]map[string]any{}
	err := h.registered(c.Request.Context(), func(name string, version, _ int) error {
		all[name] = append(all[name], map[string]any{"name": name, "version": version})
		return nil
	})
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, all)
}

func (h *handlers) workflowNames(c *gin.Context) error {
	names := []string{}
	err := h.registered(c.Request.Context(), func(name string, _, _ int) error {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return compat.Answer(c.Writer, http.StatusOK, names)
}

func (h *handlers) workflowVersions(c *gin.Context) error {
	ctx := c.Request.Context()
	versions, err := h.versions(ctx, compat.Project(ctx), c.Param("name"))
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, n := range versions {
		list = append(list, map[string]any{"name": c.Param("name"), "version": n})
	}
	return compat.Answer(c.Writer, http.StatusOK, list)
}

// deleteWorkflow takes a version away. What runs of it goes on: its content stays natively.
func (h *handlers) deleteWorkflow(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	version, err := strconv.Atoi(c.Param("version"))
	if err != nil {
		return refuse(http.StatusBadRequest, "version: %q is not a whole number", c.Param("version"))
	}
	project := compat.Project(ctx)
	if err := h.engine.DropLabel(ctx, project, name, strconv.Itoa(version)); compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "No such workflow definition: %s version: %d", name, version)
	} else if err != nil {
		return err
	}
	labels, err := h.engine.Labels(ctx, project, name)
	if err != nil {
		return err
	}
	if n := newest(labels); n > 0 {
		err = h.engine.SetLabel(ctx, project, name, engine.LabelLatest, labels[strconv.Itoa(n)])
	} else if err = h.engine.DropLabel(ctx, project, name, engine.LabelLatest); err == nil || compat.IsMissing(err) {
		err = h.dropTags(ctx, tagsOf("workflow", name), nil)
	}
	if err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}
