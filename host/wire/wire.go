// Package wire has the JSON types of the API. The API writes them, the command line reads
// them, and the parts of the host return them. Plain values; safe to copy.
//
// The tags named jsonschema are for /openapi.json, which is generated from these types.
// A pointer that is encoded as null needs the tag nullable.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// VersionHeader is in every answer of a host, with its version. Clients recognise a host by
// it.
const VersionHeader = "Berth-Version"

// List is a list in an answer. Next is the cursor of the next page, or null at the end.
type List[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next" jsonschema:"nullable"`
}

// Receipt answers a published event.
type Receipt struct {
	EventID        string `json:"event_id"`
	IdempotencyKey string `json:"idempotency_key"`
	Duplicate      bool   `json:"duplicate"`
	// DueAt is when the event, or the one that it duplicates, is due; absent once it is in the log.
	DueAt *time.Time `json:"due_at,omitempty"`
	// Cancelled says that the event that it duplicates was cancelled before it was due.
	Cancelled bool `json:"cancelled,omitempty"`
	// Routed is false when no route takes the event, so that no handler gets it; absent for a
	// refused event.
	Routed *bool `json:"routed,omitempty"`
}

// BatchReceipt is the receipt of one event of a batch, or the reason why it was refused.
type BatchReceipt struct {
	Receipt
	Error *Problem `json:"error,omitempty"`
}

// Delivery is the delivery of one event to one handler.
type Delivery struct {
	Plugin   string          `json:"plugin"`
	Shard    *int            `json:"shard,omitempty"` // of its handler; absent when that has one
	Status   string          `json:"status" jsonschema:"enum=pending,enum=delivering,enum=retrying,enum=ok,enum=dead"`
	Attempts int             `json:"attempts"`
	Result   json.RawMessage `json:"result"` // the guest's JSON, or null
	// ResultKept is false for a success whose result, duration and fuel an older version of
	// the host did not keep, or a repair of the store lost; absent otherwise.
	ResultKept *bool          `json:"result_kept,omitempty"`
	Error      *DeliveryError `json:"error" jsonschema:"nullable"`
	DurationMS float64        `json:"duration_ms"`
	Fuel       uint64         `json:"fuel"`
	At         time.Time      `json:"at"`
	SHA256     string         `json:"sha256,omitempty"`  // of the module that made the last attempt, hex; absent before it and when unknown
	Version    string         `json:"version,omitempty"` // of that module; absent when unknown
	// DueAt is when the next attempt is due; absent unless the delivery is retrying.
	DueAt *time.Time `json:"due_at,omitempty"`
	// WaitingFor is why no attempt is under way; absent while one is, and when it is final.
	WaitingFor *WaitingFor `json:"waiting_for,omitempty"`
	// History has each failed attempt, oldest first, and the last attempt; nil in lists and on
	// the event stream. Attempts before a redrive or a replay are included.
	History []PastAttempt `json:"history,omitzero"`
}

// Unit is the name of what makes the delivery: the plugin, or a shard of its handler, as "enrich/3".
func (d *Delivery) Unit() string { return spec.UnitName(d.Plugin, d.Shard) }

// WaitingFor is what a delivery waits for.
type WaitingFor struct {
	// Kind: key, an earlier event of the same order key; breaker; pause; stuck, the log cannot
	// be read there; instance, a free instance; retry, until DueAt; backlog, the handler has not
	// read the event yet; disabled, the handler does not run; standby, another host runs it; schedule.
	Kind    string     `json:"kind" jsonschema:"enum=key,enum=breaker,enum=pause,enum=stuck,enum=instance,enum=retry,enum=backlog,enum=disabled,enum=standby,enum=schedule"`
	EventID string     `json:"event_id,omitempty"` // of the event that has to end first
	Until   *time.Time `json:"until,omitempty"`    // when that is known
	Reason  string     `json:"reason,omitempty"`   // for a person
}

// PastAttempt is one attempt of a delivery.
type PastAttempt struct {
	Attempt    int              `json:"attempt"` // from 1
	Status     string           `json:"status" jsonschema:"enum=retrying,enum=ok,enum=dead"`
	Error      *DeliveryError   `json:"error" jsonschema:"nullable"`
	DurationMS float64          `json:"duration_ms"`
	Fuel       uint64           `json:"fuel"`
	At         time.Time        `json:"at"` // when it ended
	Version    string           `json:"version,omitempty"`
	SHA256     string           `json:"sha256,omitempty"`
	Instance   int              `json:"instance,omitempty"`
	Logs       []spec.GuestLine `json:"logs"`
}

// DeliveryError is the error of the last attempt.
type DeliveryError struct {
	Class   string `json:"class"`
	Message string `json:"message"` // the reason in the first line; the guest's output and stack may follow
	// Stack has the calls that Message lists, the innermost first; absent when it lists none.
	Stack []spec.Frame `json:"stack,omitempty"`
}

// Event is an envelope with its position in the log.
type Event struct {
	Seq        uint64          `json:"seq"`
	EventType  string          `json:"event_type"`
	Data       json.RawMessage `json:"data"`
	Metadata   json.RawMessage `json:"metadata"`
	Deliveries []Delivery      `json:"deliveries,omitzero"` // nil in lists
	// DeliveryCounts is absent unless a list was asked to count.
	DeliveryCounts *DeliveryCounts `json:"delivery_counts,omitempty"`
	// PublishedBy is absent when it is not known, as of events that an older version stored.
	PublishedBy *spec.Publisher `json:"published_by,omitempty"`
	Only        string          `json:"only,omitempty"`    // the one plugin that may get it
	CopyOf      string          `json:"copy_of,omitempty"` // id of the event that it is an edited copy of
	// Status is absent of an event of the log. A scheduled event is not due yet; a cancelled
	// one was cancelled before it was. Both have no Seq (0).
	Status      string     `json:"status,omitempty" jsonschema:"enum=scheduled,enum=cancelled"`
	DueAt       *time.Time `json:"due_at,omitempty"`
	AcceptedAt  *time.Time `json:"accepted_at,omitempty"` // when it was stored
	CancelledAt *time.Time `json:"cancelled_at,omitempty"`
}

// The statuses of events that are not in the log.
const (
	EventScheduled = "scheduled"
	EventCancelled = "cancelled"
)

// CancelledEvent answers DELETE /api/v1/events/scheduled/{key}.
type CancelledEvent struct {
	EventID        string    `json:"event_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	EventType      string    `json:"event_type"`
	DueAt          time.Time `json:"due_at"` // when it would have been due
	CancelledAt    time.Time `json:"cancelled_at"`
}

// Capability is a capability that a plugin requests.
type Capability struct {
	Name    string `json:"name"`
	Granted bool   `json:"granted"`
	Reason  string `json:"reason"`

	Required bool `json:"required,omitempty"` // without it the plugin waits in needs_approval
	spec.Targets
}

// PendingVersion is a newer file of a plugin that waits for approval while the
// older version runs.
type PendingVersion struct {
	Version      string       `json:"version"`
	SHA256       string       `json:"sha256"`
	Capabilities []Capability `json:"capabilities"` // with the present grants
}

// Approval is the body of POST /api/v1/events/plugins/{name}/approve. It may be absent when
// the request has If-Match.
type Approval struct {
	// Capabilities are those to grant; absent for all that the plugin requests.
	Capabilities []string `json:"capabilities,omitempty"`
	// SHA256 is of the module that the caller has seen: the host approves no other; absent for
	// any.
	SHA256 string `json:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
}

// PluginState is the state of a plugin.
type PluginState string

// The states of a plugin.
const (
	Discovered    PluginState = "discovered"     // found, not inspected yet
	Vetting       PluginState = "vetting"        // being checked and compiled
	Rejected      PluginState = "rejected"       // will not run; reason says why
	Held          PluginState = "held"           // waits for the operator (hot_drop: hold)
	NeedsApproval PluginState = "needs_approval" // a required capability is not granted
	Disabled      PluginState = "disabled"       // switched off by the operator
	Active        PluginState = "active"
	Paused        PluginState = "paused"
	BreakerOpen   PluginState = "breaker_open" // repeated failures; probes again by itself
	Stuck         PluginState = "stuck"        // the log cannot be read at its position; the reason has it
	Standby       PluginState = "standby"      // ready to run; another host of the cluster runs its handler
	Draining      PluginState = "draining"     // finishes its open events, then ends
)

// PluginStates returns the states of a plugin.
func PluginStates() []string {
	return []string{string(Discovered), string(Vetting), string(Rejected), string(Held), string(NeedsApproval), string(Disabled),
		string(Active), string(Paused), string(BreakerOpen), string(Stuck), string(Standby), string(Draining)}
}

// Plugin is a plugin with its state and counters.
type Plugin struct {
	Name         string       `json:"name"`
	State        PluginState  `json:"state"`
	Reason       string       `json:"reason"`
	Since        time.Time    `json:"since"` // when State was reached
	Version      string       `json:"version"`
	SHA256       string       `json:"sha256"` // of the module's file, hex
	Style        string       `json:"style"`  // loop, stdio or extism
	Subscribes   []string     `json:"subscribes"`
	Capabilities []Capability `json:"capabilities"`
	Instances    int          `json:"instances"` // live now
	Lag          uint64       `json:"lag"`       // events of the log not final for it, see LogReader
	Delivered    uint64       `json:"delivered"` // since the host started
	Failed       uint64       `json:"failed"`    // failed attempts since the host started
	Fuel         uint64       `json:"fuel"`      // spent since the host started

	// Of the version that runs.
	StateMode string       `json:"state_mode,omitempty" jsonschema:"enum=atomic"` // atomic: its kv writes take effect with the event's outcome
	Batch     *PluginBatch `json:"batch,omitempty"`                               // absent: one event at a time
	FairBy    string       `json:"fair_by,omitempty"`                             // a JSON Pointer: its events are shared among the values there

	Shards *PluginShards `json:"shards,omitempty"` // absent: its handler has one, and that does not change

	Pending *PendingVersion `json:"pending,omitempty"`

	File string `json:"file,omitempty"` // its path in a watched directory; "" for an installed plugin
}

// PluginBatch says how many events one call of a plugin gets.
type PluginBatch struct {
	MaxEvents int     `json:"max_events"`
	MaxWaitMS float64 `json:"max_wait_ms"` // for more events once there is one
}

// PluginShards are the shards of a plugin's handler, and the change of them that is under way.
type PluginShards struct {
	Count   int    `json:"count"`
	OrderBy string `json:"order_by,omitempty"` // JSON Pointer: the events of a value there are of one shard; absent: in turn
	// Next is absent unless they change. Stage: the hosts stop, draining what was begun up to the
	// event Until, or ending.
	Next  *PluginLayout `json:"next,omitempty"`
	Stage string        `json:"stage,omitempty" jsonschema:"enum=stopping,enum=draining,enum=ending"`
	Until uint64        `json:"until,omitempty"` // a Seq
	// WaitsFor says what a change that is draining waits for, and the command that lists or ends it.
	WaitsFor string `json:"waits_for,omitempty"`
}

// PluginLayout says how the events of a handler are divided.
type PluginLayout struct {
	Count   int    `json:"count"`
	OrderBy string `json:"order_by,omitempty"` // as in PluginShards
}

// LogLine is a line that a plugin has logged.
type LogLine struct {
	Seq       uint64    `json:"seq"` // among the lines of all plugins since the host started
	At        time.Time `json:"at"`
	Level     string    `json:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	Message   string    `json:"message"`
	EventID   string    `json:"event_id,omitempty"`  // of the event that it was at work on
	Attempt   int       `json:"attempt,omitempty"`   // of that event, from 1
	Discarded uint64    `json:"discarded,omitempty"` // lines beyond the plugin's rate between the line before and this one
}

// PluginLog is the part of a plugin's log that a request selects, oldest line first.
type PluginLog struct {
	Plugin    string    `json:"plugin"`
	Items     []LogLine `json:"items"`
	Next      *string   `json:"next" jsonschema:"nullable"` // for after, if there are more lines now
	Last      uint64    `json:"last"`                       // the Seq of the latest line of all plugins
	Discarded uint64    `json:"discarded"`                  // lines beyond the plugin's rate, since the host started
	Evicted   uint64    `json:"evicted"`                    // lines that made way for later ones, likewise
}

// OrderItem is one line of an order.
type OrderItem struct {
	SKU            string `json:"sku" jsonschema:"minLength=1,maxLength=128"`
	Quantity       int64  `json:"quantity" jsonschema:"minimum=1,maximum=1000000"`
	UnitPriceCents int64  `json:"unit_price_cents" jsonschema:"minimum=0,maximum=100000000000"`
}

// Order is an order as the API shows it and as its events carry it.
type Order struct {
	ID         string      `json:"id"`
	CustomerID string      `json:"customer_id"`
	Currency   string      `json:"currency"` // ISO 4217
	Items      []OrderItem `json:"items"`
	TotalCents int64       `json:"total_cents"`
	Status     string      `json:"status"`
	Version    int64       `json:"version"` // 1 when created, one more with each change
	CreatedAt  time.Time   `json:"created_at"`
	UpdatedAt  time.Time   `json:"updated_at"`
}

// NewOrder is what POST /api/v1/orders takes. ID is optional.
type NewOrder struct {
	ID         string      `json:"id,omitempty" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9_.-]{0\\,63}$"`
	CustomerID string      `json:"customer_id" jsonschema:"minLength=1,maxLength=128"`
	Currency   string      `json:"currency" jsonschema:"pattern=^[A-Z]{3}$"`
	Items      []OrderItem `json:"items" jsonschema:"minItems=1,maxItems=500"`
}

// Problem is an error of the API (RFC 9457), with the field that is wrong and
// the fault code.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`

	// Errors are the errors in a file of the host.
	Errors []ErrorDetail `json:"errors,omitempty"`

	// Plan is set when Code is approval_required.
	Plan *Plan `json:"plan,omitempty"`
}

// ErrorDetail is one error in a file of the host.
type ErrorDetail struct {
	File   string `json:"file"`
	Line   int    `json:"line"`           // from 1
	Path   string `json:"path,omitempty"` // "handlers.fraud-check.limits.timeout"; "" for the file as a whole
	Reason string `json:"reason"`
}

// String returns "file:line: path: reason".
func (d ErrorDetail) String() string {
	if d.Path == "" {
		return fmt.Sprintf("%s:%d: %s", d.File, d.Line, d.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", d.File, d.Line, d.Path, d.Reason)
}

// ReloadResult lists the changes of a reload, one line each.
type ReloadResult struct {
	Changed []string `json:"changed"`
	// NeedsRestart are the paths of settings whose values in the file and in force differ, and
	// which only a restart changes.
	NeedsRestart []string `json:"needs_restart"`
}

// Settings are the settings in force: GET /api/v1/config.
type Settings struct {
	File  string    `json:"file"`  // path of the configuration file on the host's machine
	Items []Setting `json:"items"` // sorted by path
	// NeedsRestart is as in ReloadResult.
	NeedsRestart []string `json:"needs_restart"`
}

// Setting is one setting, as the file writes it. Of a handler's config it has only the keys.
type Setting struct {
	Path  string `json:"path"` // such as server.listen
	Value string `json:"value"`
	// Source is database for what was decided by the API of a host of the cluster; absent: the
	// file, or a default.
	Source string `json:"source,omitempty" jsonschema:"enum=database"`
}

// FromDatabase is the Source of settings that the hosts of a cluster share.
const FromDatabase = "database"

// Explanation lists the handlers that would get an event, and why others would not.
type Explanation struct {
	EventType string             `json:"event_type"`
	Route     *string            `json:"route" jsonschema:"nullable"` // the pattern of the route that decides, or null
	Reason    string             `json:"reason"`                      // why this route, or why no handler gets the event
	Handlers  []ExplainedHandler `json:"handlers"`
}

// ExplainedHandler is one handler's part in an Explanation.
type ExplainedHandler struct {
	Plugin string      `json:"plugin"`
	Takes  bool        `json:"takes"`
	Reason string      `json:"reason"`
	State  PluginState `json:"state"` // "" when no host was asked
}

// AuditRecord is one line of the audit log. A change has two with the same ID: one before it
// is made, one with the outcome. A refused attempt has one.
type AuditRecord struct {
	At         time.Time       `json:"at"`
	ID         string          `json:"id"`
	Host       string          `json:"host,omitempty"`   // the name of the host, if it shares a database
	Stage      string          `json:"stage"`            // begin, end or refused
	Action     string          `json:"action"`           // such as disable
	Target     string          `json:"target,omitempty"` // such as a plugin's name
	Who        string          `json:"who"`              // the token's name; "" without a valid token
	TokenID    string          `json:"token_id,omitempty"`
	Remote     string          `json:"remote,omitempty"`     // address and port the request came from
	Request    string          `json:"request,omitempty"`    // method and path
	Asked      json.RawMessage `json:"asked,omitempty"`      // the request's body
	Before     json.RawMessage `json:"before,omitempty"`     // state of the target
	After      json.RawMessage `json:"after,omitempty"`      // likewise, or the answer
	Status     int             `json:"status,omitempty"`     // of the answer
	Result     string          `json:"result,omitempty"`     // ok or failed
	Error      string          `json:"error,omitempty"`      // why it failed or was refused
	Suppressed int             `json:"suppressed,omitempty"` // refusals before this one that were not recorded
}

// Activity is one event of the event stream: exactly one of the pointers is set.
type Activity struct {
	Kind     string           `json:"kind" jsonschema:"enum=published,enum=delivery,enum=plugin"`
	Event    *Event           `json:"event,omitempty"`
	Delivery *DeliveryOfEvent `json:"delivery,omitempty"`
	Plugin   *Plugin          `json:"plugin,omitempty"`
}

// DeliveryOfEvent is a delivery with the event it belongs to.
type DeliveryOfEvent struct {
	EventID string `json:"event_id"`
	Seq     uint64 `json:"seq"`
	Delivery
}

// Encode returns a value as the API writes it: JSON on one line, without escapes for HTML.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
