// Package schema checks a handler's config against the JSON Schema that the
// plugin's manifest brings along.
//
// The schema is a stranger's. Compile therefore takes only what can be checked
// in bounded time: references stay inside the schema and may not form a circle,
// nothing is loaded from a file or a network, and the schema, with its
// references followed, is small. Check refuses a config that is too large for
// its schema before it begins. The config is the operator's and may hold what is
// not for everybody's eyes, so no error shows a value of it: an error names
// places and what the schema wants there.
//
// Read schema.go first, then bounds.go.
package schema
