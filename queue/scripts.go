package queue

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/redis/go-redis/v9"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// One script per atomic change; the file says what it takes and answers.
var (
	scriptBuild      = script("build")
	scriptCreate     = script("create", "lib_release")
	scriptClaim      = script("claim")
	scriptComplete   = script("complete", "lib_release")
	scriptFail       = script("fail", "lib_release")
	scriptBackOff    = script("back_off")
	scriptRetry      = script("retry")
	scriptRedispatch = script("redispatch")
	scriptHasten     = script("hasten")
	scriptHeartbeat  = script("heartbeat")
	scriptVerdict    = script("verdict", "lib_release")
	scriptSpread     = script("spread", "lib_release")
	scriptDrop       = script("drop")
	scriptFinish     = script("finish", "lib_release")
	scriptControl    = script("control", "lib_memo")
	scriptRedrive    = script("redrive", "lib_release", "lib_apply")
	scriptHold       = script("hold")
	scriptCarry      = script("carry")
	scriptAdopt      = script("adopt")
	scriptApply      = script("apply", "lib_release", "lib_apply")
	scriptOpen       = script("open", "lib_release", "lib_grow")
	scriptGrow       = script("grow", "lib_release", "lib_grow")
	scriptReset      = script("reset", "lib_release")
	scriptWiden      = script("widen", "lib_release")
	scriptAgain      = script("again", "lib_release")
	scriptClose      = script("close", "lib_release")
	scriptCutOff     = script("cut_off")
	scriptExpire     = script("expire")
	scriptMade       = script("made")
	scriptCascaded   = script("cascaded")
	scriptDismiss    = script("dismiss")
	scriptPostpone   = script("postpone")
	scriptNote       = script("note")
	scriptSweep      = script("sweep")
	scriptDoom       = script("doom")
	scriptPurge      = script("purge")
	scriptReserve    = script("reserve")
	scriptPublish    = script("publish", "lib_slots")
	scriptIndex      = script("index", "lib_slots", "lib_failures")
	scriptSupersede  = script("supersede", "lib_failures")
	scriptUnfile     = script("unfile", "lib_failures")
	scriptJudge      = script("judge", "lib_failures")
	scriptAudit      = script("audit")
	scriptLead       = script("lead")
	scriptUnmark     = script("unmark")
	scriptRest       = script("rest")
	scriptLog        = script("log")
	scriptEnter      = script("enter", "lib_slots")
	scriptFill       = script("fill", "lib_slots")
	scriptLeave      = script("leave", "lib_slots")
	scriptDetach     = script("detach")
	scriptOverdue    = script("overdue")
	scriptPlace      = script("place", "lib_slots")
	scriptBegin      = script("begin")
	scriptPutBack    = script("put_back")
	scriptList       = redis.NewScript(linked(slices.Concat(luaChunks("lib"), luaChunks("lib_slots"), luaChunks("lib_failures"), chunksOf(function("index")), luaChunks("list"))))
	scriptSchedule   = script("schedule")
	scriptUnschedule = script("unschedule")
	scriptOffer      = script("offer")
	scriptTake       = script("take")
	scriptWithdraw   = script("withdraw")
	scriptHandOut    = script("hand_out")
	scriptBeat       = script("beat")
	scriptProgress   = script("progress")
	scriptAdmit      = script("admit")
	scriptMemo       = script("memo", "lib_memo")
	scriptBundle     = script("bundle")
	scriptName       = script("name")
	scriptKeep       = script("keep")
)

func script(name string, libs ...string) *redis.Script {
	var source []chunk
	for _, file := range slices.Concat([]string{"lib"}, libs, []string{name}) {
		source = append(source, luaChunks(file)...)
	}
	return redis.NewScript(linked(source))
}

// chunk is a function of a script, or a line between functions.
type chunk struct {
	name  string // "" = no function
	text  string
	words []string
}

// chunksOf takes a script apart, without its comments at the beginning of lines.
func chunksOf(source string) (all []chunk) {
	lines := strings.SplitAfter(source, "\n")
	for i := 0; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "--") {
			continue
		}
		c := chunk{text: lines[i]}
		if rest, is := strings.CutPrefix(lines[i], "local function "); is {
			c.name, _, _ = strings.Cut(rest, "(")
			whole := strings.HasSuffix(lines[i], " end\n")
			for !whole && i+1 < len(lines) {
				i++
				c.text += lines[i]
				whole = strings.TrimSuffix(lines[i], "\n") == "end"
			}
		}
		c.words = strings.FieldsFunc(c.text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		slices.Sort(c.words)
		c.words = slices.Compact(c.words)
		all = append(all, c)
	}
	return all
}

// linked makes a script without the functions that nothing behind them names: Redis makes each of them anew whenever the script is called.
func linked(source []chunk) string {
	named, kept := map[string]bool{}, make([]string, len(source))
	for i, c := range slices.Backward(source) {
		if c.name != "" && !named[c.name] {
			continue
		}
		kept[i] = c.text
		for _, word := range c.words {
			named[word] = true
		}
	}
	return strings.Join(kept, "")
}

var luaParsed = map[string][]chunk{}

// luaChunks is for scripts that are made when the process begins: it remembers.
func luaChunks(file string) []chunk {
	if luaParsed[file] == nil {
		luaParsed[file] = chunksOf(luaText(file) + "\n")
	}
	return luaParsed[file]
}

// function is a script as a function of its KEYS and ARGV, for another script to call.
func function(name string) string {
	return "local function " + name + "(KEYS, ARGV)\n" + luaText(name) + "\nend\n"
}

func luaText(file string) string {
	text, err := luaFiles.ReadFile("lua/" + file + ".lua")
	if err != nil {
		panic("queue: " + err.Error()) // a file that the compiler embedded
	}
	return string(text)
}

// The refusals of the scripts. Each of them wrote nothing that changes a task.
const (
	refusedGone   = -1
	refusedStale  = -2
	refusedPaused = -3
	refusedFailed = -4
	refusedMoved  = -5
	refusedStatus = -6
	refusedFull   = -7
	refusedMany   = -8
	refusedValues = -9
	refusedMemos  = -10
)

// run evaluates a script and maps its refusals to the engine's words.
// A reply starts with a code: 1 and up = done, below 0 = refused.
func (r *Redis) run(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]any, error) {
	reply, err := s.Run(ctx, r.client, keys, args...).Slice()
	if err != nil {
		return nil, unreachable(err)
	}
	return reply, refusal(reply)
}

func refusal(reply []any) error {
	if len(reply) == 0 {
		return fmt.Errorf("queue: a script answered nothing")
	}
	code, ok := reply[0].(int64)
	if !ok {
		return fmt.Errorf("queue: a script answered %v", reply[0])
	}
	if code > 0 {
		return nil
	}
	switch code {
	case refusedGone:
		return engine.ErrGone
	case refusedStale:
		return engine.ErrStale
	case refusedPaused:
		return engine.ErrPaused
	case refusedMoved:
		return engine.ErrMoved
	case refusedValues:
		return engine.ErrValuesFull
	case refusedMemos:
		return engine.ErrMemosFull
	case refusedFailed:
		failure, _ := decodeError(text(reply, 1))
		if failure == nil {
			failure = &workflow.Error{Code: "unknown", Message: "the error of this attempt is not stored"}
		}
		return &engine.FailedBefore{Failure: failure}
	case refusedStatus:
		return &engine.StatusError{Status: workflow.ExecutionStatus(text(reply, 1))}
	case refusedFull:
		return &engine.SlotsFull{Limit: int(number(reply, 1)), Line: number(reply, 2) == 1}
	case refusedMany:
		return &engine.SessionFull{Limit: int(number(reply, 1))}
	default:
		return fmt.Errorf("queue: a script refused with unknown code %d", code)
	}
}

// spoilt reports whether a key holds what Redrive never put there: to try again does not help.
func spoilt(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

func unreachable(err error) error {
	if spoilt(err) {
		return fmt.Errorf("queue: %w", err)
	}
	return &engine.Error{Kind: engine.KindUnavailable, Code: "redis_unavailable", Message: "Redis did not answer as it should; try again", Err: err}
}

func text(reply []any, i int) string {
	if i < len(reply) {
		if s, ok := reply[i].(string); ok {
			return s
		}
	}
	return ""
}

func number(reply []any, i int) int64 {
	if i < len(reply) {
		switch v := reply[i].(type) {
		case int64:
			return v
		case string:
			return atoi(v)
		}
	}
	return 0
}
