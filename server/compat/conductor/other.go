package conductor

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

type handler = func(c *gin.Context) error

// spoken is the version of Conductor whose API this is.
const spoken = "3.32.0"

// variablesStay is why the variables of a workflow are only set by its tasks.
const variablesStay = "the variables of a running workflow are not changed from outside here: rerun it from a task with taskInput or workflowInput"

// otherRoutes are health, version and token, and what is not here.
func (h *handlers) otherRoutes() []compat.Route {
	open := auth.Rule{Open: true}
	const (
		get, post  = http.MethodGet, http.MethodPost
		rateLimit  = "/api/metadata/workflow/:name/rate-limit"
		storage    = "there is no external storage here: values have up to 1 MiB, hand on references to larger ones"
		elsewhere  = "this is not done through Conductor's API here: use the redrive command or the API under /v1"
		versioned  = "what is executed has its version in the path here, 0 = the newest: POST /workflow/execute/{name}/{version}"
		owned      = "tags are listed by what they are on here: GET /metadata/workflow/{name}/tags"
		limited    = "how many executions of a workflow run at once is said natively here: concurrency in the definition"
		searchTask = "executions are not searched by their tasks here: search tasks, each names its workflow"
	)
	routes := []compat.Route{
		{Method: get, Path: "/health", Rule: open, Serve: health}, {Method: get, Path: "/api/health", Rule: open, Serve: health},
		{Method: get, Path: "/api/version", Rule: open, Serve: func(c *gin.Context) error { return text(c.Writer, spoken) }},
		{Method: post, Path: "/api/token", Rule: open, Serve: token},
	}
	for _, r := range [][3]string{
		{get, "/api/workflow/externalstoragelocation", storage}, {get, "/api/tasks/externalstoragelocation", storage},
		{post, "/api/workflow/test", elsewhere}, {post, "/api/workflow/:id/messages", elsewhere},
		{post, "/api/workflow/:id/variables", variablesStay},
		{post, "/api/workflow/:id/upgrade", "an execution takes another version with restart?useLatestDefinitions=true"},
		{post, "/api/workflow/:id/jump/:ref", "tasks are not jumped to here: skip those in between with skiptask, or rerun from a task"},
		{get, "/api/workflow/search-by-tasks", searchTask}, {get, "/api/workflow/search-by-tasks-v2", searchTask},
		{get, "/api/tasks/queue/all/verbose", elsewhere},
		{get, "/api/workflow/execute/:name", versioned}, {post, "/api/workflow/execute/:name", versioned}, {get, "/api/metadata/tags", owned},
		{get, rateLimit, limited}, {http.MethodPut, rateLimit, limited}, {http.MethodDelete, rateLimit, limited},
	} {
		routes = append(routes, compat.Absent(r[0], r[1], r[2]))
	}
	for _, root := range []string{"admin", "environment", "queue", "secrets"} {
		for _, method := range []string{get, post, http.MethodPut, http.MethodDelete} {
			routes = append(routes, compat.Absent(method, "/api/"+root, elsewhere), compat.Absent(method, "/api/"+root+"/*rest", elsewhere))
		}
	}
	return slices.Concat(routes, h.eventRoutes(), h.schedulerRoutes(), h.tagRoutes())
}

func health(c *gin.Context) error {
	return answerJSON(c, map[string]any{"healthResults": []any{}, "suppressedHealthResults": []any{}, "healthy": true})
}

// token answers the key secret as the token: an API key of this server is what is asked for each time.
func token(c *gin.Context) error {
	var q struct {
		KeyID     string `json:"keyId"`
		KeySecret string `json:"keySecret"`
	}
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if q.KeySecret == "" {
		return refuse(http.StatusBadRequest, "keySecret: is missing; it is an API key of this server, keyId may be anything")
	}
	return answerJSON(c, map[string]string{"token": q.KeySecret, "userId": q.KeyID})
}

// marked puts a task's own id where its input asks for it.
func marked(input []byte, id string) []byte {
	return []byte(strings.ReplaceAll(string(input), taskIDMark, id))
}

func projects(c *gin.Context) []string {
	return auth.From(c.Request.Context()).Projects
}

// waiting counts what waits for the workers of tasks.
func (h *handlers) waiting(c *gin.Context, queue string, names []string) (map[string]int, error) {
	types := make([]string, len(names))
	for i, name := range names {
		types[i], _ = nativeType(name)
	}
	counts, err := h.engine.RemoteWaiting(c.Request.Context(), queue, types, projects(c))
	if err != nil {
		return nil, err
	}
	sizes := map[string]int{}
	for i, name := range names {
		sizes[name] = counts[i]
	}
	return sizes, nil
}

func (h *handlers) queueSizes(c *gin.Context) error {
	sizes, err := h.waiting(c, workflow.DefaultQueue, several(c, "taskType"))
	if err != nil {
		return err
	}
	return answerJSON(c, sizes)
}

func (h *handlers) queueSize(c *gin.Context) error {
	name := c.Query("taskType")
	sizes, err := h.waiting(c, cmp.Or(c.Query("domain"), workflow.DefaultQueue), []string{name})
	if err != nil {
		return err
	}
	return answerJSON(c, sizes[name])
}

// queueAll counts what waits for each task that has a definition or a worker.
func (h *handlers) queueAll(c *gin.Context) error {
	ctx := c.Request.Context()
	notes, err := h.engine.Notes(ctx, compat.Project(ctx), notesTaskDefs)
	if err != nil {
		return err
	}
	names := sorted(notes)
	polls, err := h.polls(c, "")
	if err != nil {
		return err
	}
	for _, p := range polls {
		if !slices.Contains(names, p.QueueName) {
			names = append(names, p.QueueName)
		}
	}
	sizes, err := h.waiting(c, workflow.DefaultQueue, names)
	if err != nil {
		return err
	}
	return answerJSON(c, sizes)
}

type pollEntry struct {
	QueueName    string `json:"queueName"`
	Domain       string `json:"domain,omitempty"`
	WorkerID     string `json:"workerId"`
	LastPollTime int64  `json:"lastPollTime"` // ms
}

// polls are the workers that poll for a task, "" = for any.
func (h *handlers) polls(c *gin.Context, name string) ([]pollEntry, error) {
	workers, err := h.engine.Workers(c.Request.Context())
	if err != nil {
		return nil, err
	}
	list := []pollEntry{}
	who := auth.From(c.Request.Context())
	for _, w := range workers {
		if !w.Remote || who.Limited() && !slices.ContainsFunc(w.Projects, who.Sees) {
			continue
		}
		for _, t := range w.Types {
			own, ok := strings.CutPrefix(t, typePrefix)
			if !ok || name != "" && own != name {
				continue
			}
			for queue := range w.Queues {
				e := pollEntry{QueueName: own, WorkerID: w.ID, LastPollTime: w.SeenAt.UnixMilli()}
				if queue != workflow.DefaultQueue {
					e.Domain = queue
				}
				list = append(list, e)
			}
		}
	}
	return list, nil
}

func (h *handlers) pollData(c *gin.Context) error {
	list, err := h.polls(c, c.Query("taskType"))
	if err != nil {
		return err
	}
	return answerJSON(c, list)
}

func (h *handlers) pollDataAll(c *gin.Context) error {
	list, err := h.polls(c, "")
	if err != nil {
		return err
	}
	return answerJSON(c, list)
}

// requeue is for those who repair queues: here a sweep does, all the time.
func (h *handlers) requeue(c *gin.Context) error { return text(c.Writer, "0") }

func (h *handlers) unreported(r engine.RemoteRun, err error) {
	h.logger.Warn("a task that the server runs for Conductor could not be reported; it is delivered again", "execution", r.Execution, "task", r.Ref, "error", err)
}
