// Package cloudevents converts between events and CloudEvents 1.0: structured and batched
// JSON, and the binary mode of HTTP. It is the only importer of the CloudEvents SDK, whose
// model and validation it uses. It decodes JSON itself, and refuses duplicate members and
// wrong types. Its functions are safe for concurrent use.
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
//	tracestate             dropped, as W3C Trace Context allows
//	data                   data: see Data
//
// The id of an encoded CloudEvent is the one in the idempotency key, or else the event's id;
// its data is always JSON. dataschema and extensions that are not in the table are refused,
// not dropped, because events do not store them. Errors name the attribute.
//
// Read decode.go first.
package cloudevents
