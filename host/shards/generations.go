package shards

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/berth-host/berth/host/spec"
)

// Documents keeps the documents that hosts of a cluster share.
type Documents interface {
	// Shared returns the documents of a kind, ascending by id.
	Shared(ctx context.Context, kind string) ([]spec.SharedDocument, error)
}

// Generations are the generations of all handlers as this host knows them.
type Generations struct {
	store Documents

	mu    sync.Mutex
	known map[string]Generation // by plugin
}

// NewGenerations returns Generations that know none: Follow reads them.
func NewGenerations(store Documents) *Generations { return &Generations{store: store} }

// Follow reads all documents, and reports whether one has changed. A document that cannot be read
// leaves its plugin as it was known, and is an error.
func (g *Generations) Follow(ctx context.Context) (changed bool, err error) {
	list, err := g.store.Shared(ctx, Kind)
	if err != nil {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := make(map[string]Generation, len(list))
	var errs []error
	for _, d := range list {
		one, err := Decode(d)
		if err != nil {
			errs = append(errs, err)
			var found bool
			if one, found = g.known[d.ID]; !found {
				one = Generation{Layout: New(1, ""), Stage: Stopping} // nothing of it runs here
			}
		}
		now[d.ID] = one
	}
	changed = !maps.EqualFunc(now, g.known, Generation.equal)
	g.known = now
	return changed, errors.Join(errs...)
}

func (g Generation) equal(other Generation) bool {
	a, b := g, other
	a.Next, b.Next = nil, nil
	if a != b || (g.Next == nil) != (other.Next == nil) {
		return false
	}
	return g.Next == nil || *g.Next == *other.Next
}

// Of returns the generation of a plugin as this host knows it.
func (g *Generations) Of(plugin string) Generation {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, found := g.known[plugin]; found {
		return known
	}
	return first()
}

// Read reads the generation of a plugin from the database. A host does so before it runs a unit
// that it has acquired: while it owns the unit, no change of the layout goes on.
func (g *Generations) Read(ctx context.Context, plugin string) (Generation, error) {
	list, err := g.store.Shared(ctx, Kind)
	if err != nil {
		return Generation{}, err
	}
	for _, d := range list {
		if d.ID == plugin {
			return Decode(d)
		}
	}
	return first(), nil
}
