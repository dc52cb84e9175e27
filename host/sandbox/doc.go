// Package sandbox runs guests: it checks a module's shape, compiles it in a
// wazero runtime of its own, and keeps a pool of instances that read attempts
// from a Source and finish them. It is the only package that imports wazero.
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
