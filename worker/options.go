package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

// Options configure a Worker. Start from DefaultOptions.
type Options struct {
	ID          string         // names the process in the fleet, unique
	Queues      map[string]int // by queue, its weight; each is served with its lanes .high and .low
	Concurrency int            // handlers at once
	Types       *tasks.Registry
	Drain       time.Duration // how long Stop lets handlers finish
	Heartbeat   time.Duration // between two signs of life
	Lease       time.Duration // without a sign of life for so long, a run is given to another worker
	Version     string        // shown with the worker

	Engine Engine
	Client redis.UniversalClient // for look-ups
	// NewClient makes the client of the asynq server, which waits in it; nil = one made like Client.
	NewClient func() redis.UniversalClient
	Waker     *queue.Waker // started and stopped by the caller
	// Claims makes a job's dequeue claim it, too; nil = a trip of its own.
	Claims  *queue.Claims
	Metrics *Metrics // nil = none
	Logger  *slog.Logger
}

// DefaultOptions serves the queue "default" with ten handlers at once.
func DefaultOptions() Options {
	return Options{
		ID:          newID(),
		Queues:      map[string]int{workflow.DefaultQueue: 1},
		Concurrency: 10,
		Drain:       20 * time.Second,
		Heartbeat:   2 * time.Second,
		Lease:       10 * time.Second,
		Logger:      slog.Default(),
	}
}

func newID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + ":" + strconv.Itoa(os.Getpid()) + ":" + strconv.FormatUint(rand.Uint64()>>24, 36)
}

// MaxConcurrency is the most handlers that one worker runs at once.
const MaxConcurrency = 10_000

const (
	maxWeight = 100 // asynq makes a list as long as all weights together at each look
	maxDrain  = 24 * time.Hour
)

// queueName leaves out what asynq's keys and the job ids cannot hold.
var queueName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Validate names every field that is wrong.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("worker: "+format, args...)) }
	if o.ID == "" {
		bad("ID is empty; give each process a unique one")
	}
	if len(o.Queues) == 0 {
		bad("Queues is empty; name at least one queue, such as default=1")
	}
	for _, q := range slices.Sorted(maps.Keys(o.Queues)) {
		if !queueName.MatchString(q) {
			bad("Queues: %q is no queue name; allowed: letters, digits, '.', '_' and '-', at most 128", q)
		}
		if w := o.Queues[q]; w < 1 || w > maxWeight {
			bad("Queues: the weight of %q is %d; allowed: 1 to %d", q, w, maxWeight)
		}
	}
	if o.Concurrency < 1 || o.Concurrency > MaxConcurrency {
		bad("Concurrency is %d; allowed: 1 to %d", o.Concurrency, MaxConcurrency)
	}
	if o.Types == nil || len(o.Types.Names()) == 0 {
		bad("Types has no task type; register at least one")
	}
	if o.Drain < 0 || o.Drain > maxDrain {
		bad("Drain is %s; allowed: 0s to %s", o.Drain, maxDrain)
	}
	if o.Heartbeat <= 0 {
		bad("Heartbeat is %s; allowed: more than 0s", o.Heartbeat)
	}
	if o.Lease < 3*o.Heartbeat {
		bad("Lease is %s; allowed: at least three times Heartbeat (%s)", o.Lease, o.Heartbeat)
	}
	if o.Engine == nil {
		bad("Engine is missing")
	}
	if o.Client == nil {
		bad("Client is missing")
	}
	if o.Waker == nil {
		bad("Waker is missing")
	}
	return errors.Join(errs...)
}

// lanes are asynq's queues with their weights: of each queue the lane for high
// priorities, the queue itself and the lane for low ones.
func lanes(queues map[string]int) map[string]int {
	all := make(map[string]int, 3*len(queues))
	for q, weight := range queues {
		all[q+".high"] = 3 * weight
		all[q] = 2 * weight
		all[q+".low"] = weight
	}
	return all
}
