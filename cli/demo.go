package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
	"github.com/redrive/redrive/examples/weather"
	"github.com/redrive/redrive/worker/setup"
)

func (p *program) demoCommand() *cli.Command {
	return process(&cli.Command{
		Name: "demo", Usage: "run a real workflow end to end; needs nothing else", Category: categoryProcesses,
		Description: "Starts everything in this process on a free port, publishes a workflow that makes a report from four years of daily weather, runs it and shows how it goes.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "listen on `HOST:PORT`; a free port of loopback when left out"},
			&cli.BoolFlag{Name: "keep", Usage: "go on running until Ctrl-C, to look around"},
		}, logFlags("error")...),
		Action: p.demo,
	}, []string{"redrive demo", "redrive demo --keep --listen 127.0.0.1:8080"}, exitUnsuccess)
}

func (p *program) demo(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	log, err := setup.Logger(c, p.err)
	if err != nil {
		return err
	}
	listen, err := setup.Listen(c)
	if err != nil {
		return err
	}
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	d, err := startDev(c.Context, devOptions{listen: listen, concurrency: 10, version: p.version, log: log})
	if err != nil {
		return err
	}
	outcome := p.demoRun(c.Context, d)
	if outcome == nil && c.Bool("keep") {
		fmt.Fprintf(p.out, "\n%s", d.banner(styleFor(p.out)))
		<-c.Done()
	}
	// The demo has ended, by itself or by a signal; stopping has its own time.
	ending, cancel := context.WithTimeout(context.WithoutCancel(c.Context), stopTime)
	defer cancel()
	return errors.Join(outcome, d.stop(ending))
}

// demoRun plays what a user would do, through the API.
func (p *program) demoRun(ctx context.Context, d *dev) error {
	style := styleFor(p.out)
	api, err := client.New(d.url(), client.Options{UserAgent: "redrive-demo/" + p.version})
	if err != nil {
		return err
	}
	s := &session{program: p, printer: &printer{out: p.out, format: formatTable, style: style, now: p.now()}, api: api, project: "default", server: d.url()}

	fmt.Fprintf(p.out, "%s server, worker and an embedded Redis at %s\n", style.bold("started"), d.url())
	published, err := api.Publish(ctx, s.project, weather.Workflow, false)
	if err != nil {
		return fmt.Errorf("publish the demo's workflow: %w", err)
	}
	fmt.Fprintf(p.out, "%s %s version %d: %s\n", style.bold("published"), published.Name, published.Version, published.Description)

	folder, err := os.MkdirTemp("", "redrive-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the report: %w", err)
	}
	report := filepath.Join(folder, "weather-report.md")
	input, err := json.Marshal(map[string]string{"csv": weather.Sample, "report": report})
	if err != nil {
		return fmt.Errorf("write the demo's input: %w", err)
	}
	x, _, err := api.Start(ctx, s.project, client.StartRequest{Workflow: published.Name, Input: input})
	if err != nil {
		return fmt.Errorf("start the demo's workflow: %w", err)
	}
	fmt.Fprintf(p.out, "%s execution #%d\n\n", style.bold("running"), x.Number)
	if err := s.follow(ctx, x, p.out); err != nil {
		return err
	}
	end, err := api.Execution(ctx, x.ID)
	if err != nil {
		return err
	}
	if end.Status != client.ExecutionStatusSucceeded {
		return &failure{code: exitUnsuccess, err: fmt.Errorf("the demo's execution ended %s: %s", end.Status, errorText(end.Error))}
	}
	return p.demoReport(style, end)
}

func (p *program) demoReport(style style, x *client.Execution) error {
	var output struct {
		Report string `json:"report"`
		Chart  string `json:"chart"`
	}
	if err := json.Unmarshal(x.Output, &output); err != nil {
		return fmt.Errorf("read the demo's output: %w", err)
	}
	fmt.Fprintf(p.out, "\n%s\n\n", output.Chart)
	fmt.Fprintf(p.out, "%d tasks in %s. The report: %s\n\n", total(x.TasksSummary), took(p.now(), at(x.StartedAt), at(x.EndedAt)), output.Report)
	name := commandName()
	fmt.Fprintf(p.out, "%s keep it running, and ask it from another terminal:\n", style.bold("Look further:"))
	for _, line := range [][2]string{
		{"demo --keep --listen 127.0.0.1:8080", "runs it once more and goes on, with the API, docs and monitoring"},
		{"execution tasks 1", "what each task did"},
		{"task get 1 compare", "input, output and attempts of one"},
		{"execution history 1", "everything that happened"},
		{"execution graph 1", "the graph, as mermaid"},
	} {
		fmt.Fprintf(p.out, "  %s %-36s  %s\n", name, line[0], style.dim(line[1]))
	}
	return nil
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// commandName is how this program is called, which is not always by its name.
func commandName() string {
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		return "go run ./cli/redrive"
	}
	return "redrive"
}
