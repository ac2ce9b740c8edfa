package weather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redrive/redrive/tasks"
)

type reportInput struct {
	Path       string    `json:"path"` // of the Markdown file to write
	Title      string    `json:"title,omitempty"`
	Years      []summary `json:"years"`
	Comparison any       `json:"comparison,omitempty"` // an object: one line of the report for each entry
}

type reportOutput struct {
	Path  string `json:"path"` // absolute
	Bytes int    `json:"bytes"`
	Chart string `json:"chart"`
}

func report(ctx context.Context, job *tasks.Job, in reportInput) (reportOutput, error) {
	if in.Path == "" {
		return reportOutput{}, tasks.Fatal(tasks.CodeInputInvalid, "with.path: is missing; say where to write the report")
	}
	if len(in.Years) == 0 {
		return reportOutput{}, tasks.Fatal(tasks.CodeInputInvalid, "with.years: is empty; give at least one summary")
	}
	path, err := filepath.Abs(in.Path)
	if err != nil {
		return reportOutput{}, tasks.Error("report_unwritable", "finding the folder: %w", err)
	}
	years := slices.SortedFunc(slices.Values(in.Years), func(a, b summary) int { return cmp.Compare(a.Year, b.Year) })
	picture := chart(years)
	text := markdown(cmp.Or(in.Title, "Weather report"), years, in.Comparison, picture)
	if err := replace(path, []byte(text)); err != nil {
		return reportOutput{}, tasks.Error("report_unwritable", "writing the report: %w; check the folder on the worker", err)
	}
	job.Log.InfoContext(ctx, "wrote the report", "path", path, "bytes", len(text))
	return reportOutput{Path: path, Bytes: len(text), Chart: picture}, nil
}

// replace puts a whole file in place of the old one: a reader, or a second run
// of the task, never sees half of it.
func replace(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func markdown(title string, years []summary, comparison any, picture string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", title)
	fmt.Fprintf(&b, "| year | days | mean °C | 95 %% | min °C | max °C | rain mm | rain days | warmest day | wettest day |\n")
	fmt.Fprintf(&b, "|---|---:|---:|---|---:|---:|---:|---:|---|---|\n")
	for _, y := range years {
		fmt.Fprintf(&b, "| %d | %d | %.2f | %.2f to %.2f | %.1f | %.1f | %.1f | %d | %s | %s |\n", y.Year, y.Days, y.Mean,
			y.MeanInterval[0], y.MeanInterval[1], y.Min, y.Max, y.Precipitation, y.RainDays, y.Warmest, y.Wettest)
	}
	if facts, ok := comparison.(map[string]any); ok && len(facts) > 0 {
		b.WriteString("\n## Compared\n\n")
		for _, line := range factLines(facts) {
			b.WriteString("- " + line + "\n")
		}
	}
	fmt.Fprintf(&b, "\n## Month by month\n\n```\n%s\n```\n", picture)
	return b.String()
}

func factLines(facts map[string]any) []string {
	lines := make([]string, 0, len(facts))
	for name, value := range facts {
		lines = append(lines, fmt.Sprintf("%s: %v", strings.ReplaceAll(name, "_", " "), value))
	}
	slices.Sort(lines)
	return lines
}

// chart draws one line a year: the mean temperature of each month, then figures.
func chart(years []summary) string {
	low, high := math.Inf(1), math.Inf(-1)
	for _, y := range years {
		for _, m := range y.Months {
			low, high = min(low, m.Mean), max(high, m.Mean)
		}
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	lines := []string{"year  JFMAMJJASOND   mean °C  rain mm"}
	for _, y := range years {
		line := []rune("            ")
		for _, m := range y.Months {
			if m.Month < 1 || m.Month > 12 {
				continue
			}
			step := 0
			if high > low {
				step = int(math.Round((m.Mean - low) / (high - low) * float64(len(bars)-1)))
			}
			line[m.Month-1] = bars[step]
		}
		lines = append(lines, fmt.Sprintf("%4d  %s  %8.2f %8.1f", y.Year, string(line), y.Mean, y.Precipitation))
	}
	return strings.Join(lines, "\n")
}
