package client

import (
	"context"
	"iter"
	"net/http"
)

// Projects walks the projects that the key may see.
func (c *Client) Projects(ctx context.Context) iter.Seq2[Project, error] {
	return all(func(cursor *string) ([]Project, *string, error) {
		list, _, err := read[ProjectList](c.api.ListProjects(ctx, &ListProjectsParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// Project reads a project.
func (c *Client) Project(ctx context.Context, name string) (*Project, error) {
	p, _, err := read[Project](c.api.GetProject(ctx, name))
	return p, err
}

// PutProject creates a project, or changes its description.
func (c *Client) PutProject(ctx context.Context, name string, r ProjectRequest) (p *Project, created bool, err error) {
	p, status, err := read[Project](c.api.PutProject(ctx, name, r))
	return p, status == http.StatusCreated, err
}
