// Package cloudevents takes and gives events as CloudEvents 1.0: structured and
// batched JSON, and the binary mode of HTTP. It is the only importer of the
// CloudEvents SDK, whose model and validation it uses; JSON is read here, where
// every member counts once and has the type it must have.
//
//	CloudEvents            event
//	type                   event_type; it must match its pattern
//	source, id             metadata.idempotency_key: "SOURCE ID", or sha256:HEX of that if it is over 256 bytes
//	source                 metadata.source
//	subject                metadata.subject
//	time                   metadata.time
//	traceparent            metadata.traceparent
//	correlationid          metadata.correlation_id
//	causationid            metadata.causation_id
//	tracestate             left out, as W3C Trace Context allows
//	data                   data: see Data
//
// The other way the id is the one that came, where the idempotency key has it,
// and the event's id otherwise; data is always JSON. dataschema and extensions
// that are not in the table have no place in an event: they are refused, not
// dropped. An error names the attribute it is about.
//
// Read decode.go first.
package cloudevents
