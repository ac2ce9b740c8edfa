package cognite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/redrive/redrive/engine"
)

// record is what a native version says of itself in its input_schema, under x-cognite.
type record struct {
	Workflow   workflowRecord  `json:"workflow"`
	ExternalID string          `json:"externalId"`
	Version    string          `json:"version,omitempty"`    // "" = none of its versions is left
	Definition json.RawMessage `json:"definition,omitempty"` // Cognite's
	Refs       []taskRef       `json:"refs,omitempty"`
	Created    int64           `json:"created,omitempty"` // of the version, ms; 0 = with this native one
	Updated    int64           `json:"updated,omitempty"`
	Removed    []string        `json:"removed,omitempty"` // versions that were deleted with it
	Gone       bool            `json:"gone,omitempty"`    // the workflow was deleted
}

// workflowRecord is a workflow without its versions.
type workflowRecord struct {
	Description             string `json:"description,omitempty"`
	DataSetID               int64  `json:"dataSetId,omitempty"`
	MaxConcurrentExecutions *int   `json:"maxConcurrentExecutions,omitempty"`
	Created                 int64  `json:"created,omitempty"` // ms; 0 = with this native version
	Updated                 int64  `json:"updated,omitempty"`
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

// hash is that of Cognite's definition, however it is written.
func (r *record) hash() string {
	var v any
	d := json.NewDecoder(bytes.NewReader(r.Definition))
	d.UseNumber()
	_ = d.Decode(&v) // it was read before it was stored
	text, _ := json.Marshal(v)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// family is a workflow with its versions, newest first, as far as they were read.
type family struct {
	name     string // native
	newest   int    // native version; 0 = none
	head     *record
	updated  int64 // when the head was stored
	created  int64
	versions []member
	seen     map[string]bool // versions that are known to be there, or not to be
}

// member is a version of a family.
type member struct {
	record *record
	native *engine.Workflow
}

// there reports whether there is such a workflow.
func (f *family) there() bool { return f.head != nil }

// version finds one; nil when there is none.
func (f *family) version(v string) *member {
	for i := range f.versions {
		if f.versions[i].record.Version == v {
			return &f.versions[i]
		}
	}
	return nil
}

const (
	familyBegin = 10 // native versions that are read first: most calls want no more
	familyPage  = 200
)

// needs says how much of a family is to be read.
type needs func(f *family) bool

// whole is all of it.
func whole(*family) bool { return false }

// dated is what the workflow itself says, with its times.
func dated(f *family) bool { return f.head.Workflow.Created != 0 }

// downTo is what is said of one version.
func downTo(version string) needs {
	return func(f *family) bool { return f.seen[version] }
}

func both(a, b needs) needs {
	return func(f *family) bool { return a(f) && b(f) }
}

// family reads a workflow, which may not be there, until that is enough.
func (h *handlers) family(ctx context.Context, project, externalID string, enough needs) (*family, error) {
	name, err := workflowName(externalID)
	if err != nil {
		return nil, err
	}
	f := &family{name: name}
	for page := (engine.Page{Limit: familyBegin}); ; page.Limit = familyPage {
		list, next, err := h.engine.Versions(ctx, project, name, page)
		if isMissing(err) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		for i := range list {
			if !f.add(&list[i]) || enough(f) {
				return f, nil
			}
		}
		if page.Cursor = next; next == "" {
			return f, nil
		}
	}
}

// add takes an older native version in; false = what is older does not count.
func (f *family) add(w *engine.Workflow) bool {
	f.newest = max(f.newest, w.Version)
	r := recordIn(w)
	if r.Gone {
		return false
	}
	at := w.CreatedAt.UnixMilli()
	if f.head == nil {
		f.head, f.updated, f.seen = r, at, map[string]bool{}
	}
	f.created = at
	if !f.seen[r.Version] && r.Version != "" {
		f.versions = append(f.versions, member{r, w})
		f.seen[r.Version] = true
	}
	for _, v := range r.Removed {
		f.seen[v] = true
	}
	return true
}

// workflow is what the workflow says of itself, with its times.
func (f *family) workflow() workflowRecord {
	w := f.head.Workflow
	if w.Created == 0 {
		w.Created = f.created
	}
	if w.Updated == 0 {
		w.Updated = f.updated
	}
	return w
}

func (f *family) view() workflowView {
	w := f.workflow()
	return workflowView{workflowUpsert{f.head.ExternalID, w.Description, w.DataSetID, w.MaxConcurrentExecutions}, w.Created, w.Updated}
}

// times are those of a version.
func (m member) times() (created, updated int64) {
	created, updated = m.record.Created, m.record.Updated
	at := m.native.CreatedAt.UnixMilli()
	if created == 0 {
		created = at
	}
	if updated == 0 {
		updated = at
	}
	return created, updated
}

func (m member) view() versionView {
	created, updated := m.times()
	return versionView{versionID{m.record.ExternalID, m.record.Version}, m.record.definition(), created, updated}
}

// definition is Cognite's definition as it was stored, with its defaults.
func (r *record) definition() definitionView {
	var d definitionView
	_ = json.Unmarshal(r.Definition, &d) // it was read before it was stored
	d.Hash = r.hash()
	if d.Tasks == nil {
		d.Tasks = json.RawMessage("[]")
	}
	return d
}
