// Package marketplace fetches plugins from the network.
//
// Every response is checked against a SHA-256 or a signature by its caller, and a fetch
// cannot be turned against the host's own network: every connection's resolved address is
// checked when it is dialled, so that neither a redirect nor a name that resolves
// differently the second time bypasses the check. Private addresses are allowed only if the
// operator lists them. A credential is sent to its own server only, and not after a
// redirect.
//
// The packages below it reach the network only through this one: format is the format of a
// marketplace's files, index the client of a marketplace, oci the client of registries,
// publish the tools that make a marketplace.
//
// Read fetch.go first, then session.go, credential.go and address.go.
package marketplace
