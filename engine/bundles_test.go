package engine_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/engine"
)

func TestBundles(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := s.ctx()
	_, err := s.Bundle(ctx, "default", "")
	require.ErrorContains(t, err, "there is no bundle")
	put := func(name string) (*engine.Bundle, error) {
		return s.PutBundle(ctx, engine.Bundle{Project: "default", Name: name, By: "ann", Digest: "d-" + name, Workflows: map[string]int{"w": 2}, Content: []byte("\x1f\x8b" + name)})
	}
	first, err := put("one")
	require.NoError(t, err)
	require.EqualValues(t, 1, first.Number)
	require.False(t, first.CreatedAt.IsZero())
	_, err = put("one")
	require.ErrorContains(t, err, `has a bundle "one" already`)
	for _, bad := range []string{"", string(make([]byte, 256)), "\xff"} {
		_, err = put(bad)
		require.ErrorContains(t, err, "name: is empty, too long or no text")
	}
	_, err = s.PutBundle(ctx, engine.Bundle{Project: "nowhere", Name: "x"})
	require.ErrorContains(t, err, `there is no project "nowhere"`)
	for i := range engine.BundleContents {
		_, err = put(fmt.Sprint("more-", i))
		require.NoError(t, err)
	}
	newest, err := s.Bundle(ctx, "default", "")
	require.NoError(t, err)
	require.Equal(t, "more-19", newest.Name)
	require.Equal(t, "\x1f\x8bmore-19", string(newest.Content))
	again, err := s.Bundle(ctx, "default", "one")
	require.NoError(t, err)
	require.Empty(t, again.Content, "only the newest contents are kept")
	again.Content, first.Content = nil, nil
	require.Equal(t, first, again)

	var names []string
	page := engine.Page{Limit: 8}
	for {
		some, next, err := s.Bundles(ctx, "default", page)
		require.NoError(t, err)
		for _, b := range some {
			require.Empty(t, b.Content)
			names = append(names, b.Name)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	require.Len(t, names, 21)
	require.Equal(t, []string{"more-19", "one"}, []string{names[0], names[20]})
}

func TestNumbersOfNames(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := s.ctx()
	a, err := s.NumberOf(ctx, "project:a")
	require.NoError(t, err)
	b, err := s.NumberOf(ctx, "project:b")
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	again, err := s.NumberOf(ctx, "project:a")
	require.NoError(t, err)
	require.Equal(t, a, again)
	name, err := s.Named(ctx, b)
	require.NoError(t, err)
	require.Equal(t, "project:b", name)
	name, err = s.Named(ctx, 1<<40)
	require.NoError(t, err)
	require.Empty(t, name)
}

func TestWhatWasCompiledKeepsItsSource(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	made, err := s.PublishCompiled(s.ctx(), "default", []byte(`{"name":"w","tasks":[{"name":"a","type":"noop"}]}`), "+a:\n  echo>: hi\n", false)
	require.NoError(t, err)
	require.True(t, made.Created)
	w, err := s.Workflow(s.ctx(), "default", "w", 1)
	require.NoError(t, err)
	require.Equal(t, "+a:\n  echo>: hi\n", w.Source)
	require.Contains(t, string(w.Definition), `"noop"`)
}
