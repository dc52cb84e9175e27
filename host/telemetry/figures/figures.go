// Package figures has the figures of a host at one moment. The parts of the host fill them
// in, package metrics answers them to Prometheus, and package series keeps them over time.
//
// Values are plain and are not changed once they are read, so they are safe to share.
// Counters and distributions count since the host started.
package figures

import (
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/wire"
)

// Host are the figures of a host.
type Host struct {
	At      time.Time // when they were read
	Version string    // of the program
	Engine  string    // of the log
	Problem string    // why the host is not ready; "" when it is

	Appended  uint64      // events appended to the log since the start
	Published []Published // the same by type and source
	Handlers  []Handler   // sorted by name

	Log     *event.LogStatus // nil when it could not be read
	Commits *Commits         // nil for an engine without a file
	Files   Files
	Disk    *Disk // nil when it could not be read

	MemoryBytes  uint64        // resident, of the process
	GuestMemory  uint64        // of all instances
	MemoryLimit  uint64        // of GuestMemory; 0 for none
	CPU          time.Duration // of the process
	Processors   int           // that it may use at once
	Vets, Loads  []Timing      // of modules, by result
	Requests     []Requests    // of the API
	EventStreams int           // that are open
	Operations   int           // that are running
	Marketplace  Marketplace
	Schedules    []Schedule        // sorted by name
	Violations   map[string]uint64 // events that the schema of their type refused, by type
	Cluster      *Cluster          // nil for a host that runs alone
	Database     *Database         // nil for an engine without one
	Unknown      int               // parts whose figures could not be read
}

// Published counts events of one type and kind of publisher.
type Published struct {
	Type   string // "other" beyond the first 200 types
	Source string // api, orders, plugin, schedule or unknown
	Count  uint64
}

// Handler are the figures of one handler.
type Handler struct {
	Plugin, Version, SHA256 string // of the module that runs, or last ran
	State                   wire.PluginState
	Reason                  string
	Since                   time.Time // when it entered State
	Lag                     uint64
	Ready, Open             uint64    // events in its queue: that may start now, and that are not final
	OldestAt                time.Time // of the oldest event that waits; zero for none
	Instances               int
	MemoryBytes             uint64 // of its instances
	BreakerOpen             bool
	Dead                    uint64 // dead letters
	OpenIssues              int
	WaitsForApproval        bool
	Versions                []Version
}

// Version are the counts of one version of a handler.
type Version struct {
	Version, SHA256 string
	OK, Dead        uint64            // deliveries that ended
	Failures        map[string]uint64 // failed attempts by error class
	Conflicts       uint64            // runs of atomic handlers that another delivery's writes made void
	Fuel            *histogram.Histogram
	Duration        *histogram.Histogram // of attempts, in nanoseconds
	Latency         *histogram.Histogram // from publishing to the successful end, in nanoseconds
}

// Failed returns the number of failed attempts.
func (v *Version) Failed() (n uint64) {
	for _, count := range v.Failures {
		n += count
	}
	return n
}

// Commits are the group commits of the store.
type Commits struct {
	Writes   histogram.Histogram // of clients in one commit
	Events   histogram.Histogram // appended in one commit
	Duration histogram.Histogram // of a commit with its flush, in nanoseconds
	Failed   uint64
}

// Files are the sizes of the store's files in bytes.
type Files struct{ Data, WAL uint64 }

// Disk is the file system of the data directory, in bytes.
type Disk struct{ Free, Total uint64 }

// Timing is how long something took, in nanoseconds, by its result.
type Timing struct {
	Result   string
	Duration histogram.Histogram
}

// Requests are the requests of one endpoint.
type Requests struct {
	Method, Route string
	Classes       [6]uint64           // by status/100
	Refused       [3]uint64           // with 401, 403 and 429
	Duration      histogram.Histogram // in nanoseconds; empty for event streams
}

// Schedule are the figures of one schedule.
type Schedule struct {
	Name              string
	Published, Missed uint64    // events, and due times without one
	Failed            uint64    // attempts to publish
	NextDue           time.Time // zero while it is paused
}

// Marketplace is the state of the marketplace's list.
type Marketplace struct {
	Enabled  bool
	Fetched  time.Time // when it was last confirmed; zero for never
	Failures uint64    // refreshes in the background that failed
}

// Cluster are the figures of a host as a member of a cluster.
type Cluster struct {
	Members               int    // live ones
	Units                 int    // that this host runs
	Waiting               int    // units that a live host can run and none does
	Renewals, Failed      uint64 // of the lease
	Takes, Gives          uint64 // of units
	Losses                uint64 // of units that this host did not give away
	Ended                 uint64 // leases of other hosts that this one has ended
	LeaseAge, ClockOffset time.Duration
}

// Database are the figures of the connections to a database, without those that renew the lease.
type Database struct {
	Commits histogram.Histogram // durations in nanoseconds, also of statements that commit by themselves
	Queries histogram.Histogram // of those that only read, likewise
	Refused uint64              // writes for units that other hosts owned by then

	Used, Idle, Limit int           // connections
	Waiting           int           // calls that wait for a connection
	Waited            time.Duration // of all calls together, for a connection
}
