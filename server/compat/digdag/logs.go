package digdag

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
)

// written is what one attempt of a task wrote.
type written struct {
	logFile
	text bytes.Buffer
}

// files are the logs of an attempt, sorted by name: one for each attempt of a task that wrote lines.
func (v *view) files(x *engine.Execution) ([]*written, error) {
	o, err := v.open(x.Project, x.Workflow, x.Version)
	if err != nil {
		return nil, err
	}
	byTry := map[string]*written{}
	var all []*written
	for page := (engine.Page{Limit: whole}); ; {
		lines, next, err := v.engine.Logs(v.ctx, x.ID, engine.LogFilter{}, page)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			key := l.Ref + "#" + strconv.Itoa(l.Attempt)
			if byTry[key] == nil {
				byTry[key] = begin(o, l)
				all = append(all, byTry[key])
			}
			byTry[key].line(l)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b *written) int { return cmp.Compare(a.FileName, b.FileName) })
	return all, nil
}

func begin(o *opened, l engine.LogEntry) *written {
	full, _, _ := o.FullName(l.Ref)
	agent := "attempt-" + strconv.Itoa(l.Attempt)
	at := l.At.UTC()
	return &written{logFile: logFile{
		FileName: fmt.Sprintf("%s@%08x%08x.%s.log.gz", full, at.Unix(), at.Nanosecond(), agent), TaskName: full,
		FileTime: instant(at), FileTimestamp: at.Format(time.RFC3339Nano), AgentID: agent,
	}}
}

// line writes a line as Digdag's logs have it.
func (w *written) line(l engine.LogEntry) {
	fmt.Fprintf(&w.text, "%s [%s] (%s) %s\n", l.At.UTC().Format("2006-01-02 15:04:05 -0700"), strings.ToUpper(string(l.Level)), w.TaskName, l.Message)
	w.FileSize = w.text.Len()
}

func (h *handlers) logFiles(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	all, err := v.files(x)
	if err != nil {
		return err
	}
	made := logFiles{[]logFile{}}
	for _, w := range all {
		if strings.HasPrefix(w.TaskName, c.Query("task")) {
			made.Files = append(made.Files, w.logFile)
		}
	}
	return answer(c, made)
}

// logFile gives a log, compressed as content: clients unpack it themselves.
func (h *handlers) logFile(c *gin.Context) error {
	v := h.view(c)
	x, err := v.execution(c.Param("id"))
	if err != nil {
		return err
	}
	all, err := v.files(x)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(w *written) bool { return w.FileName == c.Param("file") })
	if at < 0 {
		return missing("log file %q", c.Param("file"))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(all[at].text.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	c.Data(http.StatusOK, "application/gzip", packed.Bytes())
	return nil
}
