package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/queue"
	"github.com/redrive/redrive/worker/setup"
)

const defaultServer = "http://127.0.0.1:8080"

func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Usage: "`URL` of the API server", EnvVars: []string{"REDRIVE_SERVER"}, Value: defaultServer},
		&cli.StringFlag{Name: "api-key", Usage: "API `KEY`", EnvVars: []string{"REDRIVE_API_KEY"}},
		&cli.StringFlag{Name: "project", Usage: "`NAME` of the project", EnvVars: []string{"REDRIVE_PROJECT"}, Value: "default"},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT`: table, wide, json, jsonl, yaml or name", EnvVars: []string{"REDRIVE_OUTPUT"}, Value: formatTable},
	}
}

// session is what a noun command works with: the API and a printer.
type session struct {
	*program
	*printer
	api     *client.Client
	project string
	server  string
}

// connect checks the global flags and makes a session. It does not reach out yet.
func (p *program) connect(c *cli.Context, allowed ...string) (*session, error) {
	if len(allowed) == 0 {
		allowed = formats
	}
	if p.played != "" { // what the environment says is for others
		return p.sessionAt(p.played, "", "default", allowed[0])
	}
	format := c.String("output")
	if !c.IsSet("output") {
		format = allowed[0]
	}
	if err := checkFormat(format, allowed...); err != nil {
		return nil, err
	}
	return p.sessionAt(strings.TrimRight(c.String("server"), "/"), c.String("api-key"), c.String("project"), format)
}

func (p *program) sessionAt(server, key, project, format string) (*session, error) {
	api, err := client.New(server, client.Options{APIKey: key, HTTPClient: p.http, UserAgent: "redrive-cli/" + p.version})
	if err != nil {
		return nil, usagef("--server %s: %w", server, err)
	}
	return &session{
		program: p, api: api, project: project, server: server,
		printer: &printer{out: p.out, format: format, style: styleFor(p.out), now: p.now()},
	}, nil
}

// asFailure gives an error of the API, of the engine or of the network its
// exit code, and says what to do next.
func asFailure(err error) *failure {
	f := &failure{code: exitFailed, err: err}
	var refusal *client.Error
	var refused *engine.Error
	var setting *setup.UsageError
	var address *queue.URLError
	var unreachable *url.Error
	switch {
	case errors.As(err, &setting), errors.As(err, &address):
		f.code = exitUsage
	case errors.As(err, &refusal):
		f.code, f.next = codeOfStatus(refusal.Status), nextOf(refusal)
	case errors.As(err, &refused):
		f.code = codeOfKind(refused.Kind)
	case errors.Is(err, syscall.EADDRINUSE):
		f.next = "Another process listens there: name another address with --listen HOST:PORT; port 0 picks a free one."
	case errors.As(err, &unreachable) && isConnect(err):
		base := unreachable.URL
		if u, parseErr := url.Parse(unreachable.URL); parseErr == nil {
			base = u.Scheme + "://" + u.Host
		}
		f.next = fmt.Sprintf("No server answers at %s. Start one with `redrive dev` (all in one) or `redrive server`,\nor name another with --server URL or REDRIVE_SERVER.", base)
	}
	return f
}

func isConnect(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) || errors.As(err, &dns)
}

func codeOfStatus(status int) int {
	switch status {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return exitUsage
	}
	return exitFailed
}

func codeOfKind(kind engine.Kind) int {
	switch kind {
	case engine.KindInvalid:
		return exitUsage
	case engine.KindNotFound:
		return exitNotFound
	case engine.KindConflict:
		return exitConflict
	}
	return exitFailed
}

func nextOf(refusal *client.Error) string {
	switch {
	case refusal.Status == http.StatusUnauthorized:
		return "This server wants an API key: give one with --api-key or REDRIVE_API_KEY.\nThe first one is made where Redis is at hand: redrive key create --name me --scope admin --redis URL"
	case refusal.Status == http.StatusForbidden:
		return "The key's scope does not allow this: `redrive key list` shows the keys and their scopes."
	case refusal.Code == "gate_ambiguous":
		return "Name one with --task REF; `redrive execution get ID` shows them."
	case refusal.Code == "no_gate":
		return "`redrive execution tasks ID` shows what the execution does; to lift a pause leave --input out."
	case refusal.Code == "plan_changed":
		return "Look at it as it is now with --dry-run, which shows the command that executes that plan."
	case refusal.Code == "acknowledge_required":
		return "Let them run again with --acknowledge REF; --dry-run shows what would happen."
	case refusal.Code == "nothing_to_retry":
		return "To run it again all the same: redrive rerun ID, with --from REF for a part of it."
	case refusal.Code == "not_retryable":
		return "In any status but canceling a part of it can be run again with: redrive rerun ID --from REF"
	case refusal.Code == "task_ended":
		return "A task that ended runs again with redrive rerun ID --from REF, and has another output with redrive rerun ID --from REF --pin REF=JSON."
	case refusal.Code == "not_paused":
		return "`redrive execution get ID` shows what it waits for; that is answered with `redrive resume ID --input JSON`."
	case refusal.Code == "workflow_not_found":
		return "`redrive workflow list` shows the workflows of the project; another project is named with --project."
	case refusal.Code == "session_not_found":
		return "`redrive session list` shows the sessions of the project."
	case refusal.Existing != nil:
		return fmt.Sprintf("Look at it: redrive execution get %d", refusal.Existing.Number)
	case refusal.Code == "schedule_not_found":
		return "`redrive schedule list` shows the schedules of the project; another project is named with --project."
	case refusal.Code == "execution_not_found":
		return "`redrive execution list` shows the executions of the project."
	case refusal.Status >= http.StatusInternalServerError && refusal.RequestID != "":
		return "The server's log says more, under request id " + refusal.RequestID + "."
	}
	return ""
}

// take collects a list up to limit items (0 = all) and says whether there are more.
func take[T any](items iter.Seq2[T, error], limit int) (list []T, more bool, err error) {
	for item, err := range items {
		if err != nil {
			return nil, false, err
		}
		if limit > 0 && len(list) == limit {
			return list, true, nil
		}
		list = append(list, item)
	}
	return list, false, nil
}

func limitFlag() cli.Flag {
	return &cli.IntFlag{Name: "limit", Usage: "at most `N` items; 0 = all", Value: 100}
}

// list collects what --limit allows, prints it and says when there is more.
func list[T any](s *session, c *cli.Context, items iter.Seq2[T, error], columns []column[T], name func(T) string) error {
	if c.Int("limit") < 0 {
		return usagef("--limit %d: want 0 or more", c.Int("limit"))
	}
	found, more, err := take(items, c.Int("limit"))
	if err != nil {
		return err
	}
	if err := printList(s.printer, found, columns, name); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(s.err, "There are more: the first %d are shown, --limit 0 shows all.\n", len(found))
	}
	return nil
}

// each does something to every one of several, shows what came of it, and
// tells partial success from failure.
func each[T any](ctx context.Context, s *session, ids []string, do func(context.Context, string) (*T, error), columns []column[T], name func(T) string) error {
	var done []T
	var errs []error
	for _, id := range ids {
		result, err := do(ctx, id)
		if err != nil {
			err = fmt.Errorf("%s: %w", id, err)
			errs = append(errs, err)
			if len(ids) > 1 {
				_, text := explain(err)
				fmt.Fprint(s.err, text)
			}
			continue
		}
		done = append(done, *result)
	}
	if len(done) > 0 {
		if err := printList(s.printer, done, columns, name); err != nil {
			return err
		}
	}
	return partial(len(ids), errs)
}

func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
