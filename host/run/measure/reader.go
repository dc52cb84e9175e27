package measure

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/histogram"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/telemetry/figures"
	"github.com/berth-host/berth/host/wire"
)

// Config has the parts that are read. Fields that say so may be nil.
type Config struct {
	Version, Engine string
	StoreFile       string // path of the data file, in the data directory
	MemoryLimit     int64  // of all instances; 0 for none
	Ready           func() error

	Last       func() uint64 // the highest Seq of the log
	Log        func(context.Context) (event.LogStatus, error)
	DeadCounts func(context.Context) (map[string]uint64, error) // by unit
	Commits    func() figures.Commits                           // nil: the engine has no file
	Published  func() []figures.Published

	Plugins func() []wire.Plugin // with their lags
	// Handler fills in what the queue, the pool and the attempts of a plugin know.
	Handler func(context.Context, *figures.Handler) error
	Issues  func() map[string]int // open ones by plugin; nil: none

	Vets, Loads  func() []figures.Timing
	Requests     func() []figures.Requests
	EventStreams func() int
	Operations   func() int // that are running; nil: none
	Marketplace  func() figures.Marketplace
	Schedules    func() []figures.Schedule // nil: none
	Violations   func() map[string]uint64  // by event type; nil: none
	Cluster      func() *figures.Cluster   // nil, and nil from it: the host runs alone
	Database     func() figures.Database   // nil: the engine has none
	Logger       *slog.Logger
}

const (
	maxAge      = time.Second     // of the figures that Read returns
	readTimeout = 5 * time.Second // for all parts together
	deadShare   = 50              // the dead letters are counted for a 50th of the time at most
)

// Reader reads the figures of the host. It is safe for concurrent use.
type Reader struct {
	cfg   Config
	first uint64 // the highest Seq when the host started

	mu      sync.Mutex
	last    figures.Host
	readAt  time.Time
	dead    map[string]uint64
	deadFor time.Time // until when dead is new enough
}

// New returns a reader. Its counters start now.
func New(cfg Config) *Reader { return &Reader{cfg: cfg, first: cfg.Last()} }

// Read returns figures that are at most a second old. The caller must not change what they refer
// to. Parts that cannot be read are missing, and counted in Unknown.
func (r *Reader) Read(ctx context.Context) figures.Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.readAt) < maxAge {
		return r.last
	}
	return r.readNow(ctx)
}

// Fresh returns the figures as they are now.
func (r *Reader) Fresh(ctx context.Context) figures.Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readNow(ctx)
}

// readNow requires r.mu. The figures are those of every caller, so they do not depend on
// how long this one waits.
func (r *Reader) readNow(ctx context.Context) figures.Host {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	c := &r.cfg
	f := figures.Host{At: time.Now(), Version: c.Version, Engine: c.Engine, Appended: c.Last() - r.first, Published: c.Published(),
		MemoryLimit: uint64(max(0, c.MemoryLimit)), Processors: runtime.GOMAXPROCS(0), Vets: c.Vets(), Loads: c.Loads(),
		Requests: c.Requests(), EventStreams: c.EventStreams(), Marketplace: c.Marketplace()}
	if err := c.Ready(); err != nil {
		f.Problem = err.Error()
	}
	unknown := func(part string, err error) {
		f.Unknown++
		c.Logger.Debug("figures not read", "part", part, "error", err)
	}
	if status, err := c.Log(ctx); err != nil {
		unknown("log", err)
	} else {
		f.Log = &status
	}
	if c.Commits != nil {
		f.Commits = new(c.Commits())
	}
	if c.Operations != nil {
		f.Operations = c.Operations()
	}
	if c.Schedules != nil {
		f.Schedules = c.Schedules()
	}
	if c.Violations != nil {
		f.Violations = c.Violations()
	}
	if c.Cluster != nil {
		f.Cluster = c.Cluster()
	}
	if c.Database != nil {
		f.Database = new(c.Database())
	}
	if err := r.countDead(ctx); err != nil {
		unknown("dead letters", err)
	}
	if err := r.readHandlers(ctx, &f); err != nil {
		unknown("handlers", err)
	}
	if err := r.readMachine(&f); err != nil {
		unknown("machine", err)
	}
	r.last, r.readAt = f, time.Now()
	return f
}

// countDead counts the dead letters, unless they were counted recently.
func (r *Reader) countDead(ctx context.Context) error {
	began := time.Now()
	if began.Before(r.deadFor) {
		return nil
	}
	dead, err := r.cfg.DeadCounts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	r.dead = make(map[string]uint64, len(dead)) // by plugin
	for unit, n := range dead {
		r.dead[spec.PluginOf(unit)] += n
	}
	r.deadFor = now.Add(deadShare * now.Sub(began))
	return nil
}

func (r *Reader) readHandlers(ctx context.Context, f *figures.Host) (err error) {
	var issues map[string]int
	if r.cfg.Issues != nil {
		issues = r.cfg.Issues()
	}
	for _, p := range r.cfg.Plugins() {
		h := figures.Handler{Plugin: p.Name, Version: p.Version, SHA256: p.SHA256, State: p.State, Reason: p.Reason, Since: p.Since, Lag: p.Lag,
			Instances: p.Instances, Dead: r.dead[p.Name], OpenIssues: issues[p.Name],
			WaitsForApproval: p.State == wire.NeedsApproval || p.Pending != nil, BreakerOpen: p.State == wire.BreakerOpen}
		if e := r.cfg.Handler(ctx, &h); e != nil {
			err = e
		}
		h.Versions = byName(h.Versions)
		f.GuestMemory += h.MemoryBytes
		f.Handlers = append(f.Handlers, h)
	}
	slices.SortFunc(f.Handlers, func(a, b figures.Handler) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return err
}

// byName joins the versions of one name, which are one in the labels of metrics: modules
// without a manifest have none, and a file may change without its version.
func byName(versions []figures.Version) (list []figures.Version) {
	for _, v := range versions {
		i := slices.IndexFunc(list, func(other figures.Version) bool { return other.Version == v.Version })
		if i < 0 {
			list = append(list, v)
			continue
		}
		one := &list[i]
		one.SHA256, one.OK, one.Dead = v.SHA256, one.OK+v.OK, one.Dead+v.Dead // the digest of the latest
		one.Failures = maps.Clone(one.Failures)
		for class, n := range v.Failures {
			if one.Failures == nil {
				one.Failures = make(map[string]uint64)
			}
			one.Failures[class] += n
		}
		one.Fuel, one.Duration, one.Latency = sum(one.Fuel, v.Fuel), sum(one.Duration, v.Duration), sum(one.Latency, v.Latency)
	}
	return list
}

// sum returns a distribution of the values of both, and changes neither.
func sum(a, b *histogram.Histogram) *histogram.Histogram {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	both := *a
	both.Add(b)
	return &both
}

// readMachine reads what the operating system knows.
func (r *Reader) readMachine(f *figures.Host) error {
	if r.cfg.Commits != nil {
		f.Files = figures.Files{Data: sizeOf(r.cfg.StoreFile), WAL: sizeOf(r.cfg.StoreFile + "-wal")}
	}
	f.MemoryBytes = resident()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return err
	}
	f.CPU = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(r.cfg.StoreFile), &fs); err != nil {
		return err
	}
	f.Disk = &figures.Disk{Free: uint64(fs.Bavail) * uint64(fs.Bsize), Total: uint64(fs.Blocks) * uint64(fs.Bsize)}
	return nil
}

// sizeOf returns the size of a file in bytes; 0 for a missing one.
func sizeOf(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return uint64(info.Size())
}
