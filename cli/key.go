package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/engine"
)

func (p *program) keyCommand() *cli.Command {
	return group("key", "create, list and revoke API keys", categoryManagement,
		explained(&cli.Command{
			Name: "create", Usage: "create an API key and show its secret, this once", ArgsUsage: "[NAME]",
			Description: "With --redis the key is written directly to Redis: that is how the first key is made, before a server accepts anybody.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "name", Usage: "what the key is for; or as an argument"},
				&cli.StringFlag{Name: "scope", Usage: "`SCOPE`: read, write or admin; each includes the ones before it", Value: string(engine.ScopeWrite)},
				&cli.StringSliceFlag{Name: "project", Usage: "limit the key to the project `NAME`; may be repeated; all projects when left out"},
				&cli.StringFlag{Name: "redis", Usage: "write to the Redis at `URL` instead of asking a server"},
			},
			Action: p.createKey,
		}, []string{
			"redrive key create --name me --scope admin --redis redis://127.0.0.1:6379/0",
			"redrive key create --name ci --scope write --project reports",
			"export REDRIVE_API_KEY=$(redrive key create --name ci -o name)",
		}),
		explained(&cli.Command{
			Name: "list", Usage: "list the API keys, without their secrets", Flags: []cli.Flag{limitFlag()}, Action: p.listKeys,
		}, []string{"redrive key list"}),
		explained(&cli.Command{
			Name: "revoke", Usage: "revoke API keys", ArgsUsage: "ID...", Action: p.revokeKeys,
		}, []string{"redrive key revoke k_01"}, exitNotFound, exitPartial),
	)
}

func (p *program) createKey(c *cli.Context) error {
	if err := arguments(c, 0, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	name := cmp.Or(c.String("name"), c.Args().First())
	if name == "" {
		return usagef("the key needs a name that says what it is for: --name ci")
	}
	request := client.KeyRequest{Name: name, Scope: client.Scope(c.String("scope")), Projects: c.StringSlice("project")}
	if !request.Scope.Valid() {
		return usagef("--scope %s: want read, write or admin", request.Scope)
	}
	create := s.api.CreateKey
	if url := c.String("redis"); url != "" {
		create = func(ctx context.Context, r client.KeyRequest) (*client.CreatedKey, error) {
			return p.createKeyInRedis(ctx, url, r)
		}
	}
	key, err := create(c.Context, request)
	if err != nil {
		return fieldsOf(err)
	}
	if s.format == formatTable || s.format == formatWide {
		fmt.Fprintf(p.out, "%s\n", key.Secret)
		fmt.Fprintf(p.err, "Key %s (%s, scope %s) was created. Its secret is above and is not shown again:\nexport REDRIVE_API_KEY=<the secret>\n", key.ID, key.Name, key.Scope)
		return nil
	}
	return printOne(s.printer, *key, nil, func(k client.CreatedKey) string { return k.Secret })
}

// createKeyInRedis makes a key without a server.
func (p *program) createKeyInRedis(ctx context.Context, url string, r client.KeyRequest) (*client.CreatedKey, error) {
	e, closeStore, err := openEngine(ctx, url)
	if err != nil {
		return nil, err
	}
	defer closeStore()
	key, secret, err := e.CreateKey(ctx, engine.Key{Name: r.Name, Scope: engine.Scope(r.Scope), Projects: r.Projects})
	if err != nil {
		return nil, fmt.Errorf("create the key: %w", err)
	}
	if err := e.Audit(ctx, engine.AuditEntry{
		By: "redrive key create --redis", Dialect: "cli", Operation: "createKey", Path: key.ID, Status: http.StatusCreated,
	}, ""); err != nil {
		fmt.Fprintf(p.err, "The audit does not have it: %v\n", err)
	}
	return &client.CreatedKey{
		ID: key.ID, Name: key.Name, Scope: client.Scope(key.Scope), Projects: key.Projects, CreatedAt: key.CreatedAt, Secret: secret,
	}, nil
}

func (p *program) listKeys(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type k = client.Key
	return list(s, c, s.api.Keys(c.Context), []column[k]{
		{title: "id", value: func(k k) string { return k.ID }},
		{title: "name", value: func(k k) string { return k.Name }},
		{title: "scope", value: func(k k) string { return string(k.Scope) }},
		{title: "projects", value: func(k k) string {
			if len(k.Projects) == 0 {
				return "all"
			}
			return strings.Join(k.Projects, ",")
		}},
		{title: "created", value: func(k k) string { return s.time(k.CreatedAt) }},
		{title: "revoked", value: func(k k) string { return s.optionalTime(k.RevokedAt) }},
	}, func(k k) string { return k.ID })
}

func (p *printer) optionalTime(t *time.Time) string { return p.time(at(t)) }

func (p *program) revokeKeys(c *cli.Context) error {
	if err := arguments(c, 1, -1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type revoked struct {
		ID string `json:"id"`
	}
	return each(c.Context, s, c.Args().Slice(), func(ctx context.Context, id string) (*revoked, error) {
		return &revoked{id}, s.api.RevokeKey(ctx, id)
	}, []column[revoked]{{title: "revoked", value: func(r revoked) string { return r.ID }}}, func(r revoked) string { return r.ID })
}
