// Package sandbox runs guests: it loads modules that were vetted, each in a
// wazero runtime of its own, and keeps pools of instances that read attempts
// from a Source and finish them. Only this package and vet, below it, import
// wazero; no byte that vet has not passed reaches it in this process.
//
// What it promises: an instance serves one attempt at a time and is discarded
// after any trap, exit or timeout; whatever a guest does, the pool of another
// module is not touched; every attempt taken from the Source is given back
// through Done exactly once.
//
// An instance is one goroutine. It sits in the guest's entry point, and parks
// in the host function next until the Source has an attempt. Everything of an
// instance belongs to that goroutine but for what guard.go shares with its
// timer. Lock order: Pool.mu before guard.mu; neither is held while a guest or
// the Source runs.
//
// What a guest may do besides reading events is in Capabilities: whatever is not
// there answers DENIED.
//
// Read pool.go first, then instance.go, hostfuncs.go and capability.go.
package sandbox
