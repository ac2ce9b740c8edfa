package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// definition is a file that may be published.
type definition struct {
	file   string
	source []byte
}

// publish publishes what its arguments name, or only checks it.
func (p *program) publish(dryRun bool) cli.ActionFunc {
	return func(c *cli.Context) error {
		if err := arguments(c, 1, -1); err != nil {
			return err
		}
		s, err := p.connect(c)
		if err != nil {
			return err
		}
		name := c.Args().First()
		if c.NArg() > 1 || isFolder(name) {
			all, err := p.definitions(c.Args().Slice())
			if err != nil {
				return err
			}
			return s.publishAll(c.Context, all, dryRun)
		}
		source, err := p.readFile(name)
		if err != nil {
			return err
		}
		published, err := s.api.Publish(c.Context, s.project, source, dryRun)
		if err != nil {
			return definitionError(name, err)
		}
		s.warn("", published.Warnings)
		switch s.format {
		case formatTable, formatWide:
			fmt.Fprintln(p.out, publishedText(published, dryRun))
			return nil
		}
		return printOne(s.printer, *published, nil, func(w client.Published) string { return w.Name })
	}
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// definitions reads the files that are named, and what is below the folders among them.
func (p *program) definitions(names []string) ([]definition, error) {
	var all []definition
	for _, name := range names {
		if isFolder(name) {
			below, err := p.definitionsBelow(name)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
			continue
		}
		source, err := p.readFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, definition{name, source})
	}
	return all, nil
}

// publishAll publishes several definitions. Each is checked before the first is
// published, and none is when one has a problem.
func (s *session) publishAll(ctx context.Context, all []definition, dryRun bool) error {
	checked, err := s.checkAll(ctx, all)
	if err != nil {
		return err
	}
	var done []client.Published
	for i, d := range all {
		published := checked[i]
		if !dryRun {
			if published, err = s.api.Publish(ctx, s.project, d.source, false); err != nil {
				return stoppedAt(i, len(all), definitionError(d.file, err))
			}
		}
		s.warn(d.file+":", published.Warnings)
		done = append(done, *published)
		if s.format == formatTable || s.format == formatWide {
			text, _, _ := strings.Cut(publishedText(published, dryRun), "\n")
			fmt.Fprintf(s.program.out, "%s  %s\n", s.style.dim(d.file), text)
		}
	}
	if s.format == formatTable || s.format == formatWide {
		return nil
	}
	return printList(s.printer, done, nil, func(w client.Published) string { return w.Name })
}

// stoppedAt is an error that came although all definitions were checked.
func stoppedAt(published, total int, err error) error {
	if published == 0 {
		return err
	}
	f := &failure{code: exitPartial, err: fmt.Errorf("%d of %d are published, the next is not: %w", published, total, err),
		next: "Once it is mended, publish all of them again: what is stored already is not stored twice."}
	if cause, ok := errors.AsType[*failure](err); ok {
		f.fields = cause.fields
	}
	return f
}

// checkAll asks the server about every definition and answers what each would
// become, or one failure with the problems of all of them.
func (s *session) checkAll(ctx context.Context, all []definition) ([]*client.Published, error) {
	checked := make([]*client.Published, len(all))
	bad := &failure{code: exitUsage, next: "Nothing was published."}
	files, from := 0, map[string]string{}
	for i, d := range all {
		valid, err := s.api.Publish(ctx, s.project, d.source, true)
		var problems *failure
		switch err = definitionError(d.file, err); {
		case errors.As(err, &problems):
			files++
			bad.fields = append(bad.fields, problems.fields...)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", d.file, err)
		case from[valid.Name] != "":
			files++
			bad.fields = append(bad.fields, fmt.Sprintf("%s: the name %s is that of %s, too; give each workflow its own", d.file, valid.Name, from[valid.Name]))
		default:
			from[valid.Name], checked[i] = d.file, valid
		}
	}
	if files == 0 {
		return checked, nil
	}
	problems := fmt.Sprintf("%d problems", len(bad.fields))
	if len(bad.fields) == 1 {
		problems = "a problem"
	}
	bad.err = fmt.Errorf("%s in %d of %d definitions", problems, files, len(all))
	return nil, bad
}

func (s *session) warn(file string, warnings []client.FieldError) {
	for _, w := range warnings {
		fmt.Fprintf(s.err, "%s %s%s\n", styleFor(s.err).paint(yellow, "warning:"), file, w.String())
	}
}

var definitionEndings = []string{".yaml", ".yml", ".json"}

// definitionsBelow reads the definitions in a folder and those in it, sorted by
// name. What begins with a dot is left out.
func (p *program) definitionsBelow(folder string) ([]definition, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err}
	}
	defer func() { _ = root.Close() }() // nothing was written
	var all []definition
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case entry.IsDir() || !slices.Contains(definitionEndings, strings.ToLower(filepath.Ext(path))):
			return nil
		}
		source, err := fs.ReadFile(root.FS(), path)
		if err == nil && !mayDefine(source) {
			fmt.Fprintf(p.err, "passed over %s: it has no tasks\n", filepath.Join(folder, path))
			return nil
		}
		all = append(all, definition{filepath.Join(folder, path), source})
		return err
	})
	if err != nil {
		return nil, &failure{code: exitUsage, err: err, next: "Give a folder whose files can be read."}
	}
	if len(all) == 0 {
		return nil, usagef("%s: there is no definition below this folder; wanted: files that end in %s", folder, strings.Join(definitionEndings, ", "))
	}
	return all, nil
}

// mayDefine tells definitions, and what cannot be read, from the inputs and
// schedules that lie beside them: those have no tasks.
func mayDefine(source []byte) bool {
	var top map[string]any
	if err := yaml.Unmarshal(source, &top); err != nil {
		return true
	}
	_, ok := top["tasks"]
	return ok
}

func publishedText(w *client.Published, dryRun bool) string {
	switch {
	case dryRun && w.Created:
		return fmt.Sprintf("%s is valid; it would become version %d", w.Name, w.Version)
	case dryRun && w.Version > 0:
		return fmt.Sprintf("%s is valid and equal to version %d", w.Name, w.Version)
	case dryRun:
		return fmt.Sprintf("%s is valid; nothing was stored", w.Name)
	case w.Created:
		return fmt.Sprintf("%s version %d published\nRun it: redrive run %s --wait", w.Name, w.Version, w.Name)
	default:
		return fmt.Sprintf("%s version %d already has this content; nothing was stored", w.Name, w.Version)
	}
}

// definitionError shows each problem as file:line:column, which editors understand.
func definitionError(file string, err error) error {
	var refusal *client.Error
	if !errors.As(err, &refusal) || len(refusal.Errors) == 0 {
		return err
	}
	f := &failure{code: exitUsage, err: fmt.Errorf("%s: %d problems in the definition", file, len(refusal.Errors))}
	if len(refusal.Errors) == 1 {
		f.err = fmt.Errorf("%s: a problem in the definition", file)
	}
	for _, field := range refusal.Errors {
		f.fields = append(f.fields, file+":"+field.String())
	}
	return f
}

// readFile reads a file, or standard input for "-".
func (p *program) readFile(name string) ([]byte, error) {
	if name == "-" {
		source, err := io.ReadAll(p.in)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return source, nil
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, &failure{code: exitUsage, err: err, next: "Give a file, or - for standard input."}
	}
	return source, nil
}
