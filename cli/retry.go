package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// redriving is how one operation is planned and how it is done.
type redriving struct {
	plan func(ctx context.Context, id string, r client.RedriveRequest) (*client.Plan, error)
	do   func(ctx context.Context, id string, r client.RedriveRequest) (*client.Execution, error)
}

// redriveCommands run parts of executions again.
func (p *program) redriveCommands() []*cli.Command {
	command := func(name, usage, description string, examples []string, of func(*client.Client) redriving) *cli.Command {
		return explained(&cli.Command{
			Name: name, Usage: usage, ArgsUsage: "ID...", Category: categoryWorkflows, Flags: redriveFlags(),
			Description: description + "\n\nWith --dry-run it only shows the plan: what runs, what is kept and why, and the command that executes exactly\nthis plan. Where it changed meanwhile, that command does nothing and exits with 4.",
			Action:      func(c *cli.Context) error { return p.redrive(c, of) },
		}, examples, exitNotFound, exitConflict, exitPartial, exitUnsuccess, exitWaitTimeout)
	}
	return []*cli.Command{
		command("retry", "run again what did not succeed",
			"What failed, timed out or was canceled runs again, and what depends on it; what succeeded is kept. For executions\nthat failed, timed out or were canceled.",
			[]string{
				"redrive retry 12 --dry-run",
				`redrive retry 12 --wait --reason "the upstream is back"`,
				"redrive retry 12 --from 'year[2013]' --task-input 'year[2013]={\"csv\": \"fixed.csv\"}'",
				"redrive retry 12 --definition latest --budget one",
				"redrive retry 12 --pin 'load={\"rows\": 1204}'",
				"redrive retry $(redrive execution list --status failed --since 24h -o name)",
			},
			func(api *client.Client) redriving { return redriving{api.PlanRetry, api.Retry} }),
		command("rerun", "run chosen tasks again, or everything",
			"The tasks of --from run again, and what depends on them; without --from everything does. In any status but canceling:\nan attempt that runs and is to run again is told to stop, and its result refused.",
			[]string{
				"redrive rerun 12 --from load --dry-run",
				"redrive rerun 12 --from 'year[2013]' --from notify --scope only",
				"redrive rerun 12 --set region=eu --scope changed",
				"redrive rerun 12 --from child/transform --acknowledge charge",
				"redrive rerun 12 --new --definition latest --input @input.json --wait --timeout 5m",
			},
			func(api *client.Client) redriving { return redriving{api.PlanRerun, api.Rerun} }),
	}
}

func redriveFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "from", Usage: "start from the task `REF`, as load, 'each[eu]', 'loop[3].check' or child/load; may be repeated, or comma-separated"},
		&cli.StringFlag{Name: "scope", Usage: "how far it reaches: `WORD` is downstream (the tasks and all that depends on them), only (just the tasks), or changed (of all these what would see something else)", DefaultText: "downstream"},
		&cli.StringFlag{Name: "input", Usage: "the input of the workflow as `JSON`, or @file, or @- for standard input; kept when left out"},
		&cli.StringSliceFlag{Name: "set", Usage: "set one field of the input: `PATH=VALUE`, the value as JSON or else as text; without --input, of the former one (null takes it away); may be repeated"},
		&cli.StringFlag{Name: "input-mode", Usage: "what --input and --task-input do to the former one: `WORD` is replace, or merge (a JSON merge patch)", DefaultText: "replace"},
		&cli.StringSliceFlag{Name: "task-input", Usage: "the input of one task: `REF=JSON`, or REF=@file; it stays for later redrives, REF=null takes it away; may be repeated"},
		&cli.StringSliceFlag{Name: "pin", Usage: "take this output instead of a run of the task: `REF=JSON`, or REF=@file; may be repeated"},
		&cli.StringFlag{Name: "definition", Usage: "`VERSION` of the workflow: same, latest, or its number", DefaultText: "same"},
		&cli.BoolFlag{Name: "new", Usage: "run as a new execution, which takes over what is kept"},
		&cli.StringFlag{Name: "budget", Usage: "how many tries: `WORD` is full (they start again), or one (one more for a task that had used all of its own)", DefaultText: "full"},
		&cli.StringFlag{Name: "subworkflows", Usage: "what becomes of sub-workflows: `WORD` is resume (they go on in place), or restart (they start afresh)", DefaultText: "resume for retry, restart for rerun"},
		&cli.StringSliceFlag{Name: "acknowledge", Usage: "let the task `REF` run again though its effects are unsafe; may be repeated, or comma-separated"},
		&cli.StringFlag{Name: "attempt-name", Usage: "with --new, in a session: the `NAME` of the attempt"},
		&cli.StringFlag{Name: "correlation-id", Usage: "another correlation `ID`"},
		reasonFlag(),
		&cli.BoolFlag{Name: "dry-run", Usage: "show the plan and do nothing"},
		&cli.StringFlag{Name: "plan-hash", Usage: "execute only if the plan is still the one with this `HASH`"},
		&cli.StringFlag{Name: "idempotency-key", Usage: "the same `KEY` again answers with the first result"},
		&cli.BoolFlag{Name: "wait", Usage: "show the progress and wait for the end"},
		&cli.DurationFlag{Name: "timeout", Usage: "with --wait: stop waiting after `DURATION`; the execution goes on", DefaultText: "never"},
	}
}

func (p *program) redrive(c *cli.Context, of func(*client.Client) redriving) error {
	if err := arguments(c, 1, -1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	request, err := p.redriveRequest(c, c.StringSlice("set"))
	if err != nil {
		return err
	}
	ids, r := c.Args().Slice(), of(s.api)
	if len(ids) > 1 {
		for _, name := range []string{"wait", "plan-hash", "idempotency-key"} {
			if c.IsSet(name) {
				return usagef("--%s is of one execution, and %d are named", name, len(ids))
			}
		}
	}
	switch {
	case c.IsSet("timeout") && !c.Bool("wait"):
		return usagef("--timeout bounds --wait, and --wait is not given")
	case c.Bool("dry-run"):
		return s.plans(c, ids, func(ctx context.Context, id string) (*client.Plan, error) { return r.plan(ctx, id, request) })
	case c.Bool("wait"):
		x, err := r.do(c.Context, ids[0], request)
		if err != nil {
			return fieldsOf(err)
		}
		return s.await(c.Context, x, c.Duration("timeout"))
	}
	return each(c.Context, s, ids, func(ctx context.Context, id string) (*client.Execution, error) {
		x, err := r.do(ctx, id, request)
		return x, fieldsOf(err)
	}, s.executionColumns(), executionID)
}

func (p *program) redriveRequest(c *cli.Context, sets []string) (client.RedriveRequest, error) {
	r := client.RedriveRequest{
		From: listed(c, "from"), Acknowledge: listed(c, "acknowledge"),
		Scope: client.RedriveRequestScope(c.String("scope")), InputMode: client.RedriveRequestInputMode(c.String("input-mode")),
		Budget: client.RedriveRequestBudget(c.String("budget")), Subworkflows: client.RedriveRequestSubworkflows(c.String("subworkflows")),
		Definition: client.VersionChoice(c.String("definition")), AttemptName: c.String("attempt-name"),
		Reason: c.String("reason"), PlanHash: c.String("plan-hash"), IdempotencyKey: c.String("idempotency-key"),
	}
	if c.Bool("new") {
		r.Identity = client.NewExecution
	}
	if id := c.String("correlation-id"); c.IsSet("correlation-id") {
		r.CorrelationID = &id
	}
	if err := checkWords(r); err != nil {
		return r, err
	}
	return r, p.redriveInputs(c, &r, sets)
}

// checkWords refuses words that a flag does not know.
func checkWords(r client.RedriveRequest) error {
	for _, word := range []struct {
		flag, value, allowed string
		valid                bool
	}{
		{"scope", string(r.Scope), "downstream, only or changed", r.Scope.Valid()},
		{"input-mode", string(r.InputMode), "replace or merge", r.InputMode.Valid()},
		{"budget", string(r.Budget), "full or one", r.Budget.Valid()},
		{"subworkflows", string(r.Subworkflows), "resume or restart", r.Subworkflows.Valid()},
		{"definition", string(r.Definition), "same, latest, or the number of a version", isVersion(string(r.Definition))},
	} {
		if word.value != "" && !word.valid {
			return usagef("--%s %s: want %s", word.flag, word.value, word.allowed)
		}
	}
	return nil
}

func isVersion(text string) bool {
	n, err := strconv.Atoi(text)
	return text == "same" || text == "latest" || err == nil && n > 0
}

// redriveInputs reads what takes the place of inputs and outputs.
func (p *program) redriveInputs(c *cli.Context, r *client.RedriveRequest, sets []string) error {
	var err error
	if r.WorkflowInput, err = p.input(c.String("input"), sets); err != nil {
		return err
	}
	if c.IsSet("set") && !c.IsSet("input") && r.InputMode == "" {
		if c.IsSet("task-input") {
			return usagef("--set patches the former input, and --task-input takes the place of one: say --input-mode merge to patch both, or give --input")
		}
		r.InputMode = client.InputMerge
	}
	if r.TaskInput, err = p.byRef(c, "task-input"); err != nil {
		return err
	}
	r.Outputs, err = p.byRef(c, "pin")
	return err
}

// byRef reads a flag that gives values to tasks.
func (p *program) byRef(c *cli.Context, name string) (map[string]json.RawMessage, error) {
	var values map[string]json.RawMessage
	for _, pair := range c.StringSlice(name) {
		ref, text, found := strings.Cut(pair, "=")
		if !found || ref == "" {
			return nil, usagef("--%s %s: want REF=JSON, as load='{\"rows\": 1}', or REF=@file", name, pair)
		}
		if _, twice := values[ref]; twice {
			return nil, usagef("--%s gives %s two values", name, ref)
		}
		value, err := p.valueOf(text)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", name, ref, err)
		}
		if !json.Valid(value) {
			return nil, usagef(`--%s %s: that is not JSON: want a value as '{"rows": 1}', '"text"' or null, or @file`, name, ref)
		}
		if values == nil {
			values = map[string]json.RawMessage{}
		}
		values[ref] = value
	}
	return values, nil
}

// listed is a flag that may be repeated, or comma-separated.
func listed(c *cli.Context, name string) []string {
	var all []string
	for _, list := range c.StringSlice(name) {
		all = append(all, strings.Split(list, ",")...)
	}
	return all
}
