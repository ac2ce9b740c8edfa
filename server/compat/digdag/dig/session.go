package dig

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// session are Digdag's variables of the session and the attempt, as CEL.
func (c *compiler) session() map[string]string {
	if c.variables != nil {
		return c.variables
	}
	zone := literal(c.out.TimeZone)
	c.variables = map[string]string{
		"session_uuid": fmt.Sprintf(`%s + "%%x".format([int(timestamp(%s)) + %d])`, literal(uuidStart(c.options.Project, c.out.Name)), moment, uuidOffset),
		"session_id":   "workflow.session",
		"attempt_id":   "workflow.number",
		// Empty where there is none; what a schedule starts has none in Digdag.
		"retry_attempt_name": "(workflow.attempt_name in [null, " + literal("schedule-"+c.out.Name) + `] ? "" : workflow.attempt_name)`,
		"timezone":           zone,
	}
	c.times("session_", moment)
	if s := c.out.Schedule; s != nil {
		cron := literal(s.Cron)
		c.times("last_session_", "time.last("+cron+", "+zone+", "+moment+")")
		c.times("next_session_", "time.next("+cron+", "+zone+", "+moment+")")
	}
	return c.variables
}

// times are the variables that show one time.
func (c *compiler) times(prefix, at string) {
	for name, layout := range timeLayouts {
		c.variables[prefix+name] = fmt.Sprintf("time.format(%s, %q, %s)", at, layout, literal(c.out.TimeZone))
	}
	c.variables[prefix+unixTime] = "int(timestamp(" + at + "))"
}

var timeLayouts = map[string]string{"time": "%FT%T%:z", "date": "%F", "date_compact": "%Y%m%d", "local_time": "%F %T", "tz_offset": "%z"}

const unixTime = "unixtime"

// moment is the session time; of an execution without a session what its input says, as a require> hands on.
const moment = `(workflow.session_time == null ? workflow.input.session_time : workflow.session_time)`

// unknown says why a variable of Digdag is not here; "" = it is none, or is here.
func (c *compiler) unknown(name string) string {
	for _, prefix := range []string{"last_session_", "next_session_", "last_executed_session_"} {
		rest, ok := strings.CutPrefix(name, prefix)
		switch _, known := timeLayouts[rest]; {
		case !ok || !known && rest != unixTime:
		case prefix == "last_executed_session_":
			return "which session ran before is not known inside an execution; last_session_" + rest + " is the time before in the schedule"
		case c.out.Schedule == nil:
			return "the workflow has no schedule"
		}
	}
	switch name {
	case "task_id":
		return "tasks have names here"
	case "moment":
		return "it is a function, to be called as moment(session_time)"
	}
	return ""
}

// allowedVariables names what may be used instead.
func (c *compiler) allowedVariables() string {
	names := slices.AppendSeq([]string{"task_name", "project_id"}, maps.Keys(c.session()))
	slices.Sort(names)
	return strings.Join(names, ", ") + ", what _export, a loop, http> or the params of the attempt set"
}

// SessionUUID is the same for all attempts of a session. It is made so that an expression can make it, too: a hash of
// the workflow, and the time.
func SessionUUID(project, workflow string, at time.Time) string {
	return uuidStart(project, workflow) + fmt.Sprintf("%012x", at.Unix()+uuidOffset)
}

const uuidOffset = 1 << 47 // seconds before 1970 have 12 digits with it, too

func uuidStart(project, workflow string) string {
	sum := sha256.Sum256([]byte("redrive:session:" + project + ":" + workflow))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: as its maker says
	h := hex.EncodeToString(sum[:10])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:] + "-"
}
