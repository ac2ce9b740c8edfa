// Package weather is a small, real workload: task types of its own that
// summarise one year of daily weather each, and write a report. The workflow
// beside it (workflow.yaml) puts them together:
//
//	┌─► year[2012] ─┐
//	├─► year[2013] ─┤
//	│               ├─► compare ─► report
//	├─► year[2014] ─┤
//	└─► year[2015] ─┘
package weather

import (
	_ "embed"

	"github.com/redrive/redrive/tasks"
)

// Workflow is the definition that uses these types, as YAML.
//
//go:embed workflow.yaml
var Workflow []byte

// Types are the task types weather.year and weather.report.
func Types() []tasks.Type {
	year := tasks.New("weather.year", year)
	year.Description = "Reads and checks daily weather (CSV), and summarises one year of it."
	report := tasks.New("weather.report", report)
	report.Description = "Writes a Markdown report of several years, and answers a chart."
	return []tasks.Type{year, report}
}
