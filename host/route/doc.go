// Package route decides which handlers an event is for.
//
// A Table holds the operator's routes, a Filter what one plugin subscribes to;
// a handler takes an event when both agree. Routes are an allow-list: of those
// whose pattern matches the type only the most specific decides, and a type
// that none matches reaches nobody. Conditions (`when`) are CEL expressions
// over event_type, data and metadata. They are compiled once, bounded in cost,
// and read an event's data only if they have to.
//
// Explain says the same as Takes, with the reason, for a person.
//
// Of many routes the deciding one is found by an index: exact types by name,
// globs by how they begin. An event is decoded, and its route's condition
// evaluated, once for all handlers that ask about it one after another.
//
// Tables and Filters are immutable and safe for concurrent use; a Table's
// memory of which route a type belongs to is bounded, and of events it keeps the
// last one.
//
// Read table.go first.
package route
