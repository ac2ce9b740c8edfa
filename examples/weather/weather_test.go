package weather

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redrive/redrive/tasks"
	"github.com/redrive/redrive/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(ctx context.Context, t testing.TB, name string, with any, out any) *workflow.Error {
	t.Helper()
	r, err := tasks.NewRegistry(Types()...)
	require.NoError(t, err)
	typ, ok := r.Get(name)
	require.True(t, ok)
	input, err := json.Marshal(with)
	require.NoError(t, err)
	output, failure := tasks.Run(ctx, typ.Handler, &tasks.Job{Input: input})
	if failure == nil {
		require.NoError(t, json.Unmarshal(output, out))
	}
	return failure
}

func TestSampleYear(t *testing.T) {
	rows := 0
	for year, days := range map[int]int{2012: 366, 2013: 365, 2014: 365, 2015: 365} {
		lines := strings.Split(strings.TrimSuffix(string(SampleYear(year)), "\n"), "\n")
		require.Equal(t, "date,precipitation,temp_max,temp_min,wind,weather", lines[0])
		require.Len(t, lines[1:], days, year)
		require.True(t, strings.HasPrefix(lines[1], fmt.Sprintf("%d-01-01,", year)), lines[1])
		rows += days
	}
	require.Equal(t, bytes.Count(sample, []byte("\n")), rows+1)
}

// A year gives the same, whether its file holds other years or not.
func TestYearFromItsOwnFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "2013.csv")
	require.NoError(t, os.WriteFile(path, SampleYear(2013), 0o600))
	var all, own summary
	require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: "data/seattle-weather.csv", Year: 2013, Resamples: 100}, &all))
	require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: path, Year: 2013, Resamples: 100}, &own))
	require.Equal(t, all, own)
}

// The expected figures come from awk, over the same file:
//
//	awk -F, 'NR>1 {y=substr($1,1,4); n[y]++; m[y]+=($3+$4)/2; p[y]+=$2; r[y]+=$2>0} END {for (y in n) print y, m[y]/n[y], p[y], r[y]}'
func TestYearAgainstAwk(t *testing.T) {
	for _, want := range []summary{
		{Year: 2012, Days: 366, Mean: 11.28, Min: -3.3, Max: 34.4, Precipitation: 1226, RainDays: 177},
		{Year: 2013, Days: 365, Mean: 12.11, Min: -7.1, Max: 33.9, Precipitation: 828, RainDays: 152},
		{Year: 2014, Days: 365, Mean: 12.83, Min: -6, Max: 35.6, Precipitation: 1232.8, RainDays: 150},
		{Year: 2015, Days: 365, Mean: 13.13, Min: -3.8, Max: 35, Precipitation: 1139.2, RainDays: 144},
	} {
		var got summary
		require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: want.Year, Resamples: 2000}, &got))
		require.Len(t, got.Months, 12)
		days, rain := 0, 0
		for _, m := range got.Months {
			days, rain = days+m.Days, rain+m.RainDays
		}
		require.Equal(t, got.Days, days)
		require.Equal(t, got.RainDays, rain)
		require.Less(t, got.MeanInterval[0], got.Mean)
		require.Greater(t, got.MeanInterval[1], got.Mean)
		var again summary
		require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: want.Year, Resamples: 2000}, &again))
		require.Equal(t, got, again, "a second run answers the same")
		got.Months, got.MeanInterval, got.Warmest, got.Wettest = nil, [2]float64{}, "", ""
		require.Equal(t, want, got)
	}
}

// One month and the two extreme days, from awk as well.
func TestMonthAgainstAwk(t *testing.T) {
	var got summary
	require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: 2014, Resamples: 100}, &got))
	require.Equal(t, month{Month: 3, Days: 31, Mean: 9.17, Min: 1.1, Max: 18.9, Precipitation: 240, RainDays: 20}, got.Months[2])
	require.Equal(t, "2014-08-11", got.Warmest)
	require.Equal(t, "2014-03-05", got.Wettest)
}

func TestInvalidData(t *testing.T) {
	const header = "date,precipitation,temp_max,temp_min\n"
	for _, c := range []struct{ name, data, code, message string }{
		{"empty", "", "header_invalid", "EOF"},
		{"header only", header, "data_empty", "no row"},
		{"missing column", "date,precipitation,temp_max\n", "header_invalid", `"temp_min"`},
		{"bad date", header + "2012-13-01,0,1,0\n", "row_invalid", `line 2: date: is "2012-13-01"`},
		{"bad number", header + "2012-01-01,0,1,0\n2012-01-02,x,1,0\n", "row_invalid", `line 3: precipitation: is "x"`},
		{"not finite", header + "2012-01-01,NaN,1,0\n", "row_invalid", "precipitation"},
		{"negative rain", header + "2012-01-01,-1,1,0\n", "row_invalid", "0 or more"},
		{"min above max", header + "2012-01-01,0,1,2\n", "row_invalid", "above temp_max"},
		{"same day twice", header + "2012-01-01,0,1,0\n2012-01-01,0,1,0\n", "row_invalid", "line 3: date"},
		{"short row", header + "2012-01-01,0\n", "row_invalid", "line 2: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data.csv")
			require.NoError(t, os.WriteFile(path, []byte(c.data), 0o600))
			failure := run(t.Context(), t, "weather.year", yearInput{CSV: path, Year: 2012}, nil)
			require.NotNil(t, failure)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
			require.False(t, failure.Retryable)
		})
	}
	require.Equal(t, "data_unreadable", run(t.Context(), t, "weather.year", yearInput{CSV: "no/such.csv", Year: 2012}, nil).Code)
	require.Equal(t, "input_invalid", run(t.Context(), t, "weather.year", yearInput{Year: 2012}, nil).Code)
	require.Equal(t, "year_missing", run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: 1999}, nil).Code)
	require.Equal(t, "input_invalid", run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: 2012, Resamples: -1}, nil).Code)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(tasks.ErrCanceled)
	require.Equal(t, "canceled", run(ctx, t, "weather.year", yearInput{CSV: Sample, Year: 2012}, nil).Code)
}

func TestReport(t *testing.T) {
	var years []summary
	for _, y := range []int{2013, 2012} {
		var s summary
		require.Nil(t, run(t.Context(), t, "weather.year", yearInput{CSV: Sample, Year: y, Resamples: 100}, &s))
		years = append(years, s)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "report.md")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	in := reportInput{Path: path, Title: "Seattle", Years: years, Comparison: map[string]any{"wettest_year": 2012}}
	for range 2 { // a second run replaces the file
		var out reportOutput
		require.Nil(t, run(t.Context(), t, "weather.report", in, &out))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Len(t, text, out.Bytes)
		require.Equal(t, path, out.Path)
		require.Contains(t, string(text), "# Seattle\n")
		require.Contains(t, string(text), "| 2012 | 366 | 11.28 |")
		require.Less(t, strings.Index(string(text), "| 2012 |"), strings.Index(string(text), "| 2013 |"), "in order of the years")
		require.Contains(t, string(text), "- wettest year: 2012\n")
		require.Contains(t, string(text), out.Chart)
		require.Len(t, strings.Split(out.Chart, "\n"), 3)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")

	in.Path = filepath.Join(dir, "no", "such", "report.md")
	failure := run(t.Context(), t, "weather.report", in, nil)
	require.Equal(t, "report_unwritable", failure.Code)
	require.True(t, failure.Retryable)
	require.Equal(t, "input_invalid", run(t.Context(), t, "weather.report", reportInput{Path: path}, nil).Code)
	require.Equal(t, "input_invalid", run(t.Context(), t, "weather.report", reportInput{Years: years}, nil).Code)
}
