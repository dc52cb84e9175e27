// Package trace records what happens to an event as one trace, and exports it by OTLP over
// HTTP. It is the only importer of OpenTelemetry. The standard OTEL_ variables configure it;
// without them Open returns nil, and no part of the host does anything for traces.
//
// The spans of a trace:
//
//	POST /api/v1/orders/:id/status       the request; its parent is the header traceparent
//	└─ send order_status_changed         publishing: this span is in the event's metadata
//	   ├─ commit                         the transaction
//	   └─ deliver fraud-check            a delivery, from publishing to its final outcome
//	      ├─ process fraud-check         an attempt; a retry is another one
//	      │  ├─ POST                     a request of the guest, with its traceparent
//	      │  └─ deliver shipping         a delivery of a child, whose traceparent is the attempt's
//	      └─ process fraud-check
//
// Nothing about a trace is kept between attempts, so that restarts and long backoffs neither
// break traces nor cost memory: the id of a delivery's span follows from the delivery, and the
// span is exported once the outcome is final.
//
// Spans have ids, types, classes and figures. They have no data of events, no text of errors
// and no addresses of people: a collector may belong to others.
//
// The queue of spans is bounded (OTEL_BSP_MAX_QUEUE_SIZE, by default 2,048). What does not fit
// is discarded: no method waits for the collector. All types are safe for concurrent use.
//
// Read tracer.go first; export.go has the configuration and the collector.
package trace
