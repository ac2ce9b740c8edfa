package engine

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/redrive/redrive/workflow"
)

// Bundle is what was brought into a project in one go: versions of its workflows,
// and the archive that they were made from.
type Bundle struct {
	Project   string         `json:"-"`
	Name      string         `json:"-"` // unique in its project
	Number    int64          `json:"-"` // in its project: 1, 2, 3 ...
	CreatedAt time.Time      `json:"-"`
	By        string         `json:"by,omitempty"`
	Workflows map[string]int `json:"workflows"` // name -> version
	Digest    string         `json:"digest"`    // of the content, as whoever made it computes it
	Content   []byte         `json:"-"`         // an archive; only Bundle answers it, and of the newest BundleContents
}

// The limits of bundles.
const (
	BundlesKept    = 1000 // of a project; the oldest is forgotten
	BundleContents = 20   // the newest, whose content is kept
	maxBundleName  = 255
)

// Bundles keeps what was brought into a project.
type Bundles interface {
	// PutBundle keeps a bundle under the next number; created is false when its name is taken.
	PutBundle(ctx context.Context, r Bundle) (stored Bundle, created bool, err error)
	// Bundle answers a bundle by its name, "" = the newest; nil when there is none.
	Bundle(ctx context.Context, project, name string) (*Bundle, error)
	// Bundles answers a page of them, newest first, without content.
	Bundles(ctx context.Context, project string, page Page) ([]Bundle, string, error)
}

// Names numbers names.
type Names interface {
	// NumberOf answers the number of a name, and gives it one when it has none. It stays for ever.
	NumberOf(ctx context.Context, name string) (int64, error)
	// Named answers what a number stands for, "" when it was not given out.
	Named(ctx context.Context, number int64) (string, error)
}

// PutBundle keeps what was brought into a project. A name that is taken is refused.
func (e *Engine) PutBundle(ctx context.Context, r Bundle) (*Bundle, error) {
	if err := e.CheckBundle(ctx, r.Project, r.Name); err != nil {
		return nil, err
	}
	stored, created, err := e.store.PutBundle(ctx, r)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, bundleTaken(r)
	}
	return &stored, nil
}

// CheckBundle says why a bundle cannot have this name.
func (e *Engine) CheckBundle(ctx context.Context, project, name string) error {
	if _, err := e.Project(ctx, project); err != nil {
		return err
	}
	if name == "" || len(name) > maxBundleName || !utf8.ValidString(name) {
		return Invalid("bundle_invalid", "the bundle cannot be kept", workflow.Problem{
			Field: "name", Code: "name_invalid", Message: "is empty, too long or no text", Allowed: "1 to 255 bytes of UTF-8",
		})
	}
	taken, err := e.store.Bundle(ctx, project, name)
	if err == nil && taken != nil {
		err = bundleTaken(*taken)
	}
	return err
}

func bundleTaken(r Bundle) error {
	return Conflict("bundle_exists", "project %s has a bundle %q already; take another name", r.Project, r.Name)
}

// Bundle answers a bundle with its content, "" = the newest.
func (e *Engine) Bundle(ctx context.Context, project, name string) (*Bundle, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, err
	}
	r, err := e.store.Bundle(ctx, project, name)
	if err == nil && r == nil {
		return nil, NotFound("bundle", name)
	}
	return r, err
}

// Bundles answers a page of the bundles of a project, newest first, without content.
func (e *Engine) Bundles(ctx context.Context, project string, page Page) ([]Bundle, string, error) {
	if _, err := e.Project(ctx, project); err != nil {
		return nil, "", err
	}
	return e.store.Bundles(ctx, project, page.filled())
}

// NumberOf answers the number of a name, the same for ever, for protocols that
// know things by numbers only. A name says of what kind it is: "project:default".
func (e *Engine) NumberOf(ctx context.Context, name string) (int64, error) {
	return e.store.NumberOf(ctx, name)
}

// Named answers the name that NumberOf gave a number to, "" when there is none.
func (e *Engine) Named(ctx context.Context, number int64) (string, error) {
	return e.store.Named(ctx, number)
}
