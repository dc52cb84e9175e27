package issues

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/berth-host/berth/host/event"
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

// flush stores changed issues, the longest changed first, at most maxBatch, and reports whether
// there are more. After an error they are stored with the next ones.
func (t *Tracker) flush(ctx context.Context) (more bool, err error) {
	t.storing.Lock()
	defer t.storing.Unlock()

	t.mu.Lock()
	var docs []event.Document
	var changed []*group
	var snapshots []saved
	n := min(len(t.dirty), maxBatch)
	for _, g := range t.dirty[:n] {
		g.dirty = false
		if t.byID[g.id] == g {
			changed = append(changed, g)
			snapshots = append(snapshots, g.snapshot())
		}
	}
	t.dirty = slices.Delete(t.dirty, 0, n)
	more = len(t.dirty) > 0
	removed := make([]uint64, 0, len(t.removed))
	for id := range t.removed {
		removed = append(removed, id)
		docs = append(docs, event.Document{Kind: kind, ID: strconv.FormatUint(id, 10)})
	}
	clear(t.removed)
	last := t.last
	if last != t.stored {
		docs = append(docs, event.Document{Kind: kind, ID: lastID, Body: fmt.Sprintf(`{"last":%d}`, last)})
	}
	t.mu.Unlock()

	for _, s := range snapshots {
		docs = append(docs, s.document())
	}
	err = t.put(ctx, docs)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.stored = last
		return more, nil
	}
	for _, g := range changed {
		t.markDirty(g)
	}
	for _, id := range removed {
		t.removed[id] = struct{}{}
	}
	return true, fmt.Errorf("store the issues: %w", err)
}

// put stores documents. The caller has locked storing.
func (t *Tracker) put(ctx context.Context, docs []event.Document) error {
	if len(docs) == 0 {
		return nil
	}
	return t.cfg.Store.PutDocuments(ctx, docs)
}
