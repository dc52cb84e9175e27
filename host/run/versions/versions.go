// Package versions keeps which versions of plugins were active, by the digests of their
// modules, so that a delivery or a failure of an earlier version names it.
package versions

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// kind is that of the documents, whose ids are <handler>/<sha256>.
const kind = "module"

// MaxOfHandler is how many versions of a handler are kept: the ones that became active last.
const MaxOfHandler = 100

// Store keeps documents; see bus.State.
type Store interface {
	PutDocuments(ctx context.Context, list []event.Document) error
	Documents(ctx context.Context, kind string) ([]event.Document, error)
}

// Config configures Versions. All fields are required.
type Config struct {
	Store  Store
	Now    func() time.Time
	Logger *slog.Logger
}

// Versions are those of all plugins. They are safe for concurrent use.
type Versions struct {
	cfg Config

	write sync.Mutex // held while a document is stored
	mu    sync.RWMutex
	known map[string][]wire.VersionMarker // by plugin, in the order in which they first became active
}

// Open reads what is stored.
func Open(ctx context.Context, cfg Config) (*Versions, error) {
	v := &Versions{cfg: cfg, known: make(map[string][]wire.VersionMarker)}
	documents, err := cfg.Store.Documents(ctx, kind)
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		var m wire.VersionMarker
		if err := json.Unmarshal([]byte(d.Body), &m); err != nil || idOf(m) != d.ID {
			cfg.Logger.Warn("document of a version ignored", "id", d.ID, "error", err)
			continue
		}
		v.known[m.Plugin] = append(v.known[m.Plugin], m)
	}
	for _, list := range v.known {
		slices.SortFunc(list, inTime)
	}
	return v, nil
}

func idOf(m wire.VersionMarker) string { return m.Plugin + "/" + m.SHA256 }

func inTime(a, b wire.VersionMarker) int {
	return cmp.Or(a.At.Compare(b.At), strings.Compare(idOf(a), idOf(b)))
}

// Activated notes that a version of a plugin is active. If that is the first time, it is stored;
// a failure is logged, and the version is known until the host stops.
func (v *Versions) Activated(ctx context.Context, plugin, sha256, version string) {
	if sha256 == "" {
		return
	}
	v.write.Lock()
	defer v.write.Unlock()
	v.mu.Lock()
	list := v.known[plugin]
	if slices.ContainsFunc(list, func(m wire.VersionMarker) bool { return m.SHA256 == sha256 }) {
		v.mu.Unlock()
		return
	}
	m := wire.VersionMarker{Plugin: plugin, Version: version, SHA256: sha256, At: v.cfg.Now().UTC()}
	var documents []event.Document
	list = append(slices.Clone(list), m)
	for len(list) > MaxOfHandler {
		documents = append(documents, event.Document{Kind: kind, ID: idOf(list[0])})
		list = list[1:]
	}
	v.known[plugin] = list
	v.mu.Unlock()
	body, err := json.Marshal(m)
	if err == nil {
		err = v.cfg.Store.PutDocuments(ctx, append(documents, event.Document{Kind: kind, ID: idOf(m), Body: string(body)}))
	}
	if err != nil {
		v.cfg.Logger.Warn("version not stored; after a restart its deliveries show its digest only", "plugin", plugin, "version", version,
			"sha256", sha256, "error", err)
	}
}

// Of returns the version of a plugin's module, "" when it is not known.
func (v *Versions) Of(plugin, sha256 string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, m := range v.known[plugin] {
		if m.SHA256 == sha256 {
			return m.Version
		}
	}
	return ""
}

// Markers returns the versions of a plugin, or of all for "", in the order in which they first
// became active.
func (v *Versions) Markers(plugin string) []wire.VersionMarker {
	v.mu.RLock()
	defer v.mu.RUnlock()
	list := []wire.VersionMarker{}
	for name, of := range v.known {
		if plugin == "" || plugin == name {
			list = append(list, of...)
		}
	}
	slices.SortFunc(list, inTime)
	return list
}

// Name sets the versions in a delivery and its history.
func (v *Versions) Name(d *wire.Delivery) {
	if d.SHA256 != "" {
		d.Version = v.Of(d.Plugin, d.SHA256)
	}
	for i := range d.History {
		if a := &d.History[i]; a.SHA256 != "" {
			a.Version = v.Of(d.Plugin, a.SHA256)
		}
	}
}
