package host

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/berth-host/berth/host/sandbox"
	"github.com/berth-host/berth/host/sandbox/vet"
)

// maxReports bounds the reports that are kept for the API.
const maxReports = 512

// reports is a Vetter that remembers what it found, the latest modules of all.
// It is safe for concurrent use.
type reports struct {
	sandbox.Vetter

	mu    sync.Mutex
	kept  map[string]json.RawMessage // by SHA-256, hex
	order []string                   // of kept, oldest first
}

func newReports(v sandbox.Vetter) *reports {
	return &reports{Vetter: v, kept: make(map[string]json.RawMessage)}
}

// Vet implements sandbox.Vetter.
func (r *reports) Vet(ctx context.Context, wasm []byte) (vet.Verdict, error) {
	verdict, err := r.Vetter.Vet(ctx, wasm)
	if sum := verdict.Report.SHA256; sum != "" {
		if text, e := json.Marshal(verdict.Report); e == nil {
			r.keep(sum, text)
		}
	}
	return verdict, err
}

func (r *reports) keep(sum string, text json.RawMessage) {
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

// report answers what was found of a module.
func (r *reports) report(sum string) (json.RawMessage, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, ok := r.kept[sum]
	return text, ok
}
