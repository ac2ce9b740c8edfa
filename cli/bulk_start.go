package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/redrive/redrive/client"
)

// startBulk shows what would be done, asks, and does it.
func (p *program) startBulk(c *cli.Context, operation client.BulkOperation) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	return p.bulkOf(c, operation, c.String("fingerprint"))
}

// retryFailures retries the executions of a group of failures that is named.
func (p *program) retryFailures(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	return p.bulkOf(c, client.BulkRetry, c.Args().First())
}

func (p *program) bulkOf(c *cli.Context, operation client.BulkOperation, fingerprint string) error {
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	request, err := p.bulkRequest(c, operation)
	if err != nil {
		return err
	}
	request.Filter.Fingerprint = fingerprint
	if !c.Bool("dry-run") && !c.Bool("yes") && !interactive(p.in) {
		return &failure{
			code: exitUsage, err: fmt.Errorf("nothing was done: there is no terminal to ask on"),
			next: "See what it would do with --dry-run, and say --yes to do it.",
		}
	}
	dry, yes := c.Bool("dry-run"), c.Bool("yes")
	preview, err := s.previewBulk(c.Context, request, yes && !dry)
	if err != nil {
		return fieldsOf(err)
	}
	people := s.format == formatTable || s.format == formatWide
	if dry {
		if !people {
			return printOne(s.printer, *preview, nil, func(b client.BulkPreview) string { return strconv.Itoa(b.Count) })
		}
		s.printPreview(p.out, request, preview)
		fmt.Fprintln(p.out, "\nNothing was done.")
		return nil
	}
	if preview != nil {
		s.printPreview(p.err, request, preview)
	}
	if !yes {
		if preview.Count == 0 && !preview.AtLeast {
			return nil
		}
		if yes, err := p.confirm(c.Context, fmt.Sprintf("%s %s? [y/N] ", operation, previewed(preview))); err != nil || !yes {
			fmt.Fprintln(p.err, "Nothing was done.")
			return err
		}
	}
	b, err := s.api.StartBulk(c.Context, s.project, request)
	if err != nil {
		return fieldsOf(err)
	}
	if c.Bool("detach") {
		if people {
			fmt.Fprintf(p.out, "bulk operation %s began\nSee how far it is: redrive bulk watch %s\n", b.ID, b.ID)
			return nil
		}
		return s.printBulk(*b)
	}
	return s.followBulk(c.Context, b)
}

// previewPatience is how long a preview may take that nobody decides by.
const previewPatience = 15 * time.Second

// previewBulk answers what would be done; nil where that is only told, and cannot be had in time.
func (s *session) previewBulk(ctx context.Context, r client.BulkRequest, decided bool) (*client.BulkPreview, error) {
	if !decided {
		return s.api.PreviewBulk(ctx, s.project, r)
	}
	short, cancel := context.WithTimeout(ctx, previewPatience)
	defer cancel()
	preview, err := s.api.PreviewBulk(short, s.project, r)
	if err == nil || ctx.Err() != nil || !passing(err) {
		return preview, err
	}
	fmt.Fprintf(s.err, "There is no preview (%s). It goes on without.\n", oneLine(err.Error()))
	return nil, nil
}

// previewed says how many executions a preview counted.
func previewed(p *client.BulkPreview) string {
	if p.AtLeast {
		return "at least " + executions(p.Count)
	}
	return executions(p.Count)
}

func executions(n int) string {
	if n == 1 {
		return "1 execution"
	}
	return grouped(n) + " executions"
}

// interactive reports whether somebody can answer on r.
func interactive(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks on the terminal.
func (p *program) confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(p.err, question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(p.in).ReadString('\n') // the end of the input is no answer
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.err)
		return false, ctx.Err()
	case a := <-answer:
		return a == "y" || a == "yes", nil
	}
}

func (p *program) bulkRequest(c *cli.Context, operation client.BulkOperation) (client.BulkRequest, error) {
	r := client.BulkRequest{
		Operation: operation, MaxInFlight: c.Int("max-in-flight"), Canary: c.Int("canary"), Reason: c.String("reason"), IdempotencyKey: c.String("idempotency-key"),
		Lane: client.BulkRequestLane(c.String("lane")),
	}
	if r.MaxInFlight < 1 || r.MaxInFlight > 1000 {
		return r, usagef("--max-in-flight %d: want 1 to 1000", r.MaxInFlight)
	}
	if r.Lane != "" && !r.Lane.Valid() {
		return r, usagef("--lane %s: want low or same", r.Lane)
	}
	if d := c.Duration("jitter"); d > 0 {
		r.Jitter = d.String()
	}
	var err error
	if r.Rate, err = parseRate(c.String("rate")); err != nil {
		return r, err
	}
	if text := c.String("max-error-rate"); text != "" {
		part, err := parsePart(text)
		if err != nil {
			return r, err
		}
		r.MaxErrorRate = &part
	}
	if r.Filter, err = p.bulkFilter(c); err != nil {
		return r, err
	}
	if r.IDs, err = p.bulkIDs(c); err != nil {
		return r, err
	}
	if operation != client.BulkRetry && operation != client.BulkRerun {
		return r, nil
	}
	sets := c.StringSlice("set")
	for i, set := range sets {
		path, ok := strings.CutPrefix(set, "workflow_input.")
		if !ok {
			return r, usagef("--set %s: want workflow_input.PATH=VALUE, as workflow_input.region=eu", set)
		}
		sets[i] = path
	}
	r.Redrive, err = p.redriveRequest(c, sets)
	r.Redrive.Reason, r.Redrive.IdempotencyKey = "", "" // they are of the whole
	return r, err
}

func (p *program) bulkFilter(c *cli.Context) (client.BulkFilter, error) {
	f := client.BulkFilter{
		Workflow: c.String("workflow"), Version: c.Int("workflow-version"), CorrelationID: c.String("with-correlation-id"),
		Label: c.String("label"),
	}
	for _, status := range listed(c, "status") {
		if !client.ExecutionStatus(status).Valid() {
			return f, usagef("--status %s: want queued, running, paused, canceling, succeeded, failed, canceled or timed_out", status)
		}
		f.Status = append(f.Status, client.ExecutionStatus(status))
	}
	for _, of := range []struct {
		name string
		at   **time.Time
		ago  *string
	}{{"since", &f.Since, &f.SinceAgo}, {"until", &f.Until, &f.UntilAgo}} {
		text := c.String(of.name)
		if text == "" {
			continue
		}
		// So long ago is said as it is: the same command later is the same request.
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			*of.ago = text
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return f, usagef("--%s %s: want a time as 2026-01-31T08:00:00Z, or a duration as 48h", of.name, text)
		}
		*of.at = &t
	}
	return f, nil
}

// bulkIDs reads the executions that are named one by one.
func (p *program) bulkIDs(c *cli.Context) ([]string, error) {
	if !c.IsSet("ids") {
		return nil, nil
	}
	text, err := p.valueOf(c.String("ids"))
	if err != nil {
		return nil, err
	}
	ids := strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == '\n' || r == '\r' || r == ' ' || r == '\t' })
	if len(ids) == 0 {
		return nil, usagef("--ids names no execution")
	}
	return ids, nil
}

// parseRate reads 20, 20/s, 300/m or 1000/h as executions a second.
func parseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	many, per, _ := strings.Cut(text, "/")
	seconds := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[per]
	n, err := strconv.ParseFloat(many, 64)
	if err != nil || !(n > 0) || seconds == 0 {
		return 0, usagef("--rate %s: want a number above 0, as 20, 20/s, 300/m or 1000/h", text)
	}
	return n / seconds, nil
}

// parsePart reads 5% or 0.05.
func parsePart(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if percent {
		n /= 100
	}
	if err != nil || !(n >= 0 && n <= 1) {
		return 0, usagef("--max-error-rate %s: want 0%% to 100%%, or 0 to 1", text)
	}
	return n, nil
}

// printPreview writes how many executions there are, of which kind, and what would be done to the first ones.
func (s *session) printPreview(w io.Writer, r client.BulkRequest, p *client.BulkPreview) {
	fmt.Fprintf(w, "%s of %s\n", s.style.bold(string(r.Operation)), previewed(p))
	for _, g := range p.Groups {
		fmt.Fprintf(w, "  %8s  %s v%d  %s\n", grouped(g.Count), g.Workflow, g.Version, s.style.status(string(g.Status)))
	}
	if p.AtLeast {
		fmt.Fprintln(w, s.style.paint(yellow, "! There may be more than were counted here in a few seconds, and all of them are meant."))
	}
	if p.Missing > 0 {
		fmt.Fprintln(w, s.style.paint(yellow, fmt.Sprintf("! %s of the ids name nothing that is there", grouped(p.Missing))))
	}
	if r.Rate > 0 && p.Count > 0 {
		fmt.Fprintf(w, "at %s/s that takes at least %s\n", strconv.FormatFloat(r.Rate, 'g', 4, 64), short(time.Duration(float64(p.Count)/r.Rate*float64(time.Second))))
	}
	for i, sample := range p.Samples {
		if sample.Plan == nil && sample.Refused == nil {
			continue
		}
		if i == 0 {
			fmt.Fprintln(w, "the first of them:")
		}
		fmt.Fprintf(w, "  %s  %s\n", sample.Execution, s.sampleText(sample))
	}
}

// sampleText says what would be done to one execution.
func (s *session) sampleText(sample client.BulkSample) string {
	if sample.Refused != nil {
		return s.style.paint(yellow, "is refused: "+clip(sample.Refused.Message, 200))
	}
	counts := map[client.PlanRowAction]int{}
	for _, row := range sample.Plan.Tasks {
		counts[row.Action]++
	}
	what := s.counted(counts)
	if diff := compact(sample.Plan.InputDiff); diff != "" && diff != "[]" {
		what += "; input " + clip(diff, 120)
	}
	if len(sample.Plan.Acknowledge) > 0 {
		what += s.style.paint(yellow, "; needs --acknowledge "+strings.Join(sample.Plan.Acknowledge, ","))
	}
	return what
}
