package engine

import (
	"context"
	"time"
)

// AuditEntry says who changed what, or was refused to. It holds no body and no secret.
type AuditEntry struct {
	ID        string    // by time; of the store
	At        time.Time // by Redis' clock
	Project   string    // "" = it concerns none
	Execution string    // that it concerns; "" = none, or several
	Denied    bool      // the door refused it: it stands outside of projects, and pushes no other entry out
	By        string    // who, as histories name them
	Key       string    // id of the API key; "" on an open server
	Dialect   string    // native, monitoring, cli, or the dialect
	Operation string
	Method    string
	Path      string
	Reason    string
	Status    int    // of HTTP
	Code      string // of the error; "" = there was none
	Remote    string // address
	UserAgent string
	RequestID string
}

// AuditOutcome says whether something was changed.
type AuditOutcome string

// The outcomes.
const (
	AuditDone    AuditOutcome = "done"
	AuditRefused AuditOutcome = "refused"
)

// Outcome is what came of the call.
func (a *AuditEntry) Outcome() AuditOutcome {
	if a.Status >= 400 {
		return AuditRefused
	}
	return AuditDone
}

// AuditFilter narrows a list of entries. Zero fields do not narrow.
type AuditFilter struct {
	By           string // id or name of the key
	Operation    string
	Dialect      string
	Outcome      AuditOutcome
	Since, Until time.Time
}

// Audits keeps what was changed, per project and outside of projects (""), and there apart what the door denied: no key pushes out entries of
// what it may not touch. The oldest entries go first.
type Audits interface {
	// Audit adds an entry; its id and time are the store's.
	Audit(ctx context.Context, a AuditEntry) error
	// AuditEntries answers a page of entries, the newest first; a page that a filter thins out may be short.
	AuditEntries(ctx context.Context, project string, f AuditFilter, page Page) ([]AuditEntry, string, error)
}

// Audit adds an entry to the audit of its project. Of an execution it need only be told the id, and finds the project; where there is no such
// project or execution, the entry stands outside of projects.
func (e *Engine) Audit(ctx context.Context, a AuditEntry, execution string) error {
	if a.Denied {
		a.Project, a.Execution = "", ""
		return e.store.Audit(ctx, a)
	}
	if execution != "" {
		if id, err := e.findID(ctx, execution); err == nil {
			if x, err := e.store.Execution(ctx, id, false); err == nil {
				a.Project, a.Execution = x.Project, x.ID
			}
		}
	}
	if a.Project != "" && a.Outcome() == AuditRefused {
		if _, err := e.Project(ctx, a.Project); err != nil {
			a.Project = ""
		}
	}
	return e.store.Audit(ctx, a)
}

// AuditEntries answers a page of what was changed in a project, "" = outside of projects, the newest first.
func (e *Engine) AuditEntries(ctx context.Context, project string, f AuditFilter, page Page) ([]AuditEntry, string, error) {
	if project != "" {
		if _, err := e.Project(ctx, project); err != nil {
			return nil, "", err
		}
	}
	return e.store.AuditEntries(ctx, project, f, page.filled())
}
