package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redrive/redrive/workflow"
)

// Remote is the work of workers that poll over HTTP. What is offered are hints,
// as asynq's jobs are: a lost one is offered again by a sweep, and a claim decides.
type Remote interface {
	// Offer puts jobs where remote workers find them; fresh is false where one waits there already.
	Offer(ctx context.Context, jobs []Job) (fresh []bool, err error)
	// Withdraw takes an offer back; it may be gone.
	Withdraw(ctx context.Context, j Job) error
	// OnOffer counts the offers of some projects (none = all) on each shelf; 0 where the queue is paused.
	OnOffer(ctx context.Context, shelves []Shelf, projects []string) ([]int, error)
	// Take takes offers away, those that waited longest first, and says how many are left.
	Take(ctx context.Context, at Shelf, projects []string, most int) (fences []Fence, left int, err error)
	// HandOut records the input of a claimed run and answers until when the attempt may run. ErrStale.
	HandOut(ctx context.Context, f Fence, input json.RawMessage, hash string, terms Terms) (deadline time.Time, err error)
	// Room answers how many runs a cap lets begin now, at most this many, and, where all its places are held, by how many.
	Room(ctx context.Context, c Cap, most int) (free, held int, err error)
	// Held answers which runs were admitted to the places of a cap.
	Held(ctx context.Context, c Cap) ([]Fence, error)
	// Admit counts a claimed run against a cap. ErrMoved when that is reached.
	Admit(ctx context.Context, c Cap, f Fence) error
	// Vacate takes runs off a cap that hold no place any more.
	Vacate(ctx context.Context, c Cap, gone []Fence) error
	// Beat extends the lease of a run and answers how long it holds now. ErrStale, ErrGone;
	// ErrMoved when the time of the attempt is up.
	Beat(ctx context.Context, f Fence, lease time.Duration) (holds time.Duration, canceled bool, err error)
	// Progress keeps what a run, or a task that waits, has given so far, in place of what it gave before. ErrStale, ErrGone, ErrValuesFull.
	Progress(ctx context.Context, f Fence, progress json.RawMessage) error
	// Touch keeps a worker that announced itself alive for ttl at least.
	Touch(ctx context.Context, id string, ttl time.Duration) error
	// RemoteSecret is what tokens are signed with, the same in every process.
	RemoteSecret(ctx context.Context) ([]byte, error)
	// Offers answers what is newly offered until ctx ends; without a lane, anything may have been.
	Offers(ctx context.Context) (<-chan Offered, error)
	// WakeRemote makes every process answer such an offer without a lane.
	WakeRemote(ctx context.Context) error
}

// Terms are how long a remote run may take, and be silent.
type Terms struct {
	Timeout time.Duration // of the attempt
	Lease   time.Duration // after this much silence it is delivered again
	Silence time.Duration // after this much the attempt is timed out; 0 = silence does not end it
}

// Shelf is where the jobs of one type and lane of a queue wait for remote workers.
type Shelf struct{ Lane, Type string }

// Offered says that a job of a project waits at a place.
type Offered struct {
	Shelf
	Project string
}

// way is how a job reaches a worker.
type way int

const (
	wayNone   way = iota // no live worker serves it
	wayAsynq             // a worker process takes it from asynq
	wayRemote            // only remote workers serve it: asynq's workers would hand it on
)

// way says how a task reaches a worker, as far as this process knows the fleet.
func (v *fleetView) way(project string, n *workflow.Node) way {
	switch {
	case v.serves(n.Queue, n.Type):
		return wayAsynq
	case v.servesRemotely(project, n.Queue, n.Type):
		return wayRemote
	}
	return wayNone
}

func (v *fleetView) servesRemotely(project, queue, taskType string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	projects, ok := v.remote[queue+"\x00"+taskType]
	return ok && (projects == nil || projects[project])
}

// addRemote notes what a remote worker serves. A nil set means every project.
func addRemote(remote map[string]map[string]bool, w Worker) {
	for q := range w.Queues {
		for _, t := range w.Types {
			place := q + "\x00" + t
			projects, known := remote[place]
			if len(w.Projects) == 0 || known && projects == nil {
				remote[place] = nil
				continue
			}
			if projects == nil {
				projects = map[string]bool{}
				remote[place] = projects
			}
			for _, p := range w.Projects {
				projects[p] = true
			}
		}
	}
}

// send sends a job out the way it goes; sent is false where it waits already.
func (e *Engine) send(ctx context.Context, j Job, w way) (bool, error) {
	send := e.store.Relay
	if w == wayRemote {
		send = e.store.Offer
	}
	sent, err := send(ctx, []Job{j})
	if err != nil {
		return false, err
	}
	return sent[0], nil
}

// recallAll recalls jobs that nothing waits for any more, several at once. One that stays does no harm:
// its claim is refused, or it is removed with the purge.
func (e *Engine) recallAll(ctx context.Context, jobs []Job) {
	const atOnce = 16
	var group sync.WaitGroup
	for part := range slices.Chunk(jobs, max(1, (len(jobs)+atOnce-1)/atOnce)) {
		group.Go(func() {
			for _, j := range part {
				if err := e.recall(ctx, j); err != nil {
					e.log.Debug("a job that nothing waits for stays in asynq", "job", j.JobID(), "error", err)
				}
			}
		})
	}
	group.Wait()
}

// recall takes a job back that is not wanted any more, wherever it waits.
func (e *Engine) recall(ctx context.Context, j Job) error {
	return errors.Join(e.store.DeleteJob(ctx, j), e.store.Withdraw(ctx, j))
}

// remoteShelves are the shelves that workers of these queues and types look at,
// the urgent lanes of all of them first.
func remoteShelves(queues, types []string) []Shelf {
	var shelves []Shelf
	for lane := range Lanes("") {
		for _, q := range queues {
			for _, t := range types {
				shelves = append(shelves, Shelf{Lane: Lanes(q)[lane], Type: t})
			}
		}
	}
	return shelves
}
