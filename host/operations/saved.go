package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/wire"
)

// kind is the kind of the documents.
const kind = "operation"

// saved is an operation as it is stored.
type saved struct {
	wire.Operation
	From  uint64 `json:"from_seq"`
	To    uint64 `json:"to_seq"`
	Whole bool   `json:"whole"`
	Begun bool   `json:"begun"`
	Next  uint64 `json:"next_seq"`
}

// save stores an operation. Only its goroutine, and Start before there is one, call it.
func (r *Runner) save(ctx context.Context, o *operation) error {
	r.mu.Lock()
	s := saved{Operation: o.Operation, From: o.from, To: o.to, Whole: o.whole, Begun: o.begun, Next: o.next}
	r.mu.Unlock()
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	o.saved = r.cfg.Now()
	return r.cfg.Store.PutDocuments(ctx, []event.Document{{Kind: kind, ID: o.ID, Body: string(body)}})
}

// restore makes an operation of a document.
func restore(body string) (*operation, error) {
	var s saved
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return nil, err
	}
	id, ok := number(s.ID)
	states := []wire.OperationState{wire.OperationRunning, wire.OperationDone, wire.OperationCancelled, wire.OperationFailed}
	if !ok || s.Plugin == "" || !slices.Contains(Kinds(), s.Kind) || !slices.Contains(states, s.State) || s.Rate < 0 || s.To >= 1<<63 ||
		s.From > s.To+1 || s.Next > s.To+1 {
		return nil, fmt.Errorf("it is no operation")
	}
	return &operation{Operation: s.Operation, id: id, from: s.From, to: s.To, whole: s.Whole, begun: s.Begun, next: s.Next}, nil
}

// load reads the operations of the store, and continues those that were running, unless the
// runner is suspended. A document
// that cannot be read is logged and kept.
func (r *Runner) load(ctx context.Context) error {
	list, err := r.cfg.Store.Documents(ctx, kind)
	if err != nil {
		return fault.New(fault.CodeOf(err), "load the operations: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.byID)
	var resumed []*operation
	for _, d := range list {
		o, err := restore(d.Body)
		if err != nil {
			r.cfg.Logger.Warn("stored operation not readable, and skipped", "operation", d.ID, "error", err)
			if n, ok := number(d.ID); ok {
				r.last = max(r.last, n)
			}
			continue
		}
		r.byID[o.id] = o
		r.last = max(r.last, o.id)
		if o.State == wire.OperationRunning && !r.closed {
			resumed = append(resumed, o)
			continue
		}
		o.cancel, o.finished = func(error) {}, make(chan struct{})
		close(o.finished)
	}
	for _, o := range resumed {
		o.Reason = ""
		r.prepare(o)
		r.cfg.Logger.Info("operation continued", "operation", o.ID, "kind", o.Kind, "plugin", o.Plugin, "done", o.Done)
		go r.run(o, func() error { return r.resume(o) })
	}
	return nil
}

// resume prepares an operation that an earlier run of the host has begun, once the handlers
// are loaded. Its filter was valid for the version before, and its handler may be gone.
func (r *Runner) resume(o *operation) error {
	if r.cfg.Ready != nil {
		if err := r.cfg.Ready(o.ctx); err != nil {
			return err
		}
	}
	return r.compile(o)
}

// evict removes the oldest finished operations beyond MaxKept. One whose document is not
// removed comes back at the next start, and is removed then.
func (r *Runner) evict(ctx context.Context) {
	r.mu.Lock()
	var docs []event.Document
	for len(r.byID) > MaxKept {
		var oldest *operation
		for _, o := range r.byID {
			if o.State != wire.OperationRunning && (oldest == nil || o.id < oldest.id) {
				oldest = o
			}
		}
		delete(r.byID, oldest.id)
		docs = append(docs, event.Document{Kind: kind, ID: oldest.ID})
	}
	r.mu.Unlock()
	if len(docs) == 0 {
		return
	}
	if err := r.cfg.Store.PutDocuments(ctx, docs); err != nil {
		r.cfg.Logger.Warn("old operations not removed from the store", "operations", len(docs), "error", err)
	}
}
