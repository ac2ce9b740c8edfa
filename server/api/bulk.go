package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/problem"
	"github.com/redrive/redrive/workflow"
)

// GET, POST /v1/projects/{project}/bulk
// GET       /v1/projects/{project}/bulk/{bulk}
// GET       /v1/projects/{project}/bulk/{bulk}/items
// GET       /v1/projects/{project}/bulk/{bulk}/report
// POST      /v1/projects/{project}/bulk/{bulk}/pause
// POST      /v1/projects/{project}/bulk/{bulk}/resume
// POST      /v1/projects/{project}/bulk/{bulk}/abort

// Bulks is what the bulk routes ask of the engine.
type Bulks interface {
	PreviewBulk(ctx context.Context, project string, r engine.BulkRequest) (*engine.BulkPreview, error)
	StartBulk(ctx context.Context, project string, r engine.BulkRequest) (b *engine.Bulk, created bool, err error)
	Bulk(ctx context.Context, project, id string) (*engine.Bulk, error)
	Bulks(ctx context.Context, project string, page engine.Page) ([]engine.Bulk, string, error)
	ControlBulk(ctx context.Context, project, id string, action engine.BulkAction, r engine.Request) (*engine.Bulk, error)
	BulkItems(ctx context.Context, project, id string, outcome engine.BulkOutcome, page engine.Page) ([]engine.BulkItem, string, error)
}

type bulks struct {
	engine Bulks
	logger *slog.Logger
}

// ListBulk lists the bulk operations, newest first.
func (h bulks) ListBulk(ctx context.Context, r ListBulkRequestObject) (ListBulkResponseObject, error) {
	list := placeOf("bulk", r.Project)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Bulks(ctx, r.Project, page)
	if err != nil {
		return nil, err
	}
	return ListBulk200JSONResponse{Items: each(found, wireBulk), NextCursor: list.next(next)}, nil
}

// StartBulk does something to many executions or, dry, answers what it would do.
func (h bulks) StartBulk(ctx context.Context, r StartBulkRequestObject) (StartBulkResponseObject, error) {
	request, err := bulkRequest(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	if r.Body.DryRun || r.Params.DryRun != nil && *r.Params.DryRun {
		p, err := h.engine.PreviewBulk(ctx, r.Project, request)
		if err != nil {
			return nil, err
		}
		return StartBulk200JSONResponse(wireBulkPreview(*p)), nil
	}
	b, _, err := h.engine.StartBulk(ctx, r.Project, request)
	if err != nil {
		return nil, err
	}
	return StartBulk202JSONResponse(wireBulk(*b)), nil
}

func bulkRequest(ctx context.Context, b *BulkRequest) (engine.BulkRequest, error) {
	jitter, wrong := duration("jitter", b.Jitter, "0s to 1h")
	ago := func(field, text string) time.Duration {
		d, bad := duration("filter."+field, text, "more than 0s")
		if text != "" && len(bad) == 0 && d <= 0 {
			bad = workflow.Problems{{Field: "filter." + field, Code: "out_of_range", Message: "is " + text, Allowed: "more than 0s"}}
		}
		wrong = append(wrong, bad...)
		return d
	}
	sinceAgo, untilAgo := ago("since_ago", b.Filter.SinceAgo), ago("until_ago", b.Filter.UntilAgo)
	one := b.Redrive
	for field, given := range map[string]bool{
		"reason": one.Reason != "", "plan_hash": one.PlanHash != "", "idempotency_key": one.IdempotencyKey != "", "priority": one.Priority != 0,
	} {
		if given {
			wrong = append(wrong, workflow.Problem{Field: "redrive." + field, Code: "not_allowed", Message: "is of one execution", Allowed: "reason, idempotency_key and lane of the bulk operation"})
		}
	}
	if len(wrong) > 0 {
		return engine.BulkRequest{}, problem.Invalid(invalidRequest, "the bulk operation cannot be made", wrong...)
	}
	r := engine.BulkRequest{
		Operation: engine.BulkOperation(b.Operation), IDs: b.IDs, Rate: b.Rate, MaxInFlight: b.MaxInFlight, Jitter: jitter, Lane: engine.BulkLane(b.Lane),
		Canary: b.Canary, MaxErrorRate: b.MaxErrorRate, Reason: b.Reason, By: auth.From(ctx).By(), IdempotencyKey: b.IdempotencyKey,
		Redrive: redrive(ctx, "", &one).Redrive,
		Filter: engine.BulkFilter{
			Workflow: b.Filter.Workflow, Version: b.Filter.Version, CorrelationID: b.Filter.CorrelationID, Fingerprint: b.Filter.Fingerprint,
			SinceAgo: sinceAgo, UntilAgo: untilAgo,
		},
	}
	for _, s := range b.Filter.Status {
		r.Filter.Status = append(r.Filter.Status, workflow.ExecutionStatus(s))
	}
	r.Filter.LabelKey, r.Filter.LabelValue, _ = strings.Cut(b.Filter.Label, "=")
	if b.Filter.Since != nil {
		r.Filter.Since = *b.Filter.Since
	}
	if b.Filter.Until != nil {
		r.Filter.Until = *b.Filter.Until
	}
	return r, nil
}

// GetBulk reads a bulk operation.
func (h bulks) GetBulk(ctx context.Context, r GetBulkRequestObject) (GetBulkResponseObject, error) {
	b, err := h.engine.Bulk(ctx, r.Project, r.Bulk)
	if err != nil {
		return nil, err
	}
	return GetBulk200JSONResponse{BulkNowJSONResponse(wireBulk(*b))}, nil
}

// ListBulkItems lists the executions of a bulk operation.
func (h bulks) ListBulkItems(ctx context.Context, r ListBulkItemsRequestObject) (ListBulkItemsResponseObject, error) {
	outcome := engine.BulkOutcome("")
	if r.Params.Outcome != nil {
		outcome = engine.BulkOutcome(*r.Params.Outcome)
	}
	list := placeOf("bulk items", r.Project, r.Bulk, outcome)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.BulkItems(ctx, r.Project, r.Bulk, outcome, page)
	if err != nil {
		return nil, err
	}
	return ListBulkItems200JSONResponse{Items: each(found, wireBulkItem), NextCursor: list.next(next)}, nil
}

// PauseBulk takes nothing more for now.
func (h bulks) PauseBulk(ctx context.Context, r PauseBulkRequestObject) (PauseBulkResponseObject, error) {
	b, err := h.control(ctx, r.Project, r.Bulk, engine.BulkHold, r.Body)
	if err != nil {
		return nil, err
	}
	return PauseBulk200JSONResponse{BulkNowJSONResponse(*b)}, nil
}

// ResumeBulk lets a held operation go on.
func (h bulks) ResumeBulk(ctx context.Context, r ResumeBulkRequestObject) (ResumeBulkResponseObject, error) {
	b, err := h.control(ctx, r.Project, r.Bulk, engine.BulkContinue, r.Body)
	if err != nil {
		return nil, err
	}
	return ResumeBulk200JSONResponse{BulkNowJSONResponse(*b)}, nil
}

// AbortBulk takes nothing more, ever.
func (h bulks) AbortBulk(ctx context.Context, r AbortBulkRequestObject) (AbortBulkResponseObject, error) {
	b, err := h.control(ctx, r.Project, r.Bulk, engine.BulkAbort, r.Body)
	if err != nil {
		return nil, err
	}
	return AbortBulk200JSONResponse{BulkNowJSONResponse(*b)}, nil
}

func (h bulks) control(ctx context.Context, project, id string, action engine.BulkAction, body *ControlRequest) (*Bulk, error) {
	b, err := h.engine.ControlBulk(ctx, project, id, action, engine.Request{Reason: body.Reason, By: auth.From(ctx).By()})
	if err != nil {
		return nil, err
	}
	wire := wireBulk(*b)
	return &wire, nil
}

func wireBulk(b engine.Bulk) Bulk {
	w := Bulk{
		ID: b.ID, Project: b.Project, Operation: BulkOperation(b.Operation), State: BulkState(b.State), Why: b.Why,
		Total: b.Counts.Total, Pending: b.Counts.Pending, InFlight: b.Counts.InFlight, Succeeded: b.Counts.Succeeded, Failed: b.Counts.Failed, Skipped: b.Counts.Skipped,
		Filter: wireBulkFilter(b.Filter), Named: b.Named, Rate: b.Rate, MaxInFlight: b.Most, Jitter: b.Jitter.String(), Lane: string(b.Lane), Canary: b.Canary,
		Reason: b.BulkSpec.Reason, By: b.By, CreatedAt: b.CreatedAt, StartedAt: b.StartedAt, EndedAt: b.EndedAt,
	}
	if b.Tolerated >= 0 {
		w.MaxErrorRate = &b.Tolerated
	}
	if asked := b.Redrive; asked.Operation != "" {
		text, err := json.Marshal(asked)
		if err != nil {
			text, _ = json.Marshal(fmt.Sprintf("it cannot be shown: %v", err))
		}
		w.Redrive = text
	}
	return w
}

func wireBulkFilter(f engine.BulkFilter) BulkFilter {
	w := BulkFilter{Workflow: f.Workflow, Version: f.Version, CorrelationID: f.CorrelationID, Fingerprint: f.Fingerprint, Since: optional(f.Since), Until: optional(f.Until)}
	for _, s := range f.Status {
		w.Status = append(w.Status, ExecutionStatus(s))
	}
	if f.SinceAgo > 0 {
		w.SinceAgo = f.SinceAgo.String()
	}
	if f.UntilAgo > 0 {
		w.UntilAgo = f.UntilAgo.String()
	}
	if f.LabelKey != "" {
		w.Label = f.LabelKey + "=" + f.LabelValue
	}
	return w
}

func wireBulkPreview(p engine.BulkPreview) BulkPreview {
	return BulkPreview{
		Count: p.Count, AtLeast: p.AtLeast, Missing: p.Missing,
		Groups: each(p.Groups, func(g engine.BulkGroup) BulkGroup {
			return BulkGroup{Workflow: g.Workflow, Version: g.Version, Status: ExecutionStatus(g.Status), Count: g.Count}
		}),
		Samples: each(p.Samples, func(s engine.BulkSample) BulkSample {
			w := BulkSample{Execution: s.Execution, Status: ExecutionStatus(s.Status)}
			if s.Plan != nil {
				plan := wirePlan(*s.Plan)
				w.Plan = &plan
			}
			if s.Refused != nil {
				w.Refused = &BulkRefusal{Code: s.Refused.Code, Message: s.Refused.Error()}
			}
			return w
		}),
	}
}

func wireBulkItem(i engine.BulkItem) BulkItem {
	return BulkItem{
		Index: i.Place, Execution: i.Execution, Outcome: BulkOutcome(i.Outcome), Before: i.Before, After: i.After, Into: i.Into,
		Code: i.Code, Message: i.Message, At: i.At,
	}
}
