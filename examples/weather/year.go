package weather

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redrive/redrive/tasks"
)

const (
	defaultResamples = 20_000
	maxResamples     = 1_000_000
)

type yearInput struct {
	CSV       string `json:"csv"` // a path on the worker, or Sample; days of other years are left out
	Year      int    `json:"year"`
	Resamples int    `json:"resamples,omitempty"` // of the bootstrap; 0 = 20,000
}

// summary is one year of weather. Temperatures are in degrees Celsius, the mean
// of a day is that of its maximum and minimum; precipitation is in millimetres,
// a rain day has more than none. Rounded to two digits.
type summary struct {
	Year          int        `json:"year"`
	Days          int        `json:"days"`
	Mean          float64    `json:"mean"`
	MeanInterval  [2]float64 `json:"mean_interval"` // 95 %, bootstrap over the days
	Min           float64    `json:"min"`
	Max           float64    `json:"max"`
	Precipitation float64    `json:"precipitation"`
	RainDays      int        `json:"rain_days"`
	Warmest       string     `json:"warmest_day"`
	Wettest       string     `json:"wettest_day"`
	Months        []month    `json:"months"`
}

type month struct {
	Month         int     `json:"month"`
	Days          int     `json:"days"`
	Mean          float64 `json:"mean"`
	Min           float64 `json:"min"`
	Max           float64 `json:"max"`
	Precipitation float64 `json:"precipitation"`
	RainDays      int     `json:"rain_days"`
}

func year(ctx context.Context, job *tasks.Job, in yearInput) (summary, error) {
	if in.Resamples < 0 || in.Resamples > maxResamples {
		return summary{}, tasks.Fatal(tasks.CodeInputInvalid, "with.resamples: is %d; allowed: 0 (= %d) to %d", in.Resamples, defaultResamples, maxResamples)
	}
	if in.Resamples == 0 {
		in.Resamples = defaultResamples
	}
	days, err := read(in.CSV)
	if err != nil {
		return summary{}, err
	}
	days = slices.DeleteFunc(days, func(d day) bool { return d.date.Year() != in.Year })
	if len(days) == 0 {
		return summary{}, tasks.Fatal("year_missing", "with.year: there is no day of %d in the data", in.Year)
	}
	s := summarise(in.Year, days)
	if s.MeanInterval, err = interval(ctx, in, days); err != nil {
		return summary{}, err
	}
	job.Log.InfoContext(ctx, "summarised a year", "year", s.Year, "days", s.Days, "mean", s.Mean)
	return s, nil
}

func summarise(year int, days []day) summary {
	all := gather(days)
	s := summary{
		Year: year, Days: all.Days, Mean: all.Mean, Min: all.Min, Max: all.Max,
		Precipitation: all.Precipitation, RainDays: all.RainDays,
	}
	warmest := slices.MaxFunc(days, func(a, b day) int { return compare(a.warmest, b.warmest) })
	wettest := slices.MaxFunc(days, func(a, b day) int { return compare(a.precipitation, b.precipitation) })
	s.Warmest, s.Wettest = warmest.date.Format(time.DateOnly), wettest.date.Format(time.DateOnly)
	for from := 0; from < len(days); {
		to := from
		for to < len(days) && days[to].date.Month() == days[from].date.Month() {
			to++
		}
		m := gather(days[from:to])
		m.Month = int(days[from].date.Month())
		s.Months = append(s.Months, m)
		from = to
	}
	return s
}

// gather is the figures of some days.
func gather(days []day) month {
	m := month{Days: len(days), Min: math.Inf(1), Max: math.Inf(-1)}
	for _, d := range days {
		m.Mean += d.mean()
		m.Min = min(m.Min, d.coldest)
		m.Max = max(m.Max, d.warmest)
		m.Precipitation += d.precipitation
		if d.precipitation > 0 {
			m.RainDays++
		}
	}
	m.Mean, m.Precipitation = round(m.Mean/float64(len(days))), round(m.Precipitation)
	return m
}

// interval is where the mean lies in 95 % of the years that could be drawn from
// these days. The seed is the year, so that a second run answers the same.
func interval(ctx context.Context, in yearInput, days []day) ([2]float64, error) {
	means := make([]float64, len(days))
	for i, d := range days {
		means[i] = d.mean()
	}
	draw := rand.New(rand.NewPCG(uint64(in.Year), uint64(in.Resamples)))
	drawn := make([]float64, in.Resamples)
	for i := range drawn {
		if i%256 == 0 && ctx.Err() != nil {
			return [2]float64{}, context.Cause(ctx)
		}
		sum := 0.0
		for range means {
			sum += means[draw.IntN(len(means))]
		}
		drawn[i] = sum / float64(len(means))
	}
	slices.Sort(drawn)
	last := float64(len(drawn) - 1)
	return [2]float64{round(drawn[int(0.025*last)]), round(drawn[int(0.975*last)])}, nil
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func round(v float64) float64 { return math.Round(v*100) / 100 }
