package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

// scheduleSource is one schedule of a file, as JSON.
type scheduleSource struct {
	file string // with the number of the document, where there are several
	name string
	body []byte
}

func (p *program) applySchedules(c *cli.Context) error {
	if err := arguments(c, 1, -1); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	var sources []scheduleSource
	for _, file := range c.Args().Slice() {
		text, err := p.readFile(file)
		if err != nil {
			return err
		}
		found, err := readSchedules(file, text)
		if err != nil {
			return err
		}
		sources = append(sources, found...)
	}
	var done []client.Schedule
	var errs []error
	for _, source := range sources {
		applied, created, err := s.api.PutScheduleSource(c.Context, s.project, source.name, source.body)
		if err != nil {
			err = inFile(source.file, err)
			errs = append(errs, err)
			if len(sources) > 1 {
				_, text := explain(err)
				fmt.Fprint(p.err, text)
			}
			continue
		}
		done = append(done, *applied)
		if s.format == formatTable {
			fmt.Fprintln(p.out, appliedText(applied, created))
		}
	}
	if s.format != formatTable && len(done) > 0 {
		if err := printList(s.printer, done, s.scheduleColumns(), scheduleName); err != nil {
			return err
		}
	}
	return partial(len(sources), errs)
}

func appliedText(s *client.Schedule, created bool) string {
	word := "stored"
	if created {
		word = "created"
	}
	switch {
	case !s.Enabled:
		return fmt.Sprintf("%s %s; it is disabled: redrive schedule enable %s", s.Name, word, s.Name)
	case s.Next == nil:
		return fmt.Sprintf("%s %s; it has no tick any more", s.Name, word)
	}
	return fmt.Sprintf("%s %s; next %s", s.Name, word, zoned(s.Next.DueAt))
}

// readSchedules reads the YAML documents of a file, or its JSON.
func readSchedules(file string, text []byte) ([]scheduleSource, error) {
	bodies := [][]byte{text}
	if !json.Valid(text) {
		parsed, err := parser.ParseBytes(text, 0)
		if err != nil {
			return nil, usagef("%s: %s", file, yaml.FormatError(err, false, false))
		}
		bodies = nil
		for _, doc := range parsed.Docs {
			if doc.Body == nil {
				continue
			}
			body, err := yaml.YAMLToJSON([]byte(doc.Body.String()))
			if err != nil {
				return nil, usagef("%s: %s", file, yaml.FormatError(err, false, false))
			}
			bodies = append(bodies, body)
		}
	}
	if len(bodies) == 0 {
		return nil, usagef("%s: holds no schedule", file)
	}
	var all []scheduleSource
	for i, body := range bodies {
		source := scheduleSource{file: file, body: body}
		if len(bodies) > 1 {
			source.file = fmt.Sprintf("%s[%d]", file, i+1)
		}
		var head struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(body, &head); err != nil || head.Name == "" {
			return nil, usagef("%s: name: is required; want the name of the schedule, as name: nightly", source.file)
		}
		source.name = head.Name
		all = append(all, source)
	}
	return all, nil
}

// inFile says in which file the fields are that a refusal names.
func inFile(file string, err error) error {
	err = fieldsOf(err)
	var f *failure
	if !errors.As(err, &f) {
		return fmt.Errorf("%s: %w", file, err)
	}
	return &failure{code: f.code, err: fmt.Errorf("%s: %w", file, f.err), fields: f.fields, next: f.next}
}
