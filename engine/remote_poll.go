package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/workflow"
)

// The limits of a poll.
const (
	MaxPoll         = 100 // runs in one answer
	MaxPollWait     = time.Minute
	MinRemoteLease  = time.Second
	MaxRemoteLease  = 10 * time.Minute
	RemoteLease     = 30 * time.Second // when a poll names none
	maxSilence      = 30 * 24 * time.Hour
	maxRemoteQueues = 10
	maxRemoteTypes  = 50
)

const (
	remoteTTL   = time.Minute // how long a remote worker is believed alive after its last poll
	takeBudget  = 1000        // offers that one look takes; those that are stale are many after a cancel
	takeTimeout = 15 * time.Second
)

// Poll asks for work on behalf of a remote worker.
type Poll struct {
	Worker   string // its name
	Types    []string
	Queues   []string      // none = default
	Max      int           // 0 = 1
	Wait     time.Duration // for the first run; 0 = only what is there
	Lease    time.Duration // 0 = 30 s
	Silence  time.Duration // after this much silence an attempt is timed out; 0 = it is delivered again when its lease ends
	Projects []string      // whose tasks it may take; empty = all
	Cap      *Cap          // what limits the runs of its one type; nil = nothing
	Key      string        // tells workers with one name apart: the API key, where that is limited to projects
}

// RemoteRun is a run that a remote worker was given.
type RemoteRun struct {
	*Run
	Token    string
	Lease    time.Duration
	Deadline time.Time // by Redis' clock: the attempt is timed out then
}

// safetyPoll is how long a poller that nobody woke waits between two looks.
const safetyPoll = 15 * time.Second

// remoteState is what a process knows of remote workers.
type remoteState struct {
	pollers pollers
	signer  signer
	safety  time.Duration

	mu        sync.Mutex
	announced map[string]announced // by id in the fleet
	asked     map[string]time.Time // by cap: when to ask again who holds its places
}

type announced struct {
	till   time.Time
	worker Worker
}

// fleetID is the worker's id in the fleet. Those of different limited keys never meet.
func (q Poll) fleetID() string {
	if q.Key == "" {
		return q.Worker
	}
	return q.Worker + "@" + q.Key
}

func (q Poll) filled() (Poll, error) {
	var problems workflow.Problems
	add := func(field, message, allowed string) {
		problems = append(problems, workflow.Problem{Field: field, Code: "range", Message: message, Allowed: allowed})
	}
	if len(q.Queues) == 0 {
		q.Queues = []string{"default"}
	}
	if q.Max == 0 {
		q.Max = 1
	}
	if q.Lease == 0 {
		q.Lease = RemoteLease
	}
	if q.Worker == "" {
		add("worker", "is empty", "a name that is the worker's own")
	}
	if len(q.Types) == 0 || len(q.Types) > maxRemoteTypes {
		add("types", fmt.Sprintf("names %d task types", len(q.Types)), fmt.Sprintf("1 to %d", maxRemoteTypes))
	}
	if len(q.Queues) > maxRemoteQueues {
		add("queues", fmt.Sprintf("names %d queues", len(q.Queues)), fmt.Sprintf("at most %d", maxRemoteQueues))
	}
	if q.Max < 1 || q.Max > MaxPoll {
		add("max", fmt.Sprintf("is %d", q.Max), fmt.Sprintf("1 to %d", MaxPoll))
	}
	if q.Wait < 0 || q.Wait > MaxPollWait {
		add("wait", "is "+q.Wait.String(), "0s to "+MaxPollWait.String())
	}
	if q.Lease < MinRemoteLease || q.Lease > MaxRemoteLease {
		add("lease", "is "+q.Lease.String(), MinRemoteLease.String()+" to "+MaxRemoteLease.String())
	}
	if q.Silence != 0 && (q.Silence < MinRemoteLease || q.Silence > maxSilence) {
		add("silence", "is "+q.Silence.String(), MinRemoteLease.String()+" to "+maxSilence.String())
	}
	if len(problems) > 0 {
		return q, Invalid("request_invalid", "the poll cannot be taken", problems...)
	}
	q.Types, q.Queues = unique(q.Types), unique(q.Queues)
	return q, nil
}

func unique(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// Poll claims work for a remote worker; nothing when none came within q.Wait, or
// ctx ended before. What it answers must reach the worker or go to GiveBack.
func (e *Engine) Poll(ctx context.Context, q Poll) ([]RemoteRun, error) {
	q, err := q.filled()
	if err != nil {
		return nil, err
	}
	if err := e.announceRemote(ctx, q); err != nil {
		return nil, err
	}
	w := e.remote.pollers.join(remoteShelves(q.Queues, q.Types), q.Projects)
	defer e.remote.pollers.leave(w)
	end := time.NewTimer(q.Wait)
	defer end.Stop()
	safety := time.NewTimer(0)
	defer safety.Stop()
	for first, woken := true, true; ; first = false {
		e.remote.pollers.atCap(w, false) // first: what is offered from here on wakes it again
		runs, capped, err := e.takeRemote(ctx, q, w.shelves, first)
		if capped {
			e.remote.pollers.atCap(w, true)
		}
		if capped && (woken || len(runs) > 0) { // what woke it is left to those who are at no cap
			for _, at := range w.shelves {
				e.remote.pollers.wake(Offered{Shelf: at})
			}
		}
		if err != nil || len(runs) > 0 || q.Wait == 0 {
			return runs, err
		}
		next := e.remote.safety + rand.N(e.remote.safety/3)
		if capped {
			next = capPause + rand.N(capPause/2)
		}
		safety.Reset(next)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-end.C:
			return nil, nil
		case <-w.woken:
			woken = true
		case <-safety.C:
			woken = false
		}
	}
}

// announceRemote says that the worker lives and what it serves, unless that was
// said a moment ago.
func (e *Engine) announceRemote(ctx context.Context, q Poll) error {
	w := Worker{ID: q.fleetID(), Queues: map[string]int{}, Types: q.Types, Concurrency: q.Max, Remote: true, Projects: q.Projects}
	for _, name := range q.Queues {
		w.Queues[name] = 1
	}
	now := time.Now()
	e.remote.mu.Lock()
	last, known := e.remote.announced[w.ID]
	e.remote.mu.Unlock()
	same := known && slices.Equal(last.worker.Types, w.Types) && len(last.worker.Queues) == len(w.Queues) &&
		slices.Equal(last.worker.Projects, w.Projects) && !slices.ContainsFunc(q.Queues, func(name string) bool { return last.worker.Queues[name] == 0 })
	if same && last.till.Sub(now) > q.Wait+remoteTTL*2/3 {
		return nil
	}
	if w.StartedAt = last.worker.StartedAt; !known {
		w.StartedAt = now.UTC()
	}
	ttl := q.Wait + remoteTTL
	if err := e.announce(ctx, &w, ttl); err != nil {
		return err
	}
	e.remote.mu.Lock()
	if e.remote.announced == nil {
		e.remote.announced = map[string]announced{}
	}
	for id, a := range e.remote.announced {
		if now.After(a.till) {
			delete(e.remote.announced, id)
		}
	}
	e.remote.announced[w.ID] = announced{now.Add(ttl), w}
	e.remote.mu.Unlock()
	if same {
		return nil
	}
	return e.lookAtFleet(ctx)
}

// takeRemote claims what waits, the urgent lanes first. capped says that more would have been, but for the cap.
func (e *Engine) takeRemote(ctx context.Context, q Poll, shelves []Shelf, first bool) (runs []RemoteRun, capped bool, err error) {
	shelves = mixed(shelves, len(q.Queues)*len(q.Types))
	waiting, err := e.store.OnOffer(ctx, shelves, q.Projects)
	if err != nil || ctx.Err() != nil {
		if ctx.Err() != nil {
			return nil, false, nil
		}
		return nil, false, err
	}
	if q.Cap != nil && slices.Max(waiting) == 0 {
		return nil, false, nil
	}
	most, err := e.places(ctx, q.Cap, q.Max, first)
	if err != nil || most == 0 {
		return nil, most == 0, err
	}
	// Detached: what was taken must be claimed, however the poller's connection
	// ends; the caller gives it back then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeTimeout)
	defer cancel()
	budget := takeBudget
	for i, at := range shelves {
		for waiting[i] > 0 && len(runs) < most && budget > 0 && !capped {
			var fences []Fence
			if fences, waiting[i], err = e.store.Take(ctx, at, q.Projects, most-len(runs)); err != nil {
				e.log.Warn("remote work could not be taken", "lane", at.Lane, "type", at.Type, "error", err)
				return runs, false, onlyWithout(runs, err)
			}
			budget -= max(1, len(fences))
			for _, f := range fences {
				switch r := e.handOut(ctx, q, f); {
				case r == nil:
				case e.admit(ctx, q.Cap, r):
					runs = append(runs, *r)
				default:
					capped = true
				}
			}
		}
		capped = capped || waiting[i] > 0 && most < q.Max && len(runs) == most
		if waiting[i] > 0 && !capped {
			e.remote.pollers.wake(Offered{Shelf: at})
		}
	}
	return runs, capped, nil
}

// onlyWithout drops the error where there are runs: they must not get lost with it.
func onlyWithout(runs []RemoteRun, err error) error {
	if len(runs) > 0 {
		return nil
	}
	return err
}

// mixed shuffles the shelves of each lane, so that no type starves another one.
func mixed(shelves []Shelf, lane int) []Shelf {
	shelves = slices.Clone(shelves)
	for part := range slices.Chunk(shelves, lane) {
		rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	return shelves
}

// handOut claims one delivery and makes it ready to be sent; nil when it is not
// to be had. A crash on the way leaves a lease that ends.
func (e *Engine) handOut(ctx context.Context, q Poll, f Fence) *RemoteRun {
	r, err := e.claim(ctx, f, q.Worker, q.Lease)
	if err != nil {
		if harmless(err) != nil && !errors.Is(err, ErrPaused) && !errors.Is(err, ErrFailedBefore) {
			e.log.Warn("a job could not be claimed for a remote worker; it is offered again", "job", f.JobID(), "error", err)
		}
		if r != nil { // claimed, but its input could not be read
			e.GiveBack(ctx, []RemoteRun{{Run: r}})
		}
		return nil
	}
	if len(q.Projects) > 0 && !slices.Contains(q.Projects, r.Project) {
		e.log.Error("a job waited among those of another project", "job", f.JobID(), "project", r.Project)
		e.GiveBack(ctx, []RemoteRun{{Run: r}})
		return nil
	}
	if r.Err != nil {
		if _, err := e.Fail(ctx, r, r.Err, false); err != nil {
			e.log.Warn("a task whose input cannot be resolved could not be failed", "job", f.JobID(), "error", err)
		}
		return nil
	}
	out := &RemoteRun{Run: r, Lease: q.Lease}
	if err = e.seal(ctx, q, out); err != nil {
		e.log.Warn("a claimed run could not be handed out and is given back", "job", f.JobID(), "error", err)
		e.GiveBack(ctx, []RemoteRun{*out})
		return nil
	}
	return out
}

func (e *Engine) seal(ctx context.Context, q Poll, out *RemoteRun) error {
	secret, err := e.remote.signer.load(ctx, e.store, false)
	if err != nil {
		return err
	}
	r := out.Run
	out.Deadline, err = e.store.HandOut(ctx, r.Fence, r.result().Input, r.hash, Terms{Timeout: r.At.Timeout, Lease: q.Lease, Silence: q.Silence})
	if err != nil {
		return err
	}
	out.Token, err = ticket{
		Fence: r.Fence, Worker: q.Worker, Fleet: q.fleetID(), Epoch: r.document.Epoch, Try: r.Try, Started: r.StartedAt.UnixMilli(),
		Lease: q.Lease.Milliseconds(), Hash: r.hash,
	}.seal(secret)
	return err
}

// GiveBack releases runs that never reached their worker. No try is used.
func (e *Engine) GiveBack(ctx context.Context, runs []RemoteRun) {
	for _, r := range runs {
		if err := harmless(e.Release(ctx, r.Run)); err != nil {
			e.log.Warn("a run could not be given back; it is taken over when its lease ends", "job", r.JobID(), "error", err)
		}
	}
}

// RemoteWaiting counts what waits in a queue for remote workers of each type, of some projects (none = all).
func (e *Engine) RemoteWaiting(ctx context.Context, queue string, types, projects []string) ([]int, error) {
	counts := make([]int, len(types))
	if len(types) == 0 {
		return counts, nil
	}
	var shelves []Shelf
	for _, lane := range Lanes(queue) {
		for _, t := range types {
			shelves = append(shelves, Shelf{Lane: lane, Type: t})
		}
	}
	waiting, err := e.store.OnOffer(ctx, shelves, projects)
	if err != nil {
		return nil, err
	}
	for i, n := range waiting {
		counts[i%len(types)] += n
	}
	return counts, nil
}
