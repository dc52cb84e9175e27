// Package wire is the ABI's imports as Go functions. Compiled for wasip1 they
// are the host's functions. Elsewhere they call the Host that a test has
// passed to Use, and panic without one.
package wire
