// Package schema checks a handler's config against the JSON Schema in the plugin's
// manifest.
//
// The schema is untrusted. Compile therefore accepts only schemas that can be checked in
// bounded time: references stay inside the schema and form no cycle, nothing is loaded from
// a file or a network, and the schema, with its references followed, is small. Check
// refuses a config that is too large for its schema before it checks it. The config may
// hold secrets, so no error contains a value of it: an error names the position and what
// the schema requires there.
//
// Read schema.go first, then bounds.go.
package schema
