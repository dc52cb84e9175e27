// Package host is Berth: it wires the parts into one running Host. It is the
// only package that knows them all; the parts know events, wire shapes and
// fault codes, and small interfaces that the adapters here satisfy.
//
// Start brings up the store, the bus, the sandbox, the deliveries, the plugins
// and the API, in this order; Close takes them down in reverse, so that intake
// stops first, open events finish, and the store is closed last.
//
// Read host.go first, then runner.go.
package host
