package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// shown is one attempt of one task on its way to the wire.
type shown struct {
	task
	native engine.Task
	node   node
	output json.RawMessage // as it is natively
	order  int             // of its task among the native ones
	hidden bool            // it is there for those that are made of it
	open   bool            // a join whose turn has not come natively
	within string          // the join of a dynamic fork that it is a branch of
	fork   fork            // of a join: what it comes behind
}

// iterations finds the numbers of the iterations in a ref.
var iterations = regexp.MustCompile(`\[(\d+)\]\.`)

// wireRef is the reference name of a task with the numbers of the iterations that it is in.
func wireRef(n node, ref string) (name string, iteration int) {
	name = n.Ref
	for _, m := range iterations.FindAllStringSubmatch(ref, -1) {
		name += "__" + m[1]
		iteration, _ = strconv.Atoi(m[1])
	}
	return name, iteration
}

// tasksOf answers all tasks of an execution as Conductor shows them, in the order in which they were scheduled.
func (h *handlers) tasksOf(ctx context.Context, x *engine.Execution) ([]shown, error) {
	redrives, err := h.redrives(ctx, x)
	if err != nil {
		return nil, err
	}
	return h.tasksAfter(ctx, x, redrives)
}

// tasksAfter is tasksOf where the redrives have been read.
func (h *handlers) tasksAfter(ctx context.Context, x *engine.Execution, redrives []engine.Redriven) ([]shown, error) {
	all, err := h.gather(ctx, x, pastOf(redrives), x.ID, nil)
	if err != nil {
		return nil, err
	}
	all = inOnePass(all)
	slices.SortStableFunc(all, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.ScheduledTime, b.ScheduledTime), cmp.Compare(a.order, b.order), cmp.Compare(a.RetryCount, b.RetryCount))
	})
	composed(all)
	all = slices.DeleteFunc(all, func(w shown) bool { return w.hidden })
	for i := range all {
		all[i].Seq = i + 1
		all[i].CorrelationID, all[i].WorkflowPriority = x.CorrelationID, wirePriority(x)
	}
	return all, nil
}

// gather reads the tasks of an execution, and those of what runs in their place.
func (h *handlers) gather(ctx context.Context, x *engine.Execution, past past, id string, all []shown) ([]shown, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	for page := (engine.Page{Limit: 1000}); ; {
		tasks, next, err := h.engine.Tasks(ctx, x.ID, page)
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			if all, err = h.gatherTask(ctx, x, k, id, t, past, all); err != nil {
				return nil, err
			}
		}
		if page.Cursor = next; next == "" {
			return all, nil
		}
	}
}

func (h *handlers) gatherTask(ctx context.Context, x *engine.Execution, k *known, id string, t engine.Task, past past, all []shown) ([]shown, error) {
	n := k.node(t.Name, t.Type)
	if strings.HasSuffix(t.Ref, "]") { // an iteration, which is no task here
		return all, nil
	}
	from := len(all)
	if n.Inner && t.Child != "" {
		child, err := h.engine.Execution(ctx, t.Child)
		if err != nil && !compat.IsMissing(err) {
			return nil, err
		}
		if err == nil {
			redrives, err := h.redrives(ctx, child)
			if err != nil {
				return nil, err
			}
			if all, err = h.gather(ctx, child, pastOf(redrives), id, all); err != nil {
				return nil, err
			}
			if ref, _ := wireRef(n, t.Ref); n.Type == "JOIN" {
				for i := range all[from:] {
					all[from+i].within = ref
				}
			}
		}
	}
	if n.Helper && n.Type == "" || n.Type == "DYNAMIC" {
		return all, nil
	}
	if t.Attempt == 0 && t.Status != workflow.TaskSucceeded && t.Status != workflow.TaskSkipped {
		return h.openJoin(x, k, n, id, t, 0, all), nil
	}
	attempts := []engine.Attempt{presentAttempt(t)}
	taken := t.Status == workflow.TaskPending || t.Status == workflow.TaskCanceled || t.Status == workflow.TaskSkipped
	if t.Attempt > 1 || t.Status == workflow.TaskRetrying || taken && x.Redrives > 0 && t.Attempt > 0 {
		var err error
		if attempts, _, err = h.engine.Attempts(ctx, x.ID, t.Ref, engine.Page{Limit: 1000}); err != nil {
			return nil, err
		}
	}
	if t.Status == workflow.TaskQueued && t.Input == nil && n.Type == "SIMPLE" { // natively it is told what it is given when a worker has it
		input, err := h.engine.UpcomingInput(ctx, engine.Fence{Execution: x.ID, Ref: t.Ref, Attempt: t.Attempt})
		if err != nil && !compat.IsMissing(err) {
			return nil, err
		}
		if last := &attempts[len(attempts)-1]; last.Input == nil {
			last.Input = input
		}
	}
	attempts, gone := past.since(attempts)
	before := len(all)
	order := 2 * before // what stands behind it comes between the two
	for i, a := range attempts {
		w := wireTask(x, k, n, t, a)
		w.WorkflowInstanceID, w.order, w.hidden = id, order, n.Helper
		w.RetryCount -= gone
		if n.Type == "SIMPLE" {
			w.InputData = marked(w.InputData, w.TaskID)
		}
		if i+1 < len(attempts) {
			w.superseded(past.operations[attempts[i+1].Redrive], attempts[i+1].Redrive > a.Redrive)
		} else if a.Status != t.Status && t.Status != workflow.TaskRetrying { // a rerun took it back, and has not come to it again
			w.superseded(workflow.OperationRerun, true)
		}
		if i > 0 {
			w.RetriedTaskID = taskID(x.ID, t.Ref, attempts[i-1].Attempt)
		}
		if w.Status != "" {
			all = append(all, w)
		}
	}
	if t.Status == workflow.TaskRetrying && t.NextAttemptAt != nil && len(all) > before { // Conductor schedules the next attempt at once, for later
		all = append(all, nextTask(&all[len(all)-1], x, t))
	}
	if t.Status == workflow.TaskPending {
		return h.openJoin(x, k, n, id, t, gone, all), nil
	}
	return all, nil
}

// presentAttempt is the last attempt of a task.
func presentAttempt(t engine.Task) engine.Attempt {
	return engine.Attempt{
		Attempt: max(t.Attempt, 1), Redrive: t.Redrive, Status: t.Status, Input: t.Input, Output: t.Output, Error: t.Error, Progress: t.Progress, Worker: t.Worker,
		Dispatch: t.Dispatch, QueuedAt: t.QueuedAt, StartedAt: t.StartedAt, EndedAt: t.EndedAt,
	}
}

// superseded says that another attempt took the place of this one. A rerun cancels what it runs again.
func (w *shown) superseded(op workflow.Operation, redriven bool) {
	w.Retried = true
	if w.Status == "COMPLETED_WITH_ERRORS" { // only the last attempt of an optional task is
		w.Status = "FAILED"
	}
	if redriven && op != workflow.OperationRetry && w.Status != "" {
		w.Status = "CANCELED"
	}
}

func nextTask(last *shown, x *engine.Execution, t engine.Task) shown {
	next := *last
	last.superseded("", false)
	next.RetriedTaskID, next.TaskID = last.TaskID, taskID(x.ID, t.Ref, t.Attempt+1)
	next.RetryCount, next.Status, next.Reason, next.Executed = last.RetryCount+1, "SCHEDULED", "", false
	next.StartTime, next.EndTime, next.PollCount, next.WorkerID = 0, 0, 0, ""
	next.OutputData, next.output = json.RawMessage("{}"), nil
	next.ScheduledTime = last.EndTime
	next.CallbackAfterSeconds = int64(t.NextAttemptAt.Sub(time.UnixMilli(last.EndTime)).Round(time.Second).Seconds())
	next.StartDelay = next.CallbackAfterSeconds
	return next
}

// past is what the redrives of an execution were.
type past struct {
	operations map[int]workflow.Operation // by number
	whole      int                        // the last that began it anew; what ran before is no part of the workflow any more
}

// since leaves out the attempts from before the execution began anew, and says how many these are.
func (p past) since(attempts []engine.Attempt) ([]engine.Attempt, int) {
	gone := 0
	for gone < len(attempts) && attempts[gone].Redrive < p.whole {
		gone++
	}
	return attempts[gone:], gone
}

func pastOf(redrives []engine.Redriven) past {
	p := past{operations: map[int]workflow.Operation{}}
	for _, r := range redrives {
		if r.Number == 0 { // it made another execution
			continue
		}
		p.operations[r.Number] = r.Operation
		if anew(&r) {
			p.whole = r.Number
		}
	}
	return p
}

func (h *handlers) redrives(ctx context.Context, x *engine.Execution) (all []engine.Redriven, err error) {
	if x.Redrives == 0 {
		return nil, nil
	}
	for page := (engine.Page{Limit: 1000}); ; {
		redrives, next, err := h.engine.Redrives(ctx, x.ID, page)
		if err != nil {
			return nil, err
		}
		all = append(all, redrives...)
		if page.Cursor = next; next == "" {
			return all, nil
		}
	}
}

// anew reports whether a redrive began an execution from its start, as Conductor's restart does.
func anew(r *engine.Redriven) bool {
	var asked workflow.Redrive
	return len(r.Request) > 0 && json.Unmarshal(r.Request, &asked) == nil && asked.Operation == workflow.OperationRerun &&
		len(asked.From) == 0 && (asked.Scope == "" || asked.Scope == workflow.ScopeDownstream)
}

// wireTask is an attempt as Conductor shows it.
func wireTask(x *engine.Execution, k *known, n node, t engine.Task, a engine.Attempt) shown {
	ref, iteration := wireRef(n, t.Ref)
	reason := t.Reason
	if a.Attempt != max(t.Attempt, 1) {
		reason = ""
	}
	w := shown{native: t, node: n, output: a.Output, fork: k.forks[n.Ref], task: task{
		TaskType: taskType(n), Ref: ref, RetryCount: a.Attempt - 1, PollCount: a.Dispatch, TaskDefName: n.Name,
		Status:        attemptStatus(a.Status, a.Error, reason, k.optional(n.Ref)),
		ScheduledTime: millis(a.QueuedAt), StartTime: millis(a.StartedAt), EndTime: millis(a.EndedAt), Executed: a.Status.Ended(),
		CallbackFromWorker: true, WorkflowType: x.Workflow, TaskID: taskID(x.ID, t.Ref, a.Attempt), WorkerID: a.Worker,
		WorkflowTask: k.tasks[n.Ref], RateLimitSeconds: 1, Iteration: iteration, LoopOverTask: iteration > 0,
	}}
	if w.ScheduledTime == 0 {
		w.ScheduledTime = cmp.Or(w.StartTime, w.EndTime)
	}
	if name := taskType(n); n.Type != "SIMPLE" && slices.Contains([]string{"FORK", "JOIN", "EXCLUSIVE_JOIN", "SWITCH", "DECISION"}, name) {
		w.TaskDefName = name
	}
	if n.Type == "SIMPLE" {
		w.ResponseTimeout = usualResponse
		if t.Queue != workflow.DefaultQueue {
			w.Domain = t.Queue
		}
		if a.StartedAt == nil && w.PollCount > 0 {
			w.PollCount-- // this delivery was not taken
		}
	} else {
		w.PollCount = 0
	}
	w.UpdateTime = max(w.ScheduledTime, w.StartTime, w.EndTime)
	if w.StartTime > 0 {
		w.QueueWaitTime = w.StartTime - w.ScheduledTime
	}
	if a.Error != nil {
		w.Reason = a.Error.Message
	} else if reason != skippedReason && (w.Status == "CANCELED" || w.Status == "SKIPPED") {
		w.Reason = reason
	}
	if n.Type == "SUB_WORKFLOW" {
		if w.Status == "FAILED_WITH_TERMINAL_ERROR" { // it was a task in there that ended so
			w.Status = "FAILED"
		}
		if a.Attempt == t.Attempt {
			w.SubWorkflowID = t.Child
		}
	}
	if n.Type == "WAIT" {
		w.CallbackAfterSeconds = waitSeconds(a.Input, w.ScheduledTime)
	}
	w.InputData = wireInput(n, k.task(n.Ref), a.Input)
	w.OutputData = wireOutput(n, a.Output, w.SubWorkflowID)
	if a.Output == nil && a.Progress != nil {
		w.OutputData = asObject(a.Progress)
	}
	if t.Status == workflow.TaskQueued && a.Attempt == t.Attempt && t.NextAttemptAt != nil { // its worker wants it again later
		w.CallbackAfterSeconds = max(int64(time.Until(*t.NextAttemptAt).Round(time.Second).Seconds()), 0)
	}
	return w
}

// waitSeconds is how long a WAIT was to wait when it was scheduled; 0 for one that somebody ends.
func waitSeconds(raw json.RawMessage, scheduled int64) int64 {
	var in struct {
		Duration string `json:"duration"`
		Until    string `json:"until"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return 0
	}
	if d, err := time.ParseDuration(in.Duration); err == nil {
		return int64(d.Seconds())
	}
	if at, err := time.Parse(time.RFC3339, in.Until); err == nil {
		return max(at.Unix()-scheduled/1000, 0)
	}
	return 0
}

// taskType is Conductor's type of a task: of a SIMPLE one its name.
func taskType(n node) string {
	switch n.Type {
	case "SIMPLE", "USER_DEFINED", "":
		return n.Name
	case "FORK_JOIN", "FORK_JOIN_DYNAMIC":
		return "FORK"
	}
	return n.Type
}

func millis(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMilli()
}

// composed fills in the outputs that are made of others': of joins and loops.
func composed(all []shown) {
	for i := range all {
		w := &all[i]
		switch w.node.Type {
		case "JOIN", "EXCLUSIVE_JOIN":
			if w.node.Inner {
				w.InputData = encoded(map[string]any{"joinOn": branches(all, w.Ref)})
			}
			if w.node.Inner || w.Status != "COMPLETED" {
				continue
			}
			w.OutputData = joinOutput(all, w)
		case "DO_WHILE":
			w.Iteration = max(w.native.Size, 1)
			w.OutputData = loopOutput(all, w)
		case "FORK_JOIN_DYNAMIC":
			w.InputData = forkInput(all, w)
		case "TERMINATE":
			if w.Status == "FAILED" && !w.hidden {
				w.terminated(all)
			}
		}
	}
}

// joinOutput is what a join gives: the outputs of what it waited for, by reference name; an exclusive one that of the first that ran.
func joinOutput(all []shown, join *shown) json.RawMessage {
	t, _ := join.WorkflowTask.(map[string]any)
	refs := texts(t["joinOn"])
	exclusive := join.node.Type == "EXCLUSIVE_JOIN"
	if exclusive {
		refs = append(refs, texts(t["defaultExclusiveJoinTask"])...)
	}
	parts := map[string]json.RawMessage{}
	for _, on := range refs {
		out := latest(all, on+suffix(join))
		if out != nil && exclusive {
			return out
		}
		if out != nil {
			parts[on] = out
		}
	}
	return encoded(parts)
}

// terminated says what a TERMINATE did that failed the workflow: natively a task before it holds that, and it
// fails; in Conductor it is done.
func (w *shown) terminated(all []shown) {
	for _, before := range slices.Backward(all) {
		if before.hidden && before.Ref == w.Ref && before.ScheduledTime <= w.ScheduledTime {
			w.Status, w.Reason = "COMPLETED", ""
			w.InputData, w.OutputData = before.InputData, before.OutputData
			return
		}
	}
}

// latest is the output of the last attempt under a reference name.
func latest(all []shown, ref string) json.RawMessage {
	for _, w := range slices.Backward(all) {
		if w.Ref == ref && w.Status != "CANCELED" {
			return w.OutputData
		}
	}
	return nil
}

func loopOutput(all []shown, loop *shown) json.RawMessage {
	out := map[string]any{"iteration": loop.Iteration}
	t, _ := loop.WorkflowTask.(map[string]any)
	inner, _ := t["loopOver"].([]any)
	suffix := strings.TrimPrefix(loop.Ref, loop.node.Ref)
	first := 1
	if input, ok := t["inputParameters"].(map[string]any); ok {
		if last, ok := keepLast(input); ok {
			first = max(1, loop.Iteration-int(min(last, int64(loop.Iteration)))+1)
		}
	}
	for n := first; n <= loop.Iteration; n++ {
		given := map[string]json.RawMessage{}
		for _, v := range inner {
			in, _ := v.(map[string]any)
			ref, _ := in["taskReferenceName"].(string)
			if output := latest(all, ref+suffix+"__"+strconv.Itoa(n)); output != nil {
				given[ref] = output
			}
		}
		out[strconv.Itoa(n)] = given
	}
	return encoded(out)
}

func encoded(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil { // what comes from JSON can be written
		return json.RawMessage("{}")
	}
	return raw
}
