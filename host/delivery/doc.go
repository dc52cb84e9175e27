// Package delivery delivers the events of the log to handlers, each at least once, and
// records the outcomes.
//
// Every handler has its own reader, queue and cursor: a failing or slow handler delays no
// other. Each version of a handler takes attempts through a Source, and each instance of
// it through a Lease. Events with the same order key reach a handler one at a time, in
// order, also across retries. A failed attempt is retried after a growing, jittered
// backoff, up to Retry.MaxAttempts attempts; then the event is a dead letter.
//
// A lease acquires several attempts at once when many are ready, and records plain
// successes together (lease.go). This is not visible: unstarted attempts are pending and
// return to the queue when an attempt runs long or another instance could start them, and
// no attempt starts after a pause or after the breaker has opened.
//
// The breaker opens for a handler that fails one event after another. Attempts wait while
// it is open, and while the handler is paused. The events stay in the log, and waiting
// costs no attempt.
//
// One recorder writes outcomes and cursors, together and in batches. A cursor never
// passes an event whose outcome is not in the same or an earlier write: outcomes that are
// lost in a crash are delivered again. The children that a guest emitted are published in
// the write of their parent's outcome, all or none: until then the parent is delivered
// again, afterwards never, so that its children are published once. Every outcome is
// written, plain successes in a compact form (package outcomes). A store that is slower
// than the handlers slows them: a handler has at most 4,096 open events and unwritten
// outcomes together, and starts no attempt while 64 MiB of results and children are
// unwritten.
//
// With Policy.Fair the ready events are shared among values such as tenants, and a value
// beyond its share keeps only the Seqs of its events, which are read again later (fairness.go
// and package fair).
//
// A redrive makes a dead letter pending in the store. The feeder admits pending deliveries
// to the lanes of their keys, a page at a time (restore.go). A replay moves the cursor back
// and stores where to continue, in one write, while no attempt is open; then the handler
// is loaded from the store, as after a restart (replay.go). Within the replayed range the
// order of a key is that of the log, retries included; later events follow.
//
// With Config.Shared several hosts have the same log, and a handler runs on the one that owns it
// (ownership.go, package tenure). On the others it is on standby: it is open, has no events, and
// starts nothing. Own loads the backlog, after the host has acquired the handler; Disown ends the
// attempts, writes the outcomes and unloads. Every write names the epoch of the ownership, so that
// the store refuses those of a former owner: then the handler gives itself up.
//
// A handler can be divided into shards: handlers named "p/0", "p/1" and so on (spec.Units), each of
// which gets the events that Policy.Mine says, and is owned by one host. Package joint joins the
// sources of those that are open here for one pool. Tenure.Until bounds what a handler reads: to
// change the number of shards, all of them end at one event, and others begin behind it.
//
// Lock order: the lock of a handler's name (package opened), which opening, replaying,
// owning and closing the handler hold across calls of the store; then Dispatcher.mu or
// Recorder.mu; then the lock of measure.Registry; then handler.mu; then the lock of
// pending.Set. No mutex is held during calls of the store, the log, an observer or
// OnCondition; Config.Watched and the function passed to Source.Update are called under
// handler.mu.
//
// An attempt of an atomic handler ends with effects on its key-value state. Its task remains
// open, and first in its lane, until the store has answered (effects.go). Package pending has
// what uncommitted attempts do together, which later ones read. An instance that handles
// batches takes several first attempts at once, and completes each with an outcome of its own
// (lease_batch.go, package plan).
//
// The packages breaker, failurelog, fair, measure, obstacle, outcomes, pending, queue and tasks
// have state of a handler or a source, under its lock. Package engine has what others provide,
// actions what operators do, claim first positions, reading how the log is read, stored what an
// open handler does not have, notice what is reported of attempts, tenure how a handler is owned
// and given up, and view gives deliveries the form of the API.
//
// Read handler.go first, then source.go, attempts.go, lease.go, recorder, reading and restore.go.
package delivery
