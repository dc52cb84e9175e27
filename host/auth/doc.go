// Package auth keeps the tokens of the API, in the data directory.
//
// The admin token is a file that only its owner can read: the host makes it, and
// the command line on the same machine finds it. Further tokens have a file each
// in the directory tokens, which holds the SHA-256 of the secret and never the
// secret: making one adds a file and revoking one removes it, so that commands
// and a running host need no lock between them, and a host sees a change with
// the next request.
//
// It imports the standard library and host/fault only. Read tokens.go first.
package auth
