package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue/queuetest"
	"github.com/redrive/redrive/workflow"
)

// redriven makes an execution as a redrive of another into a new one does.
func (h *house) redriven(from *engine.Execution, relation engine.Relation) *engine.Execution {
	h.t.Helper()
	ctx := h.t.Context()
	id, err := uuid.NewV7()
	require.NoError(h.t, err)
	x := *from
	x.ID, x.Origin = id.String(), &engine.Origin{Execution: from.ID, Relation: relation}
	x.Path, x.Depth = "sub/", 1 // of a sub-workflow, so that its keys stay
	x.Number, err = h.Number(ctx)
	require.NoError(h.t, err)
	settled, created, err := h.Create(ctx, engine.NewExecution{
		Execution: x, Tasks: []engine.NewTask{{Ref: "a"}}, Roots: []engine.Successor{{Ref: "a"}},
	})
	require.NoError(h.t, err)
	require.True(h.t, created)
	if !settled.Listed {
		_, err := h.Index(ctx, []string{x.ID})
		require.NoError(h.t, err)
	}
	return h.now(x.ID)
}

func (h *house) family(root string, most int) []string {
	h.t.Helper()
	ids, err := h.Family(h.t.Context(), "default", root, most)
	require.NoError(h.t, err)
	return ids
}

func aLineage(t *testing.T, h *house) {
	ctx := t.Context()
	x := h.start(&workflow.Definition{Name: "line", Tasks: tasksOf("a")})
	require.Nil(t, h.now(x.ID).Origin)
	require.Empty(t, h.family(x.ID, 10))
	again := h.redriven(x, engine.RelationRetry)
	last := h.redriven(again, engine.RelationRerun)
	require.Equal(t, &engine.Origin{Execution: again.ID, Relation: engine.RelationRerun}, last.Origin)
	require.Equal(t, x.ID, last.Root)
	require.Equal(t, "sub/", last.Path)
	require.Equal(t, 1, last.Depth)
	require.Nil(t, last.Parent)
	require.Equal(t, []string{again.ID, last.ID}, h.family(x.ID, 10), "oldest first")
	require.Equal(t, []string{again.ID}, h.family(x.ID, 1))
	require.Empty(t, h.family(again.ID, 10), "a family is found by its root")

	for _, id := range []string{again.ID, last.ID} {
		h.complete(id, "a")
		_, err := h.Index(ctx, []string{id})
		require.NoError(t, err)
	}
	require.Equal(t, []string{again.ID, last.ID}, h.family(x.ID, 10), "whatever their status")
	h.offset += time.Hour
	require.NoError(t, h.Purge(ctx, again.ID, false))
	require.Equal(t, []string{last.ID}, h.family(x.ID, 10))
	require.Equal(t, again.ID, h.now(last.ID).Origin.Execution, "its origin may be gone")
	branches, err := h.Branches(ctx, []string{x.ID, again.ID, last.ID})
	require.NoError(t, err)
	require.Nil(t, branches[1])
	require.Equal(t, []string{x.ID, last.ID}, []string{branches[0].ID, branches[2].ID})
	require.NoError(t, h.Purge(ctx, last.ID, false))
	keys, err := queuetest.Keys(ctx, h.Client(), "redrive:")
	require.NoError(t, err)
	for _, key := range keys {
		require.NotContains(t, key, ":lineage:", "a list of nothing is no key")
	}
}

func branches(t *testing.T, h *house) {
	h.publish(&workflow.Definition{Name: "part", Tasks: tasksOf("a")})
	with := json.RawMessage(`{"name":"part"}`)
	x := h.start(&workflow.Definition{Name: "whole", Tasks: []workflow.Task{
		{Name: "one", Type: workflow.TypeWorkflow, With: with}, {Name: "two", Type: workflow.TypeWorkflow, With: with},
	}})
	all, err := h.Branches(t.Context(), []string{x.ID})
	require.NoError(t, err)
	require.Len(t, all[0].Children, 2)
	require.IsIncreasing(t, all[0].Children, "oldest first")
	ids := append([]string{uuid.NewString()}, all[0].Children...)
	for range 600 {
		ids = append(ids, x.ID)
	}
	all, err = h.Branches(t.Context(), ids)
	require.NoError(t, err)
	require.Len(t, all, len(ids), "more than one trip")
	require.Nil(t, all[0])
	require.Equal(t, x.ID, all[1].Parent.Execution)
	require.Empty(t, all[1].Children)
	require.Equal(t, x.ID, all[602].ID)
}
