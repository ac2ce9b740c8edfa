package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) runCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "run", Usage: "start an execution of a workflow", ArgsUsage: "NAME", Category: categoryWorkflows,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "input", Usage: "the input as `JSON`, or @file, or @- for standard input"},
			&cli.StringSliceFlag{Name: "set", Usage: "set one field of the input: `PATH=VALUE`, the value as JSON or else as text; may be repeated"},
			&cli.BoolFlag{Name: "wait", Usage: "show the progress and wait for the end"},
			&cli.DurationFlag{Name: "timeout", Usage: "with --wait: stop waiting after `DURATION`; the execution goes on", DefaultText: "never"},
			&cli.IntFlag{Name: "version", Usage: "version `N` of the workflow", DefaultText: "the newest"},
			&cli.StringFlag{Name: "idempotency-key", Usage: "the same `KEY` within 24 hours answers with the first execution"},
			&cli.StringFlag{Name: "correlation-id", Usage: "an `ID` of yours, to find the execution by"},
			&cli.StringSliceFlag{Name: "label", Usage: "a label `KEY=VALUE`; may be repeated"},
			&cli.IntFlag{Name: "priority", Usage: "priority `N`, 1 (low) to 9 (high)", DefaultText: "5"},
			&cli.StringFlag{Name: "session-time", Usage: "make it an attempt of the session of `TIME` (2026-03-01T00:00:00Z, or 2026-03-01 for midnight UTC)"},
			&cli.StringFlag{Name: "attempt-name", Usage: "with --session-time: a further attempt of the session, under this `NAME`"},
			&cli.StringFlag{Name: "start-at", Usage: "not before `TIME` (RFC 3339), or not before so long (10m) has passed"},
			&cli.StringFlag{Name: "when-full", Usage: "`WORD` queue or reject: what to do when as many executions of the workflow run as may; as the workflow says when left out"},
		},
		Action: p.run,
	}, []string{
		`redrive run weather-report --set years.2012=2012.csv --set report=report.md --wait`,
		`redrive run weather-report --input @input.json --label team=data`,
		`redrive run weather-report --wait --timeout 5m -o json > execution.json`,
		`redrive run nightly --session-time 2026-03-01 --attempt-name second-try`,
		`ID=$(redrive run weather-report -o name)`,
	}, exitNotFound, exitConflict, exitUnsuccess, exitWaitTimeout)
}

func (p *program) run(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	request, err := p.startRequest(c)
	if err != nil {
		return err
	}
	if c.IsSet("timeout") && !c.Bool("wait") {
		return usagef("--timeout bounds --wait, and --wait is not given")
	}
	x, created, err := s.api.Start(c.Context, s.project, request)
	if err != nil {
		return fieldsOf(err)
	}
	if !created {
		fmt.Fprintf(p.err, "The idempotency key was used before; this is the execution of then.\n")
	}
	if c.Bool("wait") {
		return s.await(c.Context, x, c.Duration("timeout"))
	}
	if s.format == formatTable {
		word := "started"
		if x.Status == client.ExecutionStatusQueued {
			word = "queued (" + x.Reason + ")"
		}
		fmt.Fprintf(p.out, "%s #%d %s: %s\nWatch it: redrive execution watch %d\n", x.Workflow, x.Number, word, x.ID, x.Number)
		return nil
	}
	return s.printExecution(*x)
}

func (p *program) startRequest(c *cli.Context) (client.StartRequest, error) {
	input, err := p.input(c.String("input"), c.StringSlice("set"))
	if err != nil {
		return client.StartRequest{}, err
	}
	labels, err := pairs("--label", c.StringSlice("label"))
	if err != nil {
		return client.StartRequest{}, err
	}
	request := client.StartRequest{
		Workflow: c.Args().First(), Version: c.Int("version"), Input: input, Labels: labels, Priority: c.Int("priority"),
		CorrelationID: c.String("correlation-id"), IdempotencyKey: c.String("idempotency-key"),
		AttemptName: c.String("attempt-name"), WhenFull: client.StartRequestWhenFull(c.String("when-full")),
	}
	return request, p.turn(c, &request)
}

// turn reads which session an execution belongs to, and when it is to start.
func (p *program) turn(c *cli.Context, r *client.StartRequest) error {
	if r.WhenFull != "" && !r.WhenFull.Valid() {
		return usagef("--when-full %s: want queue or reject", r.WhenFull)
	}
	if text := c.String("session-time"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t, err = time.Parse(time.DateOnly, text)
		}
		if err != nil {
			return usagef("--session-time %s: want a time as 2026-03-01T00:00:00Z, or a day as 2026-03-01", text)
		}
		r.SessionTime = &t
	}
	if text := c.String("start-at"); text != "" {
		t, err := time.Parse(time.RFC3339, text)
		if d, notFor := time.ParseDuration(text); notFor == nil {
			t, err = p.now().Add(d), nil
		}
		if err != nil {
			return usagef("--start-at %s: want a time as 2026-03-01T08:00:00Z, or a duration as 10m", text)
		}
		r.StartAt = &t
	}
	return nil
}

// input puts the input together: --input, then each --set over it.
func (p *program) input(text string, sets []string) (json.RawMessage, error) {
	raw, err := p.valueOf(text)
	if err != nil {
		return nil, err
	}
	if len(raw) > 0 && !json.Valid(raw) {
		return nil, usagef("--input is not JSON: want an object as '{\"years\": [2012]}', or @file")
	}
	if len(sets) == 0 {
		return raw, nil
	}
	root := map[string]any{}
	if len(raw) > 0 {
		if err := decode(raw, &root); err != nil {
			return nil, usagef("--set sets fields of an object, and --input is none: %w", err)
		}
	}
	for _, set := range sets {
		path, value, found := strings.Cut(set, "=")
		if !found || path == "" {
			return nil, usagef("--set %s: want PATH=VALUE, as years='[2012]' or csv.file=x", set)
		}
		if err := setField(root, strings.Split(path, "."), parseValue(value)); err != nil {
			return nil, usagef("--set %s: %w", set, err)
		}
	}
	return encode(root)
}

// valueOf is the text of a flag, or what is in the file that it names with an @.
func (p *program) valueOf(text string) ([]byte, error) {
	file, is := strings.CutPrefix(text, "@")
	if !is {
		return bytes.TrimSpace([]byte(text)), nil
	}
	raw, err := p.readFile(file)
	return bytes.TrimSpace(raw), err
}

// decode keeps numbers as they are written.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

func parseValue(text string) any {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}

func setField(object map[string]any, path []string, value any) error {
	name := path[0]
	if name == "" {
		return fmt.Errorf("an empty name in the path")
	}
	if len(path) == 1 {
		object[name] = value
		return nil
	}
	inner, present := object[name]
	if !present {
		inner = map[string]any{}
		object[name] = inner
	}
	next, ok := inner.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is not an object", name)
	}
	return setField(next, path[1:], value)
}

func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, pair := range list {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, usagef("%s %s: want KEY=VALUE", flag, pair)
		}
		out[key] = value
	}
	return out, nil
}

// fieldsOf moves the field errors of a refusal to lines of their own.
func fieldsOf(err error) error {
	var refusal *client.Error
	if !errors.As(err, &refusal) || len(refusal.Errors) == 0 {
		return err
	}
	title := refusal.Detail
	if title == "" {
		title = refusal.Title
	}
	f := &failure{code: codeOfStatus(refusal.Status), err: errors.New(title), next: nextOf(refusal)}
	if refusal.Status == http.StatusConflict { // they are what happened, which the title tells
		f.err = fmt.Errorf("%s (%s)", title, refusal.Code)
		return f
	}
	for _, field := range refusal.Errors {
		f.fields = append(f.fields, field.String())
	}
	return f
}

// await follows an execution to its end, shows how it ended, and turns that
// into the exit code.
func (s *session) await(ctx context.Context, x *client.Execution, timeout time.Duration) error {
	waiting := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := s.follow(waiting, x, s.err); err != nil {
		if ctx.Err() == nil && errors.Is(waiting.Err(), context.DeadlineExceeded) {
			return &failure{
				code: exitWaitTimeout, err: fmt.Errorf("execution #%d did not end within %s; it goes on", x.Number, timeout),
				next: fmt.Sprintf("Watch it: redrive execution watch %d", x.Number),
			}
		}
		if ctx.Err() != nil {
			fmt.Fprintf(s.err, "The execution goes on. Watch it: redrive execution watch %d\n", x.Number)
		}
		return err
	}
	end, err := s.api.Execution(ctx, x.ID)
	if err != nil {
		return err
	}
	s.printer.now = s.program.now()
	var a *around
	if end.Status != client.ExecutionStatusSucceeded && (s.format == formatTable || s.format == formatWide) {
		if a, err = s.around(ctx, end); err != nil {
			return err
		}
	}
	if err := s.printAround(*end, a); err != nil {
		return err
	}
	if end.Status != client.ExecutionStatusSucceeded {
		return &failure{code: exitUnsuccess, err: fmt.Errorf("execution #%d ended %s", end.Number, end.Status), quiet: s.format == formatTable || s.format == formatWide}
	}
	return nil
}
