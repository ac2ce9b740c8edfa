package api

import (
	"context"
	"fmt"
	"io"

	"github.com/redrive/redrive/engine"
)

// GET, POST /v1/projects/{project}/workflows
// GET       /v1/projects/{project}/workflows/{name}
// GET       /v1/projects/{project}/workflows/{name}/versions
// GET       /v1/projects/{project}/workflows/{name}/versions/{version}

// Workflows is what the workflow routes ask of the engine.
type Workflows interface {
	Publish(ctx context.Context, project string, source []byte, dryRun bool) (engine.PublishResult, error)
	Workflows(ctx context.Context, project string, page engine.Page) ([]engine.Workflow, string, error)
	Workflow(ctx context.Context, project, name string, version int) (*engine.Workflow, error)
	Versions(ctx context.Context, project, name string, page engine.Page) ([]engine.Workflow, string, error)
}

type workflows struct{ engine Workflows }

// PublishWorkflow publishes a definition or, dry, only checks it.
func (h workflows) PublishWorkflow(ctx context.Context, r PublishWorkflowRequestObject) (PublishWorkflowResponseObject, error) {
	source, err := io.ReadAll(r.Body) // bounded by Check
	if err != nil {
		return nil, fmt.Errorf("api: read the definition: %w", err)
	}
	dry := r.Params.DryRun != nil && *r.Params.DryRun
	result, err := h.engine.Publish(ctx, r.Project, source, dry)
	if err != nil {
		return nil, err
	}
	if result.Created && !dry {
		return PublishWorkflow201JSONResponse(wirePublished(result)), nil
	}
	return PublishWorkflow200JSONResponse(wirePublished(result)), nil
}

// ListWorkflows lists the newest version of each workflow.
func (h workflows) ListWorkflows(ctx context.Context, r ListWorkflowsRequestObject) (ListWorkflowsResponseObject, error) {
	list := placeOf("workflows", r.Project)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Workflows(ctx, r.Project, page)
	if err != nil {
		return nil, err
	}
	return ListWorkflows200JSONResponse{Items: each(found, wireSummary), NextCursor: list.next(next)}, nil
}

// GetWorkflow reads the newest version.
func (h workflows) GetWorkflow(ctx context.Context, r GetWorkflowRequestObject) (GetWorkflowResponseObject, error) {
	w, err := h.engine.Workflow(ctx, r.Project, r.Name, 0)
	if err != nil {
		return nil, err
	}
	return GetWorkflow200JSONResponse(wireWorkflow(*w)), nil
}

// ListVersions lists the versions, newest first.
func (h workflows) ListVersions(ctx context.Context, r ListVersionsRequestObject) (ListVersionsResponseObject, error) {
	list := placeOf("versions", r.Project, r.Name)
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Versions(ctx, r.Project, r.Name, page)
	if err != nil {
		return nil, err
	}
	return ListVersions200JSONResponse{Items: each(found, wireSummary), NextCursor: list.next(next)}, nil
}

// GetVersion reads one version.
func (h workflows) GetVersion(ctx context.Context, r GetVersionRequestObject) (GetVersionResponseObject, error) {
	w, err := h.engine.Workflow(ctx, r.Project, r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	return GetVersion200JSONResponse(wireWorkflow(*w)), nil
}
