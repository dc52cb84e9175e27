package run

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
	"github.com/berth-host/berth/host/spec"
)

// maxReports bounds the number of stored reports.
const maxReports = 512

// Reports is a Vetter that stores its latest reports for the API. It is safe for
// concurrent use.
type Reports struct {
	sandbox.Vetter

	mu    sync.Mutex
	kept  map[string]json.RawMessage // by SHA-256, hex
	order []string                   // of kept, oldest first
}

// NewReports returns a vetter that vets with v.
func NewReports(v sandbox.Vetter) *Reports {
	return &Reports{Vetter: v, kept: make(map[string]json.RawMessage)}
}

// Vet implements sandbox.Vetter.
func (r *Reports) Vet(ctx context.Context, module spec.Artifact) (vet.Verdict, error) {
	verdict, err := r.Vetter.Vet(ctx, module)
	if sum := verdict.Report.SHA256; sum != "" {
		if text, e := json.Marshal(verdict.Report); e == nil {
			r.store(sum, text)
		}
	}
	return verdict, err
}

func (r *Reports) store(sum string, text json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.kept[sum]; !known {
		if len(r.order) == maxReports {
			delete(r.kept, r.order[0])
			r.order = r.order[1:]
		}
		r.order = append(r.order, sum)
	}
	r.kept[sum] = text
}

// Report returns the report of a module as JSON.
func (r *Reports) Report(sum string) (json.RawMessage, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, ok := r.kept[sum]
	return text, ok
}
