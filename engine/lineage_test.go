package engine_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

// redriven makes an execution of one task as a redrive of another into a new one does.
func (s *stage) redriven(from *engine.Execution, relation engine.Relation) *engine.Execution {
	s.t.Helper()
	id, err := uuid.NewV7()
	require.NoError(s.t, err)
	x := *s.at(from)
	x.ID, x.Parent, x.Session, x.Origin = id.String(), nil, nil, &engine.Origin{Execution: from.ID, Relation: relation}
	x.Number, err = s.store.Number(s.ctx())
	require.NoError(s.t, err)
	_, _, err = s.store.Create(s.ctx(), engine.NewExecution{Execution: x, Tasks: []engine.NewTask{{Ref: "a"}}, Roots: []engine.Successor{{Ref: "a"}}})
	require.NoError(s.t, err)
	_, err = s.store.Index(s.ctx(), []string{x.ID})
	require.NoError(s.t, err)
	return s.at(&x)
}

func (s *stage) lineage(id string) *engine.Lineage {
	s.t.Helper()
	l, err := s.Lineage(s.ctx(), id)
	require.NoError(s.t, err)
	return l
}

// drawn writes a lineage with a letter per execution: child<parent relation task.
func drawn(l *engine.Lineage, letters map[string]string) (lines []string) {
	for _, n := range l.Nodes {
		lines = append(lines, strings.TrimSpace(letters[n.Execution]+"<"+letters[n.Parent]+" "+string(n.Relation)+" "+n.Task))
	}
	return lines
}

const (
	innermost = "name: innermost\ntasks: [{ name: a, type: noop }]"
	middle    = "name: middle\ntasks: [{ name: a, type: noop }, { name: deep, type: workflow, with: { name: innermost } }]"
	outermost = "name: outermost\ntasks: [{ name: a, type: noop }, { name: each, type: workflow, for_each: { items: [eu, us] }, with: { name: middle } }]"
)

func TestALineageIsTheSameFromEveryMember(t *testing.T) {
	s := newStage(t)
	s.publish(innermost, middle)
	x := s.start(outermost, `{}`)
	eu, us := s.task(x, "each[eu]").Child, s.task(x, "each[us]").Child
	deep := func(id string) string { return s.task(&engine.Execution{ID: id}, "deep").Child }
	retried := s.redriven(x, engine.RelationRetry)
	rerun := s.redriven(retried, engine.RelationRerun)
	part := s.redriven(&engine.Execution{ID: deep(us)}, engine.RelationRerun) // of a sub-execution alone
	stranger := s.start("name: stranger\ntasks: [{ name: a, type: noop }]", `{}`)
	letters := map[string]string{
		x.ID: "x", eu: "eu", us: "us", deep(eu): "eu.deep", deep(us): "us.deep",
		retried.ID: "retried", rerun.ID: "rerun", part.ID: "part", stranger.ID: "stranger",
	}
	want := []string{
		"x<",
		"eu<x sub_workflow each[eu]", "eu.deep<eu sub_workflow deep",
		"us<x sub_workflow each[us]", "us.deep<us sub_workflow deep", "part<us.deep rerun",
		"retried<x retry", "rerun<retried rerun",
	}
	if s.at(&engine.Execution{ID: us}).CreatedAt.Before(s.at(&engine.Execution{ID: eu}).CreatedAt) {
		want = slices.Concat(want[:1], want[3:6], want[1:3], want[6:])
	}
	for id, letter := range letters {
		l := s.lineage(id)
		require.False(t, l.Truncated)
		if id == stranger.ID {
			require.Equal(t, []string{"stranger<"}, drawn(l, letters))
			continue
		}
		require.Equal(t, x.ID, l.Root, letter)
		require.Equal(t, want, drawn(l, letters), letter)
	}
	s.settle()
	first := s.lineage(strconv.FormatInt(x.Number, 10)).Nodes[0] // by its number
	now := s.ends(x, workflow.ExecutionSucceeded)
	require.Equal(t, engine.LineageNode{
		Execution: x.ID, Number: x.Number, Workflow: "outermost", Version: 1, Status: workflow.ExecutionSucceeded,
		CreatedAt: now.CreatedAt, EndedAt: now.EndedAt,
	}, first)
}

func TestALineageWithoutItsRoot(t *testing.T) {
	s := newStage(t)
	x := s.start(innermost, `{}`)
	one := s.redriven(x, engine.RelationRetry)
	two := s.redriven(x, engine.RelationRetry)
	three := s.redriven(one, engine.RelationRerun)
	s.settle()
	s.ends(x, workflow.ExecutionSucceeded)
	_, err := s.store.Index(s.ctx(), []string{x.ID})
	require.NoError(t, err)
	s.offset += 2 * time.Hour
	require.NoError(t, s.store.Purge(s.ctx(), x.ID, false))
	letters := map[string]string{one.ID: "one", two.ID: "two", three.ID: "three"}
	for id := range letters {
		l := s.lineage(id)
		require.Equal(t, x.ID, l.Root)
		require.Equal(t, []string{"one<", "three<one rerun", "two<"}, drawn(l, letters))
	}
	_, err = s.Lineage(s.ctx(), x.ID)
	require.Equal(t, engine.NotFound("execution", x.ID), err)
}

func TestALongLineageIsCut(t *testing.T) {
	s := newStage(t)
	x := s.start(innermost, `{}`)
	last := x
	for range 1001 {
		last = s.redriven(x, engine.RelationRetry)
	}
	after := s.redriven(last, engine.RelationRerun)
	l := s.lineage(after.ID)
	require.True(t, l.Truncated)
	require.Len(t, l.Nodes, 1000)
	require.Equal(t, x.ID, l.Nodes[0].Execution)
	require.Equal(t, after.ID, l.Nodes[999].Execution, "the one that was asked for is there")
	require.Equal(t, last.ID, l.Nodes[998].Execution, "and what leads to it")
	require.True(t, s.lineage(x.ID).Truncated)
}
