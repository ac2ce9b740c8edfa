package queuetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redriven is what lies in Redis of the redrives of an execution.
type redriven struct {
	steps   int64                  // rows of the list that is being applied
	records map[string]string      // of redrives, and their tokens
	given   map[string]bool        // refs of which an input is kept
	was     map[string]auditRecord // of attempts that another one followed
}

// redrivesIn adds what is to be read to a transaction, and answers how it is taken in.
func (a *audit) redrivesIn(ctx context.Context, p redis.Pipeliner) (take func() error) {
	own := func(letter string) string { return ShardKey(a.id, letter+":"+a.id) }
	rows, records := p.LLen(ctx, own("q")), p.HGetAll(ctx, own("r"))
	values, attempts := p.HKeys(ctx, own("v")), p.HGetAll(ctx, own("a"))
	return func() error {
		a.steps, a.records, a.given, a.was = rows.Val(), records.Val(), map[string]bool{}, map[string]auditRecord{}
		for _, field := range values.Val() {
			if ref, ok := strings.CutPrefix(field, "w:"); ok {
				a.given[ref] = true
			}
		}
		for place, s := range attempts.Val() {
			var rec auditRecord
			if err := json.Unmarshal([]byte(s), &rec); err != nil {
				return fmt.Errorf("record of %s: %w", place, err)
			}
			a.was[place] = rec
		}
		return nil
	}
}

// applying says that steps of a redrive are still to be applied: of tasks beside
// each other one may have been made ready, and what it needs not yet.
func (a *audit) applying() bool {
	return a.execution["applying"] != "" && !strings.HasPrefix(a.execution["applying"], "hold ")
}

// redrives holds what redrives left to each other: the steps that are not applied
// yet, the history of redrives, inputs that were given, and what is to go on.
func (a *audit) redrives() {
	applied, total, _ := strings.Cut(a.execution["applying"], " ")
	from, _ := strconv.Atoi(applied)
	till, _ := strconv.Atoi(total)
	switch {
	case !a.applying() && a.steps > 0:
		a.add("there are %d steps, and it is not said that they are to be applied", a.steps)
	case a.applying() && (from < 1 || from >= till || int64(till) != a.steps):
		a.add("it is applying %q, and there are %d steps", a.execution["applying"], a.steps)
	case a.applying() && slices.Contains([]string{"running", "paused", "canceling"}, a.execution["status"]) && !a.decide:
		a.add("steps are to be applied, and no sweep would look at it")
	}
	a.history()
	for ref, rec := range a.tasks {
		if (rec.Given != "") != a.given[ref] {
			a.add("an input was given to task %s: %v, and is kept: %v", ref, rec.Given != "", a.given[ref])
		}
		if rec.Status != "pending" && rec.Keep+rec.Maybe != "" {
			a.add("task %s is %s and is to go on: keep %q, maybe %q", ref, rec.Status, rec.Keep, rec.Maybe)
		}
		if rec.Plan != "" && (rec.Child == "" || rec.Status == "queued") {
			a.add("task %s is %s and goes on with the steps %q of the execution %q", ref, rec.Status, rec.Plan, rec.Child)
		}
		was := a.was[fmt.Sprintf("%s#%d", ref, rec.Attempt)]
		if rec.Maybe != "" && (was.Outcome != "succeeded" || was.Hash == "" || was.Hash != rec.Hash) {
			a.add("task %s may stay as it was, of which attempt %d is %q with the hash %q instead of %q", ref, rec.Attempt, was.Outcome, was.Hash, rec.Hash)
		}
	}
	for ref := range a.given {
		if _, ok := a.tasks[ref]; !ok {
			a.add("an input is kept that was given to task %s, which has no record", ref)
		}
	}
}

// history expects a record of each redrive, and tokens of these alone.
func (a *audit) history() {
	epoch, err := strconv.Atoi(a.execution["epoch"])
	if err != nil {
		a.add("the epoch is %q", a.execution["epoch"])
	}
	first := 1
	if a.execution["origin"] != "" { // what made it is the first of its records
		first = 0
	}
	for n := first; n <= epoch; n++ {
		if at, record, _ := strings.Cut(a.records[strconv.Itoa(n)], " "); at == "" || record == "" {
			a.add("redrive %d has the record %.60q", n, a.records[strconv.Itoa(n)])
		}
	}
	tokens := map[string]int{}
	for field, value := range a.records {
		if field == "next" || strings.HasPrefix(field, "c:") { // the token of a pause, a resume or a cancel
			continue
		}
		number, token := field, strings.HasPrefix(field, "t:")
		if token {
			number = value
			tokens[value]++
		}
		if n, err := strconv.Atoi(number); err != nil || n < first || n > epoch {
			a.add("there is a record %s of a redrive that never was; there were %d", field, epoch)
		}
	}
	for n, many := range tokens {
		if many > 1 {
			a.add("redrive %s has %d tokens", n, many)
		}
	}
}

// made expects of an execution that was never let run that it is purged.
func (a *audit) made() {
	if !a.expire || a.unmade || a.decide || len(a.jobs)+len(a.timers)+len(a.open)+len(a.held) > 0 {
		a.add("it never ran, is to be purged: %v, half built: %v, looked at: %v, and has jobs %v, timers %v, open %v, held %v", a.expire, a.unmade, a.decide, a.jobs, a.timers, a.open, a.held)
	}
}

// next expects the steps that the execution is to go on with to be kept for as long as it lives.
func (a *audit) next(ctx context.Context, c redis.UniversalClient) error {
	next := a.records["next"]
	if next == "" {
		return nil
	}
	ttl, err := c.PTTL(ctx, ShardKey(a.id, "q:"+a.id+":"+next)).Result()
	if err != nil || ttl == -1 {
		return err
	}
	now, err := c.HGet(ctx, ShardKey(a.id, "r:"+a.id), "next").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if now == next { // it has not gone on meanwhile
		a.add("it is to go on with the steps %s, which are gone, or end by themselves (%s)", next, ttl)
	}
	return nil
}
