package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/redrive/redrive/examples/weather"
)

// demoFiles are what the demo works with, in a folder of their own.
type demoFiles struct {
	workflow, input string
	damage          change // of 2014: one number is none any more
	corrected       string // 2014 as it was before
	revision        change // of 2012: another number
	revised         string // 2012 with it
}

// change is one line of a file that differs.
type change struct {
	file     string
	line     int
	was, now string
}

// The days that the demo changes, as they are in the data.
const (
	damagedDay = "2014-02-10,18.3,10.0,2.2,4.7,rain"
	brokenDay  = "2014-02-10,18.3,1O.0,2.2,4.7,rain" // the letter O for a zero
	revisedDay = "2012-11-19,54.1,13.3,8.3,6.0,rain"
	wetterDay  = "2012-11-19,64.1,13.3,8.3,6.0,rain"
)

// writeDemoFiles writes the workflow, its input, and a CSV for each year of the
// data that comes with the program.
func writeDemoFiles() (*demoFiles, error) {
	dir, err := os.MkdirTemp("", "redrive-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the demo's files: %w", err)
	}
	f := &demoFiles{
		workflow: filepath.Join(dir, "workflow.yaml"), input: filepath.Join(dir, "input.json"),
		corrected: filepath.Join(dir, "2014-corrected.csv"), revised: filepath.Join(dir, "2012-revised.csv"),
	}
	years, files := map[string]string{}, map[string][]byte{f.workflow: weather.Workflow, f.corrected: weather.SampleYear(2014)}
	for year := 2012; year <= 2015; year++ {
		name := fmt.Sprint(year)
		years[name] = filepath.Join(dir, name+".csv")
		files[years[name]] = weather.SampleYear(year)
	}
	damaged := years["2014"]
	if files[damaged], f.damage, err = changed(damaged, weather.SampleYear(2014), damagedDay, brokenDay); err != nil {
		return nil, err
	}
	if files[f.revised], f.revision, err = changed(f.revised, weather.SampleYear(2012), revisedDay, wetterDay); err != nil {
		return nil, err
	}
	input := struct {
		Years  map[string]string `json:"years"`
		Report string            `json:"report"`
	}{years, filepath.Join(dir, "weather-report.md")}
	if files[f.input], err = json.MarshalIndent(input, "", "  "); err != nil {
		return nil, fmt.Errorf("write the demo's input: %w", err)
	}
	for path, data := range files {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, fmt.Errorf("write the demo's files: %w", err)
		}
	}
	return f, nil
}

// changed puts one line in the place of another.
func changed(file string, data []byte, was, now string) ([]byte, change, error) {
	lines := bytes.Split(data, []byte("\n"))
	for i, line := range lines {
		if string(line) == was {
			lines[i] = []byte(now)
			return bytes.Join(lines, []byte("\n")), change{file: file, line: i + 1, was: was, now: now}, nil
		}
	}
	return nil, change{}, fmt.Errorf("the demo's data has no line %q", was)
}
