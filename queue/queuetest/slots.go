package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// AuditSlots reads every execution of a project and its slots, lines and sessions as
// they lie in Redis, and answers every way in which they contradict each other. The rules
// hold when everything that was due has been looked at; between two steps they need not.
func AuditSlots(ctx context.Context, c redis.UniversalClient, project string) ([]string, error) {
	a := &slotAudit{ctx: ctx, c: c, prefix: "redrive:{p:" + project + "}:"}
	if err := a.read(); err != nil {
		return nil, fmt.Errorf("queuetest: auditing the slots of %s: %w", project, err)
	}
	slices.Sort(a.problems)
	return a.problems, nil
}

type slotAudit struct {
	ctx      context.Context
	c        redis.UniversalClient
	prefix   string
	problems []string
}

func (a *slotAudit) add(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

func (a *slotAudit) read() error {
	ids, err := a.c.ZRange(a.ctx, a.prefix+"list:all", 0, -1).Result()
	if err != nil {
		return err
	}
	holders, waiters, sessions := map[string]map[string]string{}, map[string]map[string]bool{}, map[string]int{}
	for _, id := range ids {
		x, err := a.c.HGetAll(a.ctx, ShardKey(id, "x:"+id)).Result()
		if err != nil {
			return err
		}
		name := x["workflow"]
		if holders[name] == nil {
			holders[name], waiters[name] = map[string]string{}, map[string]bool{}
		}
		ended := x["ended"] != ""
		switch {
		case ended:
		case x["waits"] != "":
			waiters[name][id+":"+x["epoch"]] = true
		default:
			holders[name][id] = x["epoch"]
		}
		if x["session"] != "" {
			if err := a.session(id, x); err != nil {
				return err
			}
			sessions[x["session_time"]+":"+name]++
		}
	}
	for name := range holders {
		if err := a.workflow(name, holders[name], waiters[name]); err != nil {
			return err
		}
	}
	return a.rest(sessions)
}

func (a *slotAudit) workflow(name string, holders map[string]string, waiters map[string]bool) error {
	slots, err := a.c.ZRangeWithScores(a.ctx, a.prefix+"slots:"+name, 0, -1).Result()
	if err != nil {
		return err
	}
	for _, z := range slots {
		id := z.Member.(string)
		if want, ok := holders[id]; !ok || want != strconv.Itoa(int(z.Score)) {
			a.add("%s has a slot for run %.0f, and its run is %q", id, z.Score, want)
		}
		delete(holders, id)
	}
	for id := range holders {
		a.add("%s runs without a slot", id)
	}
	waiting, err := a.c.ZRange(a.ctx, a.prefix+"waiting:"+name, 0, -1).Result()
	if err != nil {
		return err
	}
	for _, member := range waiting {
		if !waiters[member] {
			a.add("%s is in the line and does not wait", member)
		}
		delete(waiters, member)
	}
	for member := range waiters {
		a.add("%s waits and is in no line", member)
	}
	limit, err := a.c.HGet(a.ctx, a.prefix+"workflow:"+name, "limit").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	most, _ := strconv.Atoi(strings.Fields(limit + " 0")[0])
	if len(waiting) > 0 && (most == 0 || len(slots) < most) {
		due, err := a.c.ZScore(a.ctx, a.prefix+"due", "fill:"+name).Result()
		if err != nil {
			a.add("%d wait for %s, %d of %d run, and nobody would look", len(waiting), name, len(slots), most)
		}
		first, err := a.c.ZRangeWithScores(a.ctx, a.prefix+"waiting:"+name, 0, 0).Result()
		if err != nil || len(first) > 0 && first[0].Score < due {
			a.add("the first of %s may run at %.0f, and the line is looked at no sooner than %.0f", name, first[0].Score, due)
		}
	}
	return nil
}

func (a *slotAudit) session(id string, x map[string]string) error {
	s, err := a.c.HGetAll(a.ctx, a.prefix+"session:"+x["session_time"]+":"+x["workflow"]).Result()
	if err != nil {
		return err
	}
	if s["number"] != x["session"] || s["x:"+id] != x["attempt"] || s["a:"+x["attempt_name"]] != x["attempt"] ||
		s["i:"+x["attempt"]] != id+" "+x["number"]+" "+x["attempt_name"] {
		a.add("%s is attempt %s (%s) of session %s, which says %v", id, x["attempt"], x["attempt_name"], x["session"], s)
	}
	return nil
}

// rest looks for what belongs to no execution.
func (a *slotAudit) rest(sessions map[string]int) error {
	due, err := a.c.ZRange(a.ctx, a.prefix+"due", 0, -1).Result()
	if err != nil {
		return err
	}
	for _, entry := range due {
		if !strings.HasPrefix(entry, "fill:") {
			a.add("%s is still to be looked at", entry)
		}
	}
	places, err := a.c.ZRange(a.ctx, a.prefix+"sessions", 0, -1).Result()
	if err != nil {
		return err
	}
	for _, place := range places {
		n, err := a.c.HLen(a.ctx, a.prefix+"session:"+place).Result()
		if err != nil {
			return err
		}
		if int(n) != 3+3*sessions[place] {
			a.add("session %s has %d fields and %d executions", place, n, sessions[place])
		}
		delete(sessions, place)
	}
	for place := range sessions {
		a.add("session %s is not listed", place)
	}
	return nil
}
