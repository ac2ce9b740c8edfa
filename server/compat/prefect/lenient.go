package prefect

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Prefect's server takes more than it documents, as pydantic does: texts that say a number or a truth, numbers that are
// times. What was checked is made strict before it is read.

// strict is a checked value as its kind says it.
func (k kind) strict(v any) any {
	if v == nil {
		return nil
	}
	switch k.what {
	case "boolean":
		b, _ := truth(v)
		return b
	case "integer", "number":
		n, _ := lenientNumber(v, k.what == "integer")
		return n
	case "uuid":
		id, _ := parseID(v.(string))
		return id
	case "time":
		at, _ := lenientTime(v)
		return at.Format(time.RFC3339Nano)
	case "list", "sequence":
		list := v.([]any)
		items := make([]any, len(list))
		for i := range list {
			items[i] = k.of.strict(list[i])
		}
		return items
	case "shape":
		o, made := v.(*object), newObject()
		for _, name := range o.keys {
			made.set(name, k.shape.fields[name].strict(o.values[name])) // what it does not know stays as it is
		}
		return made
	}
	return v
}

// truth is what a value says of yes and no.
func truth(v any) (is, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case json.Number:
		f := float(v)
		return f == 1, f == 0 || f == 1
	case string:
		switch strings.ToLower(v) {
		case "1", "true", "t", "yes", "y", "on":
			return true, true
		case "0", "false", "f", "no", "n", "off":
			return false, true
		}
	}
	return false, false
}

// lenientNumber is the number that a value says; a whole one without a fraction of zeros.
func lenientNumber(v any, whole bool) (n json.Number, ok bool) {
	switch v := v.(type) {
	case json.Number:
		n = v
	case bool:
		n = "0"
		if v {
			n = "1"
		}
	case string:
		text := strings.TrimSpace(v)
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return json.Number(strconv.FormatInt(i, 10)), true
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || whole && strings.ContainsAny(text, "eExX") {
			return "", false
		}
		n = json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	default:
		return "", false
	}
	if f := float(n); whole && !isInt(n) && !math.IsInf(f, 0) && f == math.Trunc(f) {
		n = json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	}
	return n, true
}

// lenientTime is the time that a value says; numbers are seconds since 1970, or milliseconds where they are large.
func lenientTime(v any) (time.Time, bool) {
	text, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		text = string(n)
	} else if !ok {
		return time.Time{}, false
	}
	if at, ok := parseTime(text); ok {
		return at, true
	}
	const largest = 2e10 // seconds
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > largest*1000 {
		return time.Time{}, false
	}
	if math.Abs(f) > largest {
		f /= 1000
	}
	return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), true
}

func isUUID(text string) bool {
	_, ok := parseID(text)
	return ok
}

func checkUUID(v any, loc []any) []fault {
	text, ok := v.(string)
	switch {
	case !ok:
		return []fault{{Type: "uuid_type", Loc: loc, Msg: "UUID input should be a string, bytes or UUID object", Input: v}}
	case isUUID(text):
		return nil
	}
	why := uuidFault(text)
	return []fault{{Type: "uuid_parsing", Loc: loc, Msg: "Input should be a valid UUID, " + why, Input: v, Ctx: map[string]any{"error": why}}}
}

// uuidFault is what is said of a text that is no UUID.
func uuidFault(text string) string {
	groups := strings.Split(text, "-")
	for i, c := range text {
		if !strings.ContainsRune("0123456789abcdefABCDEF-", c) {
			return fmt.Sprintf("invalid character: found `%c` at %d", c, i)
		}
	}
	lengths := []int{8, 4, 4, 4, 12}
	if len(groups) > 1 && len(groups) != len(lengths) {
		return fmt.Sprintf("invalid group count: expected %d, found %d", len(lengths), len(groups))
	}
	for i, group := range groups {
		if len(groups) > 1 && len(group) != lengths[i] {
			return fmt.Sprintf("invalid group length in group %d: expected %d, found %d", i, lengths[i], len(group))
		}
	}
	return fmt.Sprintf("invalid length: found %d", len(text))
}

// parseID reads an id of a path or a filter.
func parseID(text string) (string, bool) {
	if len(text) != 36 && len(text) != 32 {
		return "", false
	}
	id, err := uuid.Parse(text)
	return id.String(), err == nil
}
