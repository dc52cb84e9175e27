// Package auth keeps the tokens of the API, in the data directory.
//
// The admin token is a file that only its owner can read. The host creates it and
// the command line on the same machine reads it. Each further token is a file in
// the directory tokens, which holds the SHA-256 of the secret and never the secret.
// Creating a token adds a file and revoking one removes it: commands and a running
// host share no lock, and the host sees a change with the next request.
//
// Hosts of a cluster share their tokens instead, as documents of their database with the
// same content. The admin token is each host's own.
//
// Read tokens.go first.
package auth
