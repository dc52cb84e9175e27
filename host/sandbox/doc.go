// Package sandbox runs guests: it loads vetted modules, each in a wazero runtime of its
// own, and runs pools of instances that take attempts from a Source and complete them. Only
// this package and vet, below it, import wazero; no module that vet has not passed is
// loaded in this process.
//
// Guarantees: an instance serves one attempt at a time and is discarded after any trap,
// exit or timeout; no guest affects the pool of another module; every attempt taken from
// the Source is completed exactly once.
//
// An instance is one goroutine. It runs the guest's entry point, and parks in the host
// function next until the Source has an attempt. All state of an instance belongs to that
// goroutine. The mutexes of the package are leaves; none is held while a guest or the
// Source runs.
//
// Capabilities are what a guest may do besides reading events. The functions of a
// capability that is not granted return DENIED.
//
// The memory of an instance is in package memory, the stack of its calls in stack.go.
//
// Read pool.go first, then instance.go, hostfuncs.go and capability.go.
package sandbox
