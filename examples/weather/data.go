package weather

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	_ "embed"

	"github.com/redrive/redrive/tasks"
)

// Sample is the path that stands for the data that comes with this package: four years of it.
const Sample = "builtin:seattle-weather.csv"

//go:embed data/seattle-weather.csv
var sample []byte

// SampleYear is one year of that data, as a CSV of its own.
func SampleYear(year int) []byte {
	var b bytes.Buffer
	start := fmt.Appendf(nil, "%04d-", year)
	for i, line := range bytes.SplitAfter(sample, []byte("\n")) {
		if i == 0 || bytes.HasPrefix(line, start) {
			b.Write(line)
		}
	}
	return b.Bytes()
}

// maxFile bounds the data that one task reads.
const maxFile = 16 << 20

var columns = []string{"date", "precipitation", "temp_max", "temp_min"}

// day is one row of the data.
type day struct {
	date             time.Time
	precipitation    float64 // mm
	warmest, coldest float64 // degrees Celsius
}

func (d day) mean() float64 { return (d.warmest + d.coldest) / 2 }

// read answers the days at path, in order.
func read(path string) ([]day, error) {
	data, err := content(path)
	if err != nil {
		return nil, err
	}
	return parse(bytes.NewReader(data))
}

func content(path string) ([]byte, error) {
	switch path {
	case "":
		return nil, tasks.Fatal(tasks.CodeInputInvalid, "with.csv: is missing; give the path of a CSV file, or %s", Sample)
	case Sample:
		return sample, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, tasks.Error("data_unreadable", "opening the data: %w; check the path on the worker, or use %s", err, Sample)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, tasks.Error("data_unreadable", "reading the data: %w", err)
	}
	if len(data) > maxFile {
		return nil, tasks.Fatal("data_too_large", "the data has more than %d bytes", maxFile)
	}
	return data, nil
}

// parse reads and checks every row.
func parse(r io.Reader) ([]day, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, tasks.Fatal("header_invalid", "reading the header: %w; it must name %s", err, strings.Join(columns, ", "))
	}
	at := make([]int, len(columns))
	for i, name := range columns {
		if at[i] = slices.Index(header, name); at[i] < 0 {
			return nil, tasks.Fatal("header_invalid", "there is no column %q; allowed: a header that names %s", name, strings.Join(columns, ", "))
		}
	}
	var days []day
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			var d day
			if d, err = parseRow(row, at); err == nil && len(days) > 0 && !d.date.After(days[len(days)-1].date) {
				err = fmt.Errorf("date: %s does not come after the row before", d.date.Format(time.DateOnly))
			}
			days = append(days, d)
		}
		if err != nil {
			line, _ := rows.FieldPos(0)
			return nil, tasks.Fatal("row_invalid", "line %d: %w; correct the data, then retry", line, err)
		}
	}
	if len(days) == 0 {
		return nil, tasks.Fatal("data_empty", "there is a header and no row")
	}
	return days, nil
}

func parseRow(row []string, at []int) (d day, err error) {
	if d.date, err = time.Parse(time.DateOnly, row[at[0]]); err != nil {
		return d, fmt.Errorf("date: is %q; allowed: YYYY-MM-DD", row[at[0]])
	}
	for i, target := range []*float64{&d.precipitation, &d.warmest, &d.coldest} {
		text := row[at[i+1]]
		*target, err = strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(*target) || math.IsInf(*target, 0) {
			return d, fmt.Errorf("%s: is %q; allowed: a number", columns[i+1], text)
		}
	}
	switch {
	case d.precipitation < 0:
		return d, fmt.Errorf("precipitation: is %v; allowed: 0 or more", d.precipitation)
	case d.coldest > d.warmest:
		return d, fmt.Errorf("temp_min: %v is above temp_max %v", d.coldest, d.warmest)
	}
	return d, nil
}
