package digdag

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat/digdag/dig"
)

// mark begins a file in the source of a workflow: YAML has no comment there, so no file of Digdag's does.
var mark = regexp.MustCompile(`(?m)^--- # (\S+\.dig)\n`)

// pack makes one source of the file of a workflow and all others of its project.
func pack(files map[string]string, main string) string {
	var b strings.Builder
	names := []string{main}
	for name := range files {
		if name != main {
			names = append(names, name)
		}
	}
	slices.Sort(names[1:])
	for _, name := range names {
		b.WriteString("--- # " + name + "\n")
		b.WriteString(files[name])
		if text := files[name]; text != "" && !strings.HasSuffix(text, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// unpack is the way back; main is "" when the source is not Digdag's.
func unpack(source string) (files map[string]string, main string) {
	at := mark.FindAllStringSubmatchIndex(source, -1)
	if len(at) == 0 || at[0][0] != 0 {
		return nil, ""
	}
	files = map[string]string{}
	for i, m := range at {
		end := len(source)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		files[source[m[2]:m[3]]] = source[m[1]:end]
	}
	return files, source[at[0][2]:at[0][3]]
}

// opened is a version of a workflow as Digdag sees it.
type opened struct {
	*dig.Workflow
	Zone *time.Location
	Dig  bool // a workflow file made it
}

// open reads what Digdag needs to know of a version. One that was published natively has no workflow
// file: its config is its definition, its time zone UTC.
func open(w *engine.Workflow, projectID string) *opened {
	if files, main := unpack(w.Source); main != "" {
		made, err := dig.Compile(files, main, dig.Options{ProjectID: projectID})
		if err == nil && made.Name == w.Name {
			zone, err := time.LoadLocation(made.TimeZone)
			if err == nil {
				return &opened{made, zone, true}
			}
		}
	}
	config := w.Definition
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	return &opened{&dig.Workflow{
		Name: w.Name, TimeZone: "UTC", Config: config,
		Root: &dig.Task{Suffix: "+" + w.Name, Group: true, Config: json.RawMessage("{}"), Export: json.RawMessage("{}")},
	}, time.UTC, false}
}
