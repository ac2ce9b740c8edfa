package dig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule is when a workflow runs: at the times of Cron in its time zone, which are those of the sessions, each
// begun later by Delay.
type Schedule struct {
	Cron  string
	Delay time.Duration
	Start string // dates, "" = none: no session before the first, none after the second
	End   string
	Skip  bool // a session is skipped while another one runs
}

func (c *compiler) zone(t *place, v *value) {
	if _, err := time.LoadLocation(v.text); v.kind != text || err != nil || v.text == "" || v.text == "Local" {
		at := *t
		at.line = v.line
		c.wrong(&at, "a name of the IANA database, as UTC, Asia/Tokyo, America/New_York", "timezone: %q is no time zone", clip(v.text))
		return
	}
	c.out.TimeZone = v.text
}

var schedules = map[string]string{
	"hourly>": "MM:SS", "daily>": "HH:MM:SS", "weekly>": "Mon,HH:MM:SS", "monthly>": "D,HH:MM:SS", "minutes_interval>": "minutes, 1 to 59 or a divisor of an hour", "cron>": "five fields, as 42 4 1 * *",
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (c *compiler) schedule(t *place, v *value) *Schedule {
	s := &Schedule{}
	if v.kind != object {
		c.wrong(t, "one of hourly>, daily>, weekly>, monthly>, minutes_interval>, cron>, as schedule: {daily>: 07:00:00}", "schedule: is %s", v.kind)
		return nil
	}
	for i, key := range v.keys {
		item := v.items[i]
		at := *t
		at.line = item.line
		allowed, known := schedules[key]
		switch {
		case known && s.Cron != "":
			c.wrong(&at, "one of them", "schedule: has a second one, %s", key)
		case known:
			if err := s.set(key, item.text); err != nil {
				c.wrong(&at, allowed, "schedule: %s: %v", key, err)
			}
		case key == "delay":
			n, ok := whole(item, 0, 24*3600)
			if !ok {
				c.wrong(&at, "seconds, 0 to 86400", "schedule: delay: cannot be this")
			}
			s.Delay += time.Duration(n) * time.Second
		case key == "skip_on_overtime":
			s.Skip = truth(item)
		case key == "start" || key == "end":
			if _, err := time.Parse(time.DateOnly, item.text); err != nil {
				c.wrong(&at, "a date, as 2026-01-31", "schedule: %s: %q is no date", key, clip(item.text))
			}
			if key == "start" {
				s.Start = item.text
			} else {
				s.End = item.text
			}
		default:
			c.wrong(&at, "hourly>, daily>, weekly>, monthly>, minutes_interval>, cron>, delay, start, end, skip_on_overtime", "schedule: %s: cannot be used", key)
		}
	}
	if s.Cron == "" && len(c.problems) == 0 {
		c.wrong(t, "hourly>, daily>, weekly>, monthly>, minutes_interval>, cron>", "schedule: does not say when")
	}
	return s
}

// set reads one kind of schedule. Its session is the beginning of the hour, day, week or month.
func (s *Schedule) set(key, text string) (err error) {
	text = strings.TrimSpace(text)
	day, rest, both := strings.Cut(text, ",")
	switch key {
	case "hourly>":
		s.Cron = "0 * * * *"
		s.Delay, err = clockOf(text, false)
	case "daily>":
		s.Cron = "0 0 * * *"
		s.Delay, err = clockOf(text, true)
	case "weekly>":
		n := slices.Index(weekdays, strings.ToLower(day)[:min(len(day), 3)])
		if !both || n < 0 {
			return fmt.Errorf("%q is not understood", clip(text))
		}
		s.Cron = "0 0 * * " + strconv.Itoa(n)
		s.Delay, err = clockOf(rest, true)
	case "monthly>":
		n, err := strconv.Atoi(strings.TrimSpace(day))
		if !both || err != nil || n < 1 || n > 31 {
			return fmt.Errorf("%q is not understood", clip(text))
		}
		s.Cron = fmt.Sprintf("0 0 %d * *", n)
		s.Delay, err = clockOf(rest, true)
		return err
	case "minutes_interval>":
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < 1 || n > 24*60:
			return fmt.Errorf("%q is no number of minutes", clip(text))
		default:
			s.Cron = fmt.Sprintf("@every %dm", n)
		}
	case "cron>":
		s.Cron = strings.Join(strings.Fields(text), " ")
		if len(strings.Fields(text)) != 5 {
			return fmt.Errorf("%q has no five fields", clip(text))
		}
	}
	return err
}
