// Package api is the HTTP API under /api/v1, with /healthz and /readyz. It is the only
// importer of Echo, and knows the other parts by the small interfaces of package ports.
//
// Package guard admits each request; all but the health checks and the description need a
// bearer token with the scope of their endpoint, or a browser's session (package session).
// Package search finds events. Errors are application/problem+json; package
// problem maps them to statuses. An internal error's text is logged, and never answered.
// Package inflight bounds the bytes of requests under way, package stream serves the event
// stream, package describe is the OpenAPI document, and package cloudevents converts events.
//
// A change with the scope operate or install is in the audit log before it is made, and so
// is every refusal for a missing right.
//
// A Server holds a lock only for its readiness, and none during I/O. Requests that enable,
// disable, pause or resume plugins run one at a time; a request waits for that no longer
// than its caller does. Read routes.go first: it lists every endpoint. request.go reads
// their input and encodes their answers.
package api
