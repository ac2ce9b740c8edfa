package cognite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/redrive/redrive/engine"
)

// change publishes what a workflow becomes, for which enough of it was read. It rests on what was read: when somebody else published meanwhile, it is
// made again from what they left. next answers nil when there is nothing to do; so does change.
func (h *handlers) change(ctx context.Context, project, externalID string, enough needs, next func(f *family) ([]byte, error)) (*engine.Workflow, error) {
	for {
		f, err := h.family(ctx, project, externalID, enough)
		if err != nil {
			return nil, err
		}
		source, err := next(f)
		if err != nil || source == nil {
			return nil, err
		}
		done, err := h.engine.PublishAfter(ctx, project, source, f.newest)
		if err == nil {
			return &done.Workflow, nil
		}
		if !errors.Is(err, engine.ErrMoved) {
			return nil, err
		}
	}
}

// bare is a native version that carries the record and runs nothing.
func bare(name string, r record) ([]byte, error) {
	says := "the workflow has no version"
	if r.Gone {
		says = "the workflow was deleted"
	}
	d := map[string]any{
		"name": name, "input_schema": map[string]any{"x-cognite": r},
		"tasks": []any{map[string]any{"name": "none", "type": "fail", "with": map[string]any{"message": says, "code": "not_there"}}},
	}
	if n := r.Workflow.MaxConcurrentExecutions; n != nil {
		d["concurrency"] = map[string]any{"max_running": *n}
	}
	return json.Marshal(d)
}

// again is a native version of a family, as a newer one that says this of the workflow, and of itself what it did.
func again(m *member, w workflowRecord, removed ...string) ([]byte, error) {
	var d, schema map[string]json.RawMessage
	if err := json.Unmarshal(m.native.Definition, &d); err != nil {
		return nil, fmt.Errorf("cognite: version %d of %s: %w", m.native.Version, m.native.Name, err)
	}
	if given := d["input_schema"]; given == nil {
		schema = map[string]json.RawMessage{}
	} else if json.Unmarshal(given, &schema) != nil { // a native one that is only true or false
		schema = map[string]json.RawMessage{"allOf": json.RawMessage("[" + string(given) + "]")}
	}
	r := *m.record
	r.Workflow, r.Removed = w, removed
	r.Created, r.Updated = m.times()
	var err error
	if schema["x-cognite"], err = json.Marshal(r); err != nil {
		return nil, err
	}
	if d["input_schema"], err = json.Marshal(schema); err != nil {
		return nil, err
	}
	if r.Refs != nil { // a native one has a limit of its own
		delete(d, "concurrency")
	}
	if n := w.MaxConcurrentExecutions; n != nil {
		if d["concurrency"], err = json.Marshal(map[string]any{"max_running": *n}); err != nil {
			return nil, err
		}
	}
	return json.Marshal(d)
}

// translated is a version as a native one.
func (h *handlers) translated(ctx context.Context, project, name string, r record) ([]byte, error) {
	versions, err := h.subworkflows(ctx, project, r.Definition)
	if err != nil {
		return nil, err
	}
	return translate(r.Definition, options{
		Name: name, ExternalID: r.ExternalID, Version: r.Version, Workflow: r.Workflow, Created: r.Created, Updated: r.Updated,
		Base: h.o.URL, Versions: versions,
	})
}

// subworkflows finds the versions that a definition refers to.
func (h *handlers) subworkflows(ctx context.Context, project string, definition json.RawMessage) (map[string]resolved, error) {
	var d struct {
		Tasks []struct {
			Parameters struct {
				Subworkflow versionID `json:"subworkflow"`
			} `json:"parameters"`
		} `json:"tasks"`
	}
	_ = json.Unmarshal(definition, &d) // the translator says what is wrong
	found := map[string]resolved{}
	for _, t := range d.Tasks {
		id := t.Parameters.Subworkflow
		key := id.WorkflowExternalID + "\n" + id.Version
		if _, known := found[key]; known || id.WorkflowExternalID == "" {
			continue
		}
		f, err := h.family(ctx, project, id.WorkflowExternalID, downTo(id.Version))
		if err != nil {
			return nil, err
		}
		if m := f.version(id.Version); m != nil {
			nests := slices.ContainsFunc(m.record.Refs, func(r taskRef) bool { return r.Type == "dynamic" || r.Type == "subworkflow" })
			found[key] = resolved{f.name, m.native.Version, nests}
		}
	}
	return found, nil
}
