// Package marketplace fetches plugins from elsewhere.
//
// What it fetches is checked against a SHA-256 that the caller brings, and where
// it fetches from cannot be turned against the host's own network: every
// connection's resolved address is judged at the moment it is dialled, so that
// neither a redirect nor a name that resolves differently the second time gets
// past. Whoever may be reached although it is private, the operator has written
// down.
//
// Read fetch.go first, then address.go.
package marketplace
