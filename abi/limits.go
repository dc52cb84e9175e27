package abi

import "time"

// Limits of ABI version 1. ABI.md states the effect of exceeding each.
const (
	MaxLogLine  = 8 << 10  // bytes of one log line, and of a retry's or reject's reason; the rest is cut off
	MaxChildren = 64       // child events of one event
	MaxChild    = 1 << 20  // bytes of one child's JSON
	MaxResult   = 64 << 10 // bytes of one event's result
	MaxKVKey    = 256      // bytes of a kv key; at least 1
	MaxKVValue  = 1 << 20  // bytes of a kv value
	MaxHops     = 16       // events between an event and the one that first caused it
	MaxManifest = 64 << 10 // bytes of a manifest
	MaxEntry    = 128      // bytes of a manifest's extism.entry

	MaxKVList      = 256                  // keys that one call of kv_list yields
	MaxKVListBytes = 64 << 10             // bytes that one call of kv_list yields
	MaxAtomicKeys  = 1000                 // keys that one event of an atomic handler may write
	MaxAtomicBytes = 8 << 20              // bytes of those keys and their values
	MaxBatchEvents = 1000                 // events of one batch
	MaxBatchBytes  = 8 << 20              // bytes of their envelopes, and of their results
	MaxBatchWait   = 10 * time.Second     // that a batch may wait for more events
	MaxDeferral    = 366 * 24 * time.Hour // that an event can be due ahead
)
