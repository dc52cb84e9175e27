package abi

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
)
