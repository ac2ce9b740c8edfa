package queuetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Audit reads an execution's keys as they lie in Redis and answers every way in
// which they contradict each other: counters that are not a recount of the
// records, tasks without their entry in the agenda, entries without their task.
// It knows the key space by itself, so that it cannot repeat a mistake of the
// store. needs is the graph: a task's ref -> what it needs; nil leaves the
// rules about the graph out.
//
// The rules hold between any two transitions, whoever crashed in between.
func Audit(ctx context.Context, c redis.UniversalClient, id string, needs map[string][]string) ([]string, error) {
	a := &audit{id: id, needs: needs}
	if err := a.read(ctx, c); err != nil {
		return nil, fmt.Errorf("queuetest: auditing %s: %w", id, err)
	}
	if len(a.execution) == 0 {
		return []string{"the execution does not exist"}, nil
	}
	a.counters()
	if a.execution["epoch"] == "-1" { // it was made from another one, and is either let run soon, or purged
		a.made()
		return a.problems, nil
	}
	a.agenda()
	a.predecessors()
	a.decisions()
	a.former()
	a.movement()
	a.counted()
	a.life()
	a.redrives()
	if err := a.next(ctx, c); err != nil {
		return nil, fmt.Errorf("queuetest: auditing what %s goes on with: %w", id, err)
	}
	if err := a.logs(ctx, c); err != nil {
		return nil, fmt.Errorf("queuetest: auditing the log of %s: %w", id, err)
	}
	slices.Sort(a.problems)
	return a.problems, nil
}

type auditRecord struct {
	Status    string  `json:"status"`
	Attempt   integer `json:"attempt"`
	Dispatch  integer `json:"dispatch"`
	Continued bool    `json:"continued"`
	Ended     integer `json:"ended"`
	Due       integer `json:"due"`

	// Of a task that no worker runs.
	Control string  `json:"control"`
	Limit   integer `json:"limit"`
	Child   string  `json:"child"`
	Timed   string  `json:"timed"`
	Hand    string  `json:"hand"`

	// Of what a redrive left.
	Given   string `json:"given"`
	Keep    string `json:"keep"`
	Maybe   string `json:"maybe"`
	Plan    string `json:"plan"`
	Hash    string `json:"hash"`
	Outcome string `json:"outcome"`
}

// holds reports whether tasks inside it are in motion, or were.
func (r auditRecord) holds() bool {
	return r.Control != "" && r.Status == "running" && r.Child == ""
}

// integer may be written as a number or as text: Lua does not mind.
type integer int64

// UnmarshalJSON reads both ways to write it.
func (i *integer) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*i = integer(n)
	return err
}

func (r auditRecord) endedWell() bool {
	return r.Status == "succeeded" || r.Status == "skipped" || r.Continued
}

type audit struct {
	id       string
	needs    map[string][]string
	problems []string

	execution, preds       map[string]string
	holders                map[string]string
	children               int64
	tasks                  map[string]auditRecord
	open, held             map[string]bool
	jobs, timers           map[string]bool // entries of this execution, its id cut off
	decide, expire, unmade bool
	persistent, mortal     []string // keys without and with a TTL
	redriven
}

func (a *audit) add(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

// ShardKey answers the name of a shard's key for an execution: its agenda or one of its own keys.
func ShardKey(id, name string) string {
	n, err := strconv.ParseUint(id[max(0, len(id)-2):], 16, 8)
	if err != nil {
		n = 0
	}
	return fmt.Sprintf("redrive:{s:%03d}:%s", n, name)
}

func (a *audit) read(ctx context.Context, c redis.UniversalClient) error {
	own := func(letter string) string { return ShardKey(a.id, letter+":"+a.id) }
	p := c.TxPipeline()
	execution, tasks := p.HGetAll(ctx, own("x")), p.HGetAll(ctx, own("t"))
	preds, redrives := p.HGetAll(ctx, own("p")), a.redrivesIn(ctx, p)
	open, held := p.SMembers(ctx, own("d")), p.SMembers(ctx, own("h"))
	holders, children := p.HGetAll(ctx, own("c")), p.SCard(ctx, own("k"))
	agenda := map[string]*redis.StringSliceCmd{}
	for _, name := range []string{"jobs", "timers", "decide", "expire", "building"} {
		agenda[name] = p.ZRange(ctx, ShardKey(a.id, name), 0, -1)
	}
	ttl := map[string]*redis.DurationCmd{}
	for _, letter := range []string{"x", "t", "v", "a", "p", "e", "c", "k", "r"} {
		ttl[letter] = p.PTTL(ctx, own(letter))
	}
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	a.execution, a.preds, a.tasks = execution.Val(), preds.Val(), map[string]auditRecord{}
	for ref, s := range tasks.Val() {
		var rec auditRecord
		if err := json.Unmarshal([]byte(s), &rec); err != nil {
			return fmt.Errorf("record of %s: %w", ref, err)
		}
		a.tasks[ref] = rec
	}
	if err := redrives(); err != nil {
		return err
	}
	a.open, a.held = setOf(open.Val()), setOf(held.Val())
	a.holders, a.children = holders.Val(), children.Val()
	a.jobs, a.timers = a.mine(agenda["jobs"].Val()), a.timersOf(agenda["timers"].Val())
	a.decide = slices.Contains(agenda["decide"].Val(), a.id)
	a.expire = slices.Contains(agenda["expire"].Val(), a.id)
	a.unmade = slices.Contains(agenda["building"].Val(), a.id)
	for letter, cmd := range ttl {
		switch d := cmd.Val(); {
		case d == -1:
			a.persistent = append(a.persistent, letter)
		case d >= 0:
			a.mortal = append(a.mortal, letter)
		}
	}
	return nil
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

func (a *audit) mine(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		if rest, ok := strings.CutPrefix(s, a.id+":"); ok {
			set[rest] = true
		}
	}
	return set
}

// timersOf answers the timers of tasks as kind:ref:attempt; those of the execution itself are left out.
func (a *audit) timersOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		kind, rest, _ := strings.Cut(s, ":")
		if rest, ok := strings.CutPrefix(rest, a.id+":"); ok && !strings.HasPrefix(rest, ":") {
			set[kind+":"+rest] = true
		}
	}
	return set
}

var taskStatuses = []string{"pending", "queued", "running", "retrying", "waiting", "succeeded", "failed", "timed_out", "canceled", "skipped"}

func (a *audit) count(statuses ...string) (n int) {
	for _, rec := range a.tasks {
		if slices.Contains(statuses, rec.Status) {
			n++
		}
	}
	return n
}

func (a *audit) active() int { return a.count("queued", "running", "retrying", "waiting") }

func (a *audit) counters() {
	counts := strings.Fields(a.execution["counts"]) // the revision first
	if len(counts) != 1+len(taskStatuses) {
		a.add("the counts are %q", a.execution["counts"])
		return
	}
	for i, s := range taskStatuses {
		if counts[i+1] != strconv.Itoa(a.count(s)) {
			a.add("the counter %s is %s, and %d tasks are %s", s, counts[i+1], a.count(s), s)
		}
	}
	for ref := range a.needs {
		if _, ok := a.tasks[ref]; !ok {
			a.add("task %s has no record", ref)
		}
	}
	if a.needs != nil && len(a.tasks) != len(a.needs) {
		a.add("there are %d records of %d tasks", len(a.tasks), len(a.needs))
	}
}

// agenda holds jobs (waiting, or leased while they run), timers and the held set to the records.
func (a *audit) agenda() {
	jobs, timers := map[string]bool{}, map[string]bool{}
	for ref, rec := range a.tasks {
		delivery := fmt.Sprintf("%s:%d:%d", ref, rec.Attempt, rec.Dispatch)
		switch rec.Status {
		case "queued":
			if !a.held[ref] {
				jobs[delivery] = true
			}
		case "running":
			if rec.Control == "" {
				jobs[delivery] = true
			}
		case "retrying":
			timers[fmt.Sprintf("retry:%s:%d", ref, rec.Attempt)] = true
		case "waiting":
			if rec.Due > 0 {
				timers[fmt.Sprintf("wake:%s:%d", ref, rec.Attempt)] = true
			}
		}
		if rec.Limit > 0 {
			timers[fmt.Sprintf("limit:%s:%d", ref, rec.Attempt)] = true
		}
		ended := slices.Contains(taskStatuses[5:], rec.Status)
		if ended != (rec.Ended > 0) {
			a.add("task %s is %s and its end is at %d", ref, rec.Status, rec.Ended)
		}
	}
	a.same("jobs", a.jobs, jobs)
	a.same("timers", a.timers, timers)
	for ref := range a.held {
		if a.tasks[ref].Status != "queued" {
			a.add("task %s is held and %s", ref, a.tasks[ref].Status)
		}
	}
}

func (a *audit) same(what string, got, want map[string]bool) {
	for s := range got {
		if !want[s] {
			a.add("%s has %s, which no task accounts for", what, s)
		}
	}
	for s := range want {
		if !got[s] {
			a.add("%s lacks %s", what, s)
		}
	}
}

// spreading says that the successors of a task are still to be released.
func (a *audit) spreading(ref string) bool { return a.open[">"+ref] }

// predecessors recounts what each join that may still be reached waits for.
func (a *audit) predecessors() {
	if a.applying() {
		return
	}
	for ref, needs := range a.needs {
		if len(needs) < 2 || a.tasks[ref].Status != "pending" || slices.ContainsFunc(needs, a.spreading) {
			continue
		}
		open := 0
		for _, need := range needs {
			_, waits := a.preds[ref+" "+need]
			if waits == a.tasks[need].endedWell() {
				a.add("task %s waits for %s: %v, which is %s", ref, need, waits, a.tasks[need].Status)
			}
			if waits {
				open++
			}
		}
		if a.preds["#"+ref] != strconv.Itoa(open) {
			a.add("task %s says that it waits for %q, and %d are open", ref, a.preds["#"+ref], open)
		}
	}
}

// decisions holds the set of what waits for Go to what the graph says, and the
// execution's place on the list of those that wait.
func (a *audit) decisions() {
	status := a.execution["status"]
	going := status == "running" || status == "paused"
	for ref, needs := range a.needs {
		if a.tasks[ref].Status != "pending" || slices.ContainsFunc(needs, a.spreading) {
			continue
		}
		ready := true
		for _, need := range needs {
			ready = ready && a.tasks[need].endedWell()
		}
		if going && !a.applying() && ready != a.open[ref] {
			a.add("pending task %s has all it needs: %v, and waits for a decision: %v", ref, ready, a.open[ref])
		}
	}
	for ref := range a.open {
		rec := a.tasks[ref]
		if !strings.HasPrefix(ref, ">") && !strings.HasPrefix(ref, "!") && rec.Status != "pending" && (rec.Control == "" || rec.Status != "running") {
			a.add("task %s waits for a decision and is %s", ref, rec.Status)
		}
	}
	waits := status == "canceling" || going && a.active() == 0 && len(a.open) == 0 || status == "running" && len(a.open) > 0 || status == "running" && len(a.held) > 0
	if waits && !a.decide {
		a.add("it is %s with %d active, %d open and %d held tasks, and no sweep would look at it", status, a.active(), len(a.open), len(a.held))
	}
}

// former looks for gaps in the history of attempts.
func (a *audit) former() {
	for ref, rec := range a.tasks {
		for n := range rec.Attempt {
			if _, kept := a.was[fmt.Sprintf("%s#%d", ref, n)]; n > 0 && !kept {
				a.add("task %s is at attempt %d, and attempt %d is not kept", ref, rec.Attempt, n)
			}
		}
		if _, later := a.was[fmt.Sprintf("%s#%d", ref, rec.Attempt+1)]; later {
			a.add("task %s is at attempt %d, and a later one is kept", ref, rec.Attempt)
		}
	}
}

func (a *audit) life() {
	status := a.execution["status"]
	ended := slices.Contains([]string{"succeeded", "failed", "canceled", "timed_out"}, status)
	if a.unmade {
		a.add("it exists and would be swept away as half built")
	}
	inner := a.execution["parent"] != "" // it lives as long as what it is a part of
	if (ended && !inner) != a.expire {
		a.add("it is %s, and its retention runs: %v", status, a.expire)
	}
	if !ended {
		if len(a.mortal) > 0 {
			a.add("it is %s, and its keys %v have a TTL", status, a.mortal)
		}
		return
	}
	if len(a.persistent) > 0 && a.children == 0 && !inner {
		a.add("it is %s, and its keys %v have no TTL", status, a.persistent)
	}
	if a.decide || len(a.open) > 0 || len(a.held) > 0 {
		a.add("it is %s, and waits for a decision: %v, open %v, held %v", status, a.decide, a.open, a.held)
	}
	if n := a.active() + a.count("pending"); n > 0 {
		a.add("it is %s, and %d tasks have not ended", status, n)
	}
	if (a.execution["ended"] != "") != ended {
		a.add("it is %s, and ended at %q", status, a.execution["ended"])
	}
}
