package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

func atoi(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// second reads a session time; the zero time when there is none.
func second(s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	return time.Unix(atoi(s), 0).UTC()
}

// oneLine keeps text from breaking the tab-separated history.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// holdPrefix begins the field applying of an execution in which nothing starts while a redrive of it is planned.
const holdPrefix = "hold "

func decodeExecution(id string, cmd *redis.MapStringStringCmd) (*engine.Execution, map[string]string, error) {
	f := cmd.Val()
	if len(f) == 0 {
		return nil, nil, engine.ErrGone
	}
	x := &engine.Execution{
		ID: id, Number: atoi(f["number"]), Project: f["project"], Workflow: f["workflow"], Version: int(atoi(f["version"])),
		DefinitionHash: f["definition"], Status: workflow.ExecutionStatus(f["status"]), CorrelationID: f["correlation_id"],
		Priority: int(atoi(f["priority"])), Redrives: int(atoi(f["epoch"])), Reason: f["reason"],
		Root: f["root"], Path: f["path"], Depth: int(atoi(f["depth"])),
		StartedAt: moment(atoi(f["started"])), EndedAt: moment(atoi(f["ended"])),
		TasksSummary: map[workflow.TaskStatus]int{}, Timeout: time.Duration(atoi(f["timeout"])) * time.Millisecond,
	}
	if created := moment(atoi(f["created"])); created != nil {
		x.CreatedAt = *created
	}
	if f["parent"] != "" {
		x.Parent = &engine.Parent{Execution: f["parent"], Task: f["parent_task"]}
	}
	if f["origin"] != "" {
		x.Origin = &engine.Origin{Execution: f["origin"], Relation: engine.Relation(f["relation"])}
	}
	if at := moment(atoi(f["start_at"])); at != nil {
		x.StartAt = *at
	}
	if x.Memos = f["memos"] != ""; x.Status == workflow.ExecutionPaused {
		x.PausedAt, x.PausedUntil = moment(atoi(f["paused"])), moment(atoi(f["paused_until"]))
	}
	x.ResumedAt = moment(atoi(f["resumed"]))
	x.Applying = f["applying"] != "" && !strings.HasPrefix(f["applying"], holdPrefix)
	x.Line = int(atoi(f["waits"]))
	if x.Waits = f["waits"] != "" && !x.Status.Ended(); x.Waits && x.Status == workflow.ExecutionQueued {
		x.Reason = engine.ReasonConcurrency
		if x.StartAt.After(time.Now()) {
			x.Reason = engine.ReasonStartAt
		}
	}
	if err := decodeFailed(x, f); err != nil {
		return nil, nil, err
	}
	if f["session"] != "" {
		x.Session = &engine.SessionPlace{
			Number: atoi(f["session"]), Time: second(f["session_time"]), AttemptName: f["attempt_name"], Attempt: int(atoi(f["attempt"])),
		}
	}
	counts := strings.Fields(f["counts"]) // the revision, then one per task status
	if len(counts) != 1+len(workflow.TaskStatuses) {
		return nil, nil, fmt.Errorf("queue: the counts of execution %s are %q", id, f["counts"])
	}
	x.Revision = atoi(counts[0])
	for i, s := range workflow.TaskStatuses {
		if n := atoi(counts[i+1]); n != 0 {
			x.TasksSummary[s] = int(n)
		}
	}
	for field, into := range map[string]any{"metadata": &x.Metadata, "labels": &x.Labels, "definitions": &x.Definitions, "correlations": &x.Correlations} {
		if f[field] == "" {
			continue
		}
		if err := json.Unmarshal([]byte(f[field]), into); err != nil {
			return nil, nil, fmt.Errorf("queue: %s of execution %s cannot be read: %w", field, id, err)
		}
	}
	return x, f, nil
}

// Execution reads an execution; withValues also its input, output and error.
func (r *Redis) Execution(ctx context.Context, id string, withValues bool) (*engine.Execution, error) {
	all, err := r.executions(ctx, []string{id}, withValues)
	if err != nil {
		return nil, err
	}
	if all[0] == nil {
		return nil, engine.ErrGone
	}
	return all[0], nil
}

// executions reads many in one trip; nil where one is gone.
func (r *Redis) executions(ctx context.Context, ids []string, withValues bool) ([]*engine.Execution, error) {
	all, err := r.legible(ctx, ids, withValues)
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		if x != nil && x.Unreadable != nil {
			return nil, x.Unreadable
		}
	}
	return all, nil
}

// legible reads many in one trip; nil where one is gone. Of one that cannot be read it has the id, and why.
func (r *Redis) legible(ctx context.Context, ids []string, withValues bool) ([]*engine.Execution, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	p := r.client.Pipeline()
	heads := make([]*redis.MapStringStringCmd, len(ids))
	values := make([]*redis.SliceCmd, len(ids))
	for i, id := range ids {
		k := keysOf(id)
		heads[i] = p.HGetAll(ctx, k.execution)
		values[i] = redis.NewSliceCmd(ctx)
		if withValues {
			values[i] = p.HMGet(ctx, k.values, "in", "out", "error")
		}
	}
	if _, err := p.Exec(ctx); err != nil && !spoilt(err) {
		return nil, unreachable(err)
	}
	all := make([]*engine.Execution, len(ids))
	for i, id := range ids {
		err := cmp.Or(heads[i].Err(), values[i].Err())
		if err != nil && !spoilt(err) {
			return nil, unreachable(err)
		}
		if err == nil && len(heads[i].Val()) == 0 {
			continue
		}
		if err == nil {
			all[i], err = readExecution(id, heads[i], values[i], withValues)
		}
		if err != nil {
			all[i] = &engine.Execution{ID: id, Unreadable: err}
		}
	}
	return all, nil
}

func readExecution(id string, head *redis.MapStringStringCmd, values *redis.SliceCmd, withValues bool) (*engine.Execution, error) {
	x, _, err := decodeExecution(id, head)
	if err != nil || !withValues {
		return x, err
	}
	v := values.Val()
	x.Input, x.Output = raw(text(v, 0)), raw(text(v, 1))
	x.Error, err = decodeError(text(v, 2))
	return x, err
}

// TaskValues reads input, output, error and progress of attempts of tasks: refs[i] at attempts[i].
func (r *Redis) TaskValues(ctx context.Context, id string, refs []string, attempts []int, current bool) ([]engine.TaskValue, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	fields := make([]string, 0, 4*len(refs))
	for i, ref := range refs {
		place := ref + "#" + strconv.Itoa(attempts[i])
		out := "o:" + place
		if current {
			out = "o:" + ref
		}
		fields = append(fields, "i:"+place, out, "e:"+place, "p:"+place)
	}
	v, err := r.client.HMGet(ctx, keysOf(id).values, fields...).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all := make([]engine.TaskValue, len(refs))
	for i := range refs {
		all[i] = engine.TaskValue{Input: raw(text(v, 4*i)), Output: raw(text(v, 4*i+1)), Progress: raw(text(v, 4*i+3))}
		if all[i].Error, err = decodeError(text(v, 4*i+2)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Attempts reads the records of a task's attempts that another one followed, oldest first.
func (r *Redis) Attempts(ctx context.Context, id, ref string, upTo int) ([]engine.Record, error) {
	if upTo < 1 {
		return nil, nil
	}
	fields := make([]string, upTo)
	for i := range fields {
		fields[i] = ref + "#" + strconv.Itoa(i+1)
	}
	v, err := r.client.HMGet(ctx, keysOf(id).attempts, fields...).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	var recs []engine.Record
	for i := range fields {
		s := text(v, i)
		if s == "" {
			continue
		}
		var rec engine.Record
		if err := json.Unmarshal([]byte(s), &rec); err != nil {
			return nil, fmt.Errorf("queue: attempt %s of %s cannot be read: %w", fields[i], id, err)
		}
		rec.Final = rec.Status.Ended()
		rec.Status = rec.Outcome
		recs = append(recs, rec)
	}
	return recs, nil
}

// Events reads an execution's history from index on.
func (r *Redis) Events(ctx context.Context, id string, from int64, limit int) ([]engine.Event, error) {
	lines, err := r.client.LRange(ctx, keysOf(id).events, from, from+int64(limit)-1).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	events := make([]engine.Event, len(lines))
	for i, line := range lines {
		f := append(strings.Split(line, "\t"), make([]string, 6)...)
		kind, status, _ := strings.Cut(f[1], ".")
		events[i] = engine.Event{
			Seq: strconv.FormatInt(from+int64(i)+1, 10), At: time.UnixMilli(atoi(f[0])).UTC(), Type: f[1],
			Ref: f[2], Attempt: int(atoi(f[3])), By: f[4], Reason: f[5],
		}
		switch {
		case kind != "task":
		case status == "kept":
			events[i].Status = string(workflow.TaskSucceeded)
		default:
			events[i].Status = status
		}
	}
	return events, nil
}

// EventCount answers how many entries an execution's history has.
func (r *Redis) EventCount(ctx context.Context, id string) (int64, error) {
	n, err := r.client.LLen(ctx, keysOf(id).events).Result()
	if err != nil {
		return 0, unreachable(err)
	}
	return n, nil
}

// StatusCounts counts the executions of a project by status, as the lists show them.
func (r *Redis) StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error) {
	p := r.client.Pipeline()
	cmds := make([]*redis.IntCmd, len(workflow.ExecutionStatuses))
	for i, s := range workflow.ExecutionStatuses {
		cmds[i] = p.ZCard(ctx, statusList(project, s))
	}
	if _, err := p.Exec(ctx); err != nil {
		return nil, unreachable(err)
	}
	counts := map[workflow.ExecutionStatus]int64{}
	for i, s := range workflow.ExecutionStatuses {
		counts[s] = cmds[i].Val()
	}
	return counts, nil
}

// TaskCounts counts the tasks of executions that have not ended, by status; of at
// most limit executions of each status.
func (r *Redis) TaskCounts(ctx context.Context, project string, limit int) (map[workflow.TaskStatus]int64, error) {
	total := map[workflow.TaskStatus]int64{}
	for _, s := range workflow.TaskStatuses {
		total[s] = 0
	}
	for _, s := range workflow.ExecutionStatuses {
		if s.Ended() {
			continue
		}
		ids, err := r.client.ZRange(ctx, statusList(project, s), int64(-limit), -1).Result()
		if err != nil {
			return nil, unreachable(err)
		}
		for part := range slices.Chunk(ids, stepSize) {
			all, err := r.executions(ctx, part, false)
			if err != nil {
				return nil, err
			}
			for _, x := range all {
				if x == nil {
					continue
				}
				for status, n := range x.TasksSummary {
					total[status] += int64(n)
				}
			}
		}
	}
	return total, nil
}

func statusList(project string, s workflow.ExecutionStatus) string {
	return listKey(project, "status:"+string(s))
}

// lists are the lists an execution is in whatever its status.
func lists(x *engine.Execution) []string {
	all := []string{listKey(x.Project, "all"), listKey(x.Project, "workflow:"+x.Workflow)}
	if x.CorrelationID != "" {
		all = append(all, listKey(x.Project, "correlation:"+x.CorrelationID))
	}
	if x.Origin != nil {
		all = append(all, lineageList(x.Project, x.Root))
	}
	for k, v := range x.Labels {
		all = append(all, listKey(x.Project, "label:"+k+"="+v))
	}
	return all
}

// scanPages bounds how much of a list one page may read through.
const scanPages = 20

// List answers a page of executions, newest first. It walks the shortest list
// that a filter names, that of a group of failures where one is named, and checks the rest on what it reads; a page may be short.
func (r *Redis) List(ctx context.Context, project string, f engine.ExecutionFilter, page engine.Page) ([]engine.Execution, string, error) {
	list := failureKeysOf(project, f.Fingerprint).open
	if f.Fingerprint == "" {
		var err error
		if list, err = r.shortest(ctx, project, f); err != nil {
			return nil, "", err
		}
	}
	high, low := bounds(f)
	if page.Cursor != "" {
		high = "(" + page.Cursor
	}
	var found []engine.Execution
	cursor := page.Cursor
	for range scanPages {
		ids, err := r.client.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: list, Start: high, Stop: low, ByLex: true, Rev: true, Count: int64(page.Limit),
		}).Result()
		if err != nil {
			return nil, "", unreachable(err)
		}
		all, err := r.executions(ctx, ids, true)
		if err != nil {
			return nil, "", err
		}
		for i, x := range all {
			cursor = ids[i]
			if x != nil && f.Matches(x) {
				if found = append(found, *x); len(found) == page.Limit {
					return found, cursor, nil
				}
			}
		}
		if len(ids) < page.Limit {
			return found, "", nil
		}
		high = "(" + cursor
	}
	return found, cursor, nil
}

// bounds are those of the ids that were made in the time that a filter names.
func bounds(f engine.ExecutionFilter) (high, low string) {
	high, low = "+", "-"
	if !f.Until.IsZero() {
		high = "(" + idAt(f.Until)
	}
	if !f.Since.IsZero() {
		low = "[" + idAt(f.Since)
	}
	return high, low
}

// shortest answers the shortest list that holds everything the filter wants.
func (r *Redis) shortest(ctx context.Context, project string, f engine.ExecutionFilter) (string, error) {
	lists := waysTo(project, f)
	p := r.client.Pipeline()
	sizes := make([]*redis.IntCmd, len(lists))
	for i, l := range lists {
		sizes[i] = p.ZCard(ctx, l)
	}
	if _, err := p.Exec(ctx); err != nil {
		return "", unreachable(err)
	}
	best := 0
	for i := range lists {
		if sizes[i].Val() < sizes[best].Val() {
			best = i
		}
	}
	return lists[best], nil
}

// waysTo are the lists each of which holds everything the filter wants.
func waysTo(project string, f engine.ExecutionFilter) []string {
	ways := []string{listKey(project, "all")}
	if f.Workflow != "" {
		ways = append(ways, listKey(project, "workflow:"+f.Workflow))
	}
	if f.CorrelationID != "" {
		ways = append(ways, listKey(project, "correlation:"+f.CorrelationID))
	}
	if f.LabelKey != "" {
		ways = append(ways, listKey(project, "label:"+f.LabelKey+"="+f.LabelValue))
	}
	if len(f.Status) == 1 {
		ways = append(ways, statusList(project, f.Status[0]))
	}
	return ways
}

// idAt is the smallest UUIDv7 of a moment.
func idAt(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	return fmt.Sprintf("%08x-%04x-", ms>>16, ms&0xffff)
}
