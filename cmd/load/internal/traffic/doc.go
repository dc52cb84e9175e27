// Package traffic publishes events over HTTP: from publishers that each wait for their
// answers (closed loop), and at given arrival times whatever the answers do (open loop).
//
// A connection writes prepared requests and reads answers with net/http's parser, without
// net/http's client: on a machine that the generator shares with the host, the client would
// take as much of the processors as the host.
package traffic
