// Package host is the composition root of Berth: it makes the parts, in order, and
// joins them into one running Host. It holds no domain logic. Parts do not know each
// other: they declare small interfaces, which other parts or the adapters here
// implement, and receive the functions they need, never the Host.
//
// Start starts the engine, the bus, the handlers' runner, the sources, the installs, the
// plugins, the background work and the API. Close closes them in reverse order: intake
// stops first, open events finish, and the store is closed last.
//
// Read host.go first: Start is the list of the parts.
package host
