package cognite

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/redrive/redrive/engine"
)

// record is what a native version says of itself in its input_schema, under x-cognite.
type record struct {
	Workflow   workflowRecord  `json:"workflow"`
	ExternalID string          `json:"externalId"`
	Version    string          `json:"version,omitempty"`    // "" = it has none yet
	Definition json.RawMessage `json:"definition,omitempty"` // Cognite's
	Refs       []taskRef       `json:"refs,omitempty"`
	Gone       string          `json:"gone,omitempty"` // workflow or version: it was deleted
}

// workflowRecord is a workflow without its versions.
type workflowRecord struct {
	Description             string `json:"description,omitempty"`
	DataSetID               int64  `json:"dataSetId,omitempty"`
	MaxConcurrentExecutions *int   `json:"maxConcurrentExecutions,omitempty"`
	Created                 int64  `json:"created,omitempty"` // ms; 0 = with the first native version
}

// taskRef says which native task is which of Cognite's, in the order in which they are numbered.
type taskRef struct {
	ID       string  `json:"id"`
	Ref      string  `json:"ref"`
	Parent   *string `json:"parent"`
	Type     string  `json:"type"`
	Optional bool    `json:"optional"`
	Async    bool    `json:"async"`
}

const (
	goneWorkflow = "workflow"
	goneVersion  = "version"
)

// recordOf reads what an input_schema says of itself; nil when Cognite's words are not in it.
func recordOf(inputSchema json.RawMessage) *record {
	var s struct {
		Own *record `json:"x-cognite"`
	}
	if json.Unmarshal(inputSchema, &s) != nil {
		return nil
	}
	return s.Own
}

// recordIn reads a canonical definition. A workflow that was published natively is one of its name, whose versions are numbers.
func recordIn(w *engine.Workflow) *record {
	var d struct {
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	}
	_ = json.Unmarshal(w.Definition, &d) // it was read before it was stored
	if r := recordOf(d.InputSchema); r != nil {
		return r
	}
	return nativeRecord(w.Name, w.Version, d.Description)
}

func nativeRecord(name string, version int, description string) *record {
	return &record{
		ExternalID: name, Version: strconv.Itoa(version), Workflow: workflowRecord{Description: description},
		Definition: json.RawMessage(`{"tasks":[]}`),
	}
}

// family is a workflow with its versions, newest first.
type family struct {
	name     string // native
	head     *record
	created  int64
	updated  int64
	versions []member
}

type member struct {
	record *record
	native *engine.Workflow
}

// version finds one.
func (f *family) version(v string) *member {
	for i := range f.versions {
		if f.versions[i].record.Version == v {
			return &f.versions[i]
		}
	}
	return nil
}

const familyPage = 100

// family reads a workflow; nil when there is none.
func (h *handlers) family(ctx context.Context, project, externalID string) (*family, error) {
	name, err := workflowName(externalID)
	if err != nil {
		return nil, err
	}
	f := &family{name: name}
	seen := map[string]bool{}
	for page := (engine.Page{Limit: familyPage}); ; {
		list, next, err := h.engine.Versions(ctx, project, name, page)
		var refused *engine.Error
		if errors.As(err, &refused) && refused.Kind == engine.KindNotFound && refused.Code != "project_not_found" {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range list {
			if !f.add(&list[i], seen) {
				return f.found(), nil
			}
		}
		if page.Cursor = next; next == "" {
			return f.found(), nil
		}
	}
}

// add takes an older native version in; false = what is older does not count.
func (f *family) add(w *engine.Workflow, seen map[string]bool) bool {
	r := recordIn(w)
	if r.Gone == goneWorkflow {
		return false
	}
	at := w.CreatedAt.UnixMilli()
	if f.head == nil {
		f.head, f.updated = r, at
	}
	f.created = at
	if r.Version == "" || seen[r.Version] {
		return true
	}
	seen[r.Version] = true
	if r.Gone == "" {
		f.versions = append(f.versions, member{r, w})
	}
	return true
}

func (f *family) found() *family {
	if f.head == nil {
		return nil
	}
	if f.head.Workflow.Created != 0 {
		f.created = f.head.Workflow.Created
	}
	return f
}

func (f *family) view() workflowView {
	return viewOf(f.head, f.created, f.updated)
}

func viewOf(r *record, created, updated int64) workflowView {
	w := r.Workflow
	return workflowView{workflowUpsert{r.ExternalID, w.Description, w.DataSetID, w.MaxConcurrentExecutions}, created, updated}
}

// publishBare stores a native version that carries the record and runs nothing.
func (h *handlers) publishBare(ctx context.Context, project, name string, r record) (engine.PublishResult, error) {
	says := "the workflow has no version yet"
	if r.Gone != "" {
		says = "the " + r.Gone + " was deleted"
	}
	source, err := json.Marshal(map[string]any{
		"name": name, "input_schema": map[string]any{"x-cognite": r},
		"tasks": []any{map[string]any{"name": "none", "type": "fail", "with": map[string]any{"message": says, "code": "not_there"}}},
	})
	if err != nil {
		return engine.PublishResult{}, err
	}
	return h.engine.Publish(ctx, project, source, false)
}

// publishVersion translates a definition and stores it as a version.
func (h *handlers) publishVersion(ctx context.Context, project, name string, r record) (engine.PublishResult, error) {
	versions, err := h.subworkflows(ctx, project, r.Definition)
	if err != nil {
		return engine.PublishResult{}, err
	}
	source, err := translate(r.Definition, options{
		Name: name, ExternalID: r.ExternalID, Version: r.Version, Workflow: r.Workflow, Base: h.o.URL, Versions: versions,
	})
	if err != nil {
		return engine.PublishResult{}, err
	}
	return h.engine.Publish(ctx, project, source, false)
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
		f, err := h.family(ctx, project, id.WorkflowExternalID)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		if m := f.version(id.Version); m != nil {
			found[key] = resolved{f.name, m.native.Version}
		}
	}
	return found, nil
}
