package client

import (
	"context"
	"iter"
)

// Keys walks the API keys, without their secrets.
func (c *Client) Keys(ctx context.Context) iter.Seq2[Key, error] {
	return all(func(cursor *string) ([]Key, *string, error) {
		list, _, err := read[KeyList](c.api.ListKeys(ctx, &ListKeysParams{Cursor: cursor}))
		if err != nil {
			return nil, nil, err
		}
		return list.Items, list.NextCursor, nil
	})
}

// CreateKey makes an API key. The answer holds the secret, this once.
func (c *Client) CreateKey(ctx context.Context, r KeyRequest) (*CreatedKey, error) {
	k, _, err := read[CreatedKey](c.api.CreateKey(ctx, r))
	return k, err
}

// RevokeKey revokes an API key by its id.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	_, _, err := read[struct{}](c.api.RevokeKey(ctx, id))
	return err
}
