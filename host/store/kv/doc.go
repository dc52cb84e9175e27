// Package kv is the key-value state of plugins between its callers and the data file: a
// Cache of committed values, which readers ask first, and a Batch, in which the writer
// gathers the writes of one group.
//
// The writer evaluates a group in memory: each write sees those before it, and only the
// last value of a key is written to the file. Readers see committed values alone. While a
// commit is under way the Cache has no value for the keys that it changes, so that their
// readers ask the file, which answers with the old value until the commit and with the
// new one afterwards. So no reader waits for a flush, none sees a value that may be lost,
// and none sees an older value than a reader before it.
//
// A Cache is safe for concurrent use; a Batch belongs to the writer.
//
// Lock order: the mutex of one shard of a Cache at a time. Read batch.go first.
package kv
