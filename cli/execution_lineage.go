package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) lineageCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "lineage", Usage: "show the family of an execution as a tree", ArgsUsage: "ID",
		Description: "What redrives made of each other with --new, and the sub-workflows of each. It is the same from each member.",
		Action:      p.lineage,
	}, []string{"redrive execution lineage 12", "redrive execution lineage 12 -o name"}, exitNotFound)
}

func (p *program) lineage(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	family, err := s.api.Lineage(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	switch s.format {
	case formatJSON, formatYAML:
		return printOne(s.printer, *family, nil, func(f client.LineageTree) string { return f.Root })
	case formatJSONL, formatName:
		return printList(s.printer, family.Nodes, nil, func(n client.LineageNode) string { return n.Execution })
	}
	s.printTree(family.Nodes, c.Args().First())
	if family.Truncated {
		fmt.Fprintf(s.err, "There are more: %d are shown.\n", len(family.Nodes))
	}
	return nil
}

// printTree draws a family. Those whose parent is gone stand at the top.
func (s *session) printTree(nodes []client.LineageNode, asked string) {
	below, known := map[string][]client.LineageNode{}, map[string]bool{}
	for _, n := range nodes {
		known[n.Execution] = true
	}
	var top []client.LineageNode
	for _, n := range nodes {
		if n.Parent == nil || !known[*n.Parent] {
			top = append(top, n)
			continue
		}
		below[*n.Parent] = append(below[*n.Parent], n)
	}
	var draw func(n client.LineageNode, lead, rest string)
	draw = func(n client.LineageNode, lead, rest string) {
		fmt.Fprintln(s.program.out, s.style.dim(lead)+s.treeLine(n, asked))
		for i, inner := range below[n.Execution] {
			if i == len(below[n.Execution])-1 {
				draw(inner, rest+"└─ ", rest+"   ")
			} else {
				draw(inner, rest+"├─ ", rest+"│  ")
			}
		}
	}
	for _, n := range top {
		draw(n, "", "")
	}
}

// treeLine is one execution of a family; the one that was asked for is marked.
func (s *session) treeLine(n client.LineageNode, asked string) string {
	name := fmt.Sprintf("%s v%d #%d", n.Workflow, n.Version, n.Number)
	if asked == n.Execution || asked == strconv.FormatInt(n.Number, 10) {
		name = s.style.bold(name + " ←")
	}
	parts := []string{name, s.style.status(string(n.Status))}
	if n.Relation != nil && *n.Relation != client.RelationSubWorkflow {
		parts = slices.Insert(parts, 0, s.style.paint(cyan, string(*n.Relation)))
	}
	if n.Task != "" {
		parts = slices.Insert(parts, 0, s.style.paint(cyan, n.Task+":"))
	}
	if n.Redrives > 0 {
		parts = append(parts, s.style.dim(fmt.Sprintf("redrives %d", n.Redrives)))
	}
	parts = append(parts, s.style.dim(s.time(n.CreatedAt)))
	if s.format == formatWide {
		parts = append(parts, s.style.dim(n.Execution))
	}
	return strings.Join(parts, "  ")
}

func (p *program) redrivesCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "redrives", Usage: "list the redrives of an execution, oldest first", ArgsUsage: "ID", Flags: []cli.Flag{limitFlag()},
		Description: "Who ran what again, when and why. -o json has each plan and request.",
		Action:      p.listRedrives,
	}, []string{"redrive execution redrives 12", "redrive execution redrives 12 -o json"}, exitNotFound)
}

func (p *program) listRedrives(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	type r = client.Redriven
	return list(s, c, s.api.Redrives(c.Context, c.Args().First()), []column[r]{
		{title: "redrive", value: redriveName},
		{title: "operation", value: func(r r) string { return string(r.Operation) }},
		{title: "when", value: func(r r) string { return s.time(r.At) }},
		{title: "tasks", value: s.redrivenTasks},
		{title: "version", wide: true, value: func(r r) string { return strconv.Itoa(r.Version) }},
		{title: "into", wide: true, value: func(r r) string { return r.Into }},
		{title: "by", value: func(r r) string { return r.By }},
		{title: "reason", value: func(r r) string { return clip(r.Reason, 60) }},
		{title: "request", wide: true, value: func(r r) string { return clip(compact(r.Request), 100) }},
	}, redriveName)
}

// redriveName is the number of a redrive; one that made a new execution is shown by that.
func redriveName(r client.Redriven) string {
	if r.Into != "" {
		return fmt.Sprintf("→ #%d", r.IntoNumber)
	}
	return strconv.Itoa(r.Number)
}

// redrivenTasks counts what a redrive did, as the line of a plan does.
func (s *session) redrivenTasks(r client.Redriven) string {
	counts := map[client.PlanRowAction]int{client.ActionKeep: r.Kept}
	if r.Plan != nil {
		for _, row := range r.Plan.Tasks {
			counts[row.Action]++
		}
	}
	return s.counted(counts)
}

// seconds is a duration as an answer has it.
func seconds(d *float64) string {
	if d == nil {
		return ""
	}
	return short(time.Duration(*d * float64(time.Second)))
}
