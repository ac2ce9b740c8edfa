package queue

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func scheduleKeys(r engine.ScheduleRecord) []string {
	return []string{scheduleKey(r.Project, r.Name), schedulesKey(r.Project), scheduleLooksKey(r.Project), scheduleNumbersKey(r.Project)}
}

// Schedule answers a schedule; nil when there is none.
func (r *Redis) Schedule(ctx context.Context, project, name string) (*engine.ScheduleRecord, error) {
	v, err := r.client.HGetAll(ctx, scheduleKey(project, name)).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return decodeSchedule(project, name, v), nil
}

func decodeSchedule(project, name string, v map[string]string) *engine.ScheduleRecord {
	if len(v) == 0 {
		return nil
	}
	rec := &engine.ScheduleRecord{
		Project: project, Name: name, Revision: atoi(v["revision"]), Number: atoi(v["number"]),
		Spec: json.RawMessage(v["spec"]), State: json.RawMessage(v["state"]),
	}
	if look := moment(atoi(v["look"])); look != nil {
		rec.Look = *look
	}
	return rec
}

// Schedules answers a project's schedules by name.
func (r *Redis) Schedules(ctx context.Context, project string, page engine.Page) ([]engine.ScheduleRecord, string, error) {
	low := "-"
	if page.Cursor != "" {
		low = "(" + page.Cursor
	}
	names, err := r.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: schedulesKey(project), Start: low, Stop: "+", ByLex: true, Count: int64(page.Limit) + 1,
	}).Result()
	if err != nil {
		return nil, "", unreachable(err)
	}
	next := ""
	if len(names) > page.Limit {
		names = names[:page.Limit]
		next = names[page.Limit-1]
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(names))
	for i, name := range names {
		cmds[i] = p.HGetAll(ctx, scheduleKey(project, name))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, "", unreachable(err)
	}
	all := make([]engine.ScheduleRecord, 0, len(names))
	for i, name := range names {
		if rec := decodeSchedule(project, name, cmds[i].Val()); rec != nil {
			all = append(all, *rec)
		}
	}
	return all, next, nil
}

// PutSchedule stores a schedule under the next revision.
func (r *Redis) PutSchedule(ctx context.Context, s engine.ScheduleRecord) error {
	if s.Revision == 0 { // known before the schedule is there: it must not be overlooked
		if err := r.client.SAdd(ctx, scheduled, s.Project).Err(); err != nil {
			return unreachable(err)
		}
	}
	look := ""
	if !s.Look.IsZero() {
		look = strconv.FormatInt(s.Look.UnixMilli(), 10)
	}
	_, err := r.run(ctx, scriptSchedule, scheduleKeys(s), s.Name, s.Revision, s.Number, look, string(s.Spec), string(s.State))
	return err
}

// DropSchedule removes a schedule.
func (r *Redis) DropSchedule(ctx context.Context, s engine.ScheduleRecord) error {
	_, err := r.run(ctx, scriptUnschedule, scheduleKeys(s), s.Name, s.Revision, s.Number)
	return err
}

// DueSchedules answers what is due in the projects that mine lets pass, and when more will be.
func (r *Redis) DueSchedules(ctx context.Context, mine func(project string) bool, limit int) (engine.DueSchedules, error) {
	projects, err := r.scheduled(ctx)
	if err != nil {
		return engine.DueSchedules{}, err
	}
	projects = slices.DeleteFunc(projects, func(p string) bool { return !mine(p) })
	if len(projects) == 0 {
		return engine.DueSchedules{}, nil
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.ZSliceCmd, len(projects))
	for i, project := range projects {
		cmds[i] = p.ZRangeWithScores(ctx, scheduleLooksKey(project), 0, int64(limit)-1)
	}
	if _, err := p.Exec(ctx); err != nil {
		return engine.DueSchedules{}, unreachable(err)
	}
	now, err := r.Time(ctx) // after the reading, so that nothing is taken for due later than it is
	if err != nil {
		return engine.DueSchedules{}, err
	}
	d := engine.DueSchedules{Now: now}
	for i, project := range projects {
		for _, z := range cmds[i].Val() {
			at := time.UnixMilli(int64(z.Score))
			if !at.After(now) {
				name, _ := z.Member.(string)
				d.Due = append(d.Due, engine.ScheduleName{Project: project, Name: name})
				continue
			}
			if d.Next.IsZero() || at.Before(d.Next) {
				d.Next = at
			}
			break
		}
	}
	return d, nil
}

// scheduled answers the projects that have, or had, schedules.
func (r *Redis) scheduled(ctx context.Context) ([]string, error) {
	projects, err := r.client.SMembers(ctx, scheduled).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	return projects, nil
}

// FindSchedule answers which schedule has a number; an empty name when none has.
func (r *Redis) FindSchedule(ctx context.Context, number int64) (engine.ScheduleName, error) {
	projects, err := r.scheduled(ctx)
	if err != nil {
		return engine.ScheduleName{}, err
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(projects))
	for i, project := range projects {
		cmds[i] = p.HGet(ctx, scheduleNumbersKey(project), strconv.FormatInt(number, 10))
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return engine.ScheduleName{}, unreachable(err)
	}
	for i, project := range projects {
		name, err := cmds[i].Result()
		if err == nil {
			return engine.ScheduleName{Project: project, Name: name}, nil
		}
		if !isNil(err) {
			return engine.ScheduleName{}, unreachable(err)
		}
	}
	return engine.ScheduleName{}, nil
}

// Statuses reads the statuses of executions; "" for one that is not there.
func (r *Redis) Statuses(ctx context.Context, ids []string) ([]workflow.ExecutionStatus, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p := r.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		cmds[i] = p.HGet(ctx, keysOf(id).execution, "status")
	}
	if _, err := p.Exec(ctx); err != nil && !isNil(err) {
		return nil, unreachable(err)
	}
	statuses := make([]workflow.ExecutionStatus, len(ids))
	for i, cmd := range cmds {
		s, err := cmd.Result()
		if err != nil && !isNil(err) {
			return nil, unreachable(err)
		}
		statuses[i] = workflow.ExecutionStatus(s)
	}
	return statuses, nil
}
