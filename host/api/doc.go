// Package api is the HTTP API under /api/v1, with /healthz and /readyz. It is
// the only importer of Echo, and knows the other parts by the small interfaces
// in parts.go.
//
// Every request but the two health checks must name a host it may name (a page
// of another site cannot reach a local host by DNS rebinding), and every one
// under /api must carry a bearer token with the scope of its endpoint. Errors
// are application/problem+json; problemOf alone decides their status. An
// internal error's text goes to the log, never into an answer.
//
// Each token, and each address that shows none, has a bounded rate of requests.
// What changes something for an operator is in the audit log before it is made,
// and so is what was refused.
//
// A Server holds no lock but the Feed's and the rates', which are never held
// while anything is waited for. Plugins are switched one at a time, by a token
// that a request waits for no longer than its caller does. Package cloudevents,
// below, turns CloudEvents into events and back. Read server.go first: it lists
// every endpoint, those about deliveries in deadletters.go.
package api
