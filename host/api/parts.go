package api

import (
	"context"
	"encoding/json"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/wire"
)

// Publisher takes events. What it answers without an error is durable.
type Publisher interface {
	// PublishEvents appends events, one receipt each in the same order; a receipt
	// with an Err stored nothing.
	PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
}

// Router says whether a route takes an event: whether its type has one, and the
// condition of that one holds.
type Router interface {
	Routed(ev *event.Event) bool
}

// EventLog reads what was published.
type EventLog interface {
	// Event finds an event by its id, or else by its idempotency key; fault.NotFound.
	Event(ctx context.Context, id string) (event.Record, error)
	// Events lists events, newest first.
	Events(ctx context.Context, q event.Query) ([]event.Record, error)
}

// Deliveries says where an event stands with each handler that takes it.
type Deliveries interface {
	Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error)
}

// OrderQuery selects orders, newest first.
type OrderQuery struct {
	Status   string // "" for all
	Customer string // "" for all
	Cursor   string // "" for the first page
	Limit    int    // 0 for the default
}

// Orders keeps orders. SetStatus answers fault.Precondition when ifMatch is not
// 0 and not the order's version.
type Orders interface {
	Create(ctx context.Context, n wire.NewOrder) (wire.Order, event.Receipt, error)
	SetStatus(ctx context.Context, id, status string, ifMatch int64) (wire.Order, event.Receipt, error)
	Get(ctx context.Context, id string) (wire.Order, error)
	List(ctx context.Context, q OrderQuery) (wire.List[wire.Order], error)
}

// Plugins shows and switches plugins.
type Plugins interface {
	List() []wire.Plugin
	Plugin(name string) (wire.Plugin, bool)
	// Known reports whether a plugin of the name is there, or configured.
	Known(name string) bool
	// SetEnabled switches a plugin and writes that to the configuration; fault.NotFound.
	SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error)
	// Approve grants what a plugin asks for and writes that to the configuration;
	// fault.NotFound, fault.Invalid for what it does not ask for, and
	// fault.Precondition when it is not the module named. agreed is shown the plugin
	// of which that is granted, and refuses by its error.
	Approve(ctx context.Context, name string, in wire.Approval, agreed func(wire.Plugin) error) (wire.Plugin, error)
	// Report is what vetting found of the module with this SHA-256 (hex), as JSON;
	// false when it was not vetted since the host started.
	Report(sha256 string) (json.RawMessage, bool)
}

// Explainer says who would get an event.
type Explainer interface {
	Explain(ctx context.Context, ev *event.Event) (wire.Explanation, error)
}

// Installer puts plugins in and takes them out. A plugin that it answers is at
// rest: active, disabled, held or in need of approval. After an error nothing has
// changed; one that is a Planned waits for its plan to be approved. report, nil
// when nobody wants to know, is told how far it is. agreed, when not nil, is shown
// the plugin when its turn has come, and refuses by its error. fault.Conflict: the
// name is taken, or the state does not allow it.
type Installer interface {
	// Install fetches a module and makes a plugin of it.
	Install(ctx context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error)
	// Upgrade puts another version in the place of an installed plugin's.
	Upgrade(ctx context.Context, name string, in wire.Upgrade, agreed func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error)
	// Rollback goes back to a former version, "" for the one before.
	Rollback(ctx context.Context, name, version string, agreed func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error)
	// Uninstall removes a plugin, and what the host keeps for it; fault.NotFound.
	// force: also if a route names it. purge: what it has stored as well.
	Uninstall(ctx context.Context, name string, force, purge bool, agreed func(wire.Plugin) error) error
	// Verify hashes every stored version of every installed plugin.
	Verify(ctx context.Context) ([]wire.Stored, error)
}

// Planned is an error that says what is to be approved before it goes on.
type Planned interface {
	error
	Plan() wire.Plan
}

// Reloader reads the configuration again. fault.Invalid: it is wrong, and
// nothing changed; the error has Details.
type Reloader interface {
	Reload(ctx context.Context) (wire.ReloadResult, error)
	// InForce is what holds now: all settings, or those that one handler runs with.
	InForce(handler string) wire.Settings
}

// Activities is what the event stream shows besides what is published. The channel is buffered and
// bounded; it is closed when ctx ends, and when the subscriber was too slow to
// keep up. Feed is an implementation.
type Activities interface {
	Subscribe(ctx context.Context) <-chan wire.Activity
}
