package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) taskCommand() *cli.Command {
	return group("task", "look into the tasks of an execution, and settle them by hand", categoryWorkflows,
		explained(&cli.Command{
			Name: "get", Usage: "show a task: input, output, error, attempts", ArgsUsage: "EXECUTION REF",
			Action: p.getTask,
		}, []string{"redrive task get 12 load", "redrive task get 12 load -o json"}, exitNotFound),
		explained(&cli.Command{
			Name: "attempts", Usage: "list the attempts of a task, oldest first", ArgsUsage: "EXECUTION REF", Flags: []cli.Flag{limitFlag()},
			Action: p.listAttempts,
		}, []string{"redrive task attempts 12 load -o wide"}, exitNotFound),
		p.settleCommand("complete", "end a task as succeeded, by hand",
			"A run that is under way is told to stop and its result refused; what depends on the task goes on. Of a task that\nfailed, timed out or was canceled it is a redrive: what depends on it runs.",
			append([]cli.Flag{&cli.StringFlag{Name: "result", Usage: "its output as `JSON`, or @file, or @- for standard input; null when left out"}}, settlingFlags()...),
			[]string{
				`redrive task complete 12 load --result '{"rows": 1204}' --reason "loaded by hand"`,
				"redrive task complete 12 'year[2013].load' --result @rows.json",
				"redrive task complete 12 child/load --dry-run",
			},
			p.completeTask),
		p.settleCommand("fail", "end a task as failed, by hand",
			"Possible until it has ended. It is not retried; what a failure means for the rest, the workflow says.",
			[]cli.Flag{
				&cli.StringFlag{Name: "code", Usage: "`CODE` of its error", DefaultText: "failed_by_hand"},
				&cli.StringFlag{Name: "message", Usage: "`TEXT` of its error"},
			},
			[]string{`redrive task fail 12 load --code bad_file --message "the file of March is broken"`},
			p.failTask),
		p.settleCommand("skip", "skip a task, by hand",
			"What depends on it goes on as after a skipped task. Of a task that failed, timed out or was canceled it is a\nredrive.",
			settlingFlags(),
			[]string{`redrive task skip 12 notify --reason "nobody is there to read it"`, "redrive task skip 12 notify --dry-run"},
			p.skipTask),
	)
}

func settlingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "of a task that ended: show the plan and do nothing"},
		&cli.StringSliceFlag{Name: "acknowledge", Usage: "of a task that ended: let the task `REF` run again though its effects are unsafe; may be repeated, or comma-separated"},
		&cli.StringFlag{Name: "plan-hash", Usage: "of a task that ended: execute only if the plan is still the one with this `HASH`"},
	}
}

// settled is what became of one task that was ended by hand, or the plan of that.
type settled struct {
	task *client.Task
	plan func(ctx context.Context, id string) (*client.Plan, error)
}

// settling ends one task by hand.
type settling func(c *cli.Context, s *session, id, ref string) (settled, error)

func (p *program) settleCommand(name, usage, description string, flags []cli.Flag, examples []string, settle settling) *cli.Command {
	return explained(&cli.Command{
		Name: name, Usage: usage, ArgsUsage: "EXECUTION REF", Description: description, Flags: append(flags, reasonFlag()),
		Action: func(c *cli.Context) error {
			if err := arguments(c, 2, 2); err != nil {
				return err
			}
			s, err := p.connect(c)
			if err != nil {
				return err
			}
			done, err := settle(c, s, c.Args().Get(0), c.Args().Get(1))
			if err != nil {
				return fieldsOf(err)
			}
			if done.plan != nil {
				return s.plans(c, c.Args().Slice()[:1], done.plan)
			}
			return s.printTask(*done.task)
		},
	}, examples, exitNotFound, exitConflict)
}

func (p *program) completeTask(c *cli.Context, s *session, id, ref string) (settled, error) {
	output, err := p.jsonFlag(c, "result")
	if err != nil {
		return settled{}, err
	}
	r := client.CompleteRequest{Output: output, Reason: c.String("reason"), Acknowledge: listed(c, "acknowledge"), PlanHash: c.String("plan-hash")}
	if c.Bool("dry-run") {
		return settled{plan: func(ctx context.Context, id string) (*client.Plan, error) { return s.api.PlanComplete(ctx, id, ref, r) }}, nil
	}
	task, err := s.api.CompleteTask(c.Context, id, ref, r)
	return settled{task: task}, err
}

func (p *program) failTask(c *cli.Context, s *session, id, ref string) (settled, error) {
	r := client.FailRequest{Reason: c.String("reason")}
	if c.IsSet("code") || c.IsSet("message") {
		r.Error = &client.HandError{Code: c.String("code"), Message: c.String("message")}
	}
	task, err := s.api.FailTask(c.Context, id, ref, r)
	return settled{task: task}, err
}

func (p *program) skipTask(c *cli.Context, s *session, id, ref string) (settled, error) {
	r := client.SkipRequest{Reason: c.String("reason"), Acknowledge: listed(c, "acknowledge"), PlanHash: c.String("plan-hash")}
	if c.Bool("dry-run") {
		return settled{plan: func(ctx context.Context, id string) (*client.Plan, error) { return s.api.PlanSkip(ctx, id, ref, r) }}, nil
	}
	task, err := s.api.SkipTask(c.Context, id, ref, r)
	return settled{task: task}, err
}

func (p *printer) taskColumns() []column[client.Task] {
	type t = client.Task
	return []column[t]{
		{title: "ref", value: func(t t) string { return t.Ref }},
		{title: "type", value: func(t t) string { return t.Type }},
		{title: "status", value: func(t t) string { return p.style.status(string(t.Status)) }},
		{title: "attempt", value: func(t t) string { return number(t.Attempt) }},
		{title: "took", value: func(t t) string { return took(p.now, at(t.StartedAt), at(t.EndedAt)) }},
		{title: "worker", wide: true, value: func(t t) string { return t.Worker }},
		{title: "queue", wide: true, value: func(t t) string { return t.Queue }},
		{title: "needs", wide: true, value: func(t t) string { return strings.Join(t.Needs, ",") }},
		{title: "started", wide: true, value: func(t t) string { return absolute(at(t.StartedAt)) }},
		{title: "ended", wide: true, value: func(t t) string { return absolute(at(t.EndedAt)) }},
		{title: "execution", wide: true, value: func(t t) string { return t.Child }},
		{title: "info", value: func(t t) string { return clip(taskInfo(p, t), 70) }},
	}
}

// taskInfo is the one thing worth saying about a task: its error, why it is
// where it is, or when it is tried again.
func taskInfo(p *printer, t client.Task) string {
	if t.NextAttemptAt != nil && t.Status == client.TaskStatusRetrying {
		return "next try " + ago(p.now, *t.NextAttemptAt) + ": " + errorText(t.Error)
	}
	switch {
	case t.Error != nil:
		return errorText(t.Error)
	case t.Status == client.TaskStatusWaiting:
		return gateText(p, t)
	}
	return t.Reason
}

func (p *program) tasks(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	return list(s, c, s.api.Tasks(c.Context, c.Args().First()), s.taskColumns(), func(t client.Task) string { return t.Ref })
}

func (p *program) getTask(c *cli.Context) error {
	if err := arguments(c, 2, 2); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	task, err := s.api.Task(c.Context, c.Args().Get(0), c.Args().Get(1))
	if err != nil {
		return err
	}
	return s.printTask(*task)
}

func (s *session) printTask(task client.Task) error {
	type t = client.Task
	return printOne(s.printer, task, []column[t]{
		{title: "task", value: func(t t) string { return t.Ref }},
		{title: "type", value: func(t t) string { return t.Type }},
		{title: "status", value: func(t t) string { return s.style.status(string(t.Status)) }},
		{title: "reason", value: func(t t) string { return t.Reason }},
		{title: "error", value: func(t t) string { return s.style.paint(red, errorText(t.Error)) }},
		{title: "attempt", value: func(t t) string { return attemptText(t) }},
		{title: "needs", value: func(t t) string { return strings.Join(t.Needs, ", ") }},
		{title: "holds", value: func(t t) string { return number(t.Size) }},
		{title: "execution", value: func(t t) string { return t.Child }},
		{title: "queue", value: func(t t) string { return t.Queue }},
		{title: "worker", value: func(t t) string { return t.Worker }},
		{title: "started", value: func(t t) string { return s.time(at(t.StartedAt)) }},
		{title: "took", value: func(t t) string { return took(s.printer.now, at(t.StartedAt), at(t.EndedAt)) }},
		{title: "effects", wide: true, value: func(t t) string { return t.Effects }},
		{title: "input", value: func(t t) string { return indented(t.Input) }},
		{title: "output", value: func(t t) string { return indented(t.Output) }},
		{title: "progress", value: func(t t) string { return indented(t.Progress) }},
	}, func(t t) string { return t.Ref })
}

func attemptText(t client.Task) string {
	if t.Attempt == 0 {
		return ""
	}
	return fmt.Sprintf("%d (try %d of %d)", t.Attempt, t.Try, t.MaxAttempts)
}

func (p *program) listAttempts(c *cli.Context) error {
	if err := arguments(c, 2, 2); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type a = client.Attempt
	return list(s, c, s.api.Attempts(c.Context, c.Args().Get(0), c.Args().Get(1)), []column[a]{
		{title: "attempt", value: func(a a) string { return strconv.Itoa(a.Attempt) }},
		{title: "status", value: func(a a) string { return s.style.status(string(a.Status)) }},
		{title: "started", value: func(a a) string { return s.time(at(a.StartedAt)) }},
		{title: "took", value: func(a a) string { return took(s.printer.now, at(a.StartedAt), at(a.EndedAt)) }},
		{title: "redrive", value: func(a a) string { return number(a.Redrive) }},
		{title: "worker", value: func(a a) string { return a.Worker }},
		{title: "deliveries", wide: true, value: func(a a) string { return strconv.Itoa(a.Dispatch) }},
		{title: "reason", value: func(a a) string { return clip(a.Reason, 40) }},
		{title: "error", value: func(a a) string { return clip(errorText(a.Error), 70) }},
		{title: "output", wide: true, value: func(a a) string { return clip(compact(a.Output), 60) }},
		{title: "progress", wide: true, value: func(a a) string { return clip(compact(a.Progress), 60) }},
	}, func(a a) string { return strconv.Itoa(a.Attempt) })
}
