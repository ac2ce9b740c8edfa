package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/redrive/redrive/workflow"
)

// ticket is what the token of a remote run says: which delivery it is, and what
// any server must know to report on it.
type ticket struct {
	Fence
	Worker  string `json:"worker"`
	Fleet   string `json:"fleet"` // id of the worker in the fleet
	Epoch   int    `json:"epoch"`
	Try     int    `json:"try"`
	Started int64  `json:"started"` // ms, by Redis' clock
	Lease   int64  `json:"lease"`   // ms
	Hash    string `json:"hash"`    // of the input
}

// signer seals tickets with a secret that all processes share.
type signer struct {
	mu     sync.Mutex
	secret []byte
}

// load answers the secret; fresh asks the store again, which may have been emptied.
func (s *signer) load(ctx context.Context, store Remote, fresh bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret != nil && !fresh {
		return s.secret, nil
	}
	secret, err := store.RemoteSecret(ctx)
	if err != nil {
		return nil, err
	}
	s.secret = secret
	return secret, nil
}

func (t ticket) seal(secret []byte) (string, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("engine: sealing a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(signature(secret, body), body...)), nil
}

func signature(secret, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return mac.Sum(nil)
}

// open reads a token that a poll answered, for the run that the caller means.
func (e *Engine) openToken(ctx context.Context, id, ref, token string) (ticket, error) {
	bad := func(message string) (ticket, error) {
		return ticket{}, Invalid("request_invalid", "the run cannot be reported on", workflow.Problem{
			Field: "token", Code: "token_invalid", Message: message, Allowed: "the token of this run, as poll answered it",
		})
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= sha256.Size {
		return bad("is not a token")
	}
	sum, body := raw[:sha256.Size], raw[sha256.Size:]
	for _, fresh := range []bool{false, true} {
		secret, err := e.remote.signer.load(ctx, e.store, fresh)
		if err != nil {
			return ticket{}, err
		}
		if !hmac.Equal(sum, signature(secret, body)) {
			continue
		}
		var t ticket
		if err := json.Unmarshal(body, &t); err != nil {
			return bad("is not a token")
		}
		if t.Execution != id || t.Ref != ref {
			return bad("belongs to another run")
		}
		return t, nil
	}
	return bad("was not made by this installation")
}
