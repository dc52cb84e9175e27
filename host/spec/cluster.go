package spec

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// ErrFenced is why an engine of several hosts refuses a write under a fence whose epoch is
// past: another host owns the unit now, or none does. Nothing of the write is stored, and
// repeating it is of no use.
var ErrFenced = fault.New(fault.Conflict, "another host owns it now")

type fenceKey struct{}

// WithFence returns a context whose writes an engine of several hosts refuses with ErrFenced
// unless the epoch of the fence is the present one: it checks that in the transaction of the
// write. Engines of one host do not look at it.
func WithFence(ctx context.Context, f Fence) context.Context {
	return context.WithValue(ctx, fenceKey{}, f)
}

// FenceOf returns the fence of a context, and whether it has one.
func FenceOf(ctx context.Context) (Fence, bool) {
	f, ok := ctx.Value(fenceKey{}).(Fence)
	return f, ok
}

// Member is a host of a cluster as it describes itself to the others.
type Member struct {
	ID       string            `json:"id"`       // of one start of the host: a UUID
	Name     string            `json:"name"`     // of the configuration, stable, unique among live members
	URL      string            `json:"url"`      // of its API
	Version  string            `json:"version"`  // of the program
	Settings string            `json:"settings"` // SHA-256 of the settings that all hosts should share, in hex
	Modules  map[string]string `json:"modules"`  // SHA-256 of the module of each active plugin, by name
	Inactive []string          `json:"inactive"` // names of its other plugins, ascending
	Units    []string          `json:"units"`    // that it can run now, ascending
	// Layouts are the shards that its configuration wants of each plugin that is here, as package
	// shards writes them, by name.
	Layouts map[string]string `json:"layouts,omitempty"`
	// Progress is that of the handlers and shards that it runs, by unit. It is for display: no
	// decision depends on it.
	Progress  map[string]Progress `json:"progress,omitempty"`
	Draining  bool                `json:"draining"` // it takes no unit and gives its own away
	Watched   bool                `json:"watched"`  // a client follows its event stream
	StartedAt time.Time           `json:"started_at"`
	// ClockOffset is how far its clock is ahead of the database's. It is for display: no
	// decision depends on it.
	ClockOffset time.Duration `json:"clock_offset_ns"`
}

// Progress is how far a host is with a unit that it runs.
type Progress struct {
	Open   uint64    `json:"open,omitempty"` // as in wire.LogReader
	Lag    uint64    `json:"lag,omitempty"`  // the same, in a log that ends at Last
	Last   uint64    `json:"last,omitempty"`
	State  string    `json:"state,omitempty"` // wire.BreakerOpen or wire.Stuck; "" for neither
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"` // when State was reached
}

// Unit is what one host at a time does for the cluster: it runs a handler, a shard of one,
// or a job such as the retention, whose names begin with ":".
type Unit struct {
	Name  string
	Owner string // the ID of a member; "" when it is free
	Epoch uint64 // it grows with each take
}

// UnitState is a unit that runs a handler or a shard of one, with the progress of it.
type UnitState struct {
	Name   string
	Owner  string // the ID of a member; "" when it is free
	Cursor uint64 // of its position in the log
	Found  bool   // it has a position
	Open   bool   // a delivery waits for an attempt
}

// Beating is a member and the number of its newest renewal, which the member itself counts: a
// host is alive while another host, by its own clock, sees the number change. Timestamps of two
// machines are never compared.
type Beating struct {
	Member
	Beat uint64
	// Joining is set until a renewal of the member was confirmed.
	Joining bool
}

// ClusterView is the cluster at one moment, as the database shows it.
type ClusterView struct {
	Members []Beating // by ID
	Units   []Unit    // by name
	// Now is the clock of the database.
	Now time.Time
	// Revisions has a number for each kind of shared document that grows with every change.
	Revisions map[string]uint64
}

// ClusterCommand is an action on a unit that its owner carries out for another host.
type ClusterCommand struct {
	ID     string // a UUID
	Unit   string
	Method string // such as redrive
	Body   []byte // JSON
}

// SharedDocument is what all hosts of a cluster share under a kind and an id.
type SharedDocument struct {
	Kind, ID string
	Body     []byte
	Revision uint64 // 1 for a new one, grows with each change, also over a removal
}
