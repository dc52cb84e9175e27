// Package oci fetches modules from OCI registries: artifacts of one WebAssembly
// module, as the CNCF's wasm working group lays them out (config
// application/vnd.wasm.config.v0+json, one layer application/wasm).
//
// A tag is resolved to a digest first, and only what has that digest is taken:
// the manifest by the digest of the reference, the module by that of the manifest.
// Connections are made by the marketplace's guarded client, so that a registry, or
// a token server or storage that it leads to, is on the public internet or on the
// operator's list.
//
// Read source.go first, then open.go.
package oci
