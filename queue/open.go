package queue

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options says which Redis to use.
type Options struct {
	// URL is redis:// or rediss://, with several comma-separated hosts for a
	// Cluster (or ?cluster=true with one) and ?master_name= for Sentinel.
	URL string
	// Embedded skips the checks that an embedded Redis cannot answer.
	Embedded bool
	// Retention is how long an ended execution is kept.
	Retention time.Duration
	// AuditRetention and AuditEntries are how long, and how many of a project at the most, entries of the audit are kept.
	AuditRetention time.Duration
	AuditEntries   int64
	Logger         *slog.Logger
	// ClockOffset is added to Redis' clock; 0 outside tests.
	ClockOffset func() time.Duration
}

// DefaultOptions is a Redis on this machine, and 30 days of retention, 90 of the audit.
func DefaultOptions() Options {
	return Options{URL: "redis://127.0.0.1:6379/0", Retention: 30 * 24 * time.Hour, AuditRetention: 90 * 24 * time.Hour, AuditEntries: 100_000, Logger: slog.Default()}
}

// Redis is the engine's store, on Redis.
type Redis struct {
	client  redis.UniversalClient
	options *redis.UniversalOptions
	o       Options
	relay   *relay
	trips   trips // of results
	starts  trips // of new executions, which wait for no trip with results
	waker   *Waker
	claims  sync.Map // worker id -> *Claims
	ordered bool     // one connection's commands run in the order they were sent

	numbers, sessions numbers
	gated             sync.Map // projects that slotsUsed holds, as far as this process knows

	closeOnce sync.Once
	closeErr  error
}

// Open connects, and refuses a Redis that would lose work: older than 6.2, or
// one that evicts keys when its memory is full.
func Open(ctx context.Context, o Options) (*Redis, error) {
	d := DefaultOptions()
	if o.URL == "" {
		o.URL = d.URL
	}
	if o.Retention == 0 {
		o.Retention = d.Retention
	}
	if o.AuditRetention == 0 {
		o.AuditRetention = d.AuditRetention
	}
	if o.AuditEntries == 0 {
		o.AuditEntries = d.AuditEntries
	}
	if o.Logger == nil {
		o.Logger = d.Logger
	}
	options, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		client: redis.NewUniversalClient(options), options: options, o: o,
		numbers: numbers{key: numberKey}, sessions: numbers{key: sessionsNo},
	}
	r.trips.client, r.trips.patience = r.client, tripPatience
	r.starts.client, r.starts.patience = r.client, tripPatience
	_, r.ordered = r.client.(*redis.Client)
	if err := r.check(ctx); err != nil {
		_ = r.client.Close()
		return nil, err
	}
	if r.relay, err = newRelay(r.client); err != nil {
		_ = r.client.Close()
		return nil, err
	}
	return r, nil
}

// Client is the connection pool that the store uses.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// NewClient opens another pool to the same Redis; the caller closes it.
func (r *Redis) NewClient() redis.UniversalClient {
	o := *r.options
	return redis.NewUniversalClient(&o)
}

// Close closes the connections. It may be called twice.
func (r *Redis) Close() error {
	r.closeOnce.Do(func() { r.closeErr = r.client.Close() })
	return r.closeErr
}

type connOpt struct{ client func() redis.UniversalClient }

func (c connOpt) MakeRedisClient() any { return c.client() }

// Monitoring is for asynqmon: each use opens connections of its own, which it may close.
func (r *Redis) Monitoring() asynq.RedisConnOpt { return connOpt{client: r.concrete} }

// concrete opens a pool whose dynamic type asynqmon knows.
func (r *Redis) concrete() redis.UniversalClient {
	o := *r.options
	if o.MasterName == "" && !o.IsClusterMode && len(o.Addrs) == 1 {
		return redis.NewClient(o.Simple())
	}
	return redis.NewUniversalClient(&o)
}

// URLError says what is wrong with a Redis URL and how one is written. It holds no password.
type URLError struct{ text string }

func (e *URLError) Error() string { return e.text }

// ParseURL reads a Redis URL: see Options.URL. An error is a *URLError.
func ParseURL(raw string) (*redis.UniversalOptions, error) {
	bad := func(what string) error {
		return &URLError{fmt.Sprintf("redis: %q %s; write redis://[user:password@]host:port[/db], rediss:// for TLS, several hosts with commas for a Cluster, or ?master_name=NAME for Sentinel", redacted(raw), what)}
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || (scheme != "redis" && scheme != "rediss" && scheme != "unix") {
		return nil, bad("has no scheme redis, rediss or unix")
	}
	if scheme == "unix" {
		o, err := redis.ParseURL(raw)
		if err != nil { // its text holds the URL, and so the password
			return nil, bad("is no URL of a socket")
		}
		return universal(o, []string{o.Addr}), nil
	}
	hosts, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		hosts, tail = rest[:i], rest[i:]
	}
	auth := ""
	if i := strings.LastIndex(hosts, "@"); i >= 0 {
		auth, hosts = hosts[:i+1], hosts[i+1:]
	}
	addrs := strings.Split(hosts, ",")
	u, err := url.Parse(scheme + "://" + auth + addrs[0] + tail)
	if err != nil {
		return nil, bad("is no URL")
	}
	q := u.Query()
	master, cluster := q.Get("master_name"), q.Get("cluster") == "true"
	q.Del("master_name")
	q.Del("cluster")
	u.RawQuery = q.Encode()
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, bad("cannot be read: " + strings.TrimPrefix(err.Error(), "redis: "))
	}
	for i, a := range addrs {
		if a == "" {
			return nil, bad("names an empty host")
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			addrs[i] = net.JoinHostPort(strings.Trim(a, "[]"), "6379")
		}
	}
	all := universal(o, addrs)
	if all.TLSConfig != nil {
		all.TLSConfig.ServerName = "" // each host is held to its own name, not to that of the first
	}
	all.MasterName = master
	all.IsClusterMode = master == "" && (cluster || len(addrs) > 1)
	if all.IsClusterMode && all.DB != 0 {
		return nil, bad("names a database, and a Cluster has only database 0")
	}
	return all, nil
}

func universal(o *redis.Options, addrs []string) *redis.UniversalOptions {
	pool := o.PoolSize
	if pool == 0 {
		pool = 64
	}
	return &redis.UniversalOptions{
		Addrs: addrs, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		MaxRetries: o.MaxRetries, PoolSize: pool, PoolTimeout: o.PoolTimeout, Protocol: o.Protocol,
		MinIdleConns: o.MinIdleConns, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func redacted(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = "***@" + rest[i+1:]
	}
	return scheme + "://" + rest
}
