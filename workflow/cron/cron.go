// Package cron computes the times that a cron expression names in a time zone.
package cron

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Times are the times that a cron expression names in a time zone. It reads
// no clock: the same question has the same answer anywhere.
//
// Where clocks are put forward, a time that is left out is moved to the moment
// right after the gap; where they are put back, a time that comes twice counts
// the first time. An expression for every hour follows real hours instead: it
// leaves the gap out and runs in both of the doubled hours.
type Times struct {
	spec  *cron.SpecSchedule // nil for @every
	every time.Duration      // counted from 1970-01-01T00:00:00Z
	zone  *time.Location
	real  bool // every hour
}

const (
	starBit  = 1 << 63 // what the parser sets for a field that is *
	allHours = 1<<24 - 1
	horizon  = 9 * 366 // days: 29 February may be 8 years away
)

// Allowed says what an expression may be.
const Allowed = "minute hour day-of-month month day-of-week, as 30 2 * * 1-5, or @hourly, @daily, @weekly, @monthly, @yearly, @every 10m"

// Parse reads five fields or a descriptor.
func Parse(expression string, zone *time.Location) (*Times, error) {
	if strings.Contains(expression, "TZ=") {
		return nil, fmt.Errorf("names a time zone, which belongs into time_zone")
	}
	parsed, err := cron.ParseStandard(strings.TrimSpace(expression))
	if err != nil {
		return nil, err
	}
	switch p := parsed.(type) {
	case cron.ConstantDelaySchedule:
		if asked, err := time.ParseDuration(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(expression), "@every"))); err != nil || asked != p.Delay {
			return nil, fmt.Errorf("@every takes whole seconds, at least one")
		}
		return &Times{every: p.Delay, zone: zone}, nil
	case *cron.SpecSchedule:
		c := &Times{spec: p, zone: zone, real: p.Hour&allHours == allHours}
		if c.Next(time.Unix(0, 0)).IsZero() {
			return nil, fmt.Errorf("names a time that never comes")
		}
		return c, nil
	}
	return nil, fmt.Errorf("is of a kind that is not known")
}

// Next is the first time after t, zero when there is none.
func (c *Times) Next(t time.Time) time.Time {
	if c.spec == nil {
		step := int64(c.every / time.Second)
		n := t.Unix() / step
		if t.Unix() < 0 && t.Unix()%step != 0 {
			n--
		}
		return time.Unix((n+1)*step, 0).In(c.zone)
	}
	y, m, d := t.In(c.zone).Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	for range horizon {
		if c.onDay(day) {
			if found := c.inDay(day, t); !found.IsZero() {
				return found
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

func (c *Times) onDay(day time.Time) bool {
	if c.spec.Month&(1<<uint(day.Month())) == 0 {
		return false
	}
	dom, dow := c.spec.Dom&(1<<uint(day.Day())) != 0, c.spec.Dow&(1<<uint(day.Weekday())) != 0
	if c.spec.Dom&starBit != 0 || c.spec.Dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}

// inDay is the first time after t on a day, which is given as its midnight in UTC.
func (c *Times) inDay(day, t time.Time) time.Time {
	before, after := c.offset(day.Add(-24*time.Hour)), c.offset(day.Add(48*time.Hour))
	if before != after {
		return c.inChange(day, t)
	}
	midnight := day.Add(-before)
	from := 0 // minutes
	if since := t.Sub(midnight); since >= 0 {
		from = int(since/time.Minute) + 1
	}
	for h := from / 60; h < 24; h++ {
		if c.spec.Hour&(1<<uint(h)) == 0 {
			continue
		}
		first := max(0, from-60*h)
		if left := c.spec.Minute & (1<<60 - 1) >> uint(first) << uint(first); left != 0 {
			return midnight.Add(time.Duration(60*h+bits.TrailingZeros64(left)) * time.Minute).In(c.zone)
		}
	}
	return time.Time{}
}

func (c *Times) offset(t time.Time) time.Duration {
	_, seconds := t.In(c.zone).Zone()
	return time.Duration(seconds) * time.Second
}

// inChange is inDay near a day on which the clocks change.
func (c *Times) inChange(day, t time.Time) time.Time {
	var all []time.Time
	for h := range 24 {
		for m := range 60 {
			if c.spec.Hour&(1<<uint(h)) != 0 && c.spec.Minute&(1<<uint(m)) != 0 {
				all = append(all, c.instants(day.Add(time.Duration(60*h+m)*time.Minute))...)
			}
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	for _, at := range all {
		if at.After(t) {
			return at.In(c.zone)
		}
	}
	return time.Time{}
}

// instants are the moments at which the clocks show a time, which is given as if it were UTC.
func (c *Times) instants(shown time.Time) []time.Time {
	before, after := c.offset(shown.Add(-24*time.Hour)), c.offset(shown.Add(24*time.Hour))
	first, second := shown.Add(-before), shown.Add(-after)
	one, two := c.offset(first) == before, c.offset(second) == after
	switch {
	case one && two && before != after && c.real:
		return []time.Time{first, second}
	case one:
		return []time.Time{first}
	case two:
		return []time.Time{second}
	case c.real:
		return nil
	}
	moved, _ := first.In(c.zone).ZoneBounds()
	return []time.Time{moved}
}

// Last is the latest time after one and not after the other, zero when there is none.
func (c *Times) Last(after, till time.Time) time.Time {
	for back := time.Hour; ; back *= 2 {
		from := till.Add(-back)
		if from.Before(after) || back > 20*366*24*time.Hour {
			from = after
		}
		var found time.Time
		for t := c.Next(from); !t.IsZero() && !t.After(till); t = c.Next(t) {
			found = t
		}
		if !found.IsZero() || from.Equal(after) {
			return found
		}
	}
}

// Count counts the times from one on and before the other, up to most.
func (c *Times) Count(from, before time.Time, most int) int {
	n := 0
	for t := c.Next(from.Add(-time.Nanosecond)); !t.IsZero() && t.Before(before) && n < most; t = c.Next(t) {
		n++
	}
	return n
}

// Of reads an expression and the name of a time zone.
func Of(expression, zone string) (*Times, error) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	return Parse(expression, location)
}

// Hourly are the whole hours.
func Hourly() *Times { return &Times{every: time.Hour, zone: time.UTC} }

// Zone is the time zone that the expression is read in.
func (c *Times) Zone() *time.Location { return c.zone }
