package event

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Record is an event with its position in the log. Seqs start at 1 and grow; none is
// used twice, and there may be gaps.
type Record struct {
	Seq   uint64
	Event *Event
}

// Receipt is the log's result for one appended event.
type Receipt struct {
	Seq            uint64 // of the event itself, or of the one it duplicates
	EventID        string // likewise
	IdempotencyKey string
	Duplicate      bool  // the same key and content were there already; see SameContent
	Err            error // fault.Conflict: the same key with other content; nothing was stored for it
	// Due is when the event, or the one that it duplicates, gets its Seq, which is 0 until
	// then; zero if it has one.
	Due time.Time
	// Cancelled says that the event that it duplicates was cancelled before it was due: it
	// gets no Seq.
	Cancelled bool
}

// Repeated returns the receipt of an event whose idempotency key the log has already,
// in first: a duplicate, or a fault.Conflict.
func Repeated(first Record, ev *Event) Receipt {
	r := Receipt{Seq: first.Seq, EventID: first.Event.ID(), IdempotencyKey: ev.meta.IdempotencyKey}
	if first.Event.SameContent(ev) {
		r.Duplicate = true
	} else {
		r.Err = fault.New(fault.Conflict, "the idempotency key %q was used before, by event %s with other content (type, subject or "+
			"data)", r.IdempotencyKey, r.EventID)
	}
	return r
}

// ClockSlack is how far the time of the last append may be ahead of the clock before
// an engine concludes that the clock was set back.
const ClockSlack = time.Minute

// LogStatus is the size of an event log, as of one moment.
type LogStatus struct {
	FirstSeq uint64    // of the oldest event that is there; 0 for none
	LastSeq  uint64    // the highest Seq that was stored, trimmed or not
	Events   int64     // that are there
	Bytes    int64     // the sum of their Event.Size, and of that of scheduled events, cancelled ones included
	MaxBytes int64     // the bound of Bytes for publishers; 0 for none
	OldestAt time.Time // when the oldest event was appended; zero for none
	// Scheduled is the number of events that are not due yet. They have no Seq and do not
	// count in Events. ScheduledBytes are theirs, which Bytes includes.
	Scheduled, ScheduledBytes int64
}

// LogFull is the error of a publisher whose events would exceed the log's bound:
// fault.Exhausted with a RetryAfter, unlike a full disk, which has no estimate.
func LogFull(bytes, limit int64) error {
	return &fault.Error{Code: fault.Exhausted, RetryAfter: time.Second,
		Reason: fmt.Sprintf("the log is full (%d of %d bytes): it takes events again when handlers have finished older ones, or "+
			"bus.max_size is raised", bytes, limit)}
}

// Query selects events of the log, newest first.
type Query struct {
	Type    Type   // "" for all
	Subject string // "" for all
	Key     string // the idempotency key; "" for all
	Before  uint64 // only events with a lower Seq; 0 for all
	Limit   int    // at most this many, 1 to 1000
}

// Selects reports whether the query selects this event, Limit aside.
func (q Query) Selects(rec Record) bool {
	ev := rec.Event
	return (q.Type == "" || q.Type == ev.typ) && (q.Subject == "" || q.Subject == ev.meta.Subject) &&
		(q.Key == "" || q.Key == ev.meta.IdempotencyKey) && (q.Before == 0 || rec.Seq < q.Before)
}

// Attempt is one try to have a handler handle an event. It fits into registers with what
// Taken adds, which saves a copy for every event.
type Attempt struct {
	Seq    uint64
	Event  *Event
	Number int // 1 for the first delivery
}

// Taken is an attempt as it was taken from a queue.
type Taken struct {
	Attempt
	More   bool // another one is ready already
	Waited bool // it was not there yet when it was asked for
}

// Verdict is how an attempt ended.
type Verdict uint8

// The verdicts. OK, Retry and Reject are the guest's own words; Failed is the host's.
const (
	OK     Verdict = iota // handled
	Retry                 // the guest asks for another attempt later
	Reject                // the guest will never handle it
	Failed                // trap, timeout or another bound: one failed attempt
)

// Class is why an attempt failed: the values of the API.
type Class string

// The classes of a failed attempt.
const (
	ClassTimeout        Class = "timeout"         // the event's deadline passed
	ClassFuel           Class = "fuel"            // the event's fuel budget was used up
	ClassTrap           Class = "trap"            // the guest trapped
	ClassMemory         Class = "memory"          // it asked for more memory than it may have
	ClassStack          Class = "stack"           // its calls nested deeper than they may
	ClassExit           Class = "exit"            // it exited while an event was open
	ClassBadResult      Class = "bad_result"      // its result is not JSON, too large or nested too deep
	ClassRejected       Class = "rejected"        // it rejected the event
	ClassRetry          Class = "retry"           // it asked to have the event again
	ClassUnreadable     Class = "unreadable"      // the log is damaged there, and an operator skipped the event
	ClassConflict       Class = "conflict"        // a child's key was used before, with other content
	ClassScheduledQuota Class = "scheduled_quota" // its deferred children would have exceeded their share of the log
	ClassSkipped        Class = "skipped"         // an operator skipped the event for this handler
	ClassKVConflict     Class = "kv_conflict"     // a key that it had read was changed; counts as an attempt only after MaxLoneConflicts, in a shard never
	ClassKVQuota        Class = "kv_quota"        // its writes would have grown the plugin's state beyond its quota
	ClassCancelled      Class = "cancelled"       // the host stopped it; does not count as an attempt
)

// FailureClasses returns the classes that the last error of a dead letter can have.
func FailureClasses() []string {
	return []string{string(ClassTimeout), string(ClassFuel), string(ClassTrap), string(ClassMemory), string(ClassStack), string(ClassExit),
		string(ClassBadResult), string(ClassRejected), string(ClassRetry), string(ClassConflict), string(ClassKVConflict),
		string(ClassKVQuota), string(ClassScheduledQuota), string(ClassSkipped)}
}

// Outcome is the result of one attempt, with its cost.
type Outcome struct {
	Verdict  Verdict
	Result   []byte // JSON, or empty; valid only during the call that passes it
	Class    Class  // "" when the verdict is OK
	Message  string // for a person; "" when the verdict is OK
	Duration time.Duration
	At       time.Time // when it ended; zero: just now
	Fuel     uint64    // units of host/sandbox/meter; 0 when not metered
	Memory   int64     // bytes of the instance's memory when the attempt ended
	Children []*Event  // what the guest emitted; only when the verdict is OK
	Instance int       // number of the instance within its version, from 1; 0 when none had it
	Effects  *Effects  // of an atomic handler; nil without any, and unless the verdict is OK
	// Logs are the guest's lines during the attempt, at most spec.MaxAttemptLog; valid only
	// during the call that passes them. Of a success they are nil unless the handler keeps them.
	Logs []spec.GuestLine
}

// Plain reports whether the outcome is a success with nothing but a result, which engines
// store in compact form when it is of the first attempt.
func (o *Outcome) Plain() bool {
	return o.Verdict == OK && len(o.Children) == 0 && len(o.Logs) == 0 && o.Effects == nil
}

// Status is the state of a delivery.
type Status string

// The statuses. OK and Dead are final.
const (
	StatusPending    Status = "pending"    // waits for its first attempt
	StatusDelivering Status = "delivering" // an instance has it
	StatusRetrying   Status = "retrying"   // failed, waits for its next attempt
	StatusOK         Status = "ok"
	StatusDead       Status = "dead" // in the dead letters
)

// Final reports whether the delivery has ended.
func (s Status) Final() bool { return s == StatusOK || s == StatusDead }

// Delivery is the state of one event for one handler.
type Delivery struct {
	Handler      string
	Seq          uint64
	Status       Status
	Attempts     int    // attempts made
	Result       string // JSON, or ""
	ErrorClass   Class  // of the last failed attempt, "" when it is ok
	ErrorMessage string
	Duration     time.Duration // of the last attempt
	Fuel         uint64        // of the last attempt
	At           time.Time     // when the status was reached
	Due          time.Time     // when the next attempt may start; zero unless retrying
	FirstAttempt time.Time     // when the first attempt began; zero before, and when it is not known
	SHA256       string        // of the module that made the last attempt, hex; "" before, and when it is not known
	// NotKept: an older version of this host did not keep the result of this success, nor
	// its duration and fuel, or a repair of the store lost them. Engines do not store it.
	NotKept bool
	// Children are published in the transaction that stores the delivery. They are not
	// stored with it, and are nil in a delivery that was read.
	Children []*Event
	// Effects are applied in that transaction too, and are likewise nil in a delivery that was
	// read. Those of a batch share one Effects, which are applied once; see bus.State.
	Effects *Effects
	// Instance and Logs are of the attempt that led to this status, see PastAttempt. The
	// engine keeps them as one, and they are empty in a delivery that was read.
	Instance int
	Logs     []spec.GuestLine
}

// Refuse returns the delivery as it is stored when its children cannot be published,
// because the key of one was used before with other content, or because of FitScheduled:
// dead, without its result. A retry would not help, and later events must not wait.
func (d Delivery) Refuse(reason error) Delivery {
	d.Status, d.Result, d.Children, d.Effects = StatusDead, "", nil, nil
	d.ErrorClass, d.ErrorMessage = ClassConflict, "none of its children was published: "+reason.Error()
	if fault.Is(reason, fault.Exhausted) {
		d.ErrorClass = ClassScheduledQuota
	}
	return d
}

// RefuseEffects returns the delivery as it is stored when its writes would exceed the quota
// of its plugin's state: dead, without its result. A retry would not help.
func (d Delivery) RefuseEffects(reason error) Delivery {
	d.Status, d.Result, d.Children, d.Effects = StatusDead, "", nil, nil
	d.ErrorClass, d.ErrorMessage = ClassKVQuota, "none of its key-value writes was stored: "+reason.Error()
	return d
}

// Skip returns the delivery of an event that an operator skips: dead, of the class skipped,
// with the reason of its last failed attempt.
func (d Delivery) Skip(now time.Time) Delivery {
	message := "an operator skipped the event for this handler"
	if d.ErrorClass != "" {
		message += fmt.Sprintf("; its last attempt failed with %s: %s", d.ErrorClass, d.ErrorMessage)
	}
	d.Status, d.At, d.Due, d.Logs = StatusDead, now, time.Time{}, nil
	d.ErrorClass, d.ErrorMessage = ClassSkipped, message
	return d
}

// Cursor is a named position in the log: everything up to and including Seq is done,
// or stored as an open Delivery.
type Cursor struct {
	Name string
	Seq  uint64
}

// Handler returns the handler whose cursor it is: the name is a kind and a handler,
// with a slash in between.
func (c Cursor) Handler() string {
	_, handler, _ := strings.Cut(c.Name, "/")
	return handler
}

// CursorNames are the names of a handler's cursors.
type CursorNames struct {
	Position string // in the log
	// The first and the last event whose success an older version of this host may not
	// have kept, or whose record a repair lost. They keep no event in the log, and a host
	// only reads them.
	SampledFrom, SampledTo string
}

// HandlerCursors names a handler's cursors.
func HandlerCursors(handler string) CursorNames {
	return CursorNames{"handler/" + handler, "thinned-from/" + handler, "thinned-to/" + handler}
}

// Positions returns the positions in the log among cursors by the plugin, each with the unit of its
// handler as the name, in the order of cursors.
func Positions(cursors []Cursor) map[string][]Cursor {
	byPlugin := make(map[string][]Cursor)
	for _, c := range cursors {
		if unit, ok := strings.CutPrefix(c.Name, "handler/"); ok {
			plugin := spec.PluginOf(unit)
			byPlugin[plugin] = append(byPlugin[plugin], Cursor{unit, c.Seq})
		}
	}
	return byPlugin
}

// Backlog is the durable progress of one handler.
type Backlog struct {
	Found  bool       // false: the handler has never been seen
	Cursor uint64     // see Cursor
	Open   []Delivery // failed and to be tried again, any Seq, ascending
	Done   []uint64   // Seqs above Cursor whose delivery is final, and counts in a replay
	Replay *Replay    // the one that is under way, or nil
}
