// Package index is the client of one marketplace: it lists what is there and
// finds the release that was asked for.
//
// What it answers is of one root.json that was signed by a trusted key, and of
// pages that have the digests it lists; nothing is parsed before its digest or
// signature was checked. The last root that held is kept in one file, with the
// highest sequence number seen for each key: an older root is refused, also after
// a restart. When the marketplace is down, the kept list is shown and says so. A
// list that is past its expiry is shown, and nothing is installed by it.
//
// A Client touches the network when it is asked something, at most every few
// minutes for lists, and never when it is made. Its one goroutine at a time
// refreshes the list; Close waits for it. Lock order: Client.mu only.
//
// Read client.go first, then refresh.go.
package index
