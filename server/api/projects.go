package api

import (
	"context"
	"errors"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
)

// GET      /v1/projects
// GET, PUT /v1/projects/{project}

// Projects is what the project routes ask of the engine.
type Projects interface {
	Projects(ctx context.Context, page engine.Page) ([]engine.Project, string, error)
	Project(ctx context.Context, name string) (*engine.Project, error)
	PutProject(ctx context.Context, p engine.Project) (project *engine.Project, created bool, err error)
}

type projects struct{ engine Projects }

// ListProjects lists the projects that the caller may see.
func (h projects) ListProjects(ctx context.Context, r ListProjectsRequestObject) (ListProjectsResponseObject, error) {
	list := placeOf("projects")
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	if p := auth.From(ctx); p.Limited() {
		found, err := h.named(ctx, p.Projects)
		return ListProjects200JSONResponse{Items: found}, err
	}
	found, next, err := h.engine.Projects(ctx, page)
	if err != nil {
		return nil, err
	}
	return ListProjects200JSONResponse{Items: each(found, wireProject), NextCursor: list.next(next)}, nil
}

// named reads the projects of a limited key; some may not exist yet.
func (h projects) named(ctx context.Context, names []string) ([]Project, error) {
	found := []Project{}
	for _, name := range names {
		p, err := h.engine.Project(ctx, name)
		var e *engine.Error
		if errors.As(err, &e) && e.Kind == engine.KindNotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, wireProject(*p))
	}
	return found, nil
}

// GetProject reads a project.
func (h projects) GetProject(ctx context.Context, r GetProjectRequestObject) (GetProjectResponseObject, error) {
	p, err := h.engine.Project(ctx, r.Project)
	if err != nil {
		return nil, err
	}
	return GetProject200JSONResponse(wireProject(*p)), nil
}

// PutProject creates or changes a project.
func (h projects) PutProject(ctx context.Context, r PutProjectRequestObject) (PutProjectResponseObject, error) {
	p, created, err := h.engine.PutProject(ctx, engine.Project{Name: r.Project, Description: r.Body.Description})
	if err != nil {
		return nil, err
	}
	if created {
		return PutProject201JSONResponse(wireProject(*p)), nil
	}
	return PutProject200JSONResponse(wireProject(*p)), nil
}
