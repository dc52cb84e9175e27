// Package shards divides the events of a handler among several units, which different hosts can
// run at one time, and changes how they are divided.
//
// A Layout says to which shard an event belongs: by its order key, so that the events of a key
// stay in one shard and keep their order, or by its Seq. The layout in force is in a Generation, a
// document that all hosts share and follow; what a host's configuration says is a proposal. A
// plugin without a document has one shard.
//
// # Guarantees
//
// Two layouts of a handler never run at one time, and every event is delivered under one of them:
// the units of the former layout read up to one Seq, the cut, and end; those of the next begin
// behind it. Each step is one compare-and-swap of the document, or one transaction with it, so that
// after a crash any host continues. Units are free, and have a new epoch, in the transactions that
// decide the cut, that begin the next layout and that remove the document of a forgotten handler: no
// host that ran one of them can write later.
//
// Coordinator makes the steps, on one host at a time. Generations has the documents as this host
// knows them; a host reads them again before it runs a unit (Generations.Read).
//
// All types are safe for concurrent use. Read generation.go first, then coordinator.go.
package shards
