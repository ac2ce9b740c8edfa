package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	// reservationHolds is how long an execution may take from its reservation to its creation, and a
	// little more for each step in which its tasks are written.
	reservationHolds = 10 * time.Second
	// reservationMargin is how much later a reservation is looked at: the clocks of a Cluster's nodes may differ by that much.
	reservationMargin = 5 * time.Second
)

// Enter reserves a slot, or a place in the line for one, and an attempt of a session.
func (r *Redis) Enter(ctx context.Context, x engine.Entry) (engine.Entered, error) {
	if err := r.reserving(ctx, x.Project); err != nil {
		return engine.Entered{}, err
	}
	holds := reservationHolds + time.Duration(x.Tasks/stepSize)*time.Second
	var at, fresh any = "", ""
	name, place := "", ""
	if s := x.Session; s != nil {
		at, fresh, name, place = s.Time.Unix(), s.Number, s.AttemptName, placeOf(s.Time.Unix(), x.Workflow)
	}
	reply, err := r.run(ctx, scriptEnter, []string{
		workflowKey(x.Project, x.Workflow), slotsKey(x.Project, x.Workflow), waitingKey(x.Project, x.Workflow), dueKey(x.Project),
		sessionKey(x.Project, place), sessionsKey(x.Project, ""), sessionsKey(x.Project, x.Workflow),
	}, x.Execution, r.offset(), x.Workflow, x.Epoch, string(x.WhenFull), milli(x.StartAt), holds.Milliseconds(),
		(holds + reservationMargin).Milliseconds(), x.Number, at, fresh, name)
	if err != nil {
		return engine.Entered{}, err
	}
	if number(reply, 0) == 2 {
		return engine.Entered{}, &engine.SessionTaken{
			Session: number(reply, 1), Attempt: number(reply, 2), Execution: text(reply, 3), Number: number(reply, 4),
		}
	}
	return engine.Entered{
		Waits: number(reply, 1) == 2, Till: time.UnixMilli(number(reply, 2)), Session: number(reply, 3), Attempt: int(number(reply, 4)),
	}, nil
}

// reserving makes sure that what is reserved in a project will be looked at.
func (r *Redis) reserving(ctx context.Context, project string) error {
	if _, ok := r.gated.Load(project); ok {
		return nil
	}
	if err := r.client.SAdd(ctx, slotsUsed, project).Err(); err != nil {
		return unreachable(err)
	}
	r.gated.Store(project, true)
	return nil
}

// Reserving answers the projects in which anything was ever reserved.
func (r *Redis) Reserving(ctx context.Context) ([]string, error) {
	all, err := r.client.SMembers(ctx, slotsUsed).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	slices.Sort(all)
	return all, nil
}

// Fill gives free slots to those who wait.
func (r *Redis) Fill(ctx context.Context, project, name string, limit int) ([]engine.Turn, bool, error) {
	reply, err := r.run(ctx, scriptFill, []string{
		workflowKey(project, name), slotsKey(project, name), waitingKey(project, name), dueKey(project),
	}, name, r.offset(), limit)
	if err != nil {
		return nil, false, err
	}
	var turns []engine.Turn
	for i := 2; i+1 < len(reply); i += 2 {
		turns = append(turns, engine.Turn{Project: project, Workflow: name, Execution: text(reply, i), Epoch: int(number(reply, i+1))})
	}
	return turns, number(reply, 1) == 1, nil
}

// Placed says whether a waiting execution has its slot.
func (r *Redis) Placed(ctx context.Context, l engine.Look) (bool, error) {
	reply, err := r.run(ctx, scriptPlace, []string{
		slotsKey(l.Project, l.Workflow), waitingKey(l.Project, l.Workflow), dueKey(l.Project),
	}, l.Execution, r.offset(), l.Workflow, l.Epoch)
	return number(reply, 1) == 1, err
}

// Begin lets a queued execution run that has its slot.
func (r *Redis) Begin(ctx context.Context, id string, epoch int) (workflow.ExecutionStatus, error) {
	k := keysOf(id)
	reply, err := r.run(ctx, scriptBegin, []string{k.execution, k.open, k.held, k.events, k.shard.decide, k.shard.index, k.shard.timers}, id, r.offset(), epoch)
	return workflow.ExecutionStatus(text(reply, 1)), err
}

// Leave gives back what an execution holds for the run of an epoch.
func (r *Redis) Leave(ctx context.Context, l engine.Look, seen int64) (bool, error) {
	var when any = ""
	if seen != 0 {
		when = seen
	}
	reply, err := r.run(ctx, scriptLeave, []string{
		slotsKey(l.Project, l.Workflow), waitingKey(l.Project, l.Workflow), dueKey(l.Project),
	}, l.Execution, r.offset(), l.Workflow, l.Epoch, when)
	return number(reply, 1) == 1, err
}

// Overdue answers what is to be looked at in projects.
func (r *Redis) Overdue(ctx context.Context, projects []string, limit int) ([]engine.Look, error) {
	cmds := make([]*redis.Cmd, len(projects))
	err := r.pipeline(ctx, scriptOverdue, func(p redis.Pipeliner) {
		for i, project := range projects {
			cmds[i] = scriptOverdue.EvalSha(ctx, p, []string{dueKey(project)}, r.offset(), limit)
		}
	})
	if err != nil {
		return nil, err
	}
	var all []engine.Look
	for i, cmd := range cmds {
		reply, err := cmd.Slice()
		if err != nil || len(reply) != 2 {
			return nil, unreachable(err)
		}
		entries, _ := reply[1].([]any)
		for j := 0; j+1 < len(entries); j += 2 {
			l, err := decodeLook(projects[i], text(entries, j))
			if err != nil { // must not keep the others from being looked at
				r.o.Logger.Error("what is due in a project cannot be read", "project", projects[i], "error", err)
				continue
			}
			l.Due, l.Now = number(entries, j+1), time.UnixMilli(number(reply, 0))
			all = append(all, l)
		}
	}
	return all, nil
}

func decodeLook(project, entry string) (engine.Look, error) {
	l := engine.Look{Project: project, Entry: entry}
	kind, rest, _ := strings.Cut(entry, ":")
	l.Kind = engine.LookKind(kind)
	if l.Kind == engine.LookFill {
		l.Workflow = rest
		return l, nil
	}
	parts := strings.SplitN(rest, ":", 3)
	if len(parts) != 3 {
		return l, fmt.Errorf("queue: %q is nothing to look at", entry)
	}
	l.Execution, l.Workflow = parts[0], parts[2]
	switch l.Kind {
	case engine.LookSlot:
		l.Epoch = int(atoi(parts[1]))
	case engine.LookSession:
		l.Session = second(parts[1])
	default:
		return l, fmt.Errorf("queue: %q is nothing to look at", entry)
	}
	return l, nil
}

// Looked puts off when something is looked at again; 0 = never again.
func (r *Redis) Looked(ctx context.Context, l engine.Look, in time.Duration) error {
	var err error
	if in == 0 {
		err = r.client.ZRem(ctx, dueKey(l.Project), l.Entry).Err()
	} else {
		err = r.client.ZAddXX(ctx, dueKey(l.Project), redis.Z{Score: float64(l.Now.Add(in).UnixMilli()), Member: l.Entry}).Err()
	}
	if err != nil {
		return unreachable(err)
	}
	return nil
}

// turnOf reads what index.lua says about the slots of a workflow.
func turnOf(x *engine.Execution, reply []any) (engine.Turn, bool) {
	t := engine.Turn{Project: x.Project, Workflow: x.Workflow}
	switch number(reply, 1) {
	case 1:
		t.Execution, t.Epoch = x.ID, x.Redrives
		return t, true
	case 2:
		return t, true
	}
	return t, false
}

// slotState is what index.lua has to know of an execution: wait, run, end, or "" for one that is canceled before its turn.
func slotState(x *engine.Execution) string {
	switch {
	case x.Status.Ended():
		return "end"
	case x.Waits && x.Status == workflow.ExecutionCanceling:
		return ""
	case x.Waits:
		return "wait"
	}
	return "run"
}
