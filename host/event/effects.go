package event

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Effects are what one attempt of an atomic handler has read and wants to write of its
// plugin's key-value state. The engine applies the writes in the transaction that stores the
// attempt's delivery, if every read is still true. They are immutable once their outcome has
// been passed on.
//
// The deliveries of a batch, which one call of the guest has handled, share one *Effects and
// follow each other in a write. The engine compares and applies them once, with the first of
// these deliveries, and gives all of them the same answer: in conflict, each is stored as
// Rerun makes it, and when the quota or a child of one refuses them, each is dead.
type Effects struct {
	Plugin string
	Reads  []EffectRead  // each key at most once
	Writes []EffectWrite // each key at most once
	// Release, if not nil, is called once when the effects are written or dropped: until then
	// their memory counts against the bound of the host.
	Release func()
}

// MaxConflicts is how often a delivery runs again beside others after a conflict; then it runs
// alone (ABI v1, Additions).
const MaxConflicts = 8

// MaxLoneConflicts is how often it runs alone: when it is in conflict then, it is a failed attempt.
// Only writes of others than the handler can cause that, or a time limit that passes. In a shard it
// is none, however often it runs: the other shards write meanwhile (package pending).
const MaxLoneConflicts = 8

// EffectRead is a key as an attempt read it. Its revision is its value: when other
// deliveries have written it meanwhile, but the value is equal, what the attempt computed
// is still right.
type EffectRead struct {
	Key   string
	Found bool
	Sum   [sha256.Size]byte // of the value; zero unless Found
}

// EffectKind is what an EffectWrite does.
type EffectKind uint8

// The kinds.
const (
	EffectSet    EffectKind = iota // writes Value, with the limit Until
	EffectSwap                     // writes Value and keeps the limit that the key has
	EffectDelete                   // removes the key, if it is there
	EffectExpire                   // sets the limit Until of a key that is there
)

// EffectWrite is the last write of an attempt to a key.
type EffectWrite struct {
	Kind  EffectKind
	Key   string
	Value []byte
	Until time.Time // when the key disappears; zero for never
}

// Empty reports whether nothing was read or written.
func (e *Effects) Empty() bool { return e == nil || len(e.Reads) == 0 && len(e.Writes) == 0 }

// Size returns the size of the keys and values that are kept for the effects, in bytes.
func (e *Effects) Size() (n int) {
	if e == nil {
		return 0
	}
	for i := range e.Reads {
		n += len(e.Reads[i].Key) + sha256.Size
	}
	for i := range e.Writes {
		n += len(e.Writes[i].Key) + len(e.Writes[i].Value)
	}
	return n
}

// Rerun returns the delivery as it is stored when its effects are in conflict with others:
// it is due at once, and the attempt is not counted. After a crash it comes again in the
// order of its key.
func (d Delivery) Rerun() Delivery {
	d.Attempts--
	d.Status, d.Due = StatusRetrying, d.At
	d.Result, d.Children, d.Effects, d.Logs = "", nil, nil, nil
	d.ErrorClass, d.ErrorMessage = ClassKVConflict, "another delivery changed a key that it had read"
	if d.Attempts == 0 {
		d.FirstAttempt = time.Time{}
	}
	return d
}

// LoneConflict returns the outcome of a delivery that was in conflict whenever it ran alone.
func LoneConflict(d *Delivery) *Outcome {
	return &Outcome{Verdict: Failed, Class: ClassKVConflict, Duration: d.Duration, At: d.At, Fuel: d.Fuel, Instance: d.Instance, Logs: d.Logs,
		Message: fmt.Sprintf("a key that it had read was changed in %d runs, of which %d ran alone: something else than the handler writes "+
			"it, or its time limit is shorter than a run", MaxConflicts+MaxLoneConflicts, MaxLoneConflicts)}
}

// SameSuccess reports whether a stored delivery is this success itself: a caller that does
// not know whether a write was committed repeats it.
func (d *Delivery) SameSuccess(stored *Delivery) bool {
	return stored.Status == StatusOK && d.Status == StatusOK && stored.Attempts == d.Attempts && stored.At.Equal(d.At)
}

// Together returns the number of deliveries at the begin of a list that share their Effects,
// which an engine stores alike; 1 for one without any.
func Together(list []Delivery) int {
	n := 1
	for n < len(list) && list[n].Effects != nil && list[n].Effects == list[0].Effects {
		n++
	}
	return n
}

// Saved is what an engine answers about deliveries that it stored in another form than it
// got them.
type Saved struct {
	Refused   []Delivery // as Delivery.Refuse and Delivery.RefuseEffects make them
	Conflicts []Delivery // as Delivery.Rerun makes them
}

// After returns the one write that does what older and then w do to the same key.
func (w EffectWrite) After(older EffectWrite) EffectWrite {
	switch {
	case w.Kind == EffectSwap && (older.Kind == EffectSet || older.Kind == EffectExpire):
		w.Kind, w.Until = EffectSet, older.Until // the limit that the key had
	case w.Kind == EffectSwap && older.Kind == EffectDelete:
		w.Kind = EffectSet
	case w.Kind == EffectExpire && (older.Kind == EffectSet || older.Kind == EffectSwap):
		w.Kind, w.Value = EffectSet, older.Value
	case w.Kind == EffectExpire && older.Kind == EffectDelete:
		return older
	}
	return w
}
