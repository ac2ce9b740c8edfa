package api

import (
	"context"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

// GET  /v1/projects/{project}/failures
// GET  /v1/projects/{project}/failures/{fingerprint}
// POST /v1/projects/{project}/failures/{fingerprint}/acknowledge
// POST /v1/projects/{project}/failures/{fingerprint}/resolve
// POST /v1/projects/{project}/failures/{fingerprint}/reopen

// Failures is what the routes of groups of failures ask of the engine.
type Failures interface {
	FailureGroups(ctx context.Context, project string, f engine.FailureFilter, page engine.Page) ([]engine.FailureGroup, string, error)
	FailureGroup(ctx context.Context, project, fingerprint string) (*engine.FailureGroup, error)
	JudgeFailures(ctx context.Context, project, fingerprint string, to engine.FailureState, by, note string) (*engine.FailureGroup, error)
}

type failures struct{ engine Failures }

// ListFailures lists groups of failures, the last seen first.
func (h failures) ListFailures(ctx context.Context, r ListFailuresRequestObject) (ListFailuresResponseObject, error) {
	filter := engine.FailureFilter{Workflow: given(r.Params.Workflow)}
	if r.Params.State != nil {
		for _, s := range *r.Params.State {
			filter.State = append(filter.State, engine.FailureState(s))
		}
	}
	list := placeOf("failures", r.Project, filter)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.FailureGroups(ctx, r.Project, filter, page)
	if err != nil {
		return nil, err
	}
	return ListFailures200JSONResponse{Items: each(found, wireFailure), NextCursor: list.next(next)}, nil
}

// GetFailure reads a group of failures.
func (h failures) GetFailure(ctx context.Context, r GetFailureRequestObject) (GetFailureResponseObject, error) {
	g, err := h.engine.FailureGroup(ctx, r.Project, r.Fingerprint)
	if err != nil {
		return nil, err
	}
	return GetFailure200JSONResponse{FailureGroupJSONResponse(wireFailure(*g))}, nil
}

// AcknowledgeFailure says that somebody knows of a group.
func (h failures) AcknowledgeFailure(ctx context.Context, r AcknowledgeFailureRequestObject) (AcknowledgeFailureResponseObject, error) {
	g, err := h.judge(ctx, r.Project, r.Fingerprint, engine.FailureAcknowledged, r.Body)
	if err != nil {
		return nil, err
	}
	return AcknowledgeFailure200JSONResponse{FailureGroupJSONResponse(*g)}, nil
}

// ResolveFailure says that the cause of a group is mended.
func (h failures) ResolveFailure(ctx context.Context, r ResolveFailureRequestObject) (ResolveFailureResponseObject, error) {
	g, err := h.judge(ctx, r.Project, r.Fingerprint, engine.FailureResolved, r.Body)
	if err != nil {
		return nil, err
	}
	return ResolveFailure200JSONResponse{FailureGroupJSONResponse(*g)}, nil
}

// ReopenFailure says that a group is to be looked at again.
func (h failures) ReopenFailure(ctx context.Context, r ReopenFailureRequestObject) (ReopenFailureResponseObject, error) {
	g, err := h.judge(ctx, r.Project, r.Fingerprint, engine.FailureOpen, r.Body)
	if err != nil {
		return nil, err
	}
	return ReopenFailure200JSONResponse{FailureGroupJSONResponse(*g)}, nil
}

func (h failures) judge(ctx context.Context, project, fingerprint string, to engine.FailureState, body *FailureNote) (*FailureGroup, error) {
	note := ""
	if body != nil {
		note = body.Note
	}
	g, err := h.engine.JudgeFailures(ctx, project, fingerprint, to, auth.From(ctx).By(), note)
	if err != nil {
		return nil, err
	}
	w := wireFailure(*g)
	return &w, nil
}

func wireFailure(g engine.FailureGroup) FailureGroup {
	return FailureGroup{
		Fingerprint: g.Fingerprint, State: FailureState(g.State), StateAt: g.StateAt, By: g.By, Note: g.Note, ReopenedAt: g.ReopenedAt,
		Type: g.Type, Task: g.Task, Code: g.Code, Message: g.Message, Open: g.Open, Executions: g.Executions, FirstSeen: g.FirstSeen, LastSeen: g.LastSeen,
		Workflows: each(g.Workflows, same), Trend: g.Trend[:], Samples: g.Samples,
	}
}
