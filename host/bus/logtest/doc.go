// Package logtest tests engines. Run tests bus.Log and RunState bus.State; package kvtest
// tests its key-value state, and package modeltest compares an engine with a model. An
// engine passes all of them under the race detector. This is the document for the
// author of an engine: it states the required behaviour, and each paragraph names the
// tests that check it.
//
// This package knows no disk. An engine has its own tests of durability: kill it while
// it acknowledges, fail each step of its commit before and after the point of no
// return, fill its disk. Those of host/store are the example.
//
// # The log
//
// Each stored event gets a Seq, in the order of the calls and within a call. Seqs grow,
// may have gaps, and are never used again, not even by a log that was trimmed to
// nothing ("append and read", "trimming", "hammer").
//
// An idempotency key identifies one content (type, subject, data) as long as its event
// is in the log. The same content again is a duplicate: nothing is stored, and the
// receipt names the first event. Other content is in conflict, which is an error in
// that event's receipt and not of the call ("duplicates", "duplicates in one call").
//
// Append returns when its events are stored, and every reader sees them from then on.
// An error, also of an ended context, means that none of them was stored: a call whose
// context ends before the engine has begun is withdrawn, a later one gets its real
// result ("an ended context", "refused calls").
//
// Read returns events in the order of Seq, and none only at the log's end. It never
// returns an event with a lower Seq than one it returned before, so that a reader that
// continues after its last Seq misses none. Every growth wakes Wait ("reads in pages",
// "hammer", "waiting"). An event is found by its id or its key, and listed by type and
// subject ("one event", "lists of events").
//
// # Limits
//
// Status is exact, in constant time ("status"). A publisher that would exceed
// SetMaxBytes is refused as a whole with event.LogFull, also in a race ("a full log",
// "a full log for many"); a lowered bound removes nothing. Children are exempt, since
// handlers must be able to finish events for any to be trimmed ("children of a full
// log"), but not those that are due later (package scheduletest). An engine trims nothing by itself: the retention decides, by Cursors, Status
// and SeqAt. The time of an append never decreases along the log ("times"). When it is
// event.ClockSlack ahead of the clock, which was set back, Trim replaces the future
// timestamps by the present one; otherwise no retention would remove these events
// ("times of the future").
//
// # Deliveries
//
// Cursors move forward and back ("cursors", "list of cursors"). SaveDeliveries stores
// outcomes, publishes their children and moves cursors, all or none. Successes come
// first, in compact form, in any order of Seq and thousands in one call; then
// deliveries ("deliveries", "successes", "extreme successes", "many successes"). Each
// replaces what is stored of its handler and Seq, in whichever form, and is then the only
// one: a success ends a dead letter ("one form after the other"). An outcome has the
// digest of the module that made it; Redrive removes it ("modules"). Fences, Trim and
// replays concern both forms ("fences of successes", "trim takes successes", "replay of
// successes").
//
// A child that the log has already is skipped. A child in conflict prevents all its
// siblings from being published, and its parent's delivery becomes dead, of class
// conflict ("children").
//
// A fence names the epoch in which the caller owns a handler. Nothing is stored of a
// handler whose fence is of another epoch than the present one; the call returns that
// fence and stores the rest. An engine of one host knows epoch 0 only ("fences of one
// host").
//
// LoadBacklog is one handler as of one moment: its cursor, the deliveries that wait for
// another attempt, whatever their Seq, and the Seqs above the cursor whose delivery is
// final. Pending deliveries were redriven and can be many: Redriven reads them in pages
// ("backlog").
//
// # Past attempts, origins and documents
//
// SaveDeliveries also keeps the attempt that led to a delivery, if event.Delivery.Past says
// so: every one of a call, in the order in which they ended, whatever the clock says. A
// repeated write changes nothing. Of one delivery the newest event.MaxPastAttempts are
// kept; the logs of one handler have at most spec.MaxHandlerLog, and those of the oldest
// attempts are removed first. Attempts are there as long as their event; ForgetHandler
// removes them, Redrive and Purge do not. Every reader returns an event with its origin; a
// duplicate keeps the first one's. Documents are stored by kind and id, all of a call or
// none. Package pasttest has these tests.
//
// # Dead letters
//
// A dead delivery is a dead letter, with its event, until it is redriven or purged. The
// list goes from high Seqs to low ones; a cursor is a position in it, so that changes
// meanwhile neither hide nor repeat other dead letters.
//
// Redrive makes dead letters pending, without an attempt, and returns their number; it
// changes only deliveries that are dead, so that a second call changes nothing. Purge
// leaves the delivery dead, so that its event is not delivered again, but it is no dead
// letter any more. A delivery that is saved as dead again is one again ("dead letters",
// "redrive", "purge", "many dead letters").
//
// Requeue does what Redrive does for the events of a list of Seqs, whose deliveries are
// final in either form, or which the handler passed without an outcome. It leaves what is
// not final and what the handler still gets by itself: events above its cursor, and those
// that a replay under way delivers ("requeue", "requeue in a replay", "requeued deliveries
// keep their events").
//
// # Trim
//
// Trim removes events with their deliveries. It keeps the events that have a dead
// letter or a delivery that is not final: leftovers, which are read and found as
// before, and which the first Trim removes after that has ended. A delivery of a
// removed event is not stored any more; its children are published nevertheless ("trim
// takes deliveries", "trim keeps what is open or dead", "trimmed events get no
// deliveries").
//
// # Replay
//
// StartReplay moves a handler's cursor to the event before the range and stores {from,
// to, resume, started}, in one step. While the cursor is below to, a final delivery of
// the range counts only if it is younger than started, which is never before the
// existing ones: the clock may have been set back. The events between to and resume,
// the former cursor, are skipped; above resume nothing changes. Deliveries that wait for
// an attempt stay. A cursor at or beyond to is the replay's end. A second replay
// replaces the one under way, and keeps the events that had never been delivered; one
// that begins beyond the cursor leaves the cursor where it is. Other handlers are not
// affected ("replay", "replay while another is under way", "replay ahead of the
// cursor", "replay after the clock was set back").
//
// # The end
//
// After Close every method but Last returns fault.Unavailable, and so do waiting calls
// ("closing", "closing while busy").
//
// For tests only. Read this, then logtest.go and state.go.
package logtest
