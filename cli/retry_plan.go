package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// How many rows of a plan are shown of those that it leaves alone, and of each other action; -o wide shows all.
const (
	mostKept    = 10
	mostPlanned = 100
)

// actions are those of a plan in the order of what is worth knowing, each with
// its look and what is said of those that are not shown.
var actions = []struct {
	action client.PlanRowAction
	look
	more string
}{
	{client.ActionRun, look{"▶", blue}, "run"},
	{client.ActionCancel, look{"⊘", yellow}, "are superseded and run again"},
	{client.ActionPin, look{"◆", purple}, "take an output that was given"},
	{client.ActionSkip, look{"↷", gray}, "are skipped"},
	{client.ActionUndecided, look{"?", yellow}, "are undecided"},
	{client.ActionLeaveRunning, look{"▷", blue}, "are left running"},
	{client.ActionKeep, look{"✔", gray}, "are kept"},
}

// plans shows what would be done to every one of several.
func (s *session) plans(c *cli.Context, ids []string, plan func(ctx context.Context, id string) (*client.Plan, error)) error {
	if s.format != formatTable && s.format != formatWide {
		if len(ids) > 1 {
			do := func(ctx context.Context, id string) (*client.Plan, error) {
				p, err := plan(ctx, id)
				return p, fieldsOf(err)
			}
			return each(c.Context, s, ids, do, nil, planHash)
		}
		p, err := plan(c.Context, ids[0])
		if err != nil {
			return fieldsOf(err)
		}
		return printOne(s.printer, *p, nil, planHash)
	}
	var errs []error
	for _, id := range ids {
		if err := s.showPlan(c, id, plan); err != nil {
			err = fieldsOf(fmt.Errorf("%s: %w", id, err))
			errs = append(errs, err)
			if len(ids) > 1 {
				_, text := explain(err)
				fmt.Fprint(s.err, text)
			}
		}
	}
	return partial(len(ids), errs)
}

func planHash(p client.Plan) string { return p.PlanHash }

func (s *session) showPlan(c *cli.Context, id string, plan func(ctx context.Context, id string) (*client.Plan, error)) error {
	p, err := plan(c.Context, id)
	if err != nil {
		return err
	}
	x, err := s.api.Execution(c.Context, p.Execution)
	if err != nil {
		return err
	}
	if s.shown != nil {
		fmt.Fprintln(s.program.out)
	}
	s.printPlan(*p, *x)
	s.shown = p
	fmt.Fprintf(s.program.out, "\nNothing was changed. To execute this plan:\n  %s\n", s.again(c, id, p))
	return nil
}

// printPlan writes a plan for people.
func (s *session) printPlan(p client.Plan, x client.Execution) {
	out, counts := s.program.out, map[client.PlanRowAction]int{}
	for _, row := range p.Tasks {
		counts[row.Action]++
	}
	as := "in place"
	if p.Identity == client.NewExecution {
		as = "as a new execution"
	}
	fmt.Fprintf(out, "%s of %s #%d, %s\n", s.style.bold(string(p.Operation)), x.Workflow, x.Number, as)
	fmt.Fprintf(out, "%s  %s\n", s.style.dim("execution"), x.ID)
	fmt.Fprintf(out, "%s  %d, %s\n", s.style.dim("revision "), p.Revision, s.style.status(string(x.Status)))
	fmt.Fprintf(out, "%s  %s\n", s.style.dim("tasks    "), s.counted(counts))
	if len(p.Tasks) > 0 {
		fmt.Fprintln(out)
		s.planRows(p, counts)
	}
	s.changes("input", p.InputDiff)
	for _, row := range p.Tasks {
		s.changes("input of "+row.Ref, row.InputDiff)
	}
	s.definitionChange(p.DefinitionDiff)
	if len(p.Warnings) > 0 {
		fmt.Fprintln(out)
	}
	for _, w := range p.Warnings {
		fmt.Fprintln(out, s.style.paint(yellow, "! "+oneLine(w)))
	}
	if len(p.Acknowledge) > 0 {
		fmt.Fprintf(out, "\n%s\n", s.style.paint(yellow, "! These have unsafe effects, which happen again; it must be acknowledged: "+strings.Join(p.Acknowledge, ", ")))
	}
}

// counted says how many tasks each action has.
func (s *session) counted(counts map[client.PlanRowAction]int) string {
	var parts []string
	for _, a := range actions {
		if n := counts[a.action]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", grouped(n), s.style.paint(a.color, words(a.action))))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func words(a client.PlanRowAction) string { return strings.ReplaceAll(string(a), "_", " ") }

// grouped is a number with commas.
func grouped(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// planRows writes the rows, of many with the same action only the first.
func (s *session) planRows(p client.Plan, counts map[client.PlanRowAction]int) {
	shown := map[client.PlanRowAction]int{}
	visible := slices.DeleteFunc(slices.Clone(p.Tasks), func(r client.PlanRow) bool {
		most := mostPlanned
		if r.Action == client.ActionKeep || r.Action == client.ActionLeaveRunning {
			most = mostKept
		}
		if s.format == formatWide || shown[r.Action] < most {
			shown[r.Action]++
			return false
		}
		return true
	})
	s.table(rows(s.printer, visible, s.planColumns(p)))
	for _, a := range actions {
		if hidden := counts[a.action] - shown[a.action]; hidden > 0 {
			fmt.Fprintln(s.program.out, s.style.dim(fmt.Sprintf("… and %s more %s; -o wide shows them", grouped(hidden), a.more)))
		}
	}
}

func (s *session) planColumns(p client.Plan) []column[client.PlanRow] {
	type r = client.PlanRow
	unsafe := slices.ContainsFunc(p.Tasks, func(r r) bool { return r.Effects == "unsafe" && r.Action != client.ActionKeep })
	return []column[r]{
		{title: "task", value: func(r r) string { return r.Ref }},
		{title: "action", value: func(r r) string { return s.action(r.Action) }},
		{title: "was", value: func(r r) string { return s.style.status(string(r.Status)) }},
		{title: "attempt", wide: true, value: func(r r) string { return number(r.Attempt) }},
		{title: "effects", wide: !unsafe, value: func(r r) string { return r.Effects }},
		{title: "reason", value: func(r r) string { return clip(r.Reason, 100) }},
	}
}

// action is an action with its symbol, coloured.
func (s *session) action(name client.PlanRowAction) string {
	for _, a := range actions {
		if a.action == name {
			return s.style.paint(a.color, a.symbol+" "+words(name))
		}
	}
	return string(name)
}

// changes writes a JSON Patch, a line for each change; nothing where there is none.
func (s *session) changes(of string, patch json.RawMessage) {
	if compact(patch) == "" || compact(patch) == "[]" {
		return
	}
	var list []struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		From  string          `json:"from"`
		Value json.RawMessage `json:"value"`
	}
	fmt.Fprintf(s.program.out, "\n%s\n", s.style.dim(of))
	if json.Unmarshal(patch, &list) != nil {
		fmt.Fprintln(s.program.out, "  "+compact(patch))
		return
	}
	colors := map[string]string{"add": green, "remove": red}
	for _, change := range list {
		color := colors[change.Op]
		if color == "" {
			color = yellow
		}
		what := compact(change.Value)
		if what == "" && change.Op != "remove" {
			what = "null"
		}
		line := fmt.Sprintf("  %-7s  %s  %s", change.Op, change.Path, what)
		switch {
		case change.From != "":
			line = fmt.Sprintf("  %-7s  %s  from %s", change.Op, change.Path, change.From)
		case change.Path == "": // the whole value is another one
			line = "  becomes  " + what
		}
		fmt.Fprintln(s.program.out, s.style.paint(color, printable(clipEnd(strings.TrimRight(line, " "), 200))))
	}
}

func (s *session) definitionChange(d *client.DefinitionDiff) {
	if d == nil {
		return
	}
	fmt.Fprintf(s.program.out, "\n%s  version %d → %d\n", s.style.dim("definition"), d.From, d.To)
	for _, list := range []struct {
		word, color string
		paths       []string
	}{{"added", green, d.Added}, {"removed", red, d.Removed}, {"changed", yellow, d.Changed}} {
		for _, path := range list.paths {
			fmt.Fprintln(s.program.out, s.style.paint(list.color, fmt.Sprintf("  %-7s  %s", list.word, path)))
		}
	}
}
