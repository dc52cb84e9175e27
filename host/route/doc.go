// Package route decides which handlers take an event.
//
// A Table holds the operator's routes, and a Filter the subscriptions of one plugin; a
// handler takes an event when both match. Routes are an allow-list: of the routes whose
// pattern matches the type the most specific one decides, and no handler takes an event
// whose type no route matches. Conditions (`when`) are CEL expressions over event_type,
// data and metadata. They are compiled once, bounded in cost, and decode an event's data
// only when they use it.
//
// Explain returns the decision of Takes with a reason for people.
//
// An index finds the deciding route: exact types by name, globs by their literal
// beginning. When several handlers are asked about one event in succession, the event is
// decoded, and its route's condition evaluated, once.
//
// Tables and Filters are immutable and safe for concurrent use. A Table caches the route
// of a bounded number of types, and the last event.
//
// Read table.go first.
package route
