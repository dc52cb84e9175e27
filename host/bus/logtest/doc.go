// Package logtest proves an engine of the event log, and is the document for
// writing one: bus.Log says what each method does, and every sentence here has a
// test of the name in brackets. For tests only.
//
// An engine runs, under the race detector:
//
//	logtest.Run(t, open)      the log: every engine
//	logtest.RunState(t, open) what the deliveries need besides: every engine
//	logtest.RunKV(t, open)    the plugins' key-value state: every engine
//
// and, because this package knows no disk, its own tests of what is durable: kill
// it while it acknowledges, fail each step of its commit before and after the
// point of no return, fill its disk. package store's are the example.
//
// # Order and visibility
//
// A Seq is given at the append, grows, and is never used twice, also when the
// log was trimmed to nothing ["trimming"]; it may have gaps, for example where a
// duplicate was found. What Append has answered is in the next Read of any
// goroutine, and Last is not below it ["append and read", "hammer"]. A Read
// never shows an event with a lower Seq than one it showed before, so a reader
// that goes on after the last Seq it saw misses nothing ["hammer"]; it may
// answer less than asked for, but nothing only at the end ["reads in pages"].
// Wait is woken by every growth ["waiting"].
//
// # Keys
//
// A key that is there makes a duplicate or, with another digest, a conflict
// ["duplicates and conflicts"], also among the events of one call ["duplicates in
// one call"]; the other events of the call are stored. A key is free again when
// its event was trimmed, and only then ["trimming"].
//
// # All or nothing
//
// An error of Append means that nothing of the call was stored. So does an error
// that wraps the context's: a caller that leaves before the engine has begun is
// taken out, one that leaves later gets the true answer ["an ended context",
// "hammer"]. Rows, children and cursors of one SaveDeliveries are stored together
// ["children"]: a child that is there is left out, one in conflict takes its
// siblings along, and its delivery is stored as event.Delivery.Refuse makes it.
//
// # Limits
//
// Status counts exactly what is there, in constant time ["status", "against a
// model"]. A publisher who would go over SetMaxBytes is refused as a whole with
// event.LogFull, also in a race ["a full log", "a full log for many"]; a lowered
// bound removes nothing. Children are exempt ["children of a full log"]. An
// engine trims nothing by itself: package host decides what may go, by Cursors
// ["list of cursors"], Status and SeqAt ["times"].
//
// # The end
//
// After Close every method but Last answers fault.Unavailable, waiting ones too
// ["closing", "closing while busy"].
//
// Read logtest.go first.
package logtest
