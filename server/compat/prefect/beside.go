package prefect

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/redrive/redrive/engine"
)

// What a flow asks for beside its flow run. There are no limits by name and no variables, which is an answer: nothing
// is limited, and the default of a variable holds.

var (
	slotsFields     = []any{"slots", anInt.from(1).must(), "names", listOf(aString).must(), "mode", oneOf("concurrency", "rate_limit")}
	slotsShape      = shapeOf(append(slotsFields, "create_if_missing", aBool.orNull())...).embedded()
	slotsLeaseShape = shapeOf(append(slotsFields, "lease_duration", aNumber.from(60), "holder", anObject.orNull())...).embedded()
	slotsGivenShape = shapeOf("slots", anInt.from(1).must(), "names", listOf(aString).must(), "occupancy_seconds", aNumber.orNull(), "create_if_missing", aBool.orNull()).embedded()
	tagsShape       = shapeOf("names", listOf(aString).must(), "task_run_id", aUUID.must(), "occupancy_seconds", aNumber.orNull()).embedded()
	leaseShape      = shapeOf("lease_id", aUUID.must()).embedded()
	renewShape      = shapeOf("lease_duration", aNumber.from(60)).embedded()
)

// noLimits answers that none of the limits is there: nothing is taken of them, or given back.
func noLimits(fields *shape) serve {
	return func(c *gin.Context) error {
		if err := read(c.Request, fields, &struct{}{}); err != nil {
			return err
		}
		return answer(c, http.StatusOK, []struct{}{})
	}
}

// noLease answers that what holds a lease may go on, or has given it back.
func noLease(fields *shape) serve {
	return func(c *gin.Context) error {
		if id, named := c.Params.Get("id"); named {
			if faults := checkUUID(id, []any{"path", "lease_id"}); faults != nil {
				return unprocessable(nil, faults...)
			}
		}
		if err := read(c.Request, fields, &struct{}{}); err != nil {
			return err
		}
		c.Status(http.StatusNoContent)
		c.Writer.WriteHeaderNow()
		return nil
	}
}

type leased struct {
	LeaseID string     `json:"lease_id"`
	Limits  []struct{} `json:"limits"`
}

func (h *handlers) leaseSlots(c *gin.Context) error {
	if err := read(c.Request, slotsLeaseShape, &struct{}{}); err != nil {
		return err
	}
	return answer(c, http.StatusOK, leased{uuid.NewString(), []struct{}{}})
}

var taskRunShape = shapeOf(
	"id", aUUID.orNull(), "state", shaped(stateShape).orNull(), "name", aString.orNull(), "flow_run_id", aUUID.orNull(), "task_key", aString.must(),
	"dynamic_key", aString.must(), "cache_key", aString.orNull(), "cache_expiration", aTime.orNull(), "task_version", aString.orNull(),
	"empirical_policy", anObject, "tags", listOf(aString), "labels", anObject.orNull(), "task_inputs", anObject,
)

type taskRun struct {
	ID          string          `json:"id"`
	Created     moment          `json:"created"`
	Updated     moment          `json:"updated"`
	Name        string          `json:"name"`
	FlowRunID   *string         `json:"flow_run_id"`
	TaskKey     string          `json:"task_key"`
	DynamicKey  string          `json:"dynamic_key"`
	TaskVersion *string         `json:"task_version"`
	Policy      json.RawMessage `json:"empirical_policy,omitempty"`
	Tags        []string        `json:"tags"`
	TaskInputs  json.RawMessage `json:"task_inputs,omitempty"`
	StateID     *string         `json:"state_id"`
	StateType   *string         `json:"state_type"`
	StateName   *string         `json:"state_name"`
	RunCount    int             `json:"run_count"`
	State       *state          `json:"state"`
}

// createTaskRun names the task run that a flow makes for a flow inside it, the same one whenever it asks. It is not kept:
// the flow run inside says under which it is.
func (h *handlers) createTaskRun(c *gin.Context) error {
	var q struct {
		taskRun
		Name  *string      `json:"name"`
		State *stateCreate `json:"state"`
	}
	if err := read(c.Request, taskRunShape, &q); err != nil {
		return err
	}
	now := moment{time.Now().UTC()}
	made := q.taskRun
	made.Created, made.Updated, made.Name = now, now, made.TaskKey+"-"+made.DynamicKey
	if q.Name != nil {
		made.Name = *q.Name
	}
	if made.Tags == nil {
		made.Tags = []string{}
	}
	if made.ID == "" {
		in := ""
		if made.FlowRunID != nil {
			in = *made.FlowRunID
		}
		made.ID = taskRunID(in, made.TaskKey+"\x00"+made.DynamicKey)
	}
	if q.State != nil {
		s := q.State.proposed(&run{x: &engine.Execution{}}, now.Time)
		s.ID, s.Details.FlowRunID, s.Details.TaskRunID = uuid.NewString(), made.FlowRunID, &made.ID
		made.State, made.StateID, made.StateType, made.StateName = s, &s.ID, &s.Type, &s.Name
	}
	return answer(c, http.StatusCreated, made)
}

func (h *handlers) variable(*gin.Context) error {
	return refused{http.StatusNotFound, detail{"Variable not found."}}
}

// emptyLists are of what is not here: however they are narrowed, nothing is on them. The command line shows them.
var emptyLists = []string{
	"/artifacts/filter", "/artifacts/latest/filter", "/automations/filter", "/block_documents/filter", "/concurrency_limits/filter",
	"/v2/concurrency_limits/filter", "/variables/filter", "/work_pools/filter",
}

func (h *handlers) nothing(c *gin.Context) error {
	return answer(c, http.StatusOK, []struct{}{})
}

// areas are what Prefect has and Redrive has not, as a whole or but for a few operations.
var areas = []struct{ path, why string }{
	{"task_runs", "task runs are not kept: read the tasks of an execution with GET /v1/executions/{id}/tasks"},
	{"task_run_states", "task runs are not kept: read the history of an execution with GET /v1/executions/{id}/history"},
	{"events", "events are not kept: follow an execution with GET /v1/executions/{id}/events"},
	{"artifacts", "artifacts are not kept: what is to be seen later belongs into the result of the flow"},
	{"automations", "there are no automations here"},
	{"variables", "there are no variables here: give a flow run what it needs as its parameters"},
	{"block_types", "there are no blocks here"},
	{"block_schemas", "there are no blocks here"},
	{"block_documents", "there are no blocks here"},
	{"block_capabilities", "there are no blocks here"},
	{"concurrency_limits", "there are no limits by name here: give the workflow one with concurrency"},
	{"v2/concurrency_limits", "there are no limits by name here: give the workflow one with concurrency"},
	{"work_pools", "there are no work pools here: Redrive's own workers take what is to run"},
	{"work_queues", "there are no work queues here: see GET /v1/queues"},
	{"deployments", "a deployment is the newest version of a workflow: schedules of it are at /v1/projects/{project}/schedules"},
	{"saved_searches", "searches are not saved here"},
	{"collections", "there are no collections here"},
}

// absentArea is why nothing is at a path that is no operation; "" = Prefect has none there either.
func absentArea(path string) string {
	for _, a := range areas {
		if rest, ok := strings.CutPrefix(path, "/api/"+a.path); ok && (rest == "" || rest[0] == '/') {
			return a.why
		}
	}
	return ""
}
