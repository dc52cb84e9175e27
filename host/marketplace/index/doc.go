// Package index is the client of one marketplace: it lists its plugins and resolves the
// requested release.
//
// Every result is from one root.json that a trusted key has signed, and from pages with the
// digests in it; nothing is parsed before its digest or signature is verified. The last
// valid root is kept in one file, with the highest sequence number seen for each key: an
// older root is refused, also after a restart. While the marketplace is unavailable, the
// kept list is shown as stale. An expired list is shown, and nothing is installed by it.
//
// A Client uses the network when it is called, at most every few minutes for lists, and not
// when it is created. One goroutine at a time refreshes the list; Close waits for it. Its
// only lock is Client.mu.
//
// Read client.go first, then refresh.go.
package index
