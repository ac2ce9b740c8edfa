package conductor

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// maxSearched is how many executions a search looks at.
const maxSearched = 10_000

// condition is one condition of a query: a field, how it is compared, and with what.
type condition struct {
	field, operator string
	values          []string
}

var (
	conditionText = regexp.MustCompile(`(?i)^\s*(\w+)\s*(!=|=|>|<|\bIN\b)\s*(.*?)\s*$`)
	conjunction   = regexp.MustCompile(`(?i)\s+AND\s+`)
)

// parseQuery reads "status IN (FAILED,TIMED_OUT) AND workflowType=order*".
func parseQuery(query string) ([]condition, error) {
	return parseConditions(query, []string{"workflowId", "correlationId", "workflowType", "version", "startTime", "endTime", "updateTime", "status", "parentWorkflowId"})
}

func parseConditions(query string, fields []string) ([]condition, error) {
	var all []condition
	if strings.TrimSpace(query) == "" || strings.TrimSpace(query) == "*" {
		return nil, nil
	}
	for _, part := range conjunction.Split(query, -1) {
		m := conditionText.FindStringSubmatch(part)
		if m == nil {
			return nil, refuse(http.StatusBadRequest, "query: %q is no condition: write such as status IN (FAILED,TIMED_OUT) AND workflowType=order", part)
		}
		c := condition{field: m[1], operator: strings.ToUpper(m[2])}
		for v := range strings.SplitSeq(strings.Trim(m[3], "() "), ",") {
			c.values = append(c.values, strings.Trim(strings.TrimSpace(v), `"'`))
		}
		if !slices.Contains(fields, c.field) {
			return nil, refuse(http.StatusBadRequest, "query: it cannot be searched by %q: %s can be used", c.field, strings.Join(fields, ", "))
		}
		all = append(all, c)
	}
	return all, nil
}

// narrowed is what the lists narrow by; meets does the rest.
func narrowed(all []condition) engine.ExecutionFilter {
	var f engine.ExecutionFilter
	for _, c := range all {
		single := c.operator == "=" && len(c.values) == 1 && !strings.Contains(c.values[0], "*")
		switch {
		case c.field == "status" && c.operator != "!=":
			f.Status = nil
			for _, v := range c.values {
				f.Status = append(f.Status, nativeStatuses[v]...)
			}
			slices.Sort(f.Status)
			f.Status = slices.Compact(f.Status)
		case c.field == "workflowType" && single:
			f.Workflow = c.values[0]
		case c.field == "correlationId" && single:
			f.CorrelationID = c.values[0]
		}
	}
	return f
}

// meets reports whether an execution meets the condition; one on the version holds for that of its definition.
func (c condition) meets(x *engine.Execution, version int) bool {
	var has string
	switch c.field {
	case "workflowId":
		has = x.ID
	case "correlationId":
		has = x.CorrelationID
	case "workflowType":
		has = x.Workflow
	case "status":
		has = workflowStatus(x)
	case "version":
		has = strconv.Itoa(version)
	case "parentWorkflowId":
		if x.Parent != nil {
			has = x.Parent.Execution
		}
	case "startTime":
		return c.compares(cmp.Or(millis(x.StartedAt), x.CreatedAt.UnixMilli()))
	case "endTime":
		return c.compares(millis(x.EndedAt))
	case "updateTime":
		return c.compares(cmp.Or(millis(x.EndedAt), millis(x.StartedAt), x.CreatedAt.UnixMilli()))
	}
	return c.holds(has)
}

// holds reports whether a text is one of the values, or is none of them for !=.
func (c condition) holds(has string) bool {
	return slices.ContainsFunc(c.values, func(v string) bool { return like(v, has) }) != (c.operator == "!=")
}

func (c condition) compares(at int64) bool {
	want, err := strconv.ParseInt(c.values[0], 10, 64)
	if err != nil {
		return false
	}
	switch c.operator {
	case ">":
		return at > want
	case "<":
		return at < want && at > 0
	case "!=":
		return at != want
	}
	return at == want
}

// like compares with a pattern in which * is any text.
func like(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

// search answers a page of executions: GET /workflow/search and search-v2.
func (h *handlers) search(whole bool) func(*gin.Context) error {
	return func(c *gin.Context) error {
		start, err := count(c, "start", 0)
		if err != nil {
			return err
		}
		size, err := count(c, "size", 100)
		if err != nil {
			return err
		}
		if size > 5000 {
			return refuse(http.StatusBadRequest, "Cannot return more than 5000 workflows. Please use pagination.")
		}
		conditions, err := parseQuery(c.Query("query"))
		if err != nil {
			return err
		}
		ctx := c.Request.Context()
		found, err := h.find(ctx, conditions, c.DefaultQuery("freeText", "*"), maxSearched)
		if err != nil {
			return err
		}
		sortBy(found, c.Query("sort"))
		answer := searchAnswer{TotalHits: len(found), Results: []any{}}
		page := found[min(max(start, 0), len(found)):]
		for i := range page[:min(max(size, 0), len(page))] {
			var result any
			if whole {
				result, err = h.wire(ctx, &page[i], true)
			} else {
				result, err = h.summary(ctx, &page[i])
			}
			if err != nil {
				return err
			}
			answer.Results = append(answer.Results, result)
		}
		return answerJSON(c, answer)
	}
}

// find answers as many executions, newest first, without what is shown as a part of another one.
func (h *handlers) find(ctx context.Context, conditions []condition, freeText string, most int) ([]engine.Execution, error) {
	var found []engine.Execution
	free := strings.Trim(freeText, "* ")
	versioned := slices.ContainsFunc(conditions, func(c condition) bool { return c.field == "version" })
	for page, looked := (engine.Page{Limit: min(most, 1000)}), 0; looked < maxSearched && len(found) < most; {
		some, next, err := h.engine.Executions(ctx, compat.Project(ctx), narrowed(conditions), page)
		if err != nil {
			return nil, err
		}
		for i := range some {
			x := &some[i]
			if slices.ContainsFunc(conditions, func(c condition) bool { return c.field != "version" && !c.meets(x, 0) }) {
				continue
			}
			if free != "" && !strings.Contains(x.ID+" "+x.Workflow+" "+x.CorrelationID+" "+string(x.Input)+" "+string(x.Output), free) {
				continue
			}
			if versioned || x.Parent != nil {
				k, err := h.runs(ctx, x)
				if err != nil {
					return nil, err
				}
				if k.part || slices.ContainsFunc(conditions, func(c condition) bool { return !c.meets(x, k.version) }) {
					continue
				}
			}
			found = append(found, *x)
		}
		looked += len(some)
		if page.Cursor = next; next == "" {
			break
		}
	}
	return found, nil
}

// sortBy sorts as "field:ASC|field:DESC" says.
func sortBy(found []engine.Execution, order string) {
	for _, part := range slices.Backward(strings.Split(order, "|")) {
		field, direction, _ := strings.Cut(part, ":")
		value := map[string]func(x *engine.Execution) string{
			"workflowId": func(x *engine.Execution) string { return x.ID }, "workflowType": func(x *engine.Execution) string { return x.Workflow },
			"startTime": func(x *engine.Execution) string { return stamp(&x.CreatedAt) }, "endTime": func(x *engine.Execution) string { return stamp(x.EndedAt) },
			"updateTime": func(x *engine.Execution) string { return stamp(x.EndedAt) }, "status": workflowStatus,
			"correlationId": func(x *engine.Execution) string { return x.CorrelationID },
		}[field]
		if value == nil {
			continue
		}
		slices.SortStableFunc(found, func(a, b engine.Execution) int {
			if strings.EqualFold(direction, "DESC") {
				a, b = b, a
			}
			return cmp.Compare(value(&a), value(&b))
		})
	}
}

// stamp is a time as the summaries have it; "" = it has not come.
func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (h *handlers) summary(ctx context.Context, x *engine.Execution) (*summary, error) {
	k, err := h.runs(ctx, x)
	if err != nil {
		return nil, err
	}
	input, output := string(asObject(x.Input)), string(asObject(x.Output))
	s := &summary{
		WorkflowType: x.Workflow, Version: k.version, WorkflowID: x.ID, CorrelationID: x.CorrelationID, StartTime: stamp(cmp.Or(x.StartedAt, &x.CreatedAt)),
		UpdateTime: stamp(cmp.Or(x.EndedAt, x.StartedAt, &x.CreatedAt)), EndTime: stamp(x.EndedAt), Status: workflowStatus(x), Input: input, Output: output,
		FailedNames: []string{}, Priority: wirePriority(x), CreatedBy: x.Labels[labelCreatedBy], InputSize: len(input), OutputSize: len(output),
	}
	if x.EndedAt != nil && x.StartedAt != nil {
		s.ExecutionTime = x.EndedAt.Sub(*x.StartedAt).Milliseconds()
	}
	s.Reason, err = h.reason(ctx, x)
	return s, err
}

// correlated answers the executions of a workflow with a correlation id: GET /workflow/{name}/correlated/{id}.
func (h *handlers) correlated(c *gin.Context) error {
	list, err := h.correlatedTo(c, c.Param("id"), c.Param("correlation"))
	if err != nil {
		return err
	}
	return answerJSON(c, list)
}

func (h *handlers) correlatedTo(c *gin.Context, name, id string) ([]*workflowRun, error) {
	ctx := c.Request.Context()
	found, err := h.find(ctx, []condition{{"workflowType", "=", []string{name}}, {"correlationId", "=", []string{id}}}, "", maxSearched)
	if err != nil {
		return nil, err
	}
	list := []*workflowRun{}
	for i := range found {
		if terminal(workflowStatus(&found[i])) && !boolean(c, "includeClosed", false) {
			continue
		}
		w, err := h.wire(ctx, &found[i], boolean(c, "includeTasks", false))
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// correlatedMany is correlated for several correlation ids: POST /workflow/{name}/correlated.
func (h *handlers) correlatedMany(c *gin.Context) error {
	var ids []string
	if err := read(c.Request, &ids); err != nil {
		return err
	}
	if len(ids) > maxBulk {
		return refuse(http.StatusBadRequest, "Cannot process more than 1000 correlation ids")
	}
	answer := map[string][]*workflowRun{}
	for _, id := range ids {
		list, err := h.correlatedTo(c, c.Param("id"), id)
		if err != nil {
			return err
		}
		answer[id] = list
	}
	return answerJSON(c, answer)
}

// correlatedBatch is correlated for several workflows and ids: POST /workflow/correlated/batch.
func (h *handlers) correlatedBatch(c *gin.Context) error {
	var q struct {
		IDs   []string `json:"correlationIds"`
		Names []string `json:"workflowNames"`
	}
	if err := read(c.Request, &q); err != nil {
		return err
	}
	if len(q.IDs)*len(q.Names) > maxBulk {
		return refuse(http.StatusBadRequest, "Cannot process more than 1000 pairs of a correlation id and a workflow")
	}
	answer := map[string][]*workflowRun{}
	for _, id := range q.IDs {
		answer[id] = []*workflowRun{}
		for _, name := range q.Names {
			list, err := h.correlatedTo(c, name, id)
			if err != nil {
				return err
			}
			answer[id] = append(answer[id], list...)
		}
	}
	return answerJSON(c, answer)
}

// running answers the ids of the executions of a workflow that have not ended: GET /workflow/running/{name}.
func (h *handlers) running(c *gin.Context) error {
	found, err := h.find(c.Request.Context(), []condition{{"workflowType", "=", []string{c.Param("name")}}, {"status", "IN", []string{"RUNNING", "PAUSED"}}}, "", maxSearched)
	if err != nil {
		return err
	}
	ids := []string{}
	for _, x := range found {
		ids = append(ids, x.ID)
	}
	return answerJSON(c, ids)
}
