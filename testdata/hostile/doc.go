// Package hostile is a collection of modules that try to stop, freeze, fill or
// deceive a host, each with the outcome that the host must produce. They are encoded
// in Go, so that a test needs no compiler for WebAssembly.
//
// A guest of Cases misbehaves at the first attempt of an event only. At any
// later attempt its result is [g,m]: a global and a byte of memory that it sets to
// 1 before it misbehaves. A fresh instance therefore returns [0,0], and an
// instance that outlived its first attempt [1,1].
//
// Read Case first, then build.go.
package hostile

import "github.com/berth-host/berth/host/event"

// Case is a module and its outcome: exactly one of Refused, Unstarted and the outcome
// of its first event applies.
type Case struct {
	Name string
	Wasm []byte

	// Refused is a part of the error of loading it.
	Refused string
	// Unstarted is a part of the error of an instance that never calls next.
	Unstarted string

	// Class of the first attempt's outcome; "" when it ends well. Says is a part
	// of its message, and of its result when it ends well.
	Class event.Class
	Says  string
	// Always: it misbehaves at every attempt, and the second ends as the first.
	Always bool
	// Slow: it ends by itself, but takes more than the fraction of a second that other
	// cases have.
	Slow bool
}

// Answers of the second attempt.
const (
	Fresh = "[0,0]"
	Stale = "[1,1]"
)

// Cases returns all cases. The slice belongs to the caller.
func Cases() []Case {
	var all []Case
	for _, cases := range [][]Case{
		loops(), recursions(), floods(), sleepers(), pointers(), exits(), traps(), answers(), stdios(), kernels(),
		shapes(), features(), counts(), bombs(),
	} {
		all = append(all, cases...)
	}
	return all
}

// Named returns the case of that name. It panics without one.
func Named(name string) Case {
	for _, c := range Cases() {
		if c.Name == name {
			return c
		}
	}
	panic("no hostile module is named " + name)
}
