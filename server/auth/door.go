package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
)

const (
	// MaxRemembered is the longest that an answer about a key may be kept, so
	// the longest that a revoked key still works.
	MaxRemembered = 5 * time.Second
	maxSecret     = 256  // bytes of a credential; a key has far fewer
	maxAnswers    = 4096 // remembered at once
)

// Keys knows the API keys.
type Keys interface {
	// Authenticate returns the key of the secret, or an *engine.Error of
	// KindDenied with code key_invalid.
	Authenticate(ctx context.Context, secret string) (*engine.Key, error)
}

// Door turns credentials into principals and remembers answers for a moment.
type Door struct {
	keys     Keys
	open     bool
	remember time.Duration
	now      func() time.Time

	mu      sync.Mutex
	answers map[[sha256.Size]byte]answer // by hash: no secret stays in memory
}

type answer struct {
	principal *Principal // nil: the key is not valid
	until     time.Time
}

// NewDoor makes a door. An open one takes everybody for an admin and ignores
// credentials. remember is capped at MaxRemembered; 0 asks every time.
func NewDoor(keys Keys, open bool, remember time.Duration) *Door {
	return &Door{
		keys: keys, open: open, remember: min(remember, MaxRemembered), now: time.Now,
		answers: make(map[[sha256.Size]byte]answer),
	}
}

// Enter returns who asks, or a 401 that says which credentials are taken.
func (d *Door) Enter(r *http.Request) (*Principal, error) {
	if d.open {
		return Anybody(), nil
	}
	secret, err := credential(r)
	if err != nil {
		return nil, err
	}
	return d.Admit(r.Context(), secret)
}

// Admit returns whose a key is, or a 401. An open door takes everybody.
func (d *Door) Admit(ctx context.Context, secret string) (*Principal, error) {
	if d.open {
		return Anybody(), nil
	}
	if len(secret) > maxSecret {
		return nil, invalidKey()
	}
	sum := sha256.Sum256([]byte(secret))
	if a, ok := d.recall(sum); ok {
		if a.principal == nil {
			return nil, invalidKey()
		}
		return a.principal, nil
	}
	key, err := d.keys.Authenticate(ctx, secret)
	var e *engine.Error
	if errors.As(err, &e) && e.Kind == engine.KindDenied {
		d.keep(sum, nil)
		return nil, invalidKey()
	}
	if err != nil {
		return nil, err
	}
	p := &Principal{ID: key.ID, Name: key.Name, Scope: key.Scope, Projects: key.Projects}
	d.keep(sum, p)
	return p, nil
}

func (d *Door) recall(sum [sha256.Size]byte) (answer, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.answers[sum]
	if ok && !d.now().Before(a.until) {
		delete(d.answers, sum)
		return answer{}, false
	}
	return a, ok
}

func (d *Door) keep(sum [sha256.Size]byte, p *Principal) {
	if d.remember <= 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.answers) >= maxAnswers {
		clear(d.answers)
	}
	d.answers[sum] = answer{principal: p, until: d.now().Add(d.remember)}
}

// credential reads "Authorization: Bearer KEY", or basic auth with the key as
// the password, which is what browsers can send.
func credential(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return "", unauthorized("credentials_missing", "send an API key: \"Authorization: Bearer rdr_...\", or basic auth with the key as the password")
	}
	if len(headers) > 1 {
		return "", unauthorized("credentials_malformed", "there is more than one Authorization header: send one")
	}
	secret := ""
	if _, password, ok := r.BasicAuth(); ok {
		secret = password
	} else if scheme, rest, _ := strings.Cut(headers[0], " "); strings.EqualFold(scheme, "Bearer") {
		secret = strings.TrimSpace(rest)
	}
	if secret == "" || len(secret) > maxSecret {
		return "", unauthorized("credentials_malformed", "the Authorization header holds no API key: send \"Bearer rdr_...\", or basic auth with the key as the password")
	}
	return secret, nil
}

func invalidKey() error {
	return unauthorized("key_invalid", "there is no such API key, or it was revoked")
}

func unauthorized(code, detail string) error {
	p := problem.New(http.StatusUnauthorized, code, "%s", detail)
	p.Challenge = true
	return p
}
