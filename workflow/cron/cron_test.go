package cron

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func cronIn(t testing.TB, expression, zone string) *Times {
	t.Helper()
	c, err := Of(expression, zone)
	require.NoError(t, err)
	return c
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return v
}

// TestNextTimes: the clocks of Berlin go forward on 2026-03-29 at 02:00 and back
// on 2026-10-25 at 03:00, those of New York on 03-08 at 02:00 and 11-01 at 02:00.
func TestNextTimes(t *testing.T) {
	for _, c := range []struct{ what, cron, zone, after, want string }{
		{"every weekday", "30 2 * * 1-5", "UTC", "2026-01-02T02:30:00Z", "2026-01-05T02:30:00Z 2026-01-06T02:30:00Z"},
		{"within the minute", "*/15 * * * *", "UTC", "2026-01-02T02:14:59Z", "2026-01-02T02:15:00Z 2026-01-02T02:30:00Z"},
		{"day of month or of week", "0 0 13 * 5", "UTC", "2026-02-12T00:00:00Z", "2026-02-13T00:00:00Z 2026-02-20T00:00:00Z 2026-02-27T00:00:00Z 2026-03-06T00:00:00Z 2026-03-13T00:00:00Z"},
		{"leap day", "0 12 29 2 *", "UTC", "2097-01-01T00:00:00Z", "2104-02-29T12:00:00Z"},
		{"end of month", "0 0 31 * *", "UTC", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z 2026-07-31T00:00:00Z"},
		{"names", "0 6 * JAN,dec sun", "UTC", "2026-01-20T00:00:00Z", "2026-01-25T06:00:00Z 2026-12-06T06:00:00Z"},
		{"descriptor", "@monthly", "Asia/Kolkata", "2026-01-01T00:00:00+05:30", "2026-02-01T00:00:00+05:30"},
		{"every, from 1970 on", "@every 1h30m", "UTC", "2026-01-01T00:10:00Z", "2026-01-01T01:30:00Z 2026-01-01T03:00:00Z"},
		{"before 1970", "@every 10s", "UTC", "1969-12-31T23:59:55Z", "1970-01-01T00:00:00Z"},

		{"Berlin, gap: moved behind it", "30 2 * * *", "Europe/Berlin", "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"},
		{"Berlin, gap: not beside one that is there", "0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00 2026-03-29T03:30:00+02:00 2026-03-30T02:00:00+02:00"},
		{"Berlin, gap: every hour goes by real hours", "30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00+01:00", "2026-03-29T01:30:00+01:00 2026-03-29T03:30:00+02:00"},
		{"Berlin, gap: midnight is not in it", "@daily", "Europe/Berlin", "2026-03-28T12:00:00+01:00", "2026-03-29T00:00:00+01:00 2026-03-30T00:00:00+02:00"},
		{"Berlin, twice: the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00", "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00"},
		{"Berlin, twice: asked in between", "30 2 * * *", "Europe/Berlin", "2026-10-25T02:15:00+01:00", "2026-10-26T02:30:00+01:00"},
		{"Berlin, twice: every hour goes by real hours", "30 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 2026-10-25T03:30:00+01:00"},
		{"Berlin, twice: every quarter", "*/30 * * * *", "Europe/Berlin", "2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T02:30:00+01:00 2026-10-25T03:00:00+01:00"},

		{"New York, gap", "15 2 * * *", "America/New_York", "2026-03-07T12:00:00-05:00", "2026-03-08T03:00:00-04:00 2026-03-09T02:15:00-04:00"},
		{"New York, gap: asked in it", "15 2 * * *", "America/New_York", "2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"},
		{"New York, twice", "15 1 * * *", "America/New_York", "2026-10-31T12:00:00-04:00", "2026-11-01T01:15:00-04:00 2026-11-02T01:15:00-05:00"},
		{"New York, every second hour", "0 */2 * * *", "America/New_York", "2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00 2026-03-08T04:00:00-04:00"},

		{"Cairo, gap at midnight", "0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00", "2026-04-24T01:00:00+03:00 2026-04-25T00:00:00+03:00"},
		{"Lord Howe, half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30", "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"},
		{"Apia, a day left out", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-29T12:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T12:00:00+14:00"},
	} {
		times := cronIn(t, c.cron, c.zone)
		now := instant(t, c.after)
		for want := range strings.FieldsSeq(c.want) {
			now = times.Next(now)
			require.Equal(t, want, now.Format(time.RFC3339), c.what)
		}
	}
}

func TestCronIsRefused(t *testing.T) {
	for _, bad := range []string{
		"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "a * * * *", "5-1 * * * *",
		"*/0 * * * *", "0 0 30 2 *", "0 0 31 4,6 *", ", * * * *", "@often", "@every", "@every 0s", "@every 500ms", "@every 1.5s", "@every -5m",
		"TZ=UTC * * * * *", "CRON_TZ=Europe/Berlin 0 0 * * *", "TZ=x", "-1 * * * *",
	} {
		_, err := Of(bad, "UTC")
		require.Error(t, err, bad)
	}
}

// TestNextIsTheNext compares with a search through every minute, near the changes of the clocks.
func TestNextIsTheNext(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"}
	starts := []string{"2026-03-29T00:00:00Z", "2026-10-24T20:00:00Z", "2026-03-08T00:00:00Z", "2026-11-01T00:00:00Z", "2026-04-23T12:00:00Z", "2026-10-03T06:00:00Z", "2026-06-30T20:00:00Z"}
	rapid.Check(t, func(r *rapid.T) {
		expression := rapid.SampledFrom([]string{"*", "*/7", "0", "15,45", "59"}).Draw(r, "minute") + " " +
			rapid.SampledFrom([]string{"*", "*/2", "0", "1-3", "2", "23"}).Draw(r, "hour") + " * * " +
			rapid.SampledFrom([]string{"*", "0,6", "1-5"}).Draw(r, "day")
		times, err := Of(expression, rapid.SampledFrom(zones).Draw(r, "zone"))
		if err != nil {
			r.Fatal(err)
		}
		start := instant(t, rapid.SampledFrom(starts).Draw(r, "start")).Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(r, "after")) * time.Second)
		got := times.Next(start)
		if !got.After(start) {
			r.Fatalf("%q: %s is not after %s", expression, got, start)
		}
		for m := start.Truncate(time.Minute).Add(time.Minute); m.Before(got); m = m.Add(time.Minute) {
			if shows(times, m) && (times.real || !shownBefore(times, m)) {
				r.Fatalf("%q in %s: %s lies between %s and %s", expression, times.zone, m.In(times.zone), start.In(times.zone), got)
			}
		}
		if !shows(times, got) && !endsGap(times, got) {
			r.Fatalf("%q in %s does not name %s", expression, times.zone, got)
		}
	})
}

// shows reports whether the clocks show a time at m that the expression names.
func shows(c *Times, m time.Time) bool {
	l := m.In(c.zone)
	day := time.Date(l.Year(), l.Month(), l.Day(), 0, 0, 0, 0, time.UTC)
	return l.Second() == 0 && c.onDay(day) && c.spec.Hour&(1<<uint(l.Hour())) != 0 && c.spec.Minute&(1<<uint(l.Minute())) != 0
}

func shownBefore(c *Times, m time.Time) bool {
	const clock = "2006-01-02T15:04"
	for back := 30 * time.Minute; back <= 2*time.Hour; back += 30 * time.Minute {
		if m.Add(-back).In(c.zone).Format(clock) == m.In(c.zone).Format(clock) {
			return true
		}
	}
	return false
}

func endsGap(c *Times, m time.Time) bool {
	_, before := m.Add(-time.Second).In(c.zone).Zone()
	_, after := m.In(c.zone).Zone()
	return after > before && !c.real
}

func TestLastIsTheLatestNext(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c, err := Of(rapid.SampledFrom([]string{"* * * * *", "@hourly", "0 3 * * 1", "0 0 1 1 *", "@every 7m"}).Draw(r, "cron"), "Europe/Berlin")
		if err != nil {
			r.Fatal(err)
		}
		after := time.Unix(1_790_000_000, 0).Add(time.Duration(rapid.IntRange(0, 86_400).Draw(r, "after")) * time.Second)
		till := after.Add(time.Duration(rapid.IntRange(0, 3*86_400).Draw(r, "till")) * time.Second)
		var want time.Time
		n := 0
		for m := c.Next(after); !m.After(till); m = c.Next(m) {
			want = m
			n++
		}
		if got := c.Last(after, till); !got.Equal(want) {
			r.Fatalf("want %s, got %s", want, got)
		}
		if got := c.Count(after.Add(time.Nanosecond), till.Add(time.Nanosecond), 100); got != min(n, 100) {
			r.Fatalf("want %d times, got %d", n, got)
		}
	})
}

// FuzzCron: whatever is parsed has times that rise, and nothing makes it panic.
func FuzzCron(f *testing.F) {
	for _, seed := range []string{"* * * * *", "@daily", "@every 10m", "TZ=UTC", "0 0 29 2 *", "*/61 * * * *", "1-2-3 * * * *", "@every 9223372036s"} {
		f.Add(seed, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, expression, zone string) {
		c, err := Of(expression, zone)
		if err != nil {
			return
		}
		now := time.Unix(1_790_000_000, 0)
		for range 5 {
			next := c.Next(now)
			if next.IsZero() {
				return
			}
			if !next.After(now) {
				t.Fatalf("%q in %q: %s follows %s", expression, zone, next, now)
			}
			now = next
		}
	})
}
