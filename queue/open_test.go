package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/queue/queuetest"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for raw, check := range map[string]func(o *redis.UniversalOptions){
		"redis://localhost":        func(o *redis.UniversalOptions) { require.Equal(t, []string{"localhost:6379"}, o.Addrs) },
		"redis://localhost:7000/3": func(o *redis.UniversalOptions) { require.Equal(t, 3, o.DB) },
		"redis://[::1]/0":          func(o *redis.UniversalOptions) { require.Equal(t, []string{"[::1]:6379"}, o.Addrs) },
		"redis://[::1]:7000":       func(o *redis.UniversalOptions) { require.Equal(t, []string{"[::1]:7000"}, o.Addrs) },
		"redis://u:p%40ss@h:1/2": func(o *redis.UniversalOptions) {
			require.Equal(t, []string{"u", "p@ss"}, []string{o.Username, o.Password})
		},
		"redis://:pass@h":          func(o *redis.UniversalOptions) { require.Equal(t, "pass", o.Password) },
		"redis://h?pool_size=7":    func(o *redis.UniversalOptions) { require.Equal(t, 7, o.PoolSize) },
		"rediss://a:1,b:2":         func(o *redis.UniversalOptions) { require.True(t, o.IsClusterMode && o.TLSConfig.ServerName == "") },
		"redis://a:1,b,[::1]:3":    func(o *redis.UniversalOptions) { require.Equal(t, []string{"a:1", "b:6379", "[::1]:3"}, o.Addrs) },
		"redis://a:1?cluster=true": func(o *redis.UniversalOptions) { require.True(t, o.IsClusterMode) },
		"redis://a:1,b:2/4?master_name=main": func(o *redis.UniversalOptions) {
			require.True(t, o.MasterName == "main" && !o.IsClusterMode && o.DB == 4)
		},
		"unix:///run/redis.sock?db=2": func(o *redis.UniversalOptions) { require.True(t, o.Addrs[0] == "/run/redis.sock" && o.DB == 2) },
	} {
		o, err := queue.ParseURL(raw)
		require.NoError(t, err, raw)
		check(o)
		require.NotZero(t, o.PoolSize, raw)
		require.True(t, o.ContextTimeoutEnabled, raw)
	}
}

func TestBadURLsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"localhost:6379", "", "http://localhost", "redis://u:secret@a,,b", "redis://u:secret@a,b/1", "redis://u:secret@h/db",
		"redis://u:secret@h?bogus=1", "redis://u:secret@h:port", "unix://u:secret@\x7f", "redis://u:secret%zz@h",
	} {
		_, err := queue.ParseURL(raw)
		require.Error(t, err, raw)
		require.ErrorContains(t, err, "redis://[user:password@]host:port", raw)
		require.NotContains(t, err.Error(), "secret", raw)
	}
}

func open(t *testing.T, url string) error {
	t.Helper()
	o := queue.DefaultOptions()
	o.URL, o.Logger = url, quiet()
	store, err := queue.Open(t.Context(), o)
	if err == nil {
		require.NoError(t, store.Close())
		require.NoError(t, store.Close(), "closing twice is no error")
	}
	return err
}

func TestOpenRefusesARedisThatWouldLoseWork(t *testing.T) {
	t.Parallel()
	require.NoError(t, open(t, queuetest.URL(t)))

	lossy, err := queuetest.Start("--maxmemory-policy", "allkeys-lru")
	require.NoError(t, err)
	t.Cleanup(lossy.Stop)
	err = open(t, "redis://"+lossy.Addr())
	require.ErrorContains(t, err, "allkeys-lru")
	require.ErrorContains(t, err, "CONFIG SET maxmemory-policy noeviction")

	locked, err := queuetest.Start()
	require.NoError(t, err)
	t.Cleanup(locked.Stop)
	c := redis.NewClient(&redis.Options{Addr: locked.Addr()})
	require.NoError(t, c.ConfigSet(t.Context(), "requirepass", "secret").Err())
	require.NoError(t, c.Close())
	err = open(t, "redis://:wrong@"+locked.Addr())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "wrong@")
	require.NoError(t, open(t, "redis://:secret@"+locked.Addr()))
}

func TestOpenSaysHowToReachRedis(t *testing.T) {
	t.Parallel()
	gone, err := queuetest.Start()
	require.NoError(t, err)
	gone.Stop()
	err = open(t, "redis://user:secret@"+gone.Addr())
	require.ErrorContains(t, err, "cannot be reached")
	require.ErrorContains(t, err, "REDRIVE_REDIS")
	require.NotContains(t, err.Error(), "secret")
}

func TestMonitoringMayBeClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	c, ok := b.Monitoring().MakeRedisClient().(*redis.Client)
	require.True(t, ok, "asynqmon knows only the concrete types")
	require.NoError(t, c.Ping(t.Context()).Err())
	require.NoError(t, c.Close())
	require.NoError(t, b.Ping(t.Context()), "the store's own connections stay")
}

// The lead over a group of shards has one owner at a time, and can be taken over.
func TestLead(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	ctx := t.Context()
	lead := func(owner string, ttl time.Duration) bool {
		mine, err := b.Lead(ctx, 3, owner, ttl)
		require.NoError(t, err)
		return mine
	}
	require.True(t, lead("one", time.Hour))
	require.True(t, lead("one", time.Hour), "kept")
	require.False(t, lead("two", time.Hour))
	require.NoError(t, b.Resign(ctx, 3, "two"), "whoever does not lead changes nothing")
	require.False(t, lead("two", time.Hour))
	require.NoError(t, b.Resign(ctx, 3, "one"))
	require.True(t, lead("two", time.Hour))
}

func TestCancellationsReachEverySubscriber(t *testing.T) {
	t.Parallel()
	b := newBench(t, queuetest.URL(t))
	ctx, cancel := context.WithCancel(t.Context())
	first, err := b.Cancellations(ctx)
	require.NoError(t, err)
	second, err := b.Cancellations(ctx)
	require.NoError(t, err)
	require.NoError(t, b.PublishCancel(ctx, "x"))
	require.Equal(t, "x", <-first)
	require.Equal(t, "x", <-second)
	cancel()
	for range first {
	}
	for range second {
	}
}
