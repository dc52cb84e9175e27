package wire

import (
	"encoding/json"
	"time"
)

// NewPlan is the body of POST /api/v1/config/plan. Without Config it is about the host's
// configuration file as it is now.
type NewPlan struct {
	Config *string `json:"config,omitempty"` // the text of a configuration, in YAML
	// SchemaFiles are the texts of the schemas that Config names, by their paths as it has them:
	// the host reads none of its files.
	SchemaFiles map[string]string `json:"schema_files,omitempty"`
	Manifest    json.RawMessage   `json:"manifest,omitempty"` // of a new version of a plugin, or of a new plugin
	Against     string            `json:"against,omitempty"`  // how far back, such as 24h or 7d; "" is 24h
	MaxEvents   int               `json:"max_events,omitempty" jsonschema:"maximum=100000"`
}

// ConfigPlan answers POST /api/v1/config/plan: what another configuration would do with events
// of the log. Counts are of the events that were examined.
type ConfigPlan struct {
	From       time.Time        `json:"from"` // the time that the plan is about
	To         time.Time        `json:"to"`
	Events     uint64           `json:"events"`     // of the log in that time
	Examined   uint64           `json:"examined"`   // of them; fewer than Events: a sample, spread evenly
	Unreadable uint64           `json:"unreadable"` // of the examined ones, which count nowhere
	Limit      string           `json:"limit"`      // what ended the examination early: events, time or ""
	Differs    bool             `json:"differs"`    // deliveries, grants or batches differ, or more events or conditions fail
	Handlers   []PlannedHandler `json:"handlers"`   // those that differ first
	Refused    PlannedRefusals  `json:"refused"`    // by the schemas of the new configuration
	Unknown    []PlannedUnknown `json:"unknown"`    // handlers about which nothing can be said
}

// PlannedHandler is what happens to one handler.
type PlannedHandler struct {
	Plugin       string          `json:"plugin"`
	Change       string          `json:"change" jsonschema:"enum=,enum=added,enum=removed,enum=paused,enum=resumed,enum=disabled,enum=enabled"`
	Takes        uint64          `json:"takes"`      // now
	WouldTake    uint64          `json:"would_take"` // under the new configuration
	Gained       uint64          `json:"gained"`
	Lost         uint64          `json:"lost"`
	GainedEvents []PlannedEvent  `json:"gained_events"` // up to 5
	LostEvents   []PlannedEvent  `json:"lost_events"`   // up to 5
	Failed       PlannedFailures `json:"failed"`
	OrderBy      string          `json:"order_by"` // of the new configuration; "" for no order
	OrderChanged bool            `json:"order_changed"`
	Batch        int             `json:"batch"` // events of one call at most, under the new configuration; 1 is one at a time
	BatchChanged bool            `json:"batch_changed"`
	LostGrants   []string        `json:"lost_grants"`                   // capabilities that it requests, and that it is not granted then; it waits if one is required
	HottestKeys  []PlannedKey    `json:"hottest_keys"`                  // up to 5, of OrderBy
	Backlog      *PlannedBacklog `json:"backlog" jsonschema:"nullable"` // null for a handler that is removed
}

// PlannedEvent names an event.
type PlannedEvent struct {
	Seq       uint64 `json:"seq"`
	EventID   string `json:"event_id"`
	EventType string `json:"event_type"`
	Subject   string `json:"subject"`
	Reason    string `json:"reason,omitempty"`
}

// PlannedFailures are events about which a condition of the new configuration cannot be
// evaluated: the handler does not get them.
type PlannedFailures struct {
	Count  uint64         `json:"count"`
	Now    uint64         `json:"now"`    // the same with the present configuration
	Events []PlannedEvent `json:"events"` // up to 5, each with the reason
}

// PlannedRefusals are events that the schema of their type refuses.
type PlannedRefusals struct {
	Count  uint64         `json:"count"`
	Now    uint64         `json:"now"`
	Events []PlannedEvent `json:"events"` // up to 5, each with the reason
}

// PlannedKey is an order key with many events. Events of a key are handled one after another.
type PlannedKey struct {
	Key    string  `json:"key"`
	Events uint64  `json:"events"` // at least this many
	Share  float64 `json:"share"`  // of the events that the handler would take, 0 to 1
}

// PlannedBacklog predicts whether a handler keeps up, from the average rate of its events and
// the mean duration of its attempts since the host started.
type PlannedBacklog struct {
	EventsPerS  float64  `json:"events_per_s"`
	Concurrency int      `json:"concurrency"`
	MeanMS      *float64 `json:"mean_ms" jsonschema:"nullable"`      // null when nothing was measured
	Utilisation *float64 `json:"utilisation" jsonschema:"nullable"`  // of the concurrency; above 1 the backlog grows
	GrowthPerS  *float64 `json:"growth_per_s" jsonschema:"nullable"` // events; 0 when the handler keeps up
}

// PlannedUnknown is a handler about which nothing can be said.
type PlannedUnknown struct {
	Plugin string `json:"plugin"`
	Reason string `json:"reason"`
}
