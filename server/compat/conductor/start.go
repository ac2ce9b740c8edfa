package conductor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// start starts a workflow: POST /workflow.
func (h *handlers) start(c *gin.Context) error {
	var q startRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	x, err := h.begin(c.Request.Context(), &q)
	if err != nil {
		return err
	}
	return text(c.Writer, x.ID)
}

// startByName starts a workflow whose input is the body: POST /workflow/{name}.
func (h *handlers) startByName(c *gin.Context) error {
	q := startRequest{Name: c.Param("id"), CorrelationID: c.Query("correlationId"), IdempotencyKey: c.GetHeader("X-Idempotency-key"), IdempotencyStrategy: c.GetHeader("X-on-conflict")}
	if v := c.Query("version"); v != "" {
		q.Version = v
	}
	var err error
	if q.Priority, err = count(c, "priority", 0); err != nil {
		return err
	}
	if err := readOptional(c.Request, &q.Input); err != nil {
		return err
	}
	x, err := h.begin(c.Request.Context(), &q)
	if err != nil {
		return err
	}
	return text(c.Writer, x.ID)
}

// begin starts what a request asks for.
func (h *handlers) begin(ctx context.Context, q *startRequest) (*engine.Execution, error) {
	if q.ExternalInput != "" {
		return nil, problem.New(http.StatusNotImplemented, "not_implemented", "externalInputPayloadStoragePath: there is no external storage here; give the input itself")
	}
	if q.Name == "" && q.Definition != nil {
		q.Name, _ = q.Definition["name"].(string)
	}
	if q.Name == "" {
		return nil, invalidDef{{Path: "name", Message: "Workflow name cannot be null or empty"}}
	}
	if !slices.Contains(onConflict, q.IdempotencyStrategy) {
		return nil, invalidDef{{Path: "idempotencyStrategy", Message: "is none of RETURN_EXISTING, FAIL, FAIL_ON_RUNNING", InvalidValue: q.IdempotencyStrategy}}
	}
	if n := len(q.IdempotencyKey); n > maxLabel {
		return nil, invalidDef{{Path: "idempotencyKey", Message: fmt.Sprintf("has %d bytes: at most %d are kept", n, maxLabel)}}
	}
	if q.Priority < 0 || q.Priority > 99 {
		return nil, invalidDef{{Path: "priority", Message: "priority: " + strconv.Itoa(q.Priority) + " should be 0 to 99"}}
	}
	project := compat.Project(ctx)
	r := engine.StartRequest{
		Workflow: q.Name, Input: q.Input, CorrelationID: q.CorrelationID, Labels: map[string]string{}, By: auth.From(ctx).By(),
	}
	if len(r.Input) == 0 || string(r.Input) == "null" {
		r.Input = json.RawMessage("{}")
	}
	if q.CreatedBy != "" {
		r.Labels[labelCreatedBy] = q.CreatedBy
	}
	if q.IdempotencyKey != "" {
		r.Labels[labelIdempotency] = q.IdempotencyKey
	}
	if q.Priority > 0 {
		r.Labels[labelPriority] = strconv.Itoa(q.Priority)
		r.Priority = 1 + q.Priority*8/99
	}
	var err error
	if r.Version, err = h.versionOf(ctx, project, q); err != nil {
		return nil, err
	}
	if r.Version > 0 {
		k, err := h.known(ctx, project, r.Workflow, r.Version)
		if err != nil {
			return nil, missingStart(err, q)
		}
		r.Input = templated(r.Input, k.definition["inputTemplate"])
	}
	x, err := h.once(ctx, project, r, q)
	switch {
	case compat.IsMissing(err):
		return nil, undefined(q)
	case err != nil:
		return nil, err
	}
	compat.Started(ctx, x)
	return x, nil
}

// onConflict are what a start does where its idempotency key is in use: answer what is there, be refused, or be refused only while
// that runs. "" is the first of them.
var onConflict = []string{"", "RETURN_EXISTING", "FAIL", "FAIL_ON_RUNNING"}

// keyTime is how long an idempotency key is kept, as natively.
const keyTime = 24 * time.Hour

// once starts what a request asks for, unless its idempotency key is in use, whatever the input was then. The key counts for one
// workflow: natively it is made of both, and of the execution that it was used for before, for each of them to be followed by one only.
func (h *handlers) once(ctx context.Context, project string, r engine.StartRequest, q *startRequest) (*engine.Execution, error) {
	if q.IdempotencyKey == "" {
		x, _, err := h.engine.Start(ctx, project, r)
		return x, err
	}
	exists := func(id string) error {
		return refuse(http.StatusConflict, "Workflow with the idempotency key %s exists already: %s", q.IdempotencyKey, id)
	}
	sum := sha256.Sum256([]byte(r.Workflow + "\x00" + q.IdempotencyKey))
	r.IdempotencyKey, r.KeyAlone = hex.EncodeToString(sum[:]), true
	last, err := h.keyed(ctx, project, r.Workflow, q.IdempotencyKey, nil)
	if err != nil {
		return nil, err
	}
	if last != nil {
		switch kept := time.Since(last.CreatedAt) < keyTime; {
		case q.IdempotencyStrategy == "FAIL_ON_RUNNING":
			running, err := h.keyed(ctx, project, r.Workflow, q.IdempotencyKey, slices.Concat(nativeStatuses["RUNNING"], nativeStatuses["PAUSED"]))
			if err != nil {
				return nil, err
			}
			if running != nil {
				return nil, exists(running.ID)
			}
		case kept && q.IdempotencyStrategy == "FAIL":
			return nil, exists(last.ID)
		case kept:
			return last, nil
		}
		r.IdempotencyKey += last.ID
	}
	x, created, err := h.engine.Start(ctx, project, r)
	if err == nil && !created && strings.HasPrefix(q.IdempotencyStrategy, "FAIL") {
		return nil, exists(x.ID)
	}
	return x, err
}

// maxKeyed bounds how many pages of executions with an idempotency key are read to find one that was started under it.
const maxKeyed = 50

// keyed finds the newest execution that was started under an idempotency key, of those with some status if any are given. nil = there
// is none. The children of an execution have its labels, and were not.
func (h *handlers) keyed(ctx context.Context, project, name, key string, status []workflow.ExecutionStatus) (*engine.Execution, error) {
	f := engine.ExecutionFilter{Workflow: name, LabelKey: labelIdempotency, LabelValue: key, Status: status}
	page := engine.Page{Limit: 100}
	for range maxKeyed {
		all, next, err := h.engine.Executions(ctx, project, f, page)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(x engine.Execution) bool { return x.Parent == nil }); i >= 0 {
			return &all[i], nil
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	return nil, nil
}

// keyOf makes the idempotency key of a start that the server makes: one that is too long is shortened.
func keyOf(format string, args ...any) string {
	key := fmt.Sprintf(format, args...)
	if len(key) > maxLabel {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	return key
}

func missingStart(err error, q *startRequest) error {
	if compat.IsMissing(err) {
		return undefined(q)
	}
	return err
}

// templated puts what a template says in place of what an input lacks.
func templated(input json.RawMessage, template any) json.RawMessage {
	usual, _ := template.(map[string]any)
	given := fields(input)
	if len(usual) == 0 || given == nil {
		return input
	}
	for name, value := range usual {
		if v, ok := given[name]; !ok || string(v) == "null" {
			given[name] = encoded(value)
		}
	}
	return encoded(given)
}

func undefined(q *startRequest) error {
	version := "null"
	if s := fmt.Sprint(q.Version); q.Version != nil && s != "" && s != "0" {
		version = s
	}
	return refuse(http.StatusNotFound, "No such workflow defined. name=%s, version=%s", q.Name, version)
}

// versionOf finds, or makes, the version that a start asks for.
func (h *handlers) versionOf(ctx context.Context, project string, q *startRequest) (int, error) {
	if q.Definition != nil {
		if _, ok := q.Definition["name"]; !ok {
			q.Definition["name"] = q.Name
		}
		s, err := readDef(q.Definition)
		if err != nil {
			return 0, err
		}
		q.Name = s.def.Name
		return h.variant(ctx, project, s, q.TaskToDomain)
	}
	asked := 0
	if text := fmt.Sprint(q.Version); q.Version != nil && text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, invalidDef{{Path: "version", Message: "is no whole number", InvalidValue: q.Version}}
		}
		asked = n
	}
	labels, err := h.engine.Labels(ctx, project, q.Name)
	if err != nil {
		return 0, err
	}
	if len(labels) == 0 {
		return asked, nil // it may be one that was published natively
	}
	wanted := asked
	if wanted == 0 {
		wanted = newest(labels)
	}
	native, ok := labels[strconv.Itoa(wanted)]
	if !ok {
		return 0, undefined(q)
	}
	return h.routed(ctx, project, q.Name, native, q.TaskToDomain)
}

// routed finds, or makes, the version of a workflow that differs from one in the domains its tasks go to.
func (h *handlers) routed(ctx context.Context, project, name string, version int, domains map[string]string) (int, error) {
	if len(domains) == 0 {
		return version, nil
	}
	k, err := h.known(ctx, project, name, version)
	if err != nil {
		return 0, err
	}
	if k.definition == nil {
		return 0, invalidDef{{Path: "taskToDomain", Message: name + " was published natively: its tasks name their queues themselves"}}
	}
	s, err := k.source()
	if err != nil {
		return 0, err
	}
	return h.variant(ctx, project, s, domains)
}

// notesVariants begins the group of notes that holds which versions were made for single starts.
const notesVariants = "conductor.variants:"

// variant publishes a definition that no label means: one that came with a start, or whose tasks go to domains.
func (h *handlers) variant(ctx context.Context, project string, s *source, domains map[string]string) (int, error) {
	d, err := h.compiled(ctx, project, s)
	if err != nil {
		return 0, err
	}
	if err := h.domained(ctx, d, domains); err != nil {
		return 0, err
	}
	if err := h.noteOwn(ctx, project, d); err != nil {
		return 0, err
	}
	canonical := d.Canonical()
	sum := sha256.Sum256(canonical)
	hash := hex.EncodeToString(sum[:])
	if raw, err := h.engine.Note(ctx, project, notesVariants+d.Name, hash); err == nil {
		return strconv.Atoi(string(raw))
	} else if !compat.IsMissing(err) {
		return 0, err
	}
	done, err := h.engine.PublishForeign(ctx, project, canonical, false)
	if err != nil {
		return 0, err
	}
	version := done.Workflow.Version
	return version, h.engine.PutNote(ctx, project, notesVariants+d.Name, hash, json.RawMessage(strconv.Itoa(version)))
}

// domained sends the tasks of a definition to domains, and notes with it that they are.
func (h *handlers) domained(ctx context.Context, d *workflow.Definition, domains map[string]string) error {
	if len(domains) == 0 {
		return nil
	}
	d.Annotations[annotationDomains] = string(encoded(domains))
	return h.route(ctx, d.Tasks, domains)
}

// route sends tasks to the queues of their domains.
func (h *handlers) route(ctx context.Context, tasks []workflow.Task, domains map[string]string) error {
	workers, err := h.engine.Workers(ctx)
	if err != nil {
		return err
	}
	serves := func(queue, taskType string) bool {
		return slices.ContainsFunc(workers, func(w engine.Worker) bool { return w.Queues[queue] > 0 && slices.Contains(w.Types, taskType) })
	}
	for i := range tasks {
		t := &tasks[i]
		if err := h.route(ctx, t.Tasks, domains); err != nil {
			return err
		}
		if !strings.HasPrefix(t.Type, typePrefix) {
			continue
		}
		list, ok := domains["*"]
		for name, value := range domains {
			if own, valid := nativeType(name); valid && own == t.Type {
				list, ok = value, true
			}
		}
		if !ok {
			continue
		}
		all := strings.Split(list, ",")
		for n, domain := range all { // the first that somebody polls, else the last, and only that may be none
			domain = strings.TrimSpace(domain)
			last, none := n == len(all)-1, strings.EqualFold(domain, "NO_DOMAIN") || domain == ""
			if none && last {
				t.Queue = workflow.DefaultQueue
			} else if last || !none && serves(domain, t.Type) {
				t.Queue = domain
				break
			}
		}
	}
	return nil
}

// waits counts a call that waits for as long as it does.
func (h *handlers) waits() (done func(), err error) {
	select {
	case h.waiters <- struct{}{}:
		return func() { <-h.waiters }, nil
	default:
		p := problem.New(http.StatusServiceUnavailable, "too_many_waiters", "%d calls wait here already: try again, or ask without waiting, and then for the status", cap(h.waiters))
		p.RetryAfter = 5
		return nil, p
	}
}

// execute starts a workflow and waits for its end, for a task of it, or for a time: POST /workflow/execute/{name}/{version}.
func (h *handlers) execute(c *gin.Context) error {
	done, err := h.waits()
	if err != nil {
		return err
	}
	defer done()
	var q startRequest
	if err := readOptional(c.Request, &q); err != nil {
		return err
	}
	q.Name = c.Param("name")
	if v := c.Param("version"); v != "0" {
		q.Version = v
	}
	most, err := count(c, "waitForSeconds", 10)
	if err != nil {
		return err
	}
	want, err := strategy(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	x, err := h.begin(ctx, &q)
	if err != nil {
		return err
	}
	wait := time.Duration(min(max(most, 0), 3600)) * time.Second
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(wait + time.Minute)) // not every writer has deadlines
	// Who asks for a strategy is told when the workflow waits, too.
	if refs := c.Query("waitUntilTaskRef"); c.Query("returnStrategy") != "" {
		err = h.awaitBlocked(ctx, x, wait, refs, "")
	} else {
		err = h.await(ctx, x, wait, refs)
	}
	if err != nil {
		return err
	}
	if c.Query("waitUntilTaskRef") != "" {
		h.decidedMeanwhile(ctx, x.ID)
	}
	return h.answerRun(c, x.ID, want, false)
}

func (h *handlers) executed(ctx context.Context, x *engine.Execution, request string) (*executed, error) {
	w, err := h.wire(ctx, x, true)
	if err != nil {
		return nil, err
	}
	return &executed{
		ResponseType: "TARGET_WORKFLOW", RequestID: request, TargetID: w.WorkflowID, TargetStatus: w.Status, WorkflowID: w.WorkflowID,
		CorrelationID: w.CorrelationID, Input: w.Input, Output: w.Output, Tasks: w.Tasks, Variables: w.Variables, CreateTime: w.CreateTime,
		UpdateTime: w.UpdateTime, Priority: w.Priority, Status: w.Status,
	}, nil
}

// await waits until an execution has ended, one of some tasks of it did, the time is over or the server stops.
func (h *handlers) await(request context.Context, x *engine.Execution, most time.Duration, refs string) error {
	ctx, cancel := context.WithTimeout(request, most)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	var wanted []string
	if refs != "" {
		wanted = strings.Split(refs, ",")
	}
	k, err := h.runs(ctx, x)
	if err != nil {
		return err
	}
	for after := ""; ; {
		events, ended, err := h.engine.Watch(ctx, x.ID, after)
		if ctx.Err() != nil {
			return request.Err()
		}
		if err != nil || ended {
			return err
		}
		for _, e := range events {
			after = e.Seq
			if e.Ref == "" || !workflow.TaskStatus(strings.TrimPrefix(e.Type, "task.")).Ended() {
				continue
			}
			name := e.Ref[strings.LastIndexByte(e.Ref, '.')+1:]
			if ref, _ := wireRef(k.node(name, ""), e.Ref); slices.Contains(wanted, ref) || slices.Contains(wanted, k.node(name, "").Ref) {
				return nil
			}
		}
	}
}

// decideTime is how long a call waits at most for what Conductor decides before it answers.
const decideTime = 2 * time.Second

// decideLook is the time between looks at what is not decided yet.
const decideLook = 50 * time.Millisecond

// decided waits until what Conductor does within a request is done: the tasks that it runs itself, at once, have ended,
// and what comes behind them is scheduled. What the request asked for is done before: where this cannot wait, or fails, the answer is
// as if the time was over, for one that is told of an error asks again, and gets it done twice.
func (h *handlers) decided(ctx context.Context, id string) {
	done, err := h.waits()
	if err != nil {
		return
	}
	defer done()
	h.decidedMeanwhile(ctx, id)
}

// decidedMeanwhile is decided within a call that is counted as one that waits.
func (h *handlers) decidedMeanwhile(request context.Context, id string) {
	ctx, cancel := context.WithTimeout(request, decideTime)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()
	if err := h.decide(ctx, id); err != nil && ctx.Err() == nil {
		h.logger.WarnContext(ctx, "what Conductor decides within a request could not be waited for", slog.String("execution", id), slog.Any("error", err))
	}
}

// decide waits as decided does, and until its context is over.
func (h *handlers) decide(ctx context.Context, id string) error {
	look := time.NewTicker(decideLook)
	defer look.Stop()
	for seen := int64(-1); ; {
		x, err := h.engine.Execution(ctx, id)
		if err != nil {
			return err
		}
		if x.Revision != seen { // else it is as it was
			seen = x.Revision
			deciding, err := h.deciding(ctx, x)
			if err != nil {
				return err
			}
			if !deciding {
				if !goesOn(x) {
					return nil
				}
				if err := h.engine.Advance(ctx, id); err != nil {
					return err
				}
				if x, err = h.engine.Execution(ctx, id); err != nil {
					return err
				}
				if x.Revision == seen {
					return nil
				}
				seen = x.Revision
				if deciding, err = h.deciding(ctx, x); err != nil || !deciding {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// goesOn reports whether tasks of an execution begin as soon as they can.
func goesOn(x *engine.Execution) bool {
	return x.Status == workflow.ExecutionRunning || x.Status == workflow.ExecutionQueued && !x.Waits
}

// atOnce are the native types of tasks that Conductor runs while it decides.
var atOnce = []string{"noop", "script", "transform", typeExpand}

// deciding reports whether an execution has such a task to run, and somebody runs it.
func (h *handlers) deciding(ctx context.Context, x *engine.Execution) (bool, error) {
	if !goesOn(x) || x.TasksSummary[workflow.TaskQueued]+x.TasksSummary[workflow.TaskRunning] == 0 {
		return false, nil
	}
	var workers []engine.Worker
	for page := (engine.Page{Limit: 1000}); ; {
		tasks, next, err := h.engine.Tasks(ctx, x.ID, page)
		if err != nil {
			return false, err
		}
		for _, t := range tasks {
			if t.Status != workflow.TaskQueued && t.Status != workflow.TaskRunning || !slices.Contains(atOnce, t.Type) {
				continue
			}
			if workers == nil {
				if workers, err = h.engine.Workers(ctx); err != nil {
					return false, err
				}
			}
			if slices.ContainsFunc(workers, func(w engine.Worker) bool { return w.Queues[t.Queue] > 0 && slices.Contains(w.Types, t.Type) }) {
				return true, nil
			}
		}
		if page.Cursor = next; next == "" {
			return false, nil
		}
	}
}
