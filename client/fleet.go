package client

import "context"

// Queues reads all queues.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	list, _, err := read[QueueList](c.api.ListQueues(ctx))
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// PauseQueue pauses a queue for all projects.
func (c *Client) PauseQueue(ctx context.Context, name string) (*Queue, error) {
	q, _, err := read[Queue](c.api.PauseQueue(ctx, name))
	return q, err
}

// ResumeQueue resumes a queue.
func (c *Client) ResumeQueue(ctx context.Context, name string) (*Queue, error) {
	q, _, err := read[Queue](c.api.ResumeQueue(ctx, name))
	return q, err
}

// Diagnosis checks the installation as the server sees it.
func (c *Client) Diagnosis(ctx context.Context) (*Diagnosis, error) {
	d, _, err := read[Diagnosis](c.api.Diagnose(ctx))
	return d, err
}

// Workers reads all live workers.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	list, _, err := read[WorkerList](c.api.ListWorkers(ctx))
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
