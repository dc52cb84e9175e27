// Package oci fetches modules from OCI registries: artifacts of one WebAssembly module, in
// the layout of the CNCF's wasm working group (config application/vnd.wasm.config.v0+json,
// one layer application/wasm).
//
// A tag is first resolved to a digest, and only bytes with that digest are accepted: the
// manifest by the digest of the reference, the module by that of the manifest. Connections
// use the marketplace's guarded client, so that a registry, and every token server or
// storage that it redirects to, is on the public internet or on the operator's list.
//
// Read source.go first, then open.go.
package oci
