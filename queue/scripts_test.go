package queue

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files again")

// readsOnly are the scripts that say that they write nothing.
var readsOnly = regexp.MustCompile(`(?i)writes nothing`)

// refusesLate are the refusals that come after a write, each for the reason beside it.
var refusesLate = map[string]string{
	"claim":   "a delivery that meets a paused execution is kept aside",
	"note":    "an entry of a job that waits no more is forgotten",
	"retry":   "the timer of a task that waits no more is forgotten",
	"cut_off": "the timer of a task that is over is forgotten",
	"expire":  "the timer of an execution that is over is forgotten",
	"rest":    "the entry of an execution that is gone is forgotten",
}

const writesFollow = "-- writes follow"

var (
	// writes are the commands of Redis that change anything.
	writes = regexp.MustCompile(`call\('(SET|SETEX|DEL|UNLINK|EXPIRE|PEXPIRE|PERSIST|INCR\w*|DECR\w*|APPEND|RENAME|COPY|` +
		`HSET|HSETNX|HMSET|HDEL|HINCRBY\w*|SADD|SREM|SPOP|SMOVE|ZADD|ZREM\w*|ZINCRBY|ZPOP\w*|RPUSH|LPUSH|RPOP|LPOP|LREM|LTRIM|LSET|XADD|XDEL|XTRIM|PUBLISH)'`)
	forbidden = regexp.MustCompile(`'(KEYS|SCAN|SSCAN|HSCAN|ZSCAN|RANDOMKEY|FLUSHDB|FLUSHALL|EVAL|SCRIPT|SMEMBERS|HGETALL|HVALS)'`)
	// modern is what Lua 5.1 and miniredis' Lua do not have.
	modern   = regexp.MustCompile(`\b(goto|table\.unpack|table\.move|utf8|math\.tointeger|bit\.|struct\.|cmsgpack|redis\.(setresp|acl_check_cmd|REDIS_VERSION))|//|<<|>>[^']`)
	decodes  = regexp.MustCompile(`cjson\.decode\((\w+)\)`)
	refusals = regexp.MustCompile(`return \{(?:x and -?\d or )?-\d`)
)

// scriptBodies answers the scripts without their libraries, by name.
func scriptBodies(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("lua/*.lua")
	require.NoError(t, err)
	bodies := map[string]string{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		bodies[strings.TrimSuffix(filepath.Base(file), ".lua")] = string(b)
	}
	require.Greater(t, len(bodies), 20)
	return bodies
}

// withoutComments blanks comments, so that positions stay.
func withoutComments(body string) string {
	return regexp.MustCompile(`--[^\n]*`).ReplaceAllStringFunc(body, func(s string) string { return strings.Repeat(" ", len(s)) })
}

// scriptFaults answers how a script breaks the rules of this folder.
func scriptFaults(name, body string) []string {
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	header, _, _ := strings.Cut(body, "\nlocal ")
	for _, part := range []string{"-- KEYS: ", "-- ARGV: ", "-- Returns "} {
		if !strings.Contains(header, part) {
			add("its header lacks %q", part)
		}
	}
	first, _, _ := strings.Cut(body, "\n")
	if !regexp.MustCompile(`^-- [A-Z].{20,}`).MatchString(first) {
		add("it does not begin with a sentence")
	}
	code := withoutComments(body)
	if forbidden.MatchString(code) {
		add("it uses %s", forbidden.FindString(code))
	}
	if modern.MatchString(code) {
		add("it uses %q, which not every Lua here has", modern.FindString(code))
	}
	for _, m := range decodes.FindAllStringSubmatch(code, -1) {
		if m[1] != "raw" {
			add("it decodes %s, and only records (raw) may be decoded", m[1])
		}
	}
	mark := strings.Index(body, writesFollow)
	switch n := strings.Count(body, writesFollow); {
	case readsOnly.MatchString(header) && n == 0:
		mark = len(code)
	case n != 1:
		add("it says %q %d times", writesFollow, n)
		return faults
	}
	if early := writes.FindString(code[:mark]); early != "" {
		add("it writes (%s) before it has checked everything", early)
	}
	if writes.MatchString(code[mark:]) && mark == len(code) {
		add("it says that it writes nothing, and does")
	}
	if late := refusals.FindString(code[mark:]); late != "" && refusesLate[name] == "" {
		add("it refuses (%s) after it wrote", late)
	}
	return faults
}

func TestScriptsCheckBeforeTheyWrite(t *testing.T) {
	for name, body := range scriptBodies(t) {
		if strings.HasPrefix(name, "lib") {
			require.NotRegexp(t, forbidden, body, name)
			require.NotRegexp(t, modern, withoutComments(body), name)
			continue
		}
		require.Empty(t, scriptFaults(name, body), "lua/%s.lua", name)
	}
}

// The rules have cases that must fail.
func TestBrokenScriptsAreFound(t *testing.T) {
	good := "-- Does something to an execution, once.\n-- KEYS: 1 execution HASH\n-- ARGV: 1 id\n-- Returns {1} | {-1} gone\n" +
		"local x = execution(KEYS[1])\nif not x then return {-1} end\n-- writes follow\ncall('HSET', KEYS[1], 'a', 1)\nreturn {1}\n"
	require.Empty(t, scriptFaults("x", good))
	for what, body := range map[string]string{
		"no header":      strings.Replace(good, "-- KEYS: 1 execution HASH\n", "", 1),
		"no sentence":    strings.Replace(good, "-- Does something to an execution, once.", "-- x", 1),
		"early write":    strings.Replace(good, "if not x", "call('SADD', KEYS[1], 1)\nif not x", 1),
		"late refusal":   strings.Replace(good, "return {1}", "if x.a then return {-2} end\nreturn {1}", 1),
		"no mark":        strings.Replace(good, "-- writes follow\n", "", 1),
		"two marks":      strings.Replace(good, "-- writes follow\n", "-- writes follow\n-- writes follow\n", 1),
		"users' JSON":    strings.Replace(good, "-- writes follow", "local v = cjson.decode(ARGV)\n-- writes follow", 1),
		"unbounded read": strings.Replace(good, "-- writes follow", "local v = call('SMEMBERS', KEYS[1])\n-- writes follow", 1),
		"newer Lua":      strings.Replace(good, "-- writes follow", "local v = table.unpack(ARGV)\n-- writes follow", 1),
	} {
		require.NotEmpty(t, scriptFaults("x", body), what)
	}
}

// TestNoScriptUnpacksMoreThanAThousand reads every unpack and finds its bound.
func TestNoScriptUnpacksMoreThanAThousand(t *testing.T) {
	// Each list and what bounds it: at most StepSize (500) tasks, two values each.
	bounded := map[string]string{
		"joins":  "two per successor, cut into thousands",
		"gone":   "one per successor",
		"refs":   "one per successor",
		"recs":   "two per successor, and its own, cut into thousands",
		"held":   "one per successor",
		"jobs":   "two per successor",
		"decide": "one per successor",
		"relay":  "two per successor",
		"set":    "two per task of a part; the fields of a group of failures",
		"ARGV":   "the entries of a part, or the fields of an execution or of an audit",
		"fields": "cut into thousands",
		"KEYS":   "the lists of an execution: some, and one per label; or those of an execution",
		"p":      "the fields of an execution that a redrive changes",
		"lines":  "the lines of a batch of a log, and one about them",
	}
	unpacks := regexp.MustCompile(`unpack\((\w+)`)
	for name, body := range scriptBodies(t) {
		for _, m := range unpacks.FindAllStringSubmatch(withoutComments(body), -1) {
			require.Contains(t, bounded, m[1], "lua/%s.lua unpacks %s: say here what bounds it", name, m[1])
		}
	}
	require.LessOrEqual(t, stepSize, 500)
}

// TestKeyMap prints every kind of key, so that a change of the key space is seen.
func TestKeyMap(t *testing.T) {
	const id = "01890a5d-ac96-774b-bcce-b302099a802a"
	var b strings.Builder
	line := func(kind, key string) { fmt.Fprintf(&b, "%-7s %s\n", kind, key) }
	source, err := os.ReadFile("keys.go")
	require.NoError(t, err)
	kinds := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(\w+)\s+string // (HASH|SET|LIST|ZSET|STRING)\b`).FindAllStringSubmatch(string(source), -1) {
		kinds[m[1]] = m[2]
	}
	k := keysOf(id)
	for _, group := range []reflect.Value{reflect.ValueOf(k), reflect.ValueOf(k.shard)} {
		for i := range group.NumField() {
			field := group.Type().Field(i)
			if field.Type.Kind() != reflect.String {
				continue
			}
			require.Contains(t, kinds, field.Name, "keys.go does not say the type of %s", field.Name)
			line(kinds[field.Name], group.Field(i).String())
		}
	}
	line("HASH", workflowKey("default", "etl"))
	line("ZSET", workflowsKey("default"))
	line("STRING", definitionKey("default", "<hash>"))
	line("HASH", idempotencyKey("default", "<key>"))
	line("HASH", indexedKey("default"))
	line("ZSET", listKey("default", "all"))
	line("ZSET", statusList("default", "running"))
	line("ZSET", lineageList("default", id))
	line("ZSET", failuresKey("default"))
	line("HASH", failingKey("default"))
	line("HASH", supersededKey("default"))
	of := failureKeysOf("default", "1f0c44f0a1b2c3d4")
	line("HASH", of.group)
	line("ZSET", of.open)
	line("ZSET", of.seen)
	line("ZSET", of.workflows)
	line("SET", openGroupsKey("default", "open"))
	line("STREAM", auditKey("default"))
	line("STREAM", auditKey(""))
	line("STREAM", deniedKey())
	line("ZSET", slotsKey("default", "etl"))
	line("ZSET", waitingKey("default", "etl"))
	line("ZSET", dueKey("default"))
	line("HASH", sessionKey("default", placeOf(1772323200, "etl")))
	line("ZSET", sessionsKey("default", ""))
	line("ZSET", sessionsKey("default", "etl"))
	line("HASH", scheduleKey("default", "nightly"))
	line("ZSET", schedulesKey("default"))
	line("ZSET", scheduleLooksKey("default"))
	line("HASH", scheduleNumbersKey("default"))
	line("HASH", bulkKey("default", id))
	line("LIST", bulkIDsKey("default", id))
	line("HASH", bulkFlightKey("default", id))
	line("HASH", bulkResultsKey("default", id))
	line("ZSET", bulksKey("default"))
	line("ZSET", bulkLooksKey("default"))
	line("HASH", bulkStatesKey("default"))
	line("HASH", bulkOutcomesKey("default"))
	line("HASH", bundlesKey("default"))
	line("HASH", notesKey("default", "labels:etl"))
	line("HASH", numbersKey(7001))
	line("HASH", namesKey)
	line("STRING", numberKey)
	line("STRING", sessionsNo)
	line("SET", slotsUsed)
	line("HASH", projectsKey)
	line("HASH", keysKey)
	line("HASH", hashesKey)
	line("HASH", workersKey)
	line("ZSET", seenKey)
	line("SET", scheduled)
	line("SET", bulkProjects)
	line("CHANNEL", cancelTopic)
	line("STRING", remoteSecretKey)
	line("HASH", remoteWorkersKey)
	line("ZSET", remoteSeenKey)
	line("CHANNEL", remoteTopic)
	line("ZSET", offersKey("default.high", "render"))
	line("ZSET", projectOffersKey("default.high", "render", "default"))
	line("ZSET", heldKey("default", "conductor.render"))
	line("ZSET", begunKey("default", "conductor.render"))
	line("STRING", leadKey(3))
	const golden = "testdata/keys.golden"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "the key space changed: if that is wanted, run go test ./queue -run TestKeyMap -update")
}

// Every key of one script lies in one slot, so the hash tags of its kinds are all there is to know.
func TestAnExecutionHasOneSlot(t *testing.T) {
	for _, id := range []string{"01890a5d-ac96-774b-bcce-b302099a802a", "01890a5d-ac96-774b-bcce-b302099a80ff", "x", ""} {
		k := keysOf(id)
		tag := regexp.MustCompile(`\{[^}]*\}`)
		want := tag.FindString(k.execution)
		for _, key := range append(k.settle(), k.shard.timers, k.shard.building) {
			require.Equal(t, want, tag.FindString(key), key)
		}
	}
}

func TestScriptsBringWhatTheyUse(t *testing.T) {
	const source = "-- Both: one, two.\nlocal function one(x) return x end\n\n-- Ends\nlocal function two(x)\n  if x then\n    return one(x)\n  end\nend\n" +
		"local function three(x)\n  return two(x)\nend\nlocal function four(x) return three(x) end\n"
	made := func(behind string) string { return linked(chunksOf(source + behind)) }
	require.NotContains(t, made("return 1"), "function")
	require.Equal(t, "local function one(x) return x end\n\nreturn one(1)\n", made("return one(1)\n"))
	require.Contains(t, made("return two(1)"), "return one(x)")
	require.NotContains(t, made("return two(1)"), "three")
	require.Contains(t, made("return four(1)"), "return three(x)")
}
