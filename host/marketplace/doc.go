// Package marketplace fetches plugins from elsewhere.
//
// What it fetches is checked against a SHA-256 that the caller brings, and where
// it fetches from cannot be turned against the host's own network: every
// connection's resolved address is judged at the moment it is dialled, so that
// neither a redirect nor a name that resolves differently the second time gets
// past. Whoever may be reached although it is private, the operator has written
// down. A credential goes to the host it is for, and along no redirect.
//
// The packages below it are one idea each, and reach the network only through this
// one: format is what a marketplace's files are, index the client of a
// marketplace, oci that of registries, publish the tools that make a marketplace.
//
// Read fetch.go first, then session.go, credential.go and address.go.
package marketplace
