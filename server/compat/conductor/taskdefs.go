package conductor

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// notesTaskDefs is the group of notes that holds the definitions of tasks.
const notesTaskDefs = "conductor.taskdef"

// taskDef reads the definition of a task; nil when there is none.
func (h *handlers) taskDef(ctx context.Context, project, name string) (*taskDef, error) {
	raw, err := h.engine.Note(ctx, project, notesTaskDefs, name)
	if compat.IsMissing(err) || name == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &taskDef{}
	if err := decode(raw, d); err != nil {
		return nil, malformed(err)
	}
	return d, nil
}

// createTaskDefs registers definitions of tasks: POST /metadata/taskdefs.
func (h *handlers) createTaskDefs(c *gin.Context) error {
	list, err := readList[map[string]any](c.Request)
	if err != nil {
		return err
	}
	if err := h.keepTaskDefs(c.Request.Context(), list); err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// updateTaskDef changes one: PUT /metadata/taskdefs.
func (h *handlers) updateTaskDef(c *gin.Context) error {
	var full map[string]any
	if err := read(c.Request, &full); err != nil {
		return err
	}
	ctx := c.Request.Context()
	name, _ := full["name"].(string)
	if d, err := h.taskDef(ctx, compat.Project(ctx), name); err != nil {
		return err
	} else if d == nil && name != "" {
		return refuse(http.StatusNotFound, "No such task by name %s", name)
	}
	if err := h.keepTaskDefs(ctx, []map[string]any{full}); err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// keepTaskDefs keeps definitions of tasks, and compiles the workflows that use them anew.
func (h *handlers) keepTaskDefs(ctx context.Context, list []map[string]any) error {
	project := compat.Project(ctx)
	defs := make([]json.RawMessage, len(list))
	names, tags := make([]string, len(list)), make([]*brought, len(list))
	for i, full := range list {
		if full == nil {
			return noDefinition
		}
		var err error
		if tags[i], err = takeTags(full); err != nil {
			return err
		}
		var d taskDef
		if err := mold(filled(full, usualTaskDef), &d); err != nil {
			return malformed(err)
		}
		if wrong := d.check(); len(wrong) > 0 {
			return wrong
		}
		names[i] = d.Name
	}
	for i, full := range list {
		if _, ok := full["createTime"]; !ok {
			full["createTime"] = time.Now().UnixMilli()
		}
		defs[i] = encoded(full)
		if err := h.engine.PutNote(ctx, project, notesTaskDefs, names[i], defs[i]); err != nil {
			return err
		}
		if err := h.keepTags(ctx, "task", names[i], tags[i]); err != nil {
			return err
		}
		h.patience.forget(project, names[i])
	}
	return h.compileAnew(ctx, names)
}

func (d *taskDef) check() invalidDef {
	var wrong invalidDef
	add := func(path, message string) { wrong = append(wrong, validationError{Path: path, Message: message}) }
	if d.Name == "" {
		add("name", "TaskDef name cannot be null or empty")
	}
	if _, ok := nativeType(d.Name); !ok && d.Name != "" {
		add("name", "TaskDef name has at most 100 characters")
	}
	if or(d.RetryCount, 0) < 0 {
		add("retryCount", "TaskDef retryCount: must be greater than or equal to 0")
	}
	if response := or(d.ResponseTimeout, usualResponse); response < 1 {
		add("responseTimeoutSeconds", "TaskDef responseTimeoutSeconds: should be minimum 1 second")
	} else if d.Timeout > 0 && response > d.Timeout {
		add("responseTimeoutSeconds", "TaskDef: "+d.Name+" responseTimeoutSeconds must be less than or equal to timeoutSeconds")
	}
	for path, value := range map[string][]string{"retryLogic": {d.RetryLogic, "", "FIXED", "LINEAR_BACKOFF", "EXPONENTIAL_BACKOFF"}, "timeoutPolicy": {d.TimeoutPolicy, "", "RETRY", "TIME_OUT_WF", "ALERT_ONLY"}} {
		if !strings.Contains(" "+strings.Join(value[1:], " ")+" ", " "+value[0]+" ") {
			add(path, value[0]+" is none of "+strings.Join(value[2:], ", "))
		}
	}
	return wrong
}

// compileAnew publishes the workflows again that use tasks whose definitions changed: their retries are a part of them.
func (h *handlers) compileAnew(ctx context.Context, names []string) error {
	project := compat.Project(ctx)
	return h.registered(ctx, func(name string, version, native int) error {
		k, err := h.known(ctx, project, name, native)
		if err != nil || k.definition == nil {
			return err
		}
		s, err := k.source()
		if err != nil {
			return err
		}
		used := taskNames(s.def.Tasks)
		if !slices.ContainsFunc(names, func(changed string) bool { return used[changed] }) {
			return nil
		}
		now, err := h.publish(ctx, project, s, false)
		if err != nil || now == native {
			return err
		}
		labels, err := h.engine.Labels(ctx, project, name)
		if err != nil {
			return err
		}
		return h.label(ctx, project, name, version, now, labels)
	})
}

func (h *handlers) listTaskDefs(c *gin.Context) error {
	ctx := c.Request.Context()
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesTaskDefs)
	if err != nil {
		return err
	}
	list := make([]json.RawMessage, 0, len(notes))
	for _, name := range sorted(notes) {
		list = append(list, notes[name])
	}
	return compat.Answer(c.Writer, http.StatusOK, list)
}

func (h *handlers) getTaskDef(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	raw, err := h.engine.Note(ctx, compat.Project(ctx), notesTaskDefs, name)
	if compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "No such taskType found by name: %s", name)
	}
	if err != nil {
		return err
	}
	if boolean(c, "metadata", false) {
		tags, err := h.tags(ctx, tagsOf("task", name))
		if err != nil {
			return err
		}
		full := fields(raw)
		full["tags"] = encoded(tags)
		raw = encoded(full)
	}
	return compat.Answer(c.Writer, http.StatusOK, raw)
}

func (h *handlers) deleteTaskDef(c *gin.Context) error {
	ctx, name := c.Request.Context(), c.Param("name")
	err := h.engine.DeleteNote(ctx, compat.Project(ctx), notesTaskDefs, name)
	if compat.IsMissing(err) {
		return refuse(http.StatusNotFound, "No such taskType found by name: %s", name)
	}
	if err != nil {
		return err
	}
	h.patience.forget(compat.Project(ctx), name)
	if err := h.dropTags(ctx, tagsOf("task", name), nil); err != nil {
		return err
	}
	if err := h.compileAnew(ctx, []string{name}); err != nil {
		return err
	}
	return silent(c.Writer, http.StatusOK)
}

// patience remembers for a moment what a task's definition says to polls: how long workers may be silent, and how many runs there may be.
type patience struct {
	mu  sync.Mutex
	all map[string]patient
}

type patient struct {
	silence time.Duration
	most    *engine.Cap // nil = any number
	until   time.Time
}

const (
	patienceTime = 5 * time.Second
	patienceSize = 10_000
)

func (p *patience) forget(project, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, project+"/"+name)
}

// maxCap bounds what is counted.
const maxCap = 10_000

// most is how many runs a task's definition lets workers have; nil = any number.
func (d *taskDef) most(project, nativeName string) *engine.Cap {
	c := engine.Cap{Project: project, Type: nativeName, Running: int(min(max(d.ExecLimit, 0), maxCap))}
	if d.RateLimit > 0 && d.RateLimitSeconds > 0 {
		c.Starts, c.Per = int(min(d.RateLimit, maxCap)), time.Duration(seconds(d.RateLimitSeconds))
	}
	if c.Running == 0 && c.Starts == 0 {
		return nil
	}
	return &c
}

func (h *handlers) says(ctx context.Context, project, name, nativeName string) (patient, error) {
	key, now := project+"/"+name, time.Now()
	h.patience.mu.Lock()
	known, ok := h.patience.all[key]
	h.patience.mu.Unlock()
	if ok && now.Before(known.until) {
		return known, nil
	}
	d, err := h.taskDef(ctx, project, name)
	if err != nil {
		return patient{}, err
	}
	p := patient{silence: usualResponse * time.Second, until: now.Add(patienceTime)}
	if d != nil {
		p.silence, p.most = time.Duration(seconds(max(or(d.ResponseTimeout, usualResponse), 1))), d.most(project, nativeName)
	}
	h.patience.mu.Lock()
	defer h.patience.mu.Unlock()
	if h.patience.all == nil || len(h.patience.all) >= patienceSize {
		h.patience.all = map[string]patient{}
	}
	h.patience.all[key] = p
	return p, nil
}
