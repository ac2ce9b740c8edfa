package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redrive/redrive/workflow"
)

// CreateKey makes an API key and answers its secret, which is not stored and
// cannot be shown again.
func (e *Engine) CreateKey(ctx context.Context, k Key) (Key, string, error) {
	var problems workflow.Problems
	if k.Name == "" || len(k.Name) > 128 {
		problems = append(problems, workflow.Problem{Field: "name", Code: "name_invalid", Message: "is empty or too long", Allowed: "1 to 128 bytes"})
	}
	if !slices.Contains([]Scope{ScopeRead, ScopeWrite, ScopeAdmin}, k.Scope) {
		problems = append(problems, workflow.Problem{Field: "scope", Code: "unknown_value", Message: fmt.Sprintf("%q is no scope", k.Scope), Allowed: "read, write, admin"})
	}
	for i, name := range k.Projects {
		_, err := e.Project(ctx, name)
		var missing *Error
		if err != nil && (!errors.As(err, &missing) || missing.Kind != KindNotFound) {
			return Key{}, "", err
		}
		if err != nil {
			problems = append(problems, workflow.Problem{Field: fmt.Sprintf("projects[%d]", i), Code: "project_not_found", Message: fmt.Sprintf("there is no project %q", name), Allowed: "an existing project; none = all"})
		}
	}
	if len(problems) > 0 {
		return Key{}, "", Invalid("request_invalid", "the key cannot be created", problems...)
	}
	now, err := e.store.Time(ctx)
	if err != nil {
		return Key{}, "", err
	}
	var b [30]byte
	if _, err := rand.Read(b[:]); err != nil {
		return Key{}, "", fmt.Errorf("engine: making a key: %w", err)
	}
	k.ID = "key_" + hex.EncodeToString(b[:6])
	secret := "rdr_" + base64.RawURLEncoding.EncodeToString(b[6:])
	k.CreatedAt, k.RevokedAt = now.UTC(), nil
	if k.Projects == nil {
		k.Projects = []string{}
	}
	return k, secret, e.store.PutKey(ctx, k, hashed(secret))
}

func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Keys answers the API keys, revoked ones too, by id.
func (e *Engine) Keys(ctx context.Context, page Page) ([]Key, string, error) {
	all, err := e.keys(ctx)
	if err != nil {
		return nil, "", err
	}
	items, next := paged(all, page.filled(), func(k Key) string { return k.ID })
	return items, next, nil
}

func (e *Engine) keys(ctx context.Context) ([]Key, error) {
	all, err := e.store.Keys(ctx)
	slices.SortFunc(all, func(a, b Key) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}

// HasKeys reports whether there is an API key that was not revoked.
func (e *Engine) HasKeys(ctx context.Context) (bool, error) {
	all, err := e.store.Keys(ctx)
	return slices.ContainsFunc(all, func(k Key) bool { return k.RevokedAt == nil }), err
}

// RevokeKey makes an API key useless. It stays listed.
func (e *Engine) RevokeKey(ctx context.Context, id string) error {
	all, err := e.store.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.ID != id {
			continue
		}
		if k.RevokedAt != nil {
			return nil
		}
		now, err := e.store.Time(ctx)
		if err != nil {
			return err
		}
		now = now.UTC()
		k.RevokedAt = &now
		return e.store.PutKey(ctx, k, "")
	}
	return NotFound("key", id)
}

// Authenticate answers the key of a secret, or KindDenied key_invalid.
func (e *Engine) Authenticate(ctx context.Context, secret string) (*Key, error) {
	k, err := e.store.KeyByHash(ctx, hashed(secret))
	if err != nil {
		return nil, err
	}
	if k == nil || k.RevokedAt != nil {
		return nil, &Error{Kind: KindDenied, Code: "key_invalid", Message: "the API key is unknown or was revoked"}
	}
	return k, nil
}
