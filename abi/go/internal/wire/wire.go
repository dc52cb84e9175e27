// Package wire is the ABI's imports as Go functions. Compiled for wasip1 they
// are the host's functions. Elsewhere they go to the Host that a test has put
// in place, and panic when there is none.
package wire
