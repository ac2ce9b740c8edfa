// Package weather is a small, real workload: task types of its own that read
// daily weather, summarise one year each, and write a report. The workflow
// beside it (workflow.yaml) puts them together:
//
//	        ┌─► year[2012] ─┐
//	        ├─► year[2013] ─┤
//	load ───┤               ├─► compare ─► report
//	        ├─► year[2014] ─┤
//	        └─► year[2015] ─┘
package weather

import (
	"context"
	_ "embed"

	"github.com/redrive/redrive/tasks"
)

// Workflow is the definition that uses these types, as YAML.
//
//go:embed workflow.yaml
var Workflow []byte

// Types are the task types weather.load, weather.year and weather.report.
func Types() []tasks.Type {
	load := tasks.New("weather.load", load)
	load.Description = "Reads and checks daily weather (CSV), and counts its years."
	year := tasks.New("weather.year", year)
	year.Description = "Summarises one year of daily weather."
	report := tasks.New("weather.report", report)
	report.Description = "Writes a Markdown report of several years, and answers a chart."
	return []tasks.Type{load, year, report}
}

type loadInput struct {
	CSV string `json:"csv"` // a path on the worker, or Sample
}

type loadOutput struct {
	CSV    string      `json:"csv"`
	SHA256 string      `json:"sha256"`
	Rows   int         `json:"rows"`
	Years  []yearCount `json:"years"`
}

type yearCount struct {
	Year int `json:"year"`
	Days int `json:"days"`
}

// load reads everything once, so that a bad row is found before any year is summarised.
func load(ctx context.Context, job *tasks.Job, in loadInput) (loadOutput, error) {
	days, sum, err := read(in.CSV)
	if err != nil {
		return loadOutput{}, err
	}
	out := loadOutput{CSV: in.CSV, SHA256: sum, Rows: len(days)}
	for _, d := range days { // in order of time
		if n := len(out.Years); n == 0 || out.Years[n-1].Year != d.date.Year() {
			out.Years = append(out.Years, yearCount{Year: d.date.Year()})
		}
		out.Years[len(out.Years)-1].Days++
	}
	job.Log.InfoContext(ctx, "read daily weather", "rows", out.Rows, "years", len(out.Years))
	return out, nil
}
