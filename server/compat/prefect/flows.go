package prefect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// deploymentName is the name of every deployment: a workflow has one, its newest version.
const deploymentName = "redrive"

// known is a workflow as a flow and, unless Prefect's own process runs it, as a deployment.
type known struct {
	*engine.Workflow
	flowName   string
	driven     bool
	schema     json.RawMessage
	desc       string
	deployment *string
}

// drivenBy is in front of the flow's name in the description of a workflow that Prefect's own process runs.
const drivenBy = "Prefect's own process runs this flow, and says here how it goes: "

func knownOf(w *engine.Workflow) known {
	var d struct {
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"input_schema"`
	}
	k := known{Workflow: w, flowName: w.Name}
	if json.Unmarshal(w.Definition, &d) == nil {
		k.schema, k.desc = d.InputSchema, d.Description
		if name, ok := strings.CutPrefix(d.Description, drivenBy); ok {
			k.flowName, k.driven = name, true
		}
	}
	if !k.driven {
		id := deploymentID(w.Project, w.Name)
		k.deployment = &id
	}
	return k
}

func (k known) flow() flow {
	id := flowID(k.Project, k.Name)
	at := moment{k.CreatedAt}
	return flow{ID: id, Created: at, Updated: at, Name: k.flowName, Tags: []string{}, Labels: map[string]string{}}
}

// mostFlows is how many workflows of a project are looked at.
const mostFlows = 10_000

// unpublished is the flow of what was made at run time. It stands in no list, and is there for those who ask for it by
// its id: clients look up the flow of each flow run.
func unpublished(project string) known {
	return known{Workflow: &engine.Workflow{Project: project, CreatedAt: time.Unix(0, 0).UTC()}, flowName: "(made at run time)"}
}

// known answers the workflows of the caller's project that are wanted.
func (h *handlers) known(ctx context.Context, wanted func(known) bool) ([]known, error) {
	var all []known
	for cursor, seen := "", 0; seen < mostFlows; {
		page, next, err := h.engine.Workflows(ctx, compat.Project(ctx), engine.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for i := range page {
			if k := knownOf(&page[i]); wanted(k) {
				all = append(all, k)
			}
		}
		if next == "" {
			break
		}
		cursor, seen = next, seen+max(len(page), 1)
	}
	return all, nil
}

// one is the workflow that is wanted, or what is said where there is none.
func (h *handlers) one(ctx context.Context, missing refused, wanted func(known) bool) (*known, error) {
	all, err := h.known(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, missing
	}
	return &all[0], nil
}

var noFlow = refused{http.StatusNotFound, detail{"Flow not found"}}

func (h *handlers) getFlow(c *gin.Context) error {
	id, ok := parseID(c.Param("id"))
	if !ok {
		return notThere
	}
	if u := unpublished(compat.Project(c.Request.Context())); u.flow().ID == id {
		return answer(c, http.StatusOK, u.flow())
	}
	k, err := h.one(c.Request.Context(), noFlow, func(k known) bool { return flowID(k.Project, k.Name) == id })
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, k.flow())
}

func (h *handlers) getFlowByName(c *gin.Context) error {
	name := c.Param("name")
	k, err := h.one(c.Request.Context(), noFlow, func(k known) bool { return k.flowName == name })
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, k.flow())
}

var (
	flowSorts       = []string{"CREATED_DESC", "UPDATED_DESC", "NAME_ASC", "NAME_DESC"}
	flowsShape      = selectionShape(fields{"limit", anInt, "offset", anInt.from(0)}, "sort", oneOf(flowSorts...))
	countFlowsShape = selectionShape(nil)
	createShape     = shapeOf("name", aString.must(), "tags", listOf(aString), "labels", anObject.orNull())
	flowName        = regexp.MustCompile(`^[^/%&><]+$`)
	nativeName      = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,127}$`)
)

// flows are those that a request wants, in its order.
func (h *handlers) flows(c *gin.Context, shape *shape) ([]known, *selection, error) {
	var q selection
	if err := read(c.Request, shape, &q); err != nil {
		return nil, nil, err
	}
	if err := q.check(); err != nil {
		return nil, nil, err
	}
	if q.Runs != nil && (*q.Runs != runFilter{}) {
		return nil, nil, refused{http.StatusNotImplemented, detail{"flows cannot be narrowed by flow_runs here: use flows and deployments"}}
	}
	all, err := h.known(c.Request.Context(), func(k known) bool {
		return q.Flows.matches(flowID(k.Project, k.Name), k.flowName, k.deployment) && q.Deployments.matches(k.deployment)
	})
	if u := unpublished(compat.Project(c.Request.Context())); q.Flows.names(u.flow().ID) && q.Flows.matches(u.flow().ID, u.flowName, nil) && q.Deployments.matches(nil) {
		all = append(all, u)
	}
	slices.SortStableFunc(all, func(a, b known) int {
		switch q.Sort {
		case "CREATED_DESC", "UPDATED_DESC":
			return b.CreatedAt.Compare(a.CreatedAt)
		case "NAME_DESC":
			return cmp.Compare(b.flowName, a.flowName)
		}
		return cmp.Compare(a.flowName, b.flowName)
	})
	return all, &q, err
}

func (h *handlers) filterFlows(c *gin.Context) error {
	all, q, err := h.flows(c, flowsShape)
	if err != nil {
		return err
	}
	found := []flow{}
	from := min(q.Offset, len(all))
	for _, k := range all[from:min(from+q.limit(), len(all))] {
		found = append(found, k.flow())
	}
	return answer(c, http.StatusOK, found)
}

func (h *handlers) countFlows(c *gin.Context) error {
	all, _, err := h.flows(c, countFlowsShape)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, len(all))
}

// createFlow makes a flow that Prefect's own process will run; one of that name is answered as it is.
func (h *handlers) createFlow(c *gin.Context) error {
	var q struct {
		Name string `json:"name"`
	}
	if err := read(c.Request, createShape, &q); err != nil {
		return err
	}
	if !flowName.MatchString(q.Name) || len(q.Name) > 255 {
		return unprocessable(map[string]string{"name": q.Name}, fault{
			Type: "string_pattern_mismatch", Loc: []any{"body", "name"}, Msg: "String should match pattern '^[^/%&><]+$'", Input: q.Name,
			Ctx: map[string]any{"pattern": "^[^/%&><]+$"},
		})
	}
	ctx := c.Request.Context()
	there, err := h.known(ctx, func(k known) bool { return k.flowName == q.Name })
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return answer(c, http.StatusOK, there[0].flow())
	}
	source, err := drivenDefinition(q.Name)
	if err != nil {
		return err
	}
	made, err := h.engine.Publish(ctx, compat.Project(ctx), source, false)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made.Created {
		status = http.StatusCreated
	}
	return answer(c, status, knownOf(&made.Workflow).flow())
}

// drivenDefinition is a workflow with one task, which waits for how the flow ends.
func drivenDefinition(name string) ([]byte, error) {
	id := name
	if !nativeName.MatchString(name) {
		sum := sha256.Sum256([]byte(name))
		plain := regexp.MustCompile(`[^a-z0-9._-]+`).ReplaceAllString(strings.ToLower(name), "-")
		id = "flow-" + strings.Trim(plain[:min(len(plain), 80)], "-") + "-" + hex.EncodeToString(sum[:4])
	}
	return json.Marshal(map[string]any{
		"name": id, "description": drivenBy + name,
		"tasks":  []any{map[string]any{"name": drivenTask, "type": workflow.TypeWait, "with": map[string]any{"external": true}}},
		"output": "${tasks." + drivenTask + ".output}",
	})
}

type deployment struct {
	ID                     string          `json:"id"`
	Created                moment          `json:"created"`
	Updated                moment          `json:"updated"`
	Name                   string          `json:"name"`
	Version                *string         `json:"version"`
	Description            *string         `json:"description"`
	FlowID                 string          `json:"flow_id"`
	Paused                 bool            `json:"paused"`
	Schedules              []struct{}      `json:"schedules"`
	JobVariables           struct{}        `json:"job_variables"`
	Parameters             struct{}        `json:"parameters"`
	Tags                   []string        `json:"tags"`
	Labels                 struct{}        `json:"labels"`
	ParameterOpenAPISchema json.RawMessage `json:"parameter_openapi_schema"`
	EnforceParameterSchema bool            `json:"enforce_parameter_schema"`
	PullSteps              []struct{}      `json:"pull_steps"`
	Status                 string          `json:"status"`
	WorkPoolName           *string         `json:"work_pool_name"`
	WorkQueueName          *string         `json:"work_queue_name"`
	Entrypoint             *string         `json:"entrypoint"`
	ConcurrencyLimit       *int            `json:"concurrency_limit"`
}

func (k known) deployed() deployment {
	at, version := moment{k.CreatedAt}, itoa(k.Version)
	d := deployment{
		ID: *k.deployment, Created: at, Updated: at, Name: deploymentName, Version: &version, Description: textOf(k.desc), FlowID: flowID(k.Project, k.Name),
		Schedules: []struct{}{}, Tags: []string{}, ParameterOpenAPISchema: k.schema, EnforceParameterSchema: true, PullSteps: []struct{}{}, Status: "READY",
	}
	if d.ParameterOpenAPISchema == nil || d.ParameterOpenAPISchema[0] != '{' {
		d.ParameterOpenAPISchema = json.RawMessage("{}")
	}
	return d
}

var noDeployment = refused{http.StatusNotFound, detail{"Deployment not found"}}

func (h *handlers) deploymentOf(c *gin.Context) (*known, error) {
	id, ok := parseID(c.Param("id"))
	if !ok {
		return nil, notThere
	}
	return h.one(c.Request.Context(), noDeployment, func(k known) bool { return k.deployment != nil && *k.deployment == id })
}

func (h *handlers) getDeployment(c *gin.Context) error {
	k, err := h.deploymentOf(c)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, k.deployed())
}

func (h *handlers) getDeploymentByName(c *gin.Context) error {
	flow, name := c.Param("flow"), c.Param("name")
	k, err := h.one(c.Request.Context(), noDeployment, func(k known) bool {
		return k.deployment != nil && k.flowName == flow && name == deploymentName
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, k.deployed())
}

var deploymentsShape = selectionShape(fields{"limit", anInt, "offset", anInt.from(0)}, "work_pool_queues", anything, "sort", anything)

func (h *handlers) filterDeployments(c *gin.Context) error {
	var q selection
	if err := read(c.Request, deploymentsShape, &q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	if q.Runs != nil && (*q.Runs != runFilter{}) {
		return refused{http.StatusNotImplemented, detail{"deployments cannot be narrowed by flow_runs here: use flows and deployments"}}
	}
	all, err := h.known(c.Request.Context(), func(k known) bool {
		return k.deployment != nil && q.Flows.matches(flowID(k.Project, k.Name), k.flowName, k.deployment) && q.Deployments.matches(k.deployment)
	})
	if err != nil {
		return err
	}
	found := []deployment{}
	from := min(q.Offset, len(all))
	for _, k := range all[from:min(from+q.limit(), len(all))] {
		found = append(found, k.deployed())
	}
	return answer(c, http.StatusOK, found)
}
