package queue

import (
	"fmt"
	"strconv"
)

const (
	prefix      = "redrive:"
	shardCount  = 256
	numberBlock = 1000 // execution numbers in one key
)

// shardOf chooses the shard by the last two hex digits of the id, so that a
// child can be put into its parent's shard by choosing its last digits.
func shardOf(id string) int {
	if len(id) >= 2 {
		if n, err := strconv.ParseUint(id[len(id)-2:], 16, 8); err == nil {
			return int(n)
		}
	}
	return 0
}

// executionKeys are the keys of one execution; all live until its retention is over.
type executionKeys struct {
	execution string // HASH status, epoch, counts (the revision, then a counter per task status), what it runs
	tasks     string // HASH ref -> record (JSON)
	values    string // HASH in, in#<n> (before redrive n+1), out, error, failure, d:<hash> (a definition of its own), o:<ref>, w:<ref> (an input that a redrive gave), i:<ref>#<n>, e:<ref>#<n>, p:<ref>#<n> (what it gave so far), m:<ref> (an item), k:<ref> (the keys of a for_each): users' JSON, opaque, from 4 KiB on compressed; bytes: how many all have
	attempts  string // HASH <ref>#<n> -> record of an attempt that another one followed
	preds     string // HASH "<ref> <pred>" -> 1 while the predecessor is open, #<ref> -> how many are
	open      string // SET refs that Go has to decide
	held      string // SET refs that became ready, or were delivered, while it was paused
	events    string // LIST history, tab-separated
	holders   string // HASH <ref> -> how many tasks inside it are in motion; of a for_each <ref># -> "<next> <size> <parallel> <run|decide>", <ref>#<i> -> key
	children  string // SET ids of its sub-executions
	steps     string // LIST the steps of a redrive that are not applied yet, a header before them
	redrives  string // HASH <n> -> "<ms> <record>" of redrive n, t:<token> -> n, next -> draft of the steps that it goes on with
	log       string // LIST lines of all attempts in the order they came, tab-separated
	logSizes  string // HASH all -> bytes in log, <ref>#<n> -> bytes, what was cut and lost, the last batch
	memos     string // HASH =<key> -> "<version> <ms> <text>", # -> "<last version> <memos> <bytes>"
	shard     shardKeys
}

// shardKeys are the agenda of one shard; entries live until they are done.
type shardKeys struct {
	jobs     string // ZSET job id -> when to look after it, ms: a job that waits, or the end of a run's lease
	timers   string // ZSET <retry|wake|limit>:<execution>:<ref>:<attempt>, <expire|unpause>:<execution>::0 -> due, ms
	decide   string // ZSET execution -> since when something waits for Go, ms
	index    string // ZSET execution -> since when its list entries are behind, ms
	expire   string // ZSET execution -> end of its retention, ms
	building string // ZSET execution -> when its unfinished creation is swept away, ms
}

func keysOfShard(shard int) shardKeys {
	p := fmt.Sprintf("%s{s:%03d}:", prefix, shard)
	return shardKeys{
		jobs: p + "jobs", timers: p + "timers", decide: p + "decide",
		index: p + "index", expire: p + "expire", building: p + "building",
	}
}

var shards = func() (all [shardCount]shardKeys) {
	for i := range all {
		all[i] = keysOfShard(i)
	}
	return all
}()

var shardPrefixes = func() (all [shardCount]string) {
	for i := range all {
		all[i] = fmt.Sprintf("%s{s:%03d}:", prefix, i)
	}
	return all
}()

func keysOf(id string) executionKeys {
	n := shardOf(id)
	p := shardPrefixes[n]
	return executionKeys{
		execution: p + "x:" + id, tasks: p + "t:" + id, values: p + "v:" + id, attempts: p + "a:" + id,
		preds: p + "p:" + id, open: p + "d:" + id, held: p + "h:" + id, events: p + "e:" + id, holders: p + "c:" + id, children: p + "k:" + id, steps: p + "q:" + id, redrives: p + "r:" + id,
		log: p + "l:" + id, logSizes: p + "ls:" + id, memos: p + "m:" + id,
		shard: shards[n],
	}
}

// settle is the KEYS of the scripts that end a task.
func (k executionKeys) settle() []string {
	return []string{
		k.execution, k.tasks, k.values, k.attempts, k.preds, k.open, k.held, k.events,
		k.shard.jobs, k.shard.decide, k.shard.index, k.shard.expire, k.shard.timers, k.holders, k.children,
	}
}

// written is a LIST: the steps of a redrive that may be committed, a header before them. It has a TTL until a sub-execution is to go on with them.
func (k executionKeys) written(draft string) string { return k.steps + ":" + draft }

func projectKey(project, rest string) string { return prefix + "{p:" + project + "}:" + rest }

// workflowKey is a HASH: head -> "<newest version> <its hash>"; limit -> "<most running> queue|reject" of the newest;
// h:<n> hash, s:<n> source, t:<n> ms of version n.
func workflowKey(project, name string) string { return projectKey(project, "workflow:"+name) }

// workflowsKey is a ZSET of workflow names, all with score 0.
func workflowsKey(project string) string { return projectKey(project, "workflows") }

// definitionKey is a STRING: canonical JSON by its hash.
func definitionKey(project, hash string) string { return projectKey(project, "definition:"+hash) }

// idempotencyKey is a HASH id, hash with a TTL of 24 hours.
func idempotencyKey(project, key string) string { return projectKey(project, "idempotency:"+key) }

// indexedKey is a HASH execution -> "<revision> <status>" that the lists show.
func indexedKey(project string) string { return projectKey(project, "indexed") }

// listKey is a ZSET of execution ids, all with score 0 so that they sort by id, which is by time.
func listKey(project, list string) string { return projectKey(project, "list:"+list) }

// failuresKey is a ZSET fingerprint -> when the group was seen last, ms.
func failuresKey(project string) string { return projectKey(project, "failures") }

// openGroupsKey is a SET of the groups in a state that have open failures. Lua makes it of failuresKey.
func openGroupsKey(project, state string) string { return failuresKey(project) + "-" + state }

// failingKey is a HASH execution -> "<ms> <fingerprint>...": when it failed last, and the groups that it was ever in, the newest first.
func failingKey(project string) string { return projectKey(project, "failing") }

// supersededKey is a HASH of executions that failed -> when a new execution that a redrive made of them succeeded, ms.
func supersededKey(project string) string { return projectKey(project, "superseded") }

// failureKeys are the keys of a group of failures; they live as long as one of its executions. Lua makes them of failuresKey.
type failureKeys struct {
	group     string // HASH type, task, code, message, first and reopened (ms); state, at (ms), by, note; h<hour % 48> -> "<hour since 1970> <failures>"
	open      string // ZSET of ids of executions that are open failures, all with score 0
	seen      string // ZSET execution -> when it failed so last, ms
	workflows string // ZSET workflow -> when it failed so last, ms
}

func failureKeysOf(project, fingerprint string) failureKeys {
	k := failuresKey(project) + ":" + fingerprint
	return failureKeys{group: k, open: k + ":open", seen: k + ":seen", workflows: k + ":workflows"}
}

// auditKey is a STREAM of who changed what in a project, "" = outside of projects; the oldest entries go first. It has a TTL that every entry renews.
func auditKey(project string) string {
	if project == "" {
		return prefix + "{access}:audit"
	}
	return projectKey(project, "audit")
}

// deniedKey is a STREAM of what the door refused to valid keys, of all projects: apart, so that no refusal pushes a change out of the audit. TTL as there.
func deniedKey() string { return prefix + "{access}:denied" }

// slotsKey is a ZSET execution -> its epoch, of those of a workflow that run, are paused or are being canceled.
func slotsKey(project, workflow string) string { return projectKey(project, "slots:"+workflow) }

// waitingKey is a ZSET "<execution>:<epoch>" -> since when it waits for a slot, or will, ms; fractions order those of one millisecond.
func waitingKey(project, workflow string) string { return projectKey(project, "waiting:"+workflow) }

// dueKey is a ZSET of what is to be looked at, with when, ms: slot:<execution>:<epoch>:<workflow> reserved or given and not
// taken yet, session:<execution>:<session time>:<workflow> reserved or about to end, fill:<workflow> somebody waits.
func dueKey(project string) string { return projectKey(project, "due") }

// sessionKey is a HASH: number; count and last attempt; i:<attempt> -> "<execution> <its number> <name>",
// x:<execution> and a:<name> -> attempt. It lives as long as one of its executions.
func sessionKey(project, place string) string { return projectKey(project, "session:"+place) }

// sessionsKey is a ZSET "<session time>:<workflow>" -> number of the session; "" = of all workflows.
func sessionsKey(project, workflow string) string {
	if workflow == "" {
		return projectKey(project, "sessions")
	}
	return projectKey(project, "sessions:"+workflow)
}

// placeOf names a session within its project.
func placeOf(at int64, workflow string) string { return strconv.FormatInt(at, 10) + ":" + workflow }

// scheduleKey is a HASH revision, number, look (ms), spec and state (JSON of the engine) of a schedule.
func scheduleKey(project, name string) string { return projectKey(project, "schedule:"+name) }

// schedulesKey is a ZSET of schedule names, all with score 0.
func schedulesKey(project string) string { return projectKey(project, "schedules") }

// scheduleLooksKey is a ZSET schedule name -> when to look at it, ms; those that need no look are not in it.
func scheduleLooksKey(project string) string { return projectKey(project, "schedules:looks") }

// scheduleNumbersKey is a HASH schedule number -> name.
func scheduleNumbersKey(project string) string { return projectKey(project, "schedules:numbers") }

// bulkKey is a HASH of a bulk operation: state, reason, spec (JSON of the engine), cursor, its counts (total, taken, succeeded, failed,
// skipped), its pace (rate, most, canary, tolerated, paced), good and bad outcomes, goes_on, keep; created, started and ended, ms.
func bulkKey(project, id string) string { return projectKey(project, "bulk:"+id) }

// bulkIDsKey is a LIST: the snapshot of a bulk operation, execution ids.
func bulkIDsKey(project, id string) string { return bulkKey(project, id) + ":ids" }

// bulkFlightKey is a HASH place in the snapshot -> JSON of what is in flight.
func bulkFlightKey(project, id string) string { return bulkKey(project, id) + ":flight" }

// bulkResultsKey is a HASH place in the snapshot -> JSON of what became of it.
func bulkResultsKey(project, id string) string { return bulkKey(project, id) + ":results" }

// bulksKey is a ZSET of bulk operations, all with score 0.
func bulksKey(project string) string { return projectKey(project, "bulks") }

// bulkLooksKey is a ZSET bulk operation -> when to look at it, ms; those that are held are not in it.
func bulkLooksKey(project string) string { return projectKey(project, "bulks:looks") }

// bulkStatesKey is a HASH bulk operation -> its state, of those that are not over. Lua makes it of bulkLooksKey.
func bulkStatesKey(project string) string { return bulkLooksKey(project) + ":states" }

// bulkOutcomesKey is a HASH outcome -> how many executions of bulk operations ever had it. Lua makes it of bulkLooksKey.
func bulkOutcomesKey(project string) string { return bulkLooksKey(project) + ":outcomes" }

// bulkProjects is a SET of projects that have, or had, bulk operations.
const bulkProjects = prefix + "{bulks}:projects"

// bundlesKey is a HASH last -> number; n:<name> -> number; i:<n> name, t:<n> ms, r:<n> JSON and c:<n> content of a
// bundle. The oldest are taken out when there are too many.
func bundlesKey(project string) string { return projectKey(project, "bundles") }

// notesKey is a HASH name -> JSON: notes of a project in one group. It lives until they are deleted.
func notesKey(project, group string) string { return projectKey(project, "notes:"+group) }

// numbersKey is a HASH execution number -> id.
func numbersKey(number int64) string {
	return prefix + "{n:" + strconv.FormatInt(number/numberBlock, 10) + "}"
}

const (
	numberKey   = prefix + "number"               // STRING the last execution number given out
	sessionsNo  = prefix + "session-number"       // STRING the last session number given out
	slotsUsed   = prefix + "{slots}:projects"     // SET of projects in which something was reserved: those whose dueKey is looked at
	projectsKey = prefix + "{access}:project"     // HASH name -> JSON
	keysKey     = prefix + "{access}:key"         // HASH key id -> JSON
	hashesKey   = prefix + "{access}:hash"        // HASH sha256 of the secret -> key id
	workersKey  = prefix + "{fleet}:worker"       // HASH worker id -> JSON
	seenKey     = prefix + "{fleet}:seen"         // ZSET worker id -> when its announcement expires, ms
	scheduled   = prefix + "{schedules}:projects" // SET of projects that have, or had, schedules
	namesKey    = prefix + "names"                // HASH last -> number; n:<name> -> number, <number> -> name
	cancelTopic = prefix + "cancel"               // channel: execution ids

	remoteSecretKey  = prefix + "{access}:remote"     // STRING what the tokens of remote runs are signed with
	remoteWorkersKey = prefix + "{fleet}:remote"      // HASH remote worker id -> JSON
	remoteSeenKey    = prefix + "{fleet}:remote-seen" // ZSET remote worker id -> when its announcement expires, ms
	remoteTopic      = prefix + "remote"              // channel: "<lane>\t<type>\t<project>" of a job that remote workers may take
)

// offersKey is a ZSET "<project> <job id>" -> since when it waits, ms: the jobs of one
// lane and task type that remote workers may take. It has a TTL that every offer renews.
func offersKey(lane, taskType string) string { return prefix + "{r:" + lane + ":" + taskType + "}" }

// heldKey is a ZSET job id -> when it was admitted, ms: the remote runs of a type in a project that count against its cap.
// Those that ended are taken out when it is full.
func heldKey(project, taskType string) string {
	return prefix + "{c:" + project + ":" + taskType + "}:held"
}

// begunKey is a ZSET job id -> when it was handed out, ms: those of the last while that a cap is about.
func begunKey(project, taskType string) string {
	return prefix + "{c:" + project + ":" + taskType + "}:begun"
}

// projectOffersKey is a ZSET with those entries of offersKey that belong to one project.
func projectOffersKey(lane, taskType, project string) string {
	return offersKey(lane, taskType) + ":" + project
}

// leadKey is a STRING: the owner, with a TTL.
func leadKey(group int) string { return prefix + "{lead:" + strconv.Itoa(group) + "}" }
