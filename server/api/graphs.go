package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/redrive/redrive/engine"
)

// GET /v1/executions/{id}/graph

// Graphs is what the graph route asks of the engine.
type Graphs interface {
	Graph(ctx context.Context, id string) (*engine.Graph, error)
}

type graphs struct{ engine Graphs }

// GetGraph draws an execution in the format asked for.
func (h graphs) GetGraph(ctx context.Context, r GetGraphRequestObject) (GetGraphResponseObject, error) {
	g, err := h.engine.Graph(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	format := "json"
	if r.Params.Format != nil {
		format = string(*r.Params.Format)
	}
	switch format {
	case "mermaid":
		return drawing{"text/vnd.mermaid; charset=utf-8", g.Mermaid()}, nil
	case "dot":
		return drawing{"text/vnd.graphviz; charset=utf-8", g.DOT()}, nil
	}
	return GetGraph200JSONResponse(wireGraph(g)), nil
}

// drawing is a graph as text.
type drawing struct{ media, text string }

// VisitGetGraphResponse writes the text.
func (d drawing) VisitGetGraphResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", d.media)
	w.WriteHeader(http.StatusOK)
	_, err := strings.NewReader(d.text).WriteTo(w)
	return err
}
