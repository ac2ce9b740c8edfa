package queuetest

import (
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// logs holds the sizes of an execution's log to a recount of its lines, and the
// lines to attempts that were made.
func (a *audit) logs(ctx context.Context, c redis.UniversalClient) error {
	p := c.TxPipeline()
	lines := p.LRange(ctx, ShardKey(a.id, "l:"+a.id), 0, -1)
	sizes := p.HGetAll(ctx, ShardKey(a.id, "ls:"+a.id))
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	count, all := map[string]int{}, 0
	for _, line := range lines.Val() {
		f := strings.SplitN(line, "\t", 6)
		if len(f) != 6 {
			a.add("the log has the line %.60q", line)
			continue
		}
		attempt, _ := strconv.Atoi(f[3])
		if rec, ok := a.tasks[f[2]]; !ok || attempt < 1 || attempt > int(rec.Attempt) {
			a.add("the log has a line of %s#%s, which was never made", f[2], f[3])
		}
		if f[1] == "cut" || f[1] == "sum" {
			continue
		}
		count[f[2]+"#"+f[3]] += len(line)
		all += len(line)
	}
	if said := sizes.Val()["all"]; said != "" && said != strconv.Itoa(all) {
		a.add("the log has %d bytes and is said to have %s", all, said)
	}
	for place, value := range sizes.Val() {
		if own, _, _ := strings.Cut(value, " "); place != "all" && own != strconv.Itoa(count[place]) {
			a.add("the log of %s has %d bytes and is said to have %s", place, count[place], own)
		}
	}
	if len(lines.Val()) > 0 && len(sizes.Val()) == 0 {
		a.add("the log has %d lines and no sizes", len(lines.Val()))
	}
	return nil
}
