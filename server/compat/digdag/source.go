package digdag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat/digdag/dig"
	"github.com/redrive/redrive/workflow/cron"
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
	Zone  *time.Location
	Dig   bool        // a workflow file made it
	times *cron.Times // of its schedule; nil = it has none
}

// params are those of an attempt. Where the workflow has a schedule, Digdag adds the times beside that of the session.
func (o *opened) params(x *engine.Execution) json.RawMessage {
	params := object(x.Input)
	if o.times == nil {
		return params
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(params, &given); err != nil {
		return params
	}
	at, _ := place(x)
	text := bytes.Clone(bytes.TrimSuffix(bytes.TrimSpace(params), []byte("}")))
	for _, add := range []struct {
		name string
		time time.Time
	}{{"last_session_time", o.times.Last(at.AddDate(-9, 0, 0), at.Add(-time.Nanosecond))}, {"next_session_time", o.times.Next(at)}} {
		if _, there := given[add.name]; there || add.time.IsZero() {
			continue
		}
		if len(given) > 0 {
			text = append(text, ',')
		}
		given[add.name] = nil
		text = fmt.Appendf(text, "%q:%q", add.name, local(add.time, o.Zone))
	}
	return append(text, '}')
}

// open reads what Digdag needs to know of a version. One that was published natively has no workflow
// file: its config is its definition, its time zone UTC.
func open(w *engine.Workflow, projectID string) *opened {
	if files, main := unpack(w.Source); main != "" {
		made, err := dig.Compile(files, main, dig.Options{ProjectID: projectID, Project: w.Project})
		if err == nil && made.Name == w.Name {
			o := &opened{Workflow: made, Dig: true}
			o.Zone, err = time.LoadLocation(made.TimeZone)
			if s := made.Schedule; s != nil && err == nil {
				o.times, err = cron.Parse(s.Cron, o.Zone)
			}
			if err == nil {
				return o
			}
		}
	}
	config := w.Definition
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	return &opened{Zone: time.UTC, Workflow: &dig.Workflow{
		Name: w.Name, TimeZone: "UTC", Config: config,
		Root: &dig.Task{Suffix: "+" + w.Name, Group: true, Config: json.RawMessage("{}"), Export: json.RawMessage("{}")},
	}}
}
