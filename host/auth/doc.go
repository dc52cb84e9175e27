// Package auth keeps the admin token: a file in the data directory that only
// its owner can read. The host makes it, and the command line on the same
// machine finds it. It imports the standard library and host/fault only, and
// holds no state.
package auth
