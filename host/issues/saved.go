package issues

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	kind = "issue" // of the documents
	// lastID is the ID of the document with the id that was given last, so that none is
	// given twice.
	lastID = "last"
	// maxBatch bounds the issues of one write.
	maxBatch = 100
)

// saved is an issue as it is stored.
type saved struct {
	wire.Issue
	Normalised string `json:"normalised"`
	FrameKey   string `json:"frame_key"`
	Minute     int64  `json:"minute"` // of the last of Minutes
	Hashes     []byte `json:"hashes"` // of the keys, 4 bytes each
}

// counter is the document lastID.
type counter struct {
	Last uint64 `json:"last"`
}

// snapshot returns the issue as it is to be stored.
func (g *group) snapshot() saved {
	s := saved{Issue: g.details(time.Unix(g.minute*60, 0)), Normalised: g.fingerprint.message, FrameKey: g.fingerprint.frame, Minute: g.minute,
		Hashes: make([]byte, 0, 4*len(g.hashes))}
	for _, h := range g.hashes {
		s.Hashes = binary.LittleEndian.AppendUint32(s.Hashes, h)
	}
	return s
}

// document encodes the issue. Text that is escaped may be too long: then the oldest of its
// failures are skipped.
func (s saved) document() event.Document {
	for {
		body, err := wire.Encode(s)
		if err == nil && len(body) <= event.MaxDocument || len(s.Latest) == 0 {
			return event.Document{Kind: kind, ID: s.ID, Body: string(body)}
		}
		s.Latest = s.Latest[:len(s.Latest)/2]
	}
}

// restore makes a group of a document.
func restore(body string) (*group, error) {
	var s saved
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return nil, err
	}
	id, ok := number(s.ID)
	known := slices.Contains([]wire.IssueState{wire.IssueOpen, wire.IssueAcknowledged, wire.IssueResolved, wire.IssueIgnored}, s.State)
	if !ok || s.Handler == "" || !known || len(s.Hashes)%4 != 0 {
		return nil, fmt.Errorf("it is no issue")
	}
	g := &group{Issue: s.Issue, id: id, minute: s.Minute, keys: s.Keys,
		fingerprint: fingerprint{handler: s.Handler, class: event.Class(s.Class), message: s.Normalised, frame: s.FrameKey}}
	if !g.isActive() && g.StateAt == nil {
		g.StateAt = &g.LastSeen
	}
	if len(s.Minutes) == maxMinutes {
		for i, n := range s.Minutes {
			g.minutes[index(s.Minute-maxMinutes+1+int64(i))] = n
		}
	}
	g.latest = s.Latest[:min(len(s.Latest), maxLatest)]
	slices.Reverse(g.latest)
	for i := 0; i < len(s.Hashes); i += 4 {
		g.countKey(binary.LittleEndian.Uint32(s.Hashes[i:]))
	}
	g.Keys, g.Minutes, g.Latest = nil, nil, nil
	return g, nil
}

// load reads the issues of the store. A document that cannot be read is logged and kept.
func (t *Tracker) load(ctx context.Context) error {
	list, err := t.cfg.Store.Documents(ctx, kind)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.ID == lastID {
			var c counter
			if err := json.Unmarshal([]byte(d.Body), &c); err == nil {
				t.last = max(t.last, c.Last)
			}
			continue
		}
		g, err := restore(d.Body)
		if err != nil || t.groups[g.fingerprint] != nil {
			t.cfg.Logger.Warn("stored issue not readable, and skipped", "issue", d.ID, "error", err)
			if n, ok := number(d.ID); ok {
				t.last = max(t.last, n)
			}
			continue
		}
		t.insert(g)
		t.last = max(t.last, g.id)
	}
	t.stored = t.last
	return nil
}

// unsaved is what one write stores.
type unsaved struct {
	changed   []*group
	snapshots []saved // of changed
	removed   map[uint64]string
	last      uint64
}

// flush stores changed issues, the longest changed first, at most maxBatch, and reports whether
// there are more. After an error they are stored with the next ones.
func (t *Tracker) flush(ctx context.Context) (more bool, err error) {
	t.storing.Lock()
	defer t.storing.Unlock()

	u := unsaved{removed: make(map[uint64]string)}
	t.mu.Lock()
	n := min(len(t.dirty), maxBatch)
	for _, g := range t.dirty[:n] {
		g.dirty = false
		if t.byID[g.id] == g && t.owns(g.Handler) {
			u.changed = append(u.changed, g)
			u.snapshots = append(u.snapshots, g.snapshot())
		}
	}
	t.dirty = slices.Delete(t.dirty, 0, n)
	more = len(t.dirty) > 0
	for id, handler := range t.removed {
		if t.owns(handler) {
			u.removed[id] = handler
		}
	}
	clear(t.removed)
	u.last = t.last
	t.mu.Unlock()

	err = t.store(ctx, u)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.stored = u.last
		return more, nil
	}
	for _, g := range u.changed {
		t.markDirty(g)
	}
	maps.Copy(t.removed, u.removed)
	return true, fmt.Errorf("store the issues: %w", err)
}

// store stores changes: in one transaction, or in one for each handler where hosts share the
// store. The caller has locked storing.
func (t *Tracker) store(ctx context.Context, u unsaved) error {
	docs := make(map[string][]event.Document) // by handler
	for id, handler := range u.removed {
		docs[handler] = append(docs[handler], event.Document{Kind: kind, ID: strconv.FormatUint(id, 10)})
	}
	for _, s := range u.snapshots {
		docs[s.Handler] = append(docs[s.Handler], s.document())
	}
	if t.cfg.Shared {
		var errs error
		for handler, list := range docs {
			if err := t.put(t.fenced(ctx, handler), list); err != nil && !errors.Is(err, spec.ErrFenced) {
				errs = errors.Join(errs, err)
			}
		}
		return errs
	}
	var all []event.Document
	for _, handler := range slices.Sorted(maps.Keys(docs)) {
		all = append(all, docs[handler]...)
	}
	if u.last != t.stored {
		all = append(all, event.Document{Kind: kind, ID: lastID, Body: fmt.Sprintf(`{"last":%d}`, u.last)})
	}
	return t.put(ctx, all)
}

// put stores documents. The caller has locked storing.
func (t *Tracker) put(ctx context.Context, docs []event.Document) error {
	if len(docs) == 0 {
		return nil
	}
	return t.cfg.Store.PutDocuments(ctx, docs)
}
