package shards

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/berth-host/berth/host/spec"
)

// Kind is the kind of the shared documents that hold generations. Their ids are plugins.
const Kind = "shards"

// Stage is a step of a change of the layout.
type Stage string

// The stages, in order.
const (
	// Running: the units of the layout run.
	Running Stage = ""
	// Stopping: hosts give the units away.
	Stopping Stage = "stopping"
	// Draining: the units run up to the cut, and no further.
	Draining Stage = "draining"
	// Ending: hosts give the units away, in which nothing is open.
	Ending Stage = "ending"
)

// Generation is the layout of a handler in force, and how far the change to the next one is.
type Generation struct {
	Number uint64  `json:"number"` // of changes before
	Layout Layout  `json:"layout"`
	Next   *Layout `json:"next,omitempty"` // nil: none
	Stage  Stage   `json:"stage,omitempty"`
	Cut    uint64  `json:"cut,omitempty"` // the last Seq of the layout; of Draining and Ending
}

// first returns the generation of a plugin without a document.
func first() Generation { return Generation{Layout: New(1, "")} }

// Decode returns the generation of a document.
func Decode(d spec.SharedDocument) (g Generation, err error) {
	if err := json.Unmarshal(d.Body, &g); err != nil {
		return g, fmt.Errorf("shards of %s: %w", d.ID, err)
	}
	changing := g.Stage == Stopping || g.Stage == Draining || g.Stage == Ending
	if l := g.Layout; l.Shards < 1 || l.Shards > spec.MaxShards || changing != (g.Next != nil) || !changing && g.Stage != Running {
		return g, fmt.Errorf("shards of %s: a newer Berth has stored %s", d.ID, d.Body)
	}
	return g, nil
}

// UnitsBy returns the units of a plugin by the body of its document; nil: it has none.
func UnitsBy(plugin string, body []byte) ([]string, error) {
	g := first()
	if body != nil {
		var err error
		if g, err = Decode(spec.SharedDocument{ID: plugin, Body: body}); err != nil {
			return nil, err
		}
	}
	return g.Layout.Units(plugin), nil
}

// document returns the document of a generation, in place of one with this revision.
func (g Generation) document(plugin string, revision uint64) spec.SharedDocument {
	body, err := json.Marshal(g)
	if err != nil {
		panic(err) // it has texts and numbers only
	}
	return spec.SharedDocument{Kind: Kind, ID: plugin, Body: body, Revision: revision}
}

// Units returns the units of a plugin that may run now, in order.
func (g Generation) Units(plugin string) []string {
	if !g.MayRun() {
		return nil
	}
	return g.Layout.Units(plugin)
}

// MayRun reports whether the units may run now.
func (g Generation) MayRun() bool { return g.Stage == Running || g.Stage == Draining }

// Until returns the Seq that the units may read to; 0 for no bound.
func (g Generation) Until() uint64 {
	if g.Stage == Draining {
		return g.Cut
	}
	return 0
}

// situation is what decides the next step of a generation.
type situation struct {
	wanted    []Layout // of live members, those of which the plugin is
	steady    bool     // they have wanted the same for a while
	late      bool     // units should have been free before
	free      bool     // no host owns a unit of the layout, and each has a position
	done      bool     // each has passed the cut, and nothing in them is open
	forgotten bool     // no live host has the plugin, none owns a unit of the layout, and none has a position
}

// action is how a step is stored.
type action int

const (
	wait   action = iota // no step
	put                  // by compare-and-swap of the document
	cut                  // with the cut, while the units are free
	begin                // with the cursors of the next units, while the units are free and done
	remove               // while the units are free, and no unit of the plugin has a position
)

// step returns the next step, and the generation after it. The store adds the cut.
func (g Generation) step(s situation) (Generation, action) {
	if s.forgotten {
		return first(), remove
	}
	switch wanted, unanimous := agreement(s.wanted); g.Stage {
	case Running:
		if unanimous && wanted != g.Layout && s.steady {
			g.Stage, g.Next = Stopping, &wanted
			return g, put
		}
	case Stopping:
		switch {
		case len(s.wanted) > 0 && (!unanimous || wanted != *g.Next):
			g.Stage, g.Next = Running, nil
			return g, put
		case s.free:
			g.Stage = Draining
			return g, cut
		case s.late:
			g.Stage, g.Next = Running, nil
			return g, put
		}
	case Draining:
		if s.done {
			g.Stage = Ending
			return g, put
		}
	case Ending:
		switch {
		case !s.done: // such as a dead letter that was redriven meanwhile
			g.Stage = Draining
			return g, put
		case s.free:
			return Generation{Number: g.Number + 1, Layout: *g.Next}, begin
		}
	}
	return g, wait
}

// agreement returns the layout that all want; the zero Layout is of one that does not say.
func agreement(wanted []Layout) (l Layout, unanimous bool) {
	if len(wanted) == 0 || slices.ContainsFunc(wanted, func(l Layout) bool { return l != wanted[0] || l.Shards == 0 }) {
		return l, false
	}
	return wanted[0], true
}
