// Package member makes a host one of those that share a database: it runs the handlers that the
// cluster assigns to the host, keeps their issues, and follows what other hosts have changed.
//
// A handler whose module differs from the one that the cluster has installed is not run here, and
// neither is a unit that is not of the shards in force: this is read again after each take.
// Follower reads shared documents again when the revision of their kind has changed. The views
// show what other hosts keep. Read work.go first.
package member
