package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/projects/{project}/sessions
// GET /v1/projects/{project}/sessions/{session}
// GET /v1/projects/{project}/sessions/{session}/attempts

// Sessions is what the session routes ask of the engine.
type Sessions interface {
	Sessions(ctx context.Context, project string, f engine.SessionFilter, page engine.Page) ([]engine.Session, string, error)
	Session(ctx context.Context, project string, number int64) (*engine.Session, error)
	SessionAttempts(ctx context.Context, project string, number int64, page engine.Page) ([]engine.Execution, string, error)
}

type sessions struct{ engine Sessions }

// ListSessions lists sessions, newest first.
func (h sessions) ListSessions(ctx context.Context, r ListSessionsRequestObject) (ListSessionsResponseObject, error) {
	filter := engine.SessionFilter{Workflow: given(r.Params.Workflow)}
	list := placeOf("sessions", r.Project, filter)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Sessions(ctx, r.Project, filter, page)
	if err != nil {
		return nil, err
	}
	return ListSessions200JSONResponse{Items: each(found, wireSession), NextCursor: list.next(next)}, nil
}

// GetSession reads a session.
func (h sessions) GetSession(ctx context.Context, r GetSessionRequestObject) (GetSessionResponseObject, error) {
	s, err := h.engine.Session(ctx, r.Project, r.Session)
	if err != nil {
		return nil, err
	}
	return GetSession200JSONResponse(wireSession(*s)), nil
}

// ListSessionAttempts lists the executions of a session, oldest first.
func (h sessions) ListSessionAttempts(ctx context.Context, r ListSessionAttemptsRequestObject) (ListSessionAttemptsResponseObject, error) {
	list := placeOf("session attempts", r.Project, r.Session)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.SessionAttempts(ctx, r.Project, r.Session, page)
	if err != nil {
		return nil, err
	}
	return ListSessionAttempts200JSONResponse{Items: each(found, wireExecution), NextCursor: list.next(next)}, nil
}
