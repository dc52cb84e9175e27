// Package logtest proves an engine of the event log. Every engine runs Run, on
// bus.Log; one that a host can run on, which keeps the state of deliveries too,
// runs RunState, on State, and RunKV. An engine is what passes them, under the
// race detector. This is the document for writing one: what they ask for, in
// words; each paragraph names the tests that hold it.
//
// Because this package knows no disk, an engine has its own tests of what is
// durable: kill it while it acknowledges, fail each step of its commit before and
// after the point of no return, fill its disk. Those of host/store are the
// example.
//
// # The log
//
// A Seq is given to each event that is stored, in the order of the calls and
// within a call. It grows, has gaps at most, and is never used again, not even
// by a log that was trimmed to nothing ("append and read", "trimming", "hammer").
//
// An idempotency key stands for one content (type, subject, data) as long as its
// event is in the log. The same content again is a duplicate: nothing is stored,
// and the receipt names the first event. Other content is in conflict, which is
// that event's receipt and no error of the call ("duplicates", "duplicates in
// one call").
//
// Append returns when its events are stored, and what is stored is read by
// everybody from then on. An error, an ended context's too, means that none of
// them was stored: a caller that leaves before the engine has begun is taken out,
// one that leaves later gets the true answer ("an ended context", "refused
// calls").
//
// Read answers in the order of Seq, and nothing only at the log's end. It never
// shows an event with a lower Seq than one it showed before, so that a reader who
// goes on after the last Seq it saw misses nothing. Wait is woken by every growth.
// Cursors go forward and back ("reads in pages", "hammer", "waiting", "cursors",
// "list of cursors").
//
// # Limits
//
// Status counts exactly what is there, in constant time ("status"). A publisher
// who would go over SetMaxBytes is refused as a whole with event.LogFull, also in
// a race ("a full log", "a full log for many"); a lowered bound removes nothing.
// Children are exempt, or no handler could settle what is there ("children of a
// full log"). An engine trims nothing by itself: package host decides what may
// go, by Cursors, Status and SeqAt. The time of an append never goes back along
// the log ("times"); but when it is event.ClockSlack ahead of the clock, which was
// set back then, Trim gives the events that bear times of the future the present
// one, or they would outlive every retention ("times of the future").
//
// # Deliveries
//
// SaveDeliveries stores rows, publishes their children and moves cursors, all or
// none, each row in the place of the one with its handler and Seq. A child that
// is there already is left out. One in conflict keeps all its siblings from being
// published, and its parent's row becomes dead, of class conflict ("deliveries",
// "children").
//
// LoadBacklog is one handler as of one moment: its cursor, the rows that wait for
// another attempt, whatever their Seq, and the Seqs above the cursor that need no
// delivery because their row is final. What is pending in the store was redriven,
// can be much, and is read in pages by Redriven ("backlog").
//
// # Dead letters
//
// A row that is dead is a dead letter, with its event, until it is redriven or
// purged. The list goes from high Seqs to low ones; a cursor is a place in it,
// so that what comes and goes meanwhile neither hides nor doubles the rest.
//
// Redrive makes dead letters pending, with no attempt made, and answers how many:
// what is not dead when its turn comes is not touched, so that doing it again
// changes nothing. Purge leaves the row dead, so that its event is not delivered
// again, but it is no dead letter then. A row that is saved as dead again is one
// again ("dead letters", "redrive", "purge", "many dead letters").
//
// # Trim
//
// Trim removes events with their rows. It leaves, below where it was told, the
// events of which a row is a dead letter or is not final: leftovers, which are
// read and found as before, and which the first Trim takes that comes after the
// reason has ended. A row of an event that is gone is not stored any more, its
// children are published all the same ("trim takes deliveries", "trim keeps what
// is open or dead", "trimmed events get no deliveries").
//
// # Replay
//
// StartReplay moves a handler's cursor to the event before the stretch and notes
// {from, to, resume, started}, in one step. While the cursor is below to, a final
// row of the stretch counts only if it is younger than started, which is never
// before those that are there: the clock may have been set back. The events
// between to and resume, where the cursor was, are not wanted; above resume all
// is as it was. Rows that wait for an attempt stay. A cursor at or beyond to is
// the replay's end. A second replay takes the place of one that is under way, and
// keeps what had never been delivered; one that begins beyond the cursor leaves
// the cursor where it is. No other handler sees any of it ("replay", "replay
// while another is under way", "replay ahead of the cursor", "replay after the
// clock was set back").
//
// # The end
//
// After Close every method but Last answers fault.Unavailable, those that wait
// too ("closing", "closing while busy").
//
// "against a model" does all of this at random and compares every answer.
//
// For tests only. Read this, then logtest.go and state.go.
package logtest
