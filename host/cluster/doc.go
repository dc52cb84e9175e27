// Package cluster divides the work of several hosts that share a database: each unit, which is
// a handler, a shard of one or a job, is run by one host at a time.
//
// # Guarantees
//
// A host renews its row of the members every BeatEvery. Its lease counts from before it sent
// the newest renewal that was confirmed, by its own clock, which also counts while the machine
// is suspended. It begins no attempt once the lease is BeginFor old, and cancels the open ones
// at LeaseFor. Another host deletes the row, and so frees the units, when it has seen it
// unchanged for LeaseFor since it first saw this renewal, and when the row is unchanged still in
// the transaction that deletes it. Hence the tenures of two hosts over one unit are never valid
// at one moment, and clocks of two machines are never compared; their rates may differ by a third.
//
// What a host writes for a unit carries the epoch of its tenure, and the database compares it in
// the transaction of the write: a host that was paused between the look at its lease and the
// write is refused. Only the effects of an attempt outside of the database can happen twice.
//
// A host gives a unit away only after its worker has stopped it, so that a hand-over loses and
// repeats nothing. The assignment of units to hosts is a function of what the database shows to
// all of them; while their views differ, the database lets one of them take a unit.
//
// # Locks
//
// Cluster.mu guards the tenures, the view and the units at work. It is held neither during a
// call of the ledger nor of the worker. Everything here is safe for concurrent use.
//
// Read ledger.go first, then cluster.go and assign.go.
package cluster
