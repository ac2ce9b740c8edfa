package monitoring

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/hibiken/asynq"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/problem"
)

const (
	maxBatch = 1 << 20 // bytes of a batch request, as asynqmon takes
	pageSize = 500
)

type batchRequest struct {
	TaskIDs []string `json:"task_ids"`
}

type batchAnswer struct {
	PendingIDs []string `json:"pending_ids"`
	ErrorIDs   []string `json:"error_ids"`
}

func (h *Handler) batch(w http.ResponseWriter, r *http.Request, queue string) {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBatch))
	decoder.DisallowUnknownFields()
	var request batchRequest
	if err := decoder.Decode(&request); err != nil {
		h.fail(w, r, problem.Invalid("request_invalid", "the body is not {\"task_ids\": [...]}: "+err.Error()))
		return
	}
	patient(w)
	answer := batchAnswer{PendingIDs: []string{}, ErrorIDs: []string{}}
	for _, id := range request.TaskIDs {
		if err := h.run(r, queue, id); err != nil {
			h.warn(r, id, err)
			answer.ErrorIDs = append(answer.ErrorIDs, id)
			continue
		}
		answer.PendingIDs = append(answer.PendingIDs, id)
	}
	writeJSON(w, answer)
}

// all runs every archived job of a queue. The ids are read first: a retry
// takes its job out of the archive, and the pages would shift.
func (h *Handler) all(w http.ResponseWriter, r *http.Request, queue string) {
	var ids []string
	for page := 1; ; page++ {
		jobs, err := h.inspector.ListArchivedTasks(queue, asynq.Page(page), asynq.PageSize(pageSize))
		if errors.Is(err, asynq.ErrQueueNotFound) {
			h.fail(w, r, engine.NotFound("queue", queue))
			return
		}
		if err != nil {
			h.fail(w, r, err)
			return
		}
		for _, job := range jobs {
			ids = append(ids, job.ID)
		}
		if len(jobs) < pageSize {
			break
		}
	}
	patient(w)
	done := 0
	for _, id := range ids {
		if err := h.run(r, queue, id); err != nil {
			h.warn(r, id, err)
			continue
		}
		done++
	}
	writeJSON(w, map[string]int{"scheduled": done})
}

func (h *Handler) warn(r *http.Request, id string, err error) {
	h.log.WarnContext(r.Context(), "job was not run", slog.String("job", id), slog.Any("error", err))
}

// patient lifts the write deadline: thousands of retries take their time.
func patient(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not every writer has deadlines
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller went away: nobody to tell
}
