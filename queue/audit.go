package queue

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
)

// Audit adds an entry, and lets go of those that are too many or too old.
func (r *Redis) Audit(ctx context.Context, a engine.AuditEntry) error {
	key := auditKey(a.Project)
	if a.Denied {
		key = deniedKey()
	}
	_, err := r.run(ctx, scriptAudit, []string{key}, r.offset(), r.o.AuditEntries, r.o.AuditRetention.Milliseconds(),
		"project", a.Project, "execution", a.Execution, "by", a.By, "key", a.Key, "dialect", a.Dialect, "operation", a.Operation, "method", a.Method, "path", a.Path,
		"reason", a.Reason, "status", a.Status, "code", a.Code, "remote", a.Remote, "user_agent", a.UserAgent, "request_id", a.RequestID)
	return err
}

var auditID = regexp.MustCompile(`^[0-9]{1,19}-[0-9]{1,19}d?$`)

// deniedMark ends the ids of entries of what the door denied: two streams may give the same one.
const deniedMark = "d"

// AuditEntries answers a page of entries, the newest first. The cursor is the id of the last one looked at.
func (r *Redis) AuditEntries(ctx context.Context, project string, f engine.AuditFilter, page engine.Page) ([]engine.AuditEntry, string, error) {
	high, low := "+", "-"
	if !f.Until.IsZero() {
		high = "(" + strconv.FormatInt(f.Until.UnixMilli(), 10) + "-0"
	}
	if !f.Since.IsZero() {
		low = strconv.FormatInt(f.Since.UnixMilli(), 10)
	}
	if page.Cursor != "" && !auditID.MatchString(page.Cursor) {
		return nil, "", engine.Invalid("cursor_invalid", "the list cannot be read from there")
	}
	var found []engine.AuditEntry
	cursor := page.Cursor
	for range scanPages {
		entries, err := r.auditSlice(ctx, project, cursor, high, low, page.Limit)
		if err != nil {
			return nil, "", err
		}
		for i, a := range entries {
			cursor = a.ID
			if !auditMatches(&a, f) {
				continue
			}
			if found = append(found, a); len(found) == page.Limit {
				if i == len(entries)-1 && len(entries) < page.Limit {
					cursor = ""
				}
				return found, cursor, nil
			}
		}
		if len(entries) < page.Limit {
			return found, "", nil
		}
	}
	return found, cursor, nil
}

// auditSlice answers up to n entries after the cursor, the newest first; of one id, the denied one comes last.
func (r *Redis) auditSlice(ctx context.Context, project, cursor, high, low string, n int) ([]engine.AuditEntry, error) {
	last, afterDenied := strings.CutSuffix(cursor, deniedMark)
	after := high
	if last != "" {
		after = "(" + last
	}
	entries, err := r.client.XRevRangeN(ctx, auditKey(project), after, low, int64(n)).Result()
	if err != nil {
		return nil, unreachable(err)
	}
	all := decodeAudits(entries, "")
	if project != "" {
		return all, nil
	}
	if last != "" && !afterDenied {
		after = last
	}
	if entries, err = r.client.XRevRangeN(ctx, deniedKey(), after, low, int64(n)).Result(); err != nil {
		return nil, unreachable(err)
	}
	all = append(all, decodeAudits(entries, deniedMark)...)
	slices.SortStableFunc(all, func(a, b engine.AuditEntry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(sequence(b.ID), sequence(a.ID)))
	})
	return all[:min(n, len(all))], nil
}

// sequence is the number of an id within its millisecond.
func sequence(id string) int64 {
	_, seq, _ := strings.Cut(strings.TrimSuffix(id, deniedMark), "-")
	return atoi(seq)
}

func decodeAudits(entries []redis.XMessage, mark string) []engine.AuditEntry {
	all := make([]engine.AuditEntry, len(entries))
	for i, m := range entries {
		all[i] = decodeAudit(m)
		all[i].ID += mark
		all[i].Denied = mark != ""
	}
	return all
}

func decodeAudit(m redis.XMessage) engine.AuditEntry {
	field := func(name string) string {
		s, _ := m.Values[name].(string)
		return s
	}
	at, _, _ := strings.Cut(m.ID, "-")
	return engine.AuditEntry{
		ID: m.ID, At: time.UnixMilli(atoi(at)).UTC(), Project: field("project"), Execution: field("execution"), By: field("by"), Key: field("key"), Dialect: field("dialect"),
		Operation: field("operation"), Method: field("method"), Path: field("path"), Reason: field("reason"), Status: int(atoi(field("status"))),
		Code: field("code"), Remote: field("remote"), UserAgent: field("user_agent"), RequestID: field("request_id"),
	}
}

func auditMatches(a *engine.AuditEntry, f engine.AuditFilter) bool {
	name, _, _ := strings.Cut(a.By, " (")
	return (f.By == "" || f.By == a.Key || f.By == name || strings.HasSuffix(name, ":"+f.By)) &&
		(f.Operation == "" || f.Operation == a.Operation) && (f.Dialect == "" || f.Dialect == a.Dialect) &&
		(f.Outcome == "" || f.Outcome == a.Outcome())
}
