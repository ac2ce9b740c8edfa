package workflow

import (
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/redrive/redrive/workflow/cron"
)

// times are the functions that compute with times.
func times() []cel.EnvOption {
	return []cel.EnvOption{
		timeFormat(),
		timeOfCron("time.next", func(c *cron.Times, at time.Time) time.Time { return c.Next(at) }),
		timeOfCron("time.last", func(c *cron.Times, at time.Time) time.Time {
			return c.Last(at.AddDate(-lastYears, 0, 0), at.Add(-time.Nanosecond))
		}),
	}
}

// lastYears is how far back the last time of a cron expression may lie: 29 February may be 8 years away.
const lastYears = 9

// timeOfCron is a function (CRON, ZONE, MOMENT) that answers a time of a cron expression beside a moment.
func timeOfCron(name string, beside func(c *cron.Times, at time.Time) time.Time) cel.EnvOption {
	return cel.Function(name, cel.Overload(strings.ReplaceAll(name, ".", "_"), []*cel.Type{cel.StringType, cel.StringType, cel.DynType}, cel.TimestampType,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			at, err := momentOf(args[2])
			if err != nil {
				return types.NewErr("%s: %v", name, err)
			}
			zone, err := zoneOf(string(args[1].(types.String)))
			if err != nil {
				return types.NewErr("%s: %v", name, err)
			}
			expression := string(args[0].(types.String))
			times, err := cron.Parse(expression, zone)
			if err != nil {
				return types.NewErr("%s: %q %v; allowed: %s", name, clip(expression), err, cron.Allowed)
			}
			found := beside(times, at)
			if year := found.UTC().Year(); year < 1 || year > 9999 || found.IsZero() {
				return types.NewErr("%s: there is no such time in the years 1 to 9999", name)
			}
			return types.Timestamp{Time: found}
		})))
}

func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone; allowed: a name of the IANA database, as UTC or Europe/Berlin", clip(name))
	}
	return zone, nil
}

// timeFormat is time.format(MOMENT, LAYOUT, ZONE): a timestamp, or one as RFC 3339
// text, as text in a time zone.
func timeFormat() cel.EnvOption {
	return cel.Function("time.format", cel.Overload("time_format", []*cel.Type{cel.DynType, cel.StringType, cel.StringType}, cel.StringType,
		cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			at, err := momentOf(args[0])
			if err != nil {
				return types.NewErr("time.format: %v", err)
			}
			zone, err := zoneOf(string(args[2].(types.String)))
			if err != nil {
				return types.NewErr("time.format: %v", err)
			}
			text, err := formatMoment(at.In(zone), string(args[1].(types.String)))
			if err != nil {
				return types.NewErr("time.format: %v", err)
			}
			return types.String(text)
		})))
}

func momentOf(v ref.Val) (time.Time, error) {
	switch v := v.(type) {
	case types.Timestamp:
		return v.Time, nil
	case types.String:
		at, err := time.Parse(time.RFC3339, string(v))
		if err != nil {
			return at, fmt.Errorf("%q is no time; allowed: RFC 3339, as 2026-03-01T00:00:00Z", clip(string(v)))
		}
		return at, nil
	}
	return time.Time{}, fmt.Errorf("a %s is no time; allowed: a timestamp, or RFC 3339 text", v.Type().TypeName())
}

// formats are what stands behind a % in a layout, as Go writes them.
var formats = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'j': "002", 'I': "03", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'z': "-0700", ':': "-07:00", 'Z': "MST", 'F': "2006-01-02", 'T': "15:04:05",
}

const formatsAllowed = "%Y %m %d %H %M %S %y %j %I %p %a %A %b %B %F %T %s (seconds since 1970), %z (+0100), %:z (+01:00), %Z, %%"

func formatMoment(at time.Time, layout string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			b.WriteByte(layout[i])
			continue
		}
		if i++; i == len(layout) {
			return "", fmt.Errorf("the layout ends with %%; allowed: %s", formatsAllowed)
		}
		switch c := layout[i]; {
		case c == '%':
			b.WriteByte('%')
		case c == 's':
			fmt.Fprint(&b, at.Unix())
		case c == ':' && !strings.HasPrefix(layout[i:], ":z"), formats[c] == "":
			return "", fmt.Errorf("the layout has %%%c; allowed: %s", c, formatsAllowed)
		default:
			b.WriteString(at.Format(formats[c]))
			if c == ':' {
				i++
			}
		}
	}
	return b.String(), nil
}
