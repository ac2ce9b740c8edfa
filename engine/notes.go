package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/redrive/redrive/workflow"
)

// Notes are small JSON values that a project keeps in named groups, for whoever speaks
// for it: what another system's protocol knows and the engine does not.
type Notes interface {
	// PutNote keeps a note, in place of one with its name, unless that makes the group larger than most.
	PutNote(ctx context.Context, project, group, name string, value json.RawMessage, most int) (kept bool, err error)
	// DeleteNote answers whether there was one.
	DeleteNote(ctx context.Context, project, group, name string) (bool, error)
	// Note answers nil when there is none.
	Note(ctx context.Context, project, group, name string) (json.RawMessage, error)
	Notes(ctx context.Context, project, group string) (map[string]json.RawMessage, error)
}

// The limits of notes.
const (
	MaxNotes     = 10_000 // in a group
	maxNoteBytes = 1 << 20
	maxNoteName  = 512
)

// PutNote keeps a JSON value under a name in a group, in place of the former one. KindInvalid; KindConflict notes_full.
func (e *Engine) PutNote(ctx context.Context, project, group, name string, value json.RawMessage) error {
	if name == "" || len(name) > maxNoteName || len(group) > maxNoteName || len(value) > maxNoteBytes || !json.Valid(value) {
		return Invalid("request_invalid", "the note cannot be kept", workflow.Problem{
			Field: "note", Code: "out_of_range", Message: fmt.Sprintf("its name has %d bytes, its value %d", len(name), len(value)),
			Allowed: fmt.Sprintf("a name of 1 to %d bytes, and JSON of at most %d", maxNoteName, maxNoteBytes),
		})
	}
	if _, err := e.Project(ctx, project); err != nil {
		return err
	}
	kept, err := e.store.PutNote(ctx, project, group, name, value, MaxNotes)
	if err == nil && !kept {
		return Conflict("notes_full", "project %s keeps %d notes of this kind already", project, MaxNotes)
	}
	return err
}

// DeleteNote takes a note away. KindNotFound.
func (e *Engine) DeleteNote(ctx context.Context, project, group, name string) error {
	was, err := e.store.DeleteNote(ctx, project, group, name)
	if err == nil && !was {
		return NotFound("note", name)
	}
	return err
}

// Note answers one note. KindNotFound.
func (e *Engine) Note(ctx context.Context, project, group, name string) (json.RawMessage, error) {
	value, err := e.store.Note(ctx, project, group, name)
	if err == nil && value == nil {
		return nil, NotFound("note", name)
	}
	return value, err
}

// Notes answers all notes of a group, by name.
func (e *Engine) Notes(ctx context.Context, project, group string) (map[string]json.RawMessage, error) {
	return e.store.Notes(ctx, project, group)
}

// LabelLatest means the newest version where nothing else was given this label.
const LabelLatest = "latest"

// labelsOf is the group of notes that holds the labels of a workflow's versions.
func labelsOf(workflow string) string { return "labels:" + workflow }

// SetLabel makes a label mean a version of a workflow from now on. What runs, runs on as it was. KindNotFound.
func (e *Engine) SetLabel(ctx context.Context, project, name, label string, version int) error {
	if _, err := e.head(ctx, project, name, version); err != nil {
		return err
	}
	return e.PutNote(ctx, project, labelsOf(name), label, json.RawMessage(strconv.Itoa(version)))
}

// DropLabel takes a label off. KindNotFound.
func (e *Engine) DropLabel(ctx context.Context, project, name, label string) error {
	was, err := e.store.DeleteNote(ctx, project, labelsOf(name), label)
	if err == nil && !was {
		return NotFound("label", label)
	}
	return err
}

// Labels answers which versions the labels of a workflow mean.
func (e *Engine) Labels(ctx context.Context, project, name string) (map[string]int, error) {
	notes, err := e.store.Notes(ctx, project, labelsOf(name))
	if err != nil {
		return nil, err
	}
	labels := make(map[string]int, len(notes))
	for label, value := range notes {
		n, err := strconv.Atoi(string(value))
		if err != nil {
			return nil, fmt.Errorf("engine: the label %s of %s cannot be read: %w", label, name, err)
		}
		labels[label] = n
	}
	return labels, nil
}

// labeled answers the version that a label means; 0 = there is no such label.
func (e *Engine) labeled(ctx context.Context, project, name, label string) (int, error) {
	value, err := e.store.Note(ctx, project, labelsOf(name), label)
	if err != nil || value == nil {
		return 0, err
	}
	return strconv.Atoi(string(value))
}
