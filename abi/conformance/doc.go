// Package conformance tests whether an SDK and a host follow the ABI. Vectors returns the
// test cases, Run runs them on a Host with a build of the conformance handler that
// README.md specifies. Package conformancetest does so in a Go test.
//
// Guarantees: Run delivers to one plugin at a time, stops each plugin that it started, and
// returns one result for each vector. It keeps no state between calls.
//
// Read README.md first, then run.go.
package conformance
