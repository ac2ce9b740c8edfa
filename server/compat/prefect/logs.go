package prefect

import (
	"context"
	"encoding/csv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/compat"
)

// levels are Python's numbers of the levels of a log.
var levels = map[engine.LogLevel]int{engine.LogDebug: 10, engine.LogInfo: 20, engine.LogWarn: 30, engine.LogError: 40}

// levelOf is the level of a number.
func levelOf(n int) engine.LogLevel {
	level := engine.LogDebug
	for _, l := range engine.LogLevels {
		if n >= levels[l] {
			level = l
		}
	}
	return level
}

var (
	logKind     = shaped(shapeOf("name", aString.must(), "level", anInt.must(), "message", aString.must(), "timestamp", aTime.must(), "flow_run_id", aUUID.orNull(), "task_run_id", aUUID.orNull(), "worker_id", aUUID.orNull()))
	logsKind    = kind{what: "sequence", of: &logKind}
	logTimes    = shaped(shapeOf("before_", aTime.orNull(), "after_", aTime.orNull())).orNull()
	logFilterOf = shaped(shapeOf(
		"operator", operator, "level", shaped(shapeOf("ge_", anInt.orNull(), "le_", anInt.orNull())).orNull(), "timestamp", logTimes,
		"flow_run_id", shaped(shapeOf("any_", listOf(aUUID).orNull())).orNull(),
		"task_run_id", shaped(shapeOf("any_", listOf(aUUID).orNull(), "is_null_", aBool.orNull())).orNull(), "text", anything,
	)).orNull()
	filterLogsShape = shapeOf("limit", anInt, "offset", anInt.from(0), "logs", logFilterOf, "sort", oneOf("TIMESTAMP_ASC", "TIMESTAMP_DESC")).embedded()
)

type logCreate struct {
	Level     int     `json:"level"`
	Message   string  `json:"message"`
	Timestamp moment  `json:"timestamp"`
	FlowRunID *string `json:"flow_run_id"`
}

// createLogs keeps what a process of Prefect logs; lines of no flow run, and of one that is not there, are left out as Prefect does.
func (h *handlers) createLogs(c *gin.Context) error {
	var all []logCreate
	text, err := c.GetRawData()
	if err != nil {
		return err
	}
	if err := readText(text, logsKind, &all); err != nil {
		return err
	}
	byRun := map[string][]engine.LogLine{}
	now := time.Now()
	for _, l := range all {
		if l.FlowRunID != nil {
			byRun[*l.FlowRunID] = append(byRun[*l.FlowRunID], engine.LogLine{Ago: max(now.Sub(l.Timestamp.Time), 0), Level: levelOf(l.Level), Message: l.Message})
		}
	}
	for id, lines := range byRun {
		if err := h.log(c.Request.Context(), id, lines); err != nil {
			return err
		}
	}
	return answer(c, http.StatusCreated, null)
}

func (h *handlers) log(ctx context.Context, id string, lines []engine.LogLine) error {
	r, err := h.load(ctx, id)
	if compat.IsMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !r.driven() {
		return refused{http.StatusConflict, detail{"Redrive's workers run flow run " + id + ": they write its log"}}
	}
	t, err := h.engine.Task(ctx, id, drivenTask)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(lines, engine.LogBatchLines) {
		if err := h.engine.AppendLogs(ctx, engine.Fence{Execution: id, Ref: drivenTask, Attempt: t.Attempt, Dispatch: max(t.Dispatch, 1)}, part); err != nil {
			return err
		}
	}
	return nil
}

type logFilter struct {
	Operator string `json:"operator"`
	Level    *struct {
		Least *int `json:"ge_"`
		Most  *int `json:"le_"`
	} `json:"level"`
	Timestamp *criterion `json:"timestamp"`
	FlowRun   *criterion `json:"flow_run_id"`
	TaskRun   *criterion `json:"task_run_id"`
	Text      any        `json:"text"`
}

type filterLogsRequest struct {
	Logs   *logFilter `json:"logs"`
	Sort   string     `json:"sort"`
	Limit  *int       `json:"limit"`
	Offset int        `json:"offset"`
}

// mostLines is how many lines of one flow run are looked at.
const mostLines = 100_000

func (h *handlers) filterLogs(c *gin.Context) error {
	var q filterLogsRequest
	if err := read(c.Request, filterLogsShape, &q); err != nil {
		return err
	}
	limits := selection{Limit: q.Limit}
	if err := limits.check(); err != nil {
		return err
	}
	f := q.Logs
	if f == nil || f.FlowRun == nil || f.FlowRun.Any == nil || f.Operator == "or_" || f.Text != nil {
		return refused{http.StatusNotImplemented, detail{"logs are read by flow run here: give logs.flow_run_id.any_, and no text or or_"}}
	}
	found := []logLine{}
	enough := q.Offset + limits.limit()
	if q.Sort == "TIMESTAMP_DESC" || len(*f.FlowRun.Any) > 1 {
		enough = mostLines
	}
	for _, id := range *f.FlowRun.Any {
		lines, err := h.lines(c.Request.Context(), id, enough, f.wants)
		if err != nil && !compat.IsMissing(err) {
			return err
		}
		found = append(found, lines...)
	}
	slices.SortStableFunc(found, func(a, b logLine) int { return a.Timestamp.Compare(b.Timestamp.Time) })
	if q.Sort == "TIMESTAMP_DESC" {
		slices.Reverse(found)
	}
	from := min(q.Offset, len(found))
	return answer(c, http.StatusOK, found[from:min(from+limits.limit(), len(found))])
}

func (f *logFilter) wants(l *logLine) bool {
	if f.Level != nil && (f.Level.Least != nil && l.Level < *f.Level.Least || f.Level.Most != nil && l.Level > *f.Level.Most) {
		return false
	}
	return f.Timestamp.time(&l.Timestamp) && f.TaskRun.text(l.TaskRunID)
}

// lines reads the log of a flow run, as far as it is wanted.
func (h *handlers) lines(ctx context.Context, id string, enough int, wants func(*logLine) bool) ([]logLine, error) {
	r, err := h.load(ctx, id)
	if err != nil {
		return nil, err
	}
	found := []logLine{}
	for cursor, seen := "", 0; seen < mostLines && len(found) < enough; {
		page, next, err := h.engine.Logs(ctx, id, engine.LogFilter{}, engine.Page{Cursor: cursor, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			at := moment{e.At}
			l := logLine{ID: stateID(id, "log", e.Seq), Created: at, Updated: at, Name: e.Ref, Level: levels[e.Level], Message: e.Message, Timestamp: at, FlowRunID: &r.x.ID}
			if r.driven() {
				l.Name = "prefect.flow_runs"
			} else {
				task := taskRunID(id, e.Ref)
				l.TaskRunID = &task
			}
			if wants(&l) {
				found = append(found, l)
			}
		}
		if next == "" {
			break
		}
		cursor, seen = next, seen+max(len(page), 1)
	}
	return found, nil
}

// downloadLogs writes the log as a table.
func (h *handlers) downloadLogs(c *gin.Context) error {
	r, err := h.run(c, notFound)
	if err != nil {
		return err
	}
	lines, err := h.lines(c.Request.Context(), r.x.ID, mostLines, func(*logLine) bool { return true })
	if err != nil {
		return err
	}
	head := c.Writer.Header()
	head.Set("Content-Type", "text/csv; charset=utf-8")
	head.Set("Content-Disposition", `attachment; filename="flow-run-logs.csv"; filename*=UTF-8''`+url.PathEscape(r.name())+"-logs.csv")
	c.Writer.WriteHeader(http.StatusOK)
	w := csv.NewWriter(c.Writer)
	w.UseCRLF = true
	_ = w.Write([]string{"timestamp", "level", "flow_run_id", "task_run_id", "message"}) // the caller went away: Flush ends it
	for _, l := range lines {
		task := ""
		if l.TaskRunID != nil {
			task = *l.TaskRunID
		}
		_ = w.Write([]string{l.Timestamp.UTC().Format("2006-01-02 15:04:05.999999-07:00"), strconv.Itoa(l.Level), r.x.ID, task, l.Message})
	}
	w.Flush()
	return nil
}
