package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/drawing"
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
		return picture{"text/vnd.mermaid; charset=utf-8", drawing.Mermaid(g)}, nil
	case "dot":
		return picture{"text/vnd.graphviz; charset=utf-8", drawing.DOT(g)}, nil
	case "svg":
		return picture{"image/svg+xml", drawing.SVG(g)}, nil
	}
	return GetGraph200JSONResponse(wireGraph(g)), nil
}

// picture is a graph as text.
type picture struct{ media, text string }

// VisitGetGraphResponse writes the text.
func (p picture) VisitGetGraphResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", p.media)
	w.WriteHeader(http.StatusOK)
	_, err := strings.NewReader(p.text).WriteTo(w)
	return err
}
