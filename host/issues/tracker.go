package issues

import (
	"context"
	"hash/maphash"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

const (
	// MaxActive bounds the issues that are open or acknowledged.
	MaxActive = 1000
	// MaxEnded bounds those that are resolved or ignored.
	MaxEnded = 4000
	// Other is the class of a handler's issue for the failures without an issue of their own.
	Other event.Class = "other"

	// maxRecent bounds the messages whose fingerprint is cached.
	maxRecent = 1024
	// flushEvery is the time between two writes of changed issues.
	flushEvery = time.Second
)

// Store keeps documents.
type Store interface {
	// PutDocuments stores documents in one transaction. One without a body is removed.
	PutDocuments(ctx context.Context, list []event.Document) error
	// Documents returns the documents of a kind, ascending by ID.
	Documents(ctx context.Context, kind string) ([]event.Document, error)
}

// Config configures a Tracker.
type Config struct {
	Store Store // required
	// Normalise replaces what differs between failures of one cause, such as numbers and ids,
	// in the first line of a message. Required.
	Normalise func(headline string) string
	// Top returns the innermost frame of the guest's own code that a message lists; nil for
	// none. Required.
	Top func(message string) *spec.Frame
	// Shared says that the hosts of a cluster share the store: only the issues of the handlers
	// in Own are counted and stored here; those of the others are as of the last Refresh.
	Shared bool
	Logger *slog.Logger     // nil discards
	Now    func() time.Time // default time.Now
}

// fingerprint identifies a group of failures.
type fingerprint struct {
	handler string
	class   event.Class
	message string // normalised
	frame   string
}

// Tracker groups failed attempts. It is safe for concurrent use.
type Tracker struct {
	cfg  Config
	seed maphash.Seed

	storing sync.Mutex // serialises writes to the store

	mu      sync.Mutex
	last    uint64                 // the id given last
	groups  map[fingerprint]*group // all
	byID    map[uint64]*group      // likewise
	active  map[string]int         // by handler: the groups that are open or acknowledged
	nActive int
	recent  map[failureKey]fingerprint // of the latest messages
	removed map[uint64]string          // ids whose document is to be removed, with the handler
	owned   map[string]spec.Fence      // the handlers of Own
	dirty   []*group                   // changed since they were stored, the longest first
	stored  uint64                     // last, as it was stored
	failing bool                       // the last write failed
}

// Open returns a Tracker with the issues of the store. The caller runs Run, and calls Close
// when no attempt is under way any more.
func Open(ctx context.Context, cfg Config) (*Tracker, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tracker{cfg: cfg, seed: maphash.MakeSeed(), groups: make(map[fingerprint]*group), byID: make(map[uint64]*group),
		active: make(map[string]int), recent: make(map[failureKey]fingerprint), removed: make(map[uint64]string),
		owned: make(map[string]spec.Fence)}
	if err := t.load(ctx); err != nil {
		return nil, fault.New(fault.CodeOf(err), "load the issues: %w", err)
	}
	return t, nil
}

// Failed counts a failed attempt. key is the event's order key, or its subject; version is
// that of the module that made the attempt, "" when it is not known. It keeps none of the
// delivery's slices. An attempt that was cancelled is no failure, nor is an event that an
// operator skipped.
func (t *Tracker) Failed(rec event.Record, d event.Delivery, key, version string) {
	switch d.ErrorClass {
	case "", event.ClassCancelled, event.ClassSkipped, event.ClassUnreadable:
		return
	}
	k := t.key(d.Handler, d.ErrorClass, d.ErrorMessage)
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.owns(d.Handler) { // an attempt that ended after Release: its outcome was refused as well
		return
	}
	fp, known := t.recent[k]
	if !known {
		t.mu.Unlock()
		fp = t.fingerprint(d.Handler, d.ErrorClass, d.ErrorMessage) // may take a while
		t.mu.Lock()
		if len(t.recent) >= maxRecent {
			clear(t.recent)
		}
		t.recent[k] = fp
	}
	g := t.groups[fp]
	if g == nil {
		g = t.open(fp, d.ErrorMessage)
	}
	at := d.At.Round(0).UTC() // without its monotonic part, as it is read back
	if d.At.IsZero() {
		at = t.cfg.Now().Round(0).UTC()
	}
	if g.State == wire.IssueResolved {
		t.reopen(g, rec, at, version)
	}
	g.record(rec, d, at, key, version)
	t.markDirty(g)
}

// IssueOf returns the id of the issue of a failure; "" when it has none.
func (t *Tracker) IssueOf(handler string, class event.Class, message string) string {
	k := t.key(handler, class, message)
	t.mu.Lock()
	fp, known := t.recent[k]
	t.mu.Unlock()
	if !known {
		fp = t.fingerprint(handler, class, message)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[fp]
	if g == nil {
		g = t.groups[otherOf(handler)]
	}
	if g == nil {
		return ""
	}
	return g.ID
}

// failureKey identifies a failure by the hash of its whole message.
type failureKey struct {
	handler string
	class   event.Class
	message uint64
}

func (t *Tracker) key(handler string, class event.Class, message string) failureKey {
	return failureKey{handler, class, maphash.String(t.seed, message)}
}

// fingerprint computes the fingerprint of a failure.
func (t *Tracker) fingerprint(handler string, class event.Class, message string) fingerprint {
	fp := fingerprint{handler: handler, class: class}
	fp.message = event.Headline(t.cfg.Normalise(event.Headline(message, maxMessage)), maxMessage)
	if top := t.cfg.Top(message); top != nil {
		fp.frame = frameKey(*top)
	}
	return fp
}

// frameKey identifies a frame. A function that has a name is the same one at another line:
// lines differ between versions.
func frameKey(f spec.Frame) string {
	if f.Function != "" {
		return f.Function
	}
	return position(f)
}

// Forget removes the issues of a handler, also from the store.
func (t *Tracker) Forget(ctx context.Context, handler string) error {
	t.mu.Lock()
	for _, g := range t.byID {
		if g.Handler == handler {
			t.remove(g)
		}
	}
	maps.DeleteFunc(t.recent, func(_ failureKey, fp fingerprint) bool { return fp.handler == handler })
	t.mu.Unlock()
	_, err := t.flush(ctx)
	return err
}

// Active returns how many issues are open or acknowledged, by plugin.
func (t *Tracker) Active() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	byPlugin := make(map[string]int, len(t.active))
	for unit, n := range t.active {
		byPlugin[spec.PluginOf(unit)] += n
	}
	return byPlugin
}

// Run stores changed issues once a second until ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := t.flush(ctx)
		if ctx.Err() == nil {
			t.report(err)
		}
	}
}

// Close stores all that is not stored yet.
func (t *Tracker) Close(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = t.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// report logs the first failure of a write, and the recovery.
func (t *Tracker) report(err error) {
	t.mu.Lock()
	before := t.failing
	t.failing = err != nil
	t.mu.Unlock()
	switch {
	case err != nil && !before:
		t.cfg.Logger.Warn("issues not stored; they are stored with the next ones", "error", err)
	case err == nil && before:
		t.cfg.Logger.Info("issues are stored again")
	}
}
