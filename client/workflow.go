package client

import (
	"bytes"
	"context"
	"iter"
)

// Publish publishes a definition, YAML or JSON as the author wrote it. With
// dryRun everything is checked and nothing is stored. A definition with
// problems is an *Error with code definition_invalid and all of them.
func (c *Client) Publish(ctx context.Context, project string, source []byte, dryRun bool) (*Published, error) {
	params := &PublishWorkflowParams{}
	if dryRun {
		params.DryRun = &dryRun
	}
	p, _, err := read[Published](c.api.PublishWorkflowWithBody(ctx, project, params, "application/yaml", bytes.NewReader(source)))
	return p, err
}

// Workflows walks the newest version of each workflow, by name.
func (c *Client) Workflows(ctx context.Context, project string) iter.Seq2[WorkflowSummary, error] {
	return all(func(cursor *string) ([]WorkflowSummary, *string, error) {
		list, err := c.WorkflowPage(ctx, project, &ListWorkflowsParams{Cursor: cursor})
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// WorkflowPage reads one page of workflows.
func (c *Client) WorkflowPage(ctx context.Context, project string, params *ListWorkflowsParams) (*WorkflowList, error) {
	list, _, err := read[WorkflowList](c.api.ListWorkflows(ctx, project, params))
	return list, err
}

// Workflow reads a version of a workflow; version 0 is the newest.
func (c *Client) Workflow(ctx context.Context, project, name string, version int) (*Workflow, error) {
	if version == 0 {
		w, _, err := read[Workflow](c.api.GetWorkflow(ctx, project, name))
		return w, err
	}
	w, _, err := read[Workflow](c.api.GetVersion(ctx, project, name, version))
	return w, err
}

// Versions walks the versions of a workflow, newest first.
func (c *Client) Versions(ctx context.Context, project, name string) iter.Seq2[WorkflowSummary, error] {
	return all(func(cursor *string) ([]WorkflowSummary, *string, error) {
		list, _, err := read[WorkflowList](c.api.ListVersions(ctx, project, name, &ListVersionsParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}
