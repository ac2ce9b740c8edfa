package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET, POST /v1/keys
// DELETE    /v1/keys/{key}

// Keys is what the key routes ask of the engine.
type Keys interface {
	CreateKey(ctx context.Context, k engine.Key) (key engine.Key, secret string, err error)
	Keys(ctx context.Context, page engine.Page) ([]engine.Key, string, error)
	RevokeKey(ctx context.Context, id string) error
}

type keys struct{ engine Keys }

// ListKeys lists keys without their secrets.
func (h keys) ListKeys(ctx context.Context, r ListKeysRequestObject) (ListKeysResponseObject, error) {
	list := placeOf("keys")
	page, err := list.page(r.Params.Cursor, r.Params.Limit)
	if err != nil {
		return nil, err
	}
	found, next, err := h.engine.Keys(ctx, page)
	if err != nil {
		return nil, err
	}
	return ListKeys200JSONResponse{Items: each(found, wireKey), NextCursor: list.next(next)}, nil
}

// CreateKey makes a key; its secret is in this answer and nowhere else.
func (h keys) CreateKey(ctx context.Context, r CreateKeyRequestObject) (CreateKeyResponseObject, error) {
	key, secret, err := h.engine.CreateKey(ctx, engine.Key{
		Name: r.Body.Name, Scope: engine.Scope(r.Body.Scope), Projects: r.Body.Projects,
	})
	if err != nil {
		return nil, err
	}
	k := wireKey(key)
	return CreateKey201JSONResponse{
		ID: k.ID, Name: k.Name, Scope: k.Scope, Projects: k.Projects,
		CreatedAt: k.CreatedAt, RevokedAt: k.RevokedAt, Secret: secret,
	}, nil
}

// RevokeKey revokes a key.
func (h keys) RevokeKey(ctx context.Context, r RevokeKeyRequestObject) (RevokeKeyResponseObject, error) {
	if err := h.engine.RevokeKey(ctx, r.Key); err != nil {
		return nil, err
	}
	return RevokeKey204Response{}, nil
}
