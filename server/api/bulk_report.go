package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/redrive/redrive/engine"
)

const reportPage = 1000

// GetBulkReport answers all executions of a bulk operation.
func (h bulks) GetBulkReport(ctx context.Context, r GetBulkReportRequestObject) (GetBulkReportResponseObject, error) {
	if _, err := h.engine.Bulk(ctx, r.Project, r.Bulk); err != nil {
		return nil, err
	}
	format := GetBulkReportParamsFormatCsv
	if r.Params.Format != nil {
		format = *r.Params.Format
	}
	return &bulkReport{bulks: h, ctx: ctx, project: r.Project, id: r.Bulk, format: format}, nil
}

// pagePatience is how long a reader may take for a page.
const pagePatience = 2 * time.Minute

// bulkReport is written page by page, so it holds the context of its request.
type bulkReport struct {
	bulks
	ctx         context.Context
	project, id string
	format      GetBulkReportParamsFormat
}

var reportTypes = map[GetBulkReportParamsFormat]string{
	GetBulkReportParamsFormatCsv: "text/csv; charset=utf-8", GetBulkReportParamsFormatJSON: "application/json", GetBulkReportParamsFormatJsonl: "application/x-ndjson",
}

// VisitGetBulkReportResponse writes the report. One that breaks off is cut: a list in JSON does not end then.
func (r *bulkReport) VisitGetBulkReportResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", reportTypes[r.format])
	w.Header().Set("Content-Disposition", `attachment; filename="bulk-`+r.id+"."+string(r.format)+`"`)
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	if err := r.write(http.NewResponseController(w), out); err != nil {
		r.logger.WarnContext(r.ctx, "the report of a bulk operation broke off", slog.String("bulk", r.id), slog.Any("error", err))
		panic(http.ErrAbortHandler) // the reader must not take it for the whole
	}
	return nil
}

func (r *bulkReport) write(to *http.ResponseController, out *bufio.Writer) error {
	put, end := r.lines(out)
	for page := (engine.Page{Limit: reportPage}); ; {
		_ = to.SetWriteDeadline(time.Now().Add(pagePatience)) // it is as long as it is, but no reader holds it for ever
		items, next, err := r.engine.BulkItems(r.ctx, r.project, r.id, "", page)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := put(wireBulkItem(item)); err != nil {
				return err
			}
		}
		if next == "" {
			if err := end(); err != nil {
				return err
			}
			return out.Flush()
		}
		page.Cursor = next
	}
}

// lines are how an execution, and the end, are written in the format.
func (r *bulkReport) lines(out *bufio.Writer) (put func(BulkItem) error, end func() error) {
	if r.format == GetBulkReportParamsFormatCsv {
		table := csv.NewWriter(out)
		names := []string{"index", "execution", "outcome", "before", "after", "into", "code", "message", "at"}
		put = func(i BulkItem) error {
			if names != nil {
				if err := table.Write(names); err != nil {
					return err
				}
				names = nil
			}
			at := ""
			if i.At != nil {
				at = i.At.UTC().Format(time.RFC3339Nano)
			}
			return table.Write([]string{strconv.Itoa(i.Index), i.Execution, string(i.Outcome), i.Before, i.After, i.Into, i.Code, i.Message, at})
		}
		return put, func() error {
			if names != nil {
				if err := table.Write(names); err != nil {
					return err
				}
			}
			table.Flush()
			return table.Error()
		}
	}
	lines := json.NewEncoder(out)
	if r.format == GetBulkReportParamsFormatJsonl {
		return func(i BulkItem) error { return lines.Encode(i) }, func() error { return nil }
	}
	before := "["
	put = func(i BulkItem) error {
		if _, err := out.WriteString(before); err != nil {
			return err
		}
		before = ","
		return lines.Encode(i)
	}
	return put, func() error {
		if before == "[" {
			_, err := out.WriteString("[]\n")
			return err
		}
		_, err := out.WriteString("]\n")
		return err
	}
}
