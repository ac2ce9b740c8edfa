package api

import (
	"context"

	"github.com/redrive/redrive/engine"
)

// GET /v1/diagnosis

// Diagnoses is what the diagnosis route asks of the engine.
type Diagnoses interface {
	Diagnose(ctx context.Context, version string) (*engine.Diagnosis, error)
}

type diagnoses struct {
	engine  Diagnoses
	version string
}

// Diagnose checks the installation.
func (h diagnoses) Diagnose(ctx context.Context, _ DiagnoseRequestObject) (DiagnoseResponseObject, error) {
	d, err := h.engine.Diagnose(ctx, h.version)
	if err != nil {
		return nil, err
	}
	return Diagnose200JSONResponse{Version: d.Version, At: d.At, Findings: each(d.Findings, wireFinding)}, nil
}

func wireFinding(f engine.Finding) Finding {
	return Finding{Check: f.Check, Status: FindingStatus(f.Status), Message: f.Message, Next: f.Next}
}
