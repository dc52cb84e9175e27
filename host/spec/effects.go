package spec

import "time"

// StateMode selects when the key-value writes of a delivery take effect.
type StateMode string

// The modes.
const (
	StateDirect StateMode = "direct" // at once; also ""
	StateAtomic StateMode = "atomic" // in the transaction that stores the delivery, if it succeeds
)

// BatchPolicy says how many events one call of a handler may get. A plugin whose manifest has
// batch is written for the form {"events": …}: it always gets that, also where an operator
// turns batches off, which is MaxEvents 1.
type BatchPolicy struct {
	MaxEvents int           // 1 to abi.MaxBatchEvents; 0: its manifest has no batch, and events come as bare envelopes
	MaxWait   time.Duration // for more events once a batch has one, at most abi.MaxBatchWait; 0: none
}

// Enabled reports whether the handler gets batches.
func (b BatchPolicy) Enabled() bool { return b.MaxEvents > 1 }

// FairPolicy shares the attempts of a handler among the values that its events have at one
// place, such as tenants.
type FairPolicy struct {
	By      string         // JSON Pointer into the envelope; "" for none
	Weights map[string]int // by value: attempts for each round, 1 to MaxFairWeight; default 1
}

// MaxFairWeight bounds a weight of a FairPolicy.
const MaxFairWeight = 1000

// Missed says what a schedule does about due times at which no host ran.
type Missed string

// The choices.
const (
	MissedSkip Missed = "skip" // nothing; also ""
	MissedOnce Missed = "once" // one event, for the newest of them
	MissedAll  Missed = "all"  // an event for each, at most MaxMissed, the newest
)

// MaxMissed bounds the events that a schedule publishes for missed due times.
const MaxMissed = 1000

// Schedule publishes an event at due times. Exactly one of Cron and Every is set.
type Schedule struct {
	Name    string // matches the pattern of a plugin's name
	Cron    string // five fields, or a descriptor such as @daily
	Zone    string // IANA time zone of Cron; "" is UTC
	Every   time.Duration
	Type    string // of the event
	Data    []byte // JSON
	Subject string
	Missed  Missed
	Paused  bool
	Line    int // in the configuration file
}

// EventType describes the events of one type.
type EventType struct {
	Type        string
	Schema      []byte // JSON Schema; nil for any data
	File        string // that Schema was read from; "" when it is inline
	Warn        bool   // what does not fit is counted and stored; otherwise it is refused
	Description string
	Owner       string
	Line        int // in the configuration file
}
