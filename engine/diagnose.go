package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RedisNode is what one node of Redis says of itself. "" and 0 where it does not say.
type RedisNode struct {
	Address    string
	Version    string
	Policy     string // maxmemory-policy
	Persistent bool   // it writes an append-only file
	Used, Most int64  // bytes of memory; Most 0 = no limit of its own
	Embedded   bool
}

// Inspection looks at what everything is kept in.
type Inspection interface {
	// Nodes answers the nodes of Redis that hold the data.
	Nodes(ctx context.Context) ([]RedisNode, error)
	Time(ctx context.Context) (time.Time, error)
}

// FindingStatus is how bad it is.
type FindingStatus string

// The statuses of findings.
const (
	FindingOK      FindingStatus = "ok"
	FindingWarning FindingStatus = "warning" // it works, and may not always
	FindingError   FindingStatus = "error"   // work is lost, or stands still
)

// Finding is what one check found.
type Finding struct {
	Check   string
	Status  FindingStatus
	Message string
	Next    string // what to do about it; "" when it is ok
}

// Diagnosis is the state of an installation as one server sees it.
type Diagnosis struct {
	Version  string
	At       time.Time
	Findings []Finding
}

const (
	slowTrip    = 10 * time.Millisecond
	tripsTimed  = 5
	skewNoticed = 2 * time.Second
	memoryTight = 0.9
	queueBehind = 10 * time.Minute
)

// Diagnose checks Redis, the clocks, the workers and the queues. The version is that of the caller.
func (e *Engine) Diagnose(ctx context.Context, version string) (*Diagnosis, error) {
	d := &Diagnosis{Version: version}
	nodes, err := e.store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		d.redis(n)
	}
	if err := d.clock(ctx, e.store); err != nil {
		return nil, err
	}
	workers, err := e.store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	d.workers(workers)
	queues, err := e.Queues(ctx)
	if err != nil {
		return nil, err
	}
	d.queues(queues)
	return d, nil
}

func (d *Diagnosis) found(check string, status FindingStatus, next, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{Check: check, Status: status, Message: fmt.Sprintf(format, args...), Next: next})
}

func (d *Diagnosis) redis(n RedisNode) {
	if n.Embedded {
		d.found("redis", FindingOK, "", "Redis is the embedded one of this process")
		return
	}
	at := "Redis at " + n.Address
	d.found("redis", FindingOK, "", "%s is version %s", at, cmp.Or(n.Version, "unknown"))
	switch n.Policy {
	case "noeviction":
		d.found("redis_eviction", FindingOK, "", "%s keeps everything (maxmemory-policy noeviction)", at)
	case "":
		d.found("redis_eviction", FindingWarning, "Make sure that its maxmemory-policy is noeviction.", "%s does not tell its maxmemory-policy", at)
	default:
		d.found("redis_eviction", FindingError, "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf", "%s has maxmemory-policy %s and throws work away when its memory is full", at, n.Policy)
	}
	if n.Persistent {
		d.found("redis_persistence", FindingOK, "", "%s writes an append-only file", at)
	} else {
		d.found("redis_persistence", FindingWarning, "redis-cli CONFIG SET appendonly yes, and the same in redis.conf", "%s writes no append-only file: what happened since its last snapshot is lost when it dies", at)
	}
	switch {
	case n.Most > 0 && float64(n.Used) >= memoryTight*float64(n.Most):
		d.found("redis_memory", FindingError, "Raise maxmemory, or keep ended executions for less long with --retention.", "%s uses %d of %d MiB, and refuses to write when these are full", at, n.Used>>20, n.Most>>20)
	case n.Most > 0:
		d.found("redis_memory", FindingOK, "", "%s uses %d of %d MiB", at, n.Used>>20, n.Most>>20)
	default:
		d.found("redis_memory", FindingOK, "", "%s uses %d MiB, and has no limit of its own", at, n.Used>>20)
	}
}

// clock compares the clock of this process with that of Redis, over the fastest of some trips, and looks how long that took.
func (d *Diagnosis) clock(ctx context.Context, store Inspection) error {
	var skew time.Duration
	fastest := time.Duration(-1)
	for range tripsTimed {
		sent := time.Now()
		now, err := store.Time(ctx)
		if err != nil {
			return err
		}
		took := time.Since(sent)
		if fastest < 0 || took < fastest {
			fastest, skew, d.At = took, sent.Add(took/2).Sub(now), now
		}
	}
	if fastest > slowTrip {
		d.found("redis_latency", FindingWarning, "Run Redis near the servers and workers: each task takes a few trips.", "a trip to Redis takes %s", fastest.Round(time.Microsecond))
	} else {
		d.found("redis_latency", FindingOK, "", "a trip to Redis takes %s", fastest.Round(time.Microsecond))
	}
	d.skewed("clock", "this server", skew)
	return nil
}

func (d *Diagnosis) skewed(check, whose string, skew time.Duration) {
	switch {
	case skew.Abs() < skewNoticed:
		d.found(check, FindingOK, "", "the clock of %s is that of Redis", whose)
	default:
		side := "ahead of"
		if skew < 0 {
			side = "behind"
		}
		d.found(check, FindingWarning, "Let its machine keep time (NTP). Deadlines hold all the same, as they go by the clock of Redis.",
			"the clock of %s is %s %s that of Redis", whose, skew.Abs().Round(100*time.Millisecond), side)
	}
}

func (d *Diagnosis) workers(workers []Worker) {
	own := slices.DeleteFunc(slices.Clone(workers), func(w Worker) bool { return w.Remote })
	if len(workers) == 0 {
		d.found("workers", FindingError, "redrive worker", "no worker is there: nothing runs")
		return
	}
	d.found("workers", FindingOK, "", "live workers: %d, %d of them remote", len(workers), len(workers)-len(own))
	var others []string
	for _, w := range own {
		if w.Version != d.Version {
			others = append(others, w.ID+" "+cmp.Or(w.Version, "unknown"))
		}
		if skew := time.Duration(w.SkewMillis) * time.Millisecond; skew.Abs() >= skewNoticed {
			d.skewed("worker_clocks", "worker "+w.ID, skew)
		}
	}
	if len(others) > 0 {
		d.found("versions", FindingWarning, "Bring them to the same version; meanwhile they work together.", "this server is version %s, and others are not: %s", d.Version, some(others))
	} else {
		d.found("versions", FindingOK, "", "server and workers are version %s", d.Version)
	}
}

func (d *Diagnosis) queues(queues []Queue) {
	before := len(d.Findings)
	for _, q := range queues {
		switch {
		case q.Pending == 0:
		case q.Paused:
			d.found("queues", FindingWarning, "redrive queue resume "+q.Name, "queue %s is paused, and %d jobs wait in it", q.Name, q.Pending)
		case q.Workers == 0:
			d.found("queues", FindingError, "redrive worker --queues "+q.Name+"=1", "%d jobs wait in queue %s, which no worker serves", q.Pending, q.Name)
		case q.Latency >= queueBehind:
			d.found("queues", FindingWarning, "Start more workers, or raise their --concurrency.", "the oldest of %d jobs in queue %s waits for %s", q.Pending, q.Name, q.Latency.Round(time.Second))
		}
	}
	if len(d.Findings) == before {
		d.found("queues", FindingOK, "", "no queue is paused, unserved or behind")
	}
}

// some names a few of a list.
func some(list []string) string {
	const shown = 5
	if len(list) > shown {
		return strings.Join(list[:shown], ", ") + fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return strings.Join(list, ", ")
}
