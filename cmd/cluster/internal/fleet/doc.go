// Package fleet runs several real hosts over one PostgreSQL server on this machine, for the
// demo and for the failure tests: the server, the hosts in processes of their own, a proxy
// between each host and the server, the recorder that handlers write their attempts to, and
// publishers. Everything listens on loopback or in a temporary directory, and ends with this
// process.
//
// Read fleet.go first.
package fleet
