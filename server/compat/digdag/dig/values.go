package dig

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// whole reads a whole number within bounds, which may be written as text.
func whole(v *value, least, most int) (int, bool) {
	if v == nil || v.kind != numeric && v.kind != text {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(v.text))
	return n, err == nil && n >= least && n <= most
}

var duration = regexp.MustCompile(`(?i)^\s*(?:(\d+)\s*d(?:ays?)?)?\s*(?:(\d+)\s*h(?:ours?)?)?\s*(?:(\d+)\s*m(?:in(?:utes?)?)?)?\s*(?:(\d+)\s*s(?:ec(?:onds?)?)?)?\s*$`)

// durationOf reads what Digdag writes as 1d 2h 3m 4s.
func durationOf(s string) (time.Duration, bool) {
	m := duration.FindStringSubmatch(s)
	if m == nil || strings.TrimSpace(s) == "" {
		return 0, false
	}
	total := time.Duration(0)
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil || n > 100_000_000 {
			return 0, false
		}
		total += time.Duration(n) * unit
	}
	return total, total > 0
}

var clock = regexp.MustCompile(`^(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2})$`)

// clockOf reads [HH:]MM:SS as a time after the hour or midnight.
func clockOf(s string, hours bool) (time.Duration, error) {
	m := clock.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || (m[1] != "") != hours {
		return 0, fmt.Errorf("%q is not understood", clip(s))
	}
	h, _ := strconv.Atoi("0" + m[1])
	minutes, _ := strconv.Atoi(m[2])
	seconds, _ := strconv.Atoi(m[3])
	if h > 23 || minutes > 59 || seconds > 59 {
		return 0, fmt.Errorf("%q is no time", s)
	}
	return time.Duration(h)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second, nil
}
