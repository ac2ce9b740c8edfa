package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) logsCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "logs", Usage: "show what the tasks of an execution logged and printed", ArgsUsage: "ID",
		Description: "Lines stand in the order in which they arrived. At most 256 KiB are kept per attempt, and 16 MiB per execution; what was cut is said. With -f the command shows what comes until the execution has ended.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "task", Usage: "only of the task `REF`"},
			&cli.IntFlag{Name: "attempt", Usage: "only of attempt `N`", DefaultText: "all"},
			&cli.StringFlag{Name: "level", Usage: "only of this `LEVEL` and graver ones: debug, info, warn, error"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the execution has ended"},
			&cli.IntFlag{Name: "limit", Usage: "at most `N` lines; 0 = all", DefaultText: "0"},
		},
		Action: p.logs,
	}, []string{"redrive execution logs 12", "redrive execution logs 12 --task load --attempt 2 --level warn", "redrive execution logs 12 -f", "redrive execution logs 12 -o jsonl"}, exitNotFound)
}

func (p *program) logs(c *cli.Context) error {
	if err := arguments(c, 1, 1); err != nil {
		return err
	}
	filter := client.LogFilter{Task: c.String("task"), Attempt: c.Int("attempt"), Level: client.LogLevel(c.String("level"))}
	switch {
	case filter.Level != "" && !filter.Level.Valid():
		return usagef("--level %s: want debug, info, warn or error", filter.Level)
	case filter.Attempt < 0 || c.IsSet("attempt") && filter.Attempt == 0:
		return usagef("--attempt %d: attempts count from 1", filter.Attempt)
	case c.Int("limit") < 0:
		return usagef("--limit %d: want 0 or more", c.Int("limit"))
	}
	allowed := []string{formatTable, formatWide, formatJSONL}
	if !c.Bool("follow") {
		allowed = append(allowed, formatJSON, formatYAML)
	}
	s, err := p.connect(c, allowed...)
	if err != nil {
		return err
	}
	lines := s.api.Logs(c.Context, c.Args().First(), filter)
	if c.Bool("follow") {
		lines = s.api.FollowLogs(c.Context, c.Args().First(), filter, "")
	}
	return s.printLogs(c.Context, lines, c.Int("limit"))
}

// printLogs writes each line when it comes, unless the format wants all of them at once.
func (s *session) printLogs(ctx context.Context, lines iter.Seq2[client.LogEntry, error], limit int) error {
	if slices.Contains([]string{formatJSON, formatYAML}, s.format) {
		all, _, err := take(lines, limit)
		if err != nil {
			return err
		}
		return printList(s.printer, all, nil, func(e client.LogEntry) string { return e.Seq })
	}
	shown := 0
	for e, err := range lines {
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return ctx.Err()
			}
			return err
		}
		if limit > 0 && shown == limit {
			fmt.Fprintf(s.err, "There are more: the first %d are shown, --limit 0 shows all.\n", shown)
			return nil
		}
		shown++
		if s.format == formatJSONL {
			if err := s.jsonLine(e); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(s.program.out, s.logLine(e))
	}
	return nil
}

var logColors = map[client.LogLevel]string{
	client.LogLevelDebug: gray, client.LogLevelInfo: green, client.LogLevelWarn: yellow, client.LogLevelError: red,
}

// logLine is a line as a person reads it; what a message has beyond its first line is indented.
func (s *session) logLine(e client.LogEntry) string {
	message := strings.ReplaceAll(printable(e.Message), "\n", "\n    ")
	if e.Level == client.LogLevelWarn || e.Level == client.LogLevelError {
		message = s.style.paint(logColors[e.Level], message)
	}
	return fmt.Sprintf("%s %s %s %s", s.style.dim(s.eventTime(e.At)), s.style.paint(logColors[e.Level], fmt.Sprintf("%-5s", e.Level)),
		s.style.paint(cyan, e.Ref+"#"+strconv.Itoa(e.Attempt)), message)
}

// printable keeps a task's output from steering the terminal: of control
// characters only line ends and tabs are written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return '\uFFFD'
	}, s)
}
