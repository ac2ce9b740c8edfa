package cli

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRedisServerKeepsItsDataAndItsFolder(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not on PATH; `go run ./test/run` installs it")
	}
	ctx, dir := t.Context(), t.TempDir()
	first, err := startRedisServer(ctx, dir)
	require.NoError(t, err)
	defer func() { _ = first.stop(context.Background()) }()
	require.True(t, answers(ctx, first.addr))

	_, err = startRedisServer(ctx, dir)
	code, text := explain(err)
	require.Equal(t, exitConflict, code)
	require.Contains(t, text, "is used by the redis-server with process id")

	require.NoError(t, first.stop(ctx))
	require.False(t, answers(ctx, first.addr))
	kept, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.NotEmpty(t, kept)

	second, err := startRedisServer(ctx, dir)
	require.NoError(t, err)
	require.NoError(t, second.stop(ctx))
}

func TestRedisServerSaysWhyItEnded(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := startRedisServer(t.Context(), t.TempDir())
	_, text := explain(err)
	require.Contains(t, text, "Install Redis 6.2 or newer")
}
