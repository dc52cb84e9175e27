// Package desk runs one plugin without a host, for its author: in the real sandbox, with
// the events, configuration, secrets, key-value state and HTTP answers of files, and with a
// simulated clock and seeded random bytes, so that a run can be repeated exactly. It also
// runs the conformance kit (abi/conformance) on that sandbox.
//
// Guarantees: a Session delivers one event at a time to one instance, nothing leaves the
// process, and two sessions with the same module, set-up and events report the same, except
// for times.
//
// Read plugin.go first, then session.go.
package desk
