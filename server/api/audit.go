package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/projects/{project}/audit
// GET /v1/audit

// Audits is what the audit routes ask of the engine.
type Audits interface {
	// AuditEntries answers a page of what was changed in a project, "" = outside of projects, the newest first.
	AuditEntries(ctx context.Context, project string, f engine.AuditFilter, page engine.Page) ([]engine.AuditEntry, string, error)
}

type audits struct{ engine Audits }

// ListAudit lists what was changed in a project.
func (h audits) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	list, err := h.list(ctx, r.Project, ListFleetAuditParams{
		By: r.Params.By, Operation: r.Params.Operation, Dialect: r.Params.Dialect, Outcome: (*ListFleetAuditParamsOutcome)(r.Params.Outcome),
		Since: r.Params.Since, Until: r.Params.Until, Cursor: r.Params.Cursor, Limit: r.Params.Limit,
	})
	if err != nil {
		return nil, err
	}
	return ListAudit200JSONResponse(*list), nil
}

// ListFleetAudit lists what was changed outside of projects.
func (h audits) ListFleetAudit(ctx context.Context, r ListFleetAuditRequestObject) (ListFleetAuditResponseObject, error) {
	list, err := h.list(ctx, "", r.Params)
	if err != nil {
		return nil, err
	}
	return ListFleetAudit200JSONResponse(*list), nil
}

func (h audits) list(ctx context.Context, project string, p ListFleetAuditParams) (*AuditList, error) {
	f := engine.AuditFilter{
		By: given(p.By), Operation: given(p.Operation), Dialect: given(p.Dialect), Outcome: engine.AuditOutcome(given((*string)(p.Outcome))),
		Since: moment(p.Since), Until: moment(p.Until),
	}
	list := placeOf("audit", project, f)
	page, err := list.page(p.Cursor, p.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.AuditEntries(ctx, project, f, page)
	if err != nil {
		return nil, err
	}
	return &AuditList{Items: each(found, wireAudit), NextCursor: list.next(next)}, nil
}

func wireAudit(a engine.AuditEntry) AuditEntry {
	return AuditEntry{
		ID: a.ID, At: a.At, Project: a.Project, Execution: a.Execution, By: a.By, Key: a.Key, Dialect: a.Dialect, Operation: a.Operation, Method: a.Method, Path: a.Path,
		Reason: a.Reason, Outcome: AuditEntryOutcome(a.Outcome()), Status: a.Status, Code: a.Code, Remote: a.Remote, UserAgent: a.UserAgent, RequestID: a.RequestID,
	}
}
