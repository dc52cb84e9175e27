// Package sources connects a host to the sources of plugins under the configuration
// in force: the marketplace, URLs and OCI registries. It resolves and downloads
// releases for package install, lists the marketplace for the API, refreshes the
// marketplace's list in the background, and reports the modules that the list has
// revoked.
//
// A revoked module can neither be installed nor rolled back to. An installed one
// keeps running and is reported loudly: stopping it would let the signer of the list
// stop plugins here, and their events would wait until retention deletes them. The
// operator decides.
//
// Lock order: the mutex of Sources, then those of the list's client. Read
// sources.go first.
package sources
