// Package measure has the measurements: each starts the host with the handlers that it
// needs, as often as Sizes.Repeats says, and returns tables.
//
// First file to read: suite.go.
package measure
