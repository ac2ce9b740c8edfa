package tasks

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestScriptLibraries(t *testing.T) {
	for _, c := range []struct{ name, script, zone, output, code, message string }{
		// The examples of Digdag's documentation.
		{"formatted", `moment("2016-09-24T00:00:00-07:00").format("YYYY-MM-DD HH:mm:ss Z")`, "America/Los_Angeles", `"2016-09-24 00:00:00 -07:00"`, "", ""},
		{"in UTC", `moment("2016-09-24T00:00:00-07:00").utc().format("YYYY-MM-DD HH:mm:ss")`, "America/Los_Angeles", `"2016-09-24 07:00:00"`, "", ""},
		{"tomorrow", `moment("2016-09-24T00:00:00-07:00").add(1, 'days').format("dddd, MMMM Do YYYY, h:mm:ss a")`, "America/Los_Angeles", `"Sunday, September 25th 2016, 12:00:00 am"`, "", ""},
		{"the zone of the script", `moment("2016-09-24T00:00:00-07:00").format()`, "Asia/Tokyo", `"2016-09-24T16:00:00+09:00"`, "", ""},
		{"a day of 23 hours", `var m = moment("2026-03-28T12:00:00+01:00"); [m.clone().add(1, "day").format(), m.clone().add(24, "hours").format()]`, "Europe/Berlin", `["2026-03-29T12:00:00+02:00","2026-03-29T13:00:00+02:00"]`, "", ""},
		{"local text", `[moment("2026-07-01").unix(), moment("2026-07-01 08:30", "YYYY-MM-DD HH:mm").toISOString()]`, "Europe/Berlin", `[1782856800,"2026-07-01T06:30:00.000Z"]`, "", ""},
		{"ends of units", `moment("2026-02-10T12:00:00Z").endOf("month").format() + moment("2026-02-10T12:00:00Z").startOf("isoWeek").format()`, "Asia/Tokyo", `"2026-02-28T23:59:59+09:002026-02-09T00:00:00+09:00"`, "", ""},
		{"as JSON", `moment("2026-07-01T00:00:00Z")`, "UTC", `"2026-07-01T00:00:00.000Z"`, "", ""},
		{"no more than what is asked for", `moment.duration(90, "minutes").asHours() + moment.version + typeof module`, "UTC", `"1.52.30.1undefined"`, "", ""},

		{"a gap", `[new Date(2026, 2, 29, 2, 30).toISOString(), new Date(2026, 9, 25, 2, 30).toISOString()]`, "Europe/Berlin", `["2026-03-29T01:30:00.000Z","2026-10-25T00:30:00.000Z"]`, "", ""},
		{"parts", `var d = new Date("2026-07-01T22:30:00Z"); [d.getFullYear(), d.getMonth(), d.getDate(), d.getDay(), d.getHours(), d.getTimezoneOffset()]`, "Asia/Kolkata", `[2026,6,2,4,4,-330]`, "", ""},
		{"without a zone", `[new Date("2026-07-01T00:00").toISOString(), new Date("2026-07-01").toISOString(), new Date(Date.parse("2026-07-01T00:00:00")).toISOString()]`, "Asia/Tokyo", `["2026-06-30T15:00:00.000Z","2026-07-01T00:00:00.000Z","2026-06-30T15:00:00.000Z"]`, "", ""},
		{"any other text", `[new Date("2016-01-30 00:00:00"), new Date("2016/01/30"), moment("2016/01/30"), new Date("Jan 30 2016 12:00 EST"), new Date("2016-01-30 00:00:00 +0100"), new Date(String(new Date(0))), new Date("no date")]`, "Asia/Tokyo", `["2016-01-29T15:00:00.000Z","2016-01-29T15:00:00.000Z","2016-01-29T15:00:00.000Z","2016-01-30T17:00:00.000Z","2016-01-29T23:00:00.000Z","1970-01-01T00:00:00.000Z",null]`, "", ""},
		{"and in another zone", `[new Date("2016-01-30 00:00:00"), new Date(Date.parse("1/30/2016")), new Date("2016"), new Date("2016-01-30T00:00:00+0900")]`, "America/New_York", `["2016-01-30T05:00:00.000Z","2016-01-30T05:00:00.000Z","2016-01-01T00:00:00.000Z","2016-01-29T15:00:00.000Z"]`, "", ""},
		{"set", `var d = new Date("2026-03-28T12:00:00+01:00"); d.setDate(29); d.toISOString()`, "Europe/Berlin", `"2026-03-29T10:00:00.000Z"`, "", ""},
		{"text", `String(new Date(0)) + "|" + new Date(0).toDateString() + "|" + new Date(NaN) + "|" + (typeof Date() == "string")`, "America/New_York", `"Wed Dec 31 1969 19:00:00 GMT-0500 (EST)|Wed Dec 31 1969|Invalid Date|true"`, "", ""},
		{"it stays a date", `class D extends Date {}; [new Date() instanceof Date, new D(0) instanceof D, new Date(new Date(5)).getTime(), Object.prototype.toString.call(new Date()), new Date(0)]`, "Asia/Tokyo", `[true,true,5,"[object Date]","1970-01-01T00:00:00.000Z"]`, "", ""},
		{"no zone", `1`, "Mars/Base", "", "input_invalid", `with.time_zone: "Mars/Base" is no time zone`},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := json.Marshal(map[string]any{"script": c.script, "libraries": []string{"moment"}, "time_zone": c.zone})
			require.NoError(t, err)
			output, failure := run(t, builtin(t, "script", DefaultOptions()), string(in))
			if c.code == "" {
				require.Nil(t, failure)
				require.Equal(t, c.output, output)
				return
			}
			require.NotNil(t, failure)
			require.Equal(t, c.code, failure.Code)
			require.Contains(t, failure.Message, c.message)
		})
	}
	typ := builtin(t, "script", DefaultOptions())
	output, failure := run(t, typ, `{"script": "typeof moment"}`)
	require.Nil(t, failure)
	require.Equal(t, `"undefined"`, output, "only those who ask for it have it")
}

// TestZonedDateGoesBothWays: a date made of the parts that one shows is the same, but for the second of the two hours
// that come twice.
func TestZonedDateGoesBothWays(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"}
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(r, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			r.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(r, "at"), 0).In(zone)
		shown := time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
		got := time.UnixMilli(momentShown(zone, shown.UnixMilli())).In(zone)
		if got.Format(time.DateTime) != at.Format(time.DateTime) || got.After(at) {
			r.Fatalf("%s: %s became %s", name, at, got)
		}
	})
}
