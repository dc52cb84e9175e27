// Package measure reads the figures of the host from its parts, for the metrics, the series
// and the overview.
//
// A Reader reads at most once a second, however often it is asked, and counts the dead
// letters less often where that takes long: it uses at most a fiftieth of a processor for them. It
// holds its lock while it reads, for at most 5 s. Read reader.go first.
package measure
