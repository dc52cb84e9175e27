// Package series keeps the figures of the host and of each handler over time, in memory: in
// steps of 10 s for an hour, and in steps of a minute for a day. A restart of the host
// begins anew.
//
// Memory is bounded: 10 KiB for a handler without work, 150 KiB for one with work at all
// times, and at most MaxHandlers handlers. Values are float32 inside. Beyond MaxHandlers the
// handlers that no longer exist make way first; further ones are not recorded.
//
// A Recorder is safe for concurrent use. Its lock is not held while anything is read.
// Read recorder.go first.
package series
