package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// comparison is two versions of a workflow and how their sources differ.
type comparison struct {
	Name string `json:"name"`
	From int    `json:"from"`
	To   int    `json:"to"`
	Diff string `json:"diff"` // unified; empty when the sources are the same
}

func (p *program) diffVersions(c *cli.Context) error {
	if err := arguments(c, 1, 3); err != nil {
		return err
	}
	s, err := p.connect(c, formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	name := c.Args().First()
	from, to, err := s.versionsToCompare(c.Context, name, c.Args().Tail())
	if err != nil {
		return err
	}
	older, err := s.api.Workflow(c.Context, s.project, name, from)
	if err != nil {
		return err
	}
	newer, err := s.api.Workflow(c.Context, s.project, name, to)
	if err != nil {
		return err
	}
	found := comparison{name, from, to, unified(older, newer)}
	switch {
	case s.format != formatTable:
		return printOne(s.printer, found, nil, func(x comparison) string { return x.Name })
	case found.Diff == "":
		fmt.Fprintf(s.err, "The sources of version %d and %d are the same.\n", from, to)
		return nil
	}
	for line := range strings.Lines(found.Diff) {
		fmt.Fprintln(p.out, s.diffLine(strings.TrimSuffix(line, "\n")))
	}
	return nil
}

// versionsToCompare reads two versions from the command line; without them they are the newest two.
func (s *session) versionsToCompare(ctx context.Context, name string, given []string) (from, to int, err error) {
	switch len(given) {
	case 1:
		return 0, 0, usagef("a version to compare %s with is missing: give two, or none for the newest two", given[0])
	case 2:
		for i, into := range []*int{&from, &to} {
			if *into, err = strconv.Atoi(given[i]); err != nil || *into < 1 {
				return 0, 0, usagef("%q is no version: they count from 1", given[i])
			}
		}
		return from, to, nil
	}
	newest, _, err := take(s.api.Versions(ctx, s.project, name), 2)
	if err != nil {
		return 0, 0, err
	}
	if len(newest) < 2 {
		return 0, 0, usagef("%s has one version only: there is nothing to compare", name)
	}
	return newest[1].Version, newest[0].Version, nil
}

// unified is the difference of two versions as programs that know diffs read it.
func unified(older, newer *client.Workflow) string {
	label := func(w *client.Workflow) string { return fmt.Sprintf("%s version %d", w.Name, w.Version) }
	text := string(diff.Diff(label(older), byLine(older.Source), label(newer), byLine(newer.Source)))
	_, text, _ = strings.Cut(text, "\n") // the command that it would be
	return text
}

// diffLine colours a line of a diff. The control characters of a source do not reach the terminal.
func (s *session) diffLine(line string) string {
	line = printable(line)
	switch {
	case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		return s.style.bold(line)
	case strings.HasPrefix(line, "@@"):
		return s.style.paint(cyan, line)
	case strings.HasPrefix(line, "-"):
		return s.style.paint(red, line)
	case strings.HasPrefix(line, "+"):
		return s.style.paint(green, line)
	}
	return line
}

// byLine is a source by the line: JSON may be all on one.
func byLine(source string) []byte {
	var b bytes.Buffer
	if strings.HasPrefix(strings.TrimSpace(source), "{") && json.Indent(&b, []byte(source), "", "  ") == nil {
		source = b.String()
	}
	return []byte(strings.TrimRight(source, "\n") + "\n")
}
