// Package ports declares the parts of a host that the API uses, as small interfaces. All of
// them must be safe for concurrent use.
package ports

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Events are the parts that publish, read and deliver events.
type Events struct {
	Publisher   Publisher
	Log         EventLog
	Schedule    Schedule
	Published   stream.Log
	Activities  stream.Activities
	Router      Router
	Deliveries  Deliveries
	DeadLetters DeadLetters
	Replayer    Replayer
	Status      LogStatuser
}

// Plugins are the parts that show, switch and install plugins.
type Plugins struct {
	Registry    Registry
	Logs        Logs
	Installer   Installer
	Marketplace Marketplace
	State       KeyValues
}

// Admin are the parts for operators.
type Admin struct {
	Reloader Reloader
	Planner  Planner
	Audit    Auditor
	AuditLog AuditLog
	Ready    func() error // why the host is not ready, or nil
	Backups  Backups
	Doctor   func(context.Context) wire.Findings // examines the machine and this host
}

// Publisher stores events. An event that it returns a receipt for is durable.
type Publisher interface {
	// PublishEvents appends events and returns one receipt for each, in the same order; a
	// receipt with an Err stored nothing.
	PublishEvents(ctx context.Context, events []*event.Event) ([]event.Receipt, error)
}

// Router finds the handlers of an event.
type Router interface {
	// Routed reports whether a route takes the event: its type has one whose condition holds.
	Routed(ev *event.Event) bool
	// Explain returns which handlers would get the event, and why.
	Explain(ctx context.Context, ev *event.Event) (wire.Explanation, error)
	// Selection returns the function that selects the events whose type matches a glob, ""
	// for all, and for which a condition in CEL holds, "" for always. fault.Invalid about
	// "event_type" or "when".
	Selection(pattern, when string) (func(*event.Event) bool, error)
}

// EventLog reads what was published.
type EventLog interface {
	// Event finds an event by its id, or else by its idempotency key; fault.NotFound.
	Event(ctx context.Context, id string) (event.Record, error)
	// Events lists events, newest first.
	Events(ctx context.Context, q event.Query) ([]event.Record, error)
	// Read returns events from a Seq on, ascending; none at the end of the log.
	Read(ctx context.Context, from uint64, limit int) ([]event.Record, error)
	// SeqAt returns the Seq of the first event published at or after t, Last()+1 for none.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
}

// Schedule keeps events until they are due.
type Schedule interface {
	// ScheduledEvents lists events that are not due yet, the first due first. next is the
	// cursor of the next page, or "". fault.Invalid about "cursor".
	ScheduledEvents(ctx context.Context, q event.ScheduledQuery, cursor string) (list []event.Scheduled, next string, err error)
	// ScheduledEvent finds a scheduled or cancelled event by its id, or else by its idempotency
	// key; fault.NotFound.
	ScheduledEvent(ctx context.Context, id string) (event.Scheduled, error)
	// CancelScheduled cancels an event that is not due yet, by its id, or else by its
	// idempotency key; fault.NotFound.
	CancelScheduled(ctx context.Context, key string) (event.Scheduled, error)
}

// Actions change deliveries that are not ok, and list those that wait for a retry.
type Actions interface {
	// RetryNow makes the next attempts of a handler's deliveries due now, redrives those that
	// are dead letters, and lets an open breaker probe. It returns their number.
	RetryNow(ctx context.Context, handler string, seqs []uint64) (int, error)
	// SkipEvent makes a delivery that is not final a dead letter of the class skipped.
	// fault.Conflict: an attempt is under way, or it is final.
	SkipEvent(ctx context.Context, handler string, seq uint64) error
	// Retrying lists the deliveries of a handler that wait for a retry, above a Seq, ascending.
	Retrying(ctx context.Context, handler string, after uint64, limit int) ([]event.Delivery, error)
}

// Deliveries returns the deliveries of an event, one for each handler that takes it.
type Deliveries interface {
	Deliveries(ctx context.Context, rec event.Record) ([]wire.Delivery, error)
}

// DeadLetters keeps the events that handlers have given up on.
type DeadLetters interface {
	// DeadLetters lists at most limit of them, latest Seq first, with their events. next is
	// the cursor of the next page, or "". fault.Invalid about "cursor": it is not of this list.
	DeadLetters(ctx context.Context, f event.DeadFilter, cursor string, limit int) (list []wire.DeadLetter, next string, err error)
	// Redrive delivers them to their handlers again, as if they had just been published,
	// and returns their number.
	Redrive(ctx context.Context, f event.DeadFilter) (int, error)
	// Purge removes them, and returns their number.
	Purge(ctx context.Context, f event.DeadFilter) (int, error)
}

// Replayer delivers a part of the log to one plugin again.
type Replayer interface {
	// Replay stores that the events between from and to, both included, are delivered
	// again; the deliveries follow. fault.NotFound: no handler of this name has a position
	// in the log.
	Replay(ctx context.Context, plugin string, from, to uint64) error
	// SeqAt returns the Seq of the first event published at or after t, Last()+1 for none.
	SeqAt(ctx context.Context, t time.Time) (uint64, error)
	// Last returns the log's highest Seq; 0 for none.
	Last() uint64
	// Skip passes over events that cannot be read, both ends included, and returns the
	// handlers that had not processed them. fault.Conflict: one of them can be read.
	Skip(ctx context.Context, from, to uint64) (event.Skipped, error)
}

// LogStatuser returns the status of the event log.
type LogStatuser interface {
	LogStatus(ctx context.Context) (wire.LogStatus, error)
}

// Orders keeps orders. by is who makes a change. SetStatus returns fault.Precondition when ifMatch is not 0 and not
// the order's version.
type Orders interface {
	Create(ctx context.Context, n wire.NewOrder, by spec.Publisher) (wire.Order, event.Receipt, error)
	SetStatus(ctx context.Context, id, status string, ifMatch int64, by spec.Publisher) (wire.Order, event.Receipt, error)
	Get(ctx context.Context, id string) (wire.Order, error)
	List(ctx context.Context, q spec.OrderQuery) (wire.List[wire.Order], error)
}

// Registry shows and switches plugins. Changes are written to the configuration.
type Registry interface {
	List() []wire.Plugin
	Plugin(name string) (wire.Plugin, bool)
	// Known reports whether a plugin of the name is present, or configured.
	Known(name string) bool
	// SetEnabled enables or disables a plugin; fault.NotFound.
	SetEnabled(ctx context.Context, name string, enabled bool) (wire.Plugin, error)
	// SetPaused stops a plugin from taking events, without losing its position, or resumes
	// it; fault.NotFound.
	SetPaused(ctx context.Context, name string, paused bool) (wire.Plugin, error)
	// Approve grants a plugin what it asks for; fault.NotFound, fault.Invalid for what it
	// does not ask for, and fault.Precondition when it is not the module named.
	Approve(ctx context.Context, name string, in wire.Approval, precondition func(wire.Plugin) error) (wire.Plugin, error)
	// Report returns the report of vetting the module with this SHA-256 (hex), as JSON;
	// false when it was not vetted since the host started.
	Report(sha256 string) (json.RawMessage, bool)
}

// Logs keeps the latest log lines of plugins.
type Logs interface {
	// Log returns the selected lines of a plugin, oldest first; none if it knows none.
	Log(plugin string, q spec.LogQuery) wire.PluginLog
}

// KeyValues is the key-value state of plugins. Keys and values are bytes; a key whose limit has
// passed is absent.
type KeyValues interface {
	// KVGet returns a value, and whether there is one.
	KVGet(ctx context.Context, plugin, key string) (value []byte, found bool, err error)
	// KVChange writes or removes a value in one write. fault.Conflict: another one is there.
	// fault.Exhausted about "value": beyond the quota.
	KVChange(ctx context.Context, plugin string, c spec.KVChange) error
	// KVList returns the keys that begin with prefix and sort bytewise after another key, "" for
	// all, ascending, at most limit of them.
	KVList(ctx context.Context, plugin, prefix, after string, limit int) ([]spec.KVItem, error)
	// KVUsage returns the size of a plugin's state and its quota, in bytes.
	KVUsage(ctx context.Context, plugin string) (used, quota int64, err error)
}

// Installer installs and uninstalls plugins. A plugin that it returns is in a final state:
// active, disabled, held or in need of approval. After an error nothing has changed; a
// problem.Planned error waits for its plan to be approved. report, unless nil, is called with
// the progress. precondition, unless nil, is called when the change starts. fault.Conflict:
// the name is taken, or the state does not allow it.
type Installer interface {
	// Install fetches a module and makes a plugin of it.
	Install(ctx context.Context, in wire.Install, report func(wire.Progress)) (wire.Plugin, error)
	// Upgrade replaces an installed plugin by another version.
	Upgrade(ctx context.Context, name string, in wire.Upgrade, precondition func(wire.Plugin) error,
		report func(wire.Progress)) (wire.Plugin, error)
	// Rollback returns to a former version, "" for the previous one.
	Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error, report func(wire.Progress)) (wire.Plugin, error)
	// Uninstall removes a plugin, and what the host keeps for it; fault.NotFound. force: also
	// if a route names it. purge: its stored values as well. While other hosts have its file, they keep all but the file here.
	Uninstall(ctx context.Context, name string, force, purge bool, precondition func(wire.Plugin) error) (wire.Uninstalled, error)
	// Verify hashes every stored version of every installed plugin.
	Verify(ctx context.Context) ([]wire.Stored, error)
}

// Marketplace lists the plugins that can be installed from a marketplace.
type Marketplace interface {
	// Listings returns a page of the list. fault.NotFound: the marketplace is disabled.
	// fault.Unavailable, fault.Timeout, fault.Denied: the list cannot be fetched, or not be
	// trusted, and there is no older one.
	Listings(ctx context.Context, q spec.ListingQuery) (wire.Marketplace, error)
}

// Reloader owns the configuration in force.
type Reloader interface {
	// Reload reads the configuration again. fault.Invalid: it is invalid, and nothing
	// changed; the error is a problem.Detailed.
	Reload(ctx context.Context) (wire.ReloadResult, error)
	// InForce returns the settings in force: all, or those that one handler runs with.
	// fault.NotFound: no handler of this name is configured or installed.
	InForce(handler string) (wire.Settings, error)
	// File returns the configuration file, and what a reload would change.
	File(ctx context.Context) (wire.ConfigFile, error)
	// AdoptDecisions returns what the hosts of a cluster have decided about handlers as YAML, and
	// with clear removes it from the database. fault.Conflict: the host is not one of a cluster.
	AdoptDecisions(ctx context.Context, clear bool) (wire.Adopted, error)
	// HandlerConfig returns a handler's config and its schema; fault.NotFound.
	HandlerConfig(name string) (wire.HandlerConfig, error)
	// SetHandlerConfig replaces a handler's config. precondition, unless nil, is called when
	// the change starts. Its error is a problem.Detailed when the schema refuses the config.
	SetHandlerConfig(ctx context.Context, name string, object json.RawMessage,
		precondition func(wire.HandlerConfig) error) (wire.HandlerConfig, error)
}

// Planner predicts what another configuration would do.
type Planner interface {
	// Plan gives events of the log to the present and to another configuration, and compares;
	// it changes nothing. fault.Invalid: the request or its configuration is invalid.
	// fault.Exhausted with a RetryAfter: another plan is being made. fault.Conflict: the file of
	// the host, which the plan is to be about, is invalid.
	Plan(ctx context.Context, in wire.NewPlan) (wire.ConfigPlan, error)
}

// Backups makes backups of the host.
type Backups interface {
	// Make makes a backup of the host as it is now. The caller must close it. fault.Conflict:
	// another one is open, or the host cannot be backed up. fault.Exhausted: the disk has not
	// enough free space.
	Make(ctx context.Context) (Backup, error)
}

// Backup is a backup that is complete, in a file of the host.
type Backup interface {
	Name() string // a name for its file
	Size() int64  // bytes
	Summary() any // for the audit log; encoded as JSON
	Write(to io.Writer) error
	Close() error
}

// Auditor writes the audit log. A record that it appends without an error is durable.
type Auditor interface {
	Append(r wire.AuditRecord) error
}

// AuditLog reads the audit log.
type AuditLog interface {
	// Changes returns the latest changes and refused attempts that q selects, newest last, and
	// the cursor of the page before them, or "". One that is under way has the stage begin.
	// fault.Invalid about "cursor".
	Changes(q spec.AuditQuery) (list []wire.AuditRecord, next string, err error)
}

// Figures are the parts that measure the host.
type Figures struct {
	Metrics http.Handler // of GET /metrics
	Series  SeriesSource
}

// SeriesSource measures the host and its handlers.
type SeriesSource interface {
	// Overview returns the state of the host and of every handler, the worst first.
	Overview(ctx context.Context) (wire.Overview, error)
	// Series returns the figures of a plugin, or of the host for "", over the last hour or, if
	// day is set, over the last 24 hours.
	Series(ctx context.Context, plugin string, day bool) (wire.Series, error)
}

// Tracer records what a request does. It must be safe for concurrent use.
type Tracer interface {
	// Request starts the span of a request at a route. The context is for its work; end takes
	// the status of the answer, and the error behind it or nil.
	Request(r *http.Request, route string) (ctx context.Context, end func(status int, err error))
	// Publish starts the span of publishing one event of a type, with its own traceparent or
	// "", or n events with "" for both. event.TraceParentOf the context is for events without a
	// traceparent of their own. end takes the id of the one event, or "".
	Publish(ctx context.Context, typ string, n int, own string) (_ context.Context, end func(id string, err error))
}
