package vet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/sandbox/meter"
	"github.com/berth-host/berth/host/sandbox/prescan"
	"github.com/berth-host/berth/host/spec"
)

// Config says how to vet. CacheDir is required.
type Config struct {
	// CacheDir keeps verdicts and compiled code between starts. The code is
	// executed, so it must be writable by this user only; it is created with
	// mode 0700. Entries not used for 30 days are removed by New.
	CacheDir string
	// CacheBytes bounds the total size of the entries; the least recently used ones are
	// evicted. 0: 4 GiB, about 300 Go guests.
	CacheBytes int64
	// Version of the program: another version vets again.
	Version string
	// Prescan holds the limits of the pre-scan; each zero field means its default.
	Prescan prescan.Limits

	// The child's limits.
	Memory int64         // private memory in bytes. 0: 1 GiB
	CPU    time.Duration // rounded up to seconds. 0: 5s
	// Wall bounds a child's wall time. A child that has not used up its CPU time by then
	// got too little processor: that is no verdict, and the next child gets twice as
	// long, up to eight times Wall. 0: 8s
	Wall time.Duration
	Nice int // priority, 0 to 19. 0: 5

	// Children is how many run at a time. 0: 2
	Children int

	Logger *slog.Logger // nil: discard

	// Program is the file executed as the child, with the argument vet. It must be the
	// same build as this process, or the compiled code is not found. Default: this
	// process's own file; the TestMain of a test binary calls RunIfChild.
	Program string
}

func (c Config) withDefaults() (Config, error) {
	if c.CacheDir == "" {
		return c, fault.New(fault.Internal, "vet.New: CacheDir is required")
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = 4 << 30
	}
	if c.Memory <= 0 {
		c.Memory = 1 << 30
	}
	if c.CPU <= 0 {
		c.CPU = 5 * time.Second
	}
	if c.Wall <= 0 {
		c.Wall = 8 * time.Second
	}
	if c.Nice <= 0 {
		c.Nice = 5
	}
	if c.Children <= 0 {
		c.Children = 2
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Program == "" {
		var err error
		if c.Program, err = program(); err != nil {
			return c, fmt.Errorf("vet: find this program: %w", err)
		}
	}
	return c, nil
}

// Vetter vets modules. It is safe for concurrent use and needs no Close: a child lives
// only while a Vet waits for it.
type Vetter struct {
	cfg      Config
	entries  entries
	quota    quota
	identity []byte // see identify
	queue    queue

	mu      sync.Mutex
	flights map[key]chan struct{} // vettings under way; closed when the verdict is known
	refused map[key]Report        // refusals by a child; at most maxRefused
	stopped map[key]stops         // at most maxRefused
}

// stops counts a module's children that ended without a verdict.
type stops struct {
	starved   int // too little CPU time
	preempted int // in favour of new modules
}

// key names a verdict: the module's bytes and the identity of the Vetter.
type key [sha256.Size]byte

const maxRefused = 1000

// New returns a Vetter and prunes its cache directory.
func New(cfg Config) (*Vetter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	entries, err := openEntries(cfg.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	v := &Vetter{cfg: cfg, entries: entries, quota: quota{limit: cfg.CacheBytes}, queue: queue{slots: cfg.Children},
		flights: make(map[key]chan struct{}), refused: make(map[key]Report), stopped: make(map[key]stops)}
	if v.identity, err = v.identify(); err != nil {
		return nil, fmt.Errorf("vet: %w", err)
	}
	entries.prune(time.Now())
	v.quota.fit(entries)
	if weak != "" {
		cfg.Logger.Info("modules are vetted under weaker limits on this system", "system", runtime.GOOS, "weaker", weak)
	}
	return v, nil
}

// identify returns the inputs of a verdict besides the module: the program's build, the
// version of the rewriter, the limits and the processor. If one changes, all modules are
// vetted again.
func (v *Vetter) identify() ([]byte, error) {
	info, err := os.Stat(v.cfg.Program)
	if err != nil {
		return nil, err
	}
	limits, err := json.Marshal(v.request(0))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%s %d %s/%s %d.%d %s %v %v %v", v.cfg.Version, meter.Version, runtime.GOOS, runtime.GOARCH,
		info.Size(), info.ModTime().UnixNano(), limits, v.cfg.Wall, cpu.X86, cpu.ARM64), nil
}

func (v *Vetter) request(size int) request {
	return request{Format: format, Size: size, Memory: v.cfg.Memory, CPU: v.cfg.CPU, Nice: v.cfg.Nice, Prescan: v.cfg.Prescan}
}

// Verdict is the result of vetting a module.
type Verdict struct {
	Report Report
	// Metered is the metered module, if it passed, and CodeDir the directory of its
	// compiled code, both for Compile. CodeDir may be "".
	Metered []byte
	CodeDir string
	key     key
}

// Vet vets a module. It keeps no reference to its bytes. The error of a refused module is
// fault.Invalid, with a *Refusal in its chain and the Report in the Verdict; after any
// other error there is no verdict, and Vet may be called again later.
func (v *Vetter) Vet(ctx context.Context, module spec.Artifact) (Verdict, error) {
	name := key(sha256.Sum256(fmt.Appendf(v.identity[:len(v.identity):len(v.identity)], " %s", module.SHA256())))
	for {
		if verdict, ok := v.known(name); ok {
			return verdict, verdict.Report.err()
		}
		v.mu.Lock()
		flight, underWay := v.flights[name]
		if !underWay {
			flight = make(chan struct{})
			v.flights[name] = flight
		}
		v.mu.Unlock()
		if !underWay {
			defer func() {
				v.mu.Lock()
				delete(v.flights, name)
				v.mu.Unlock()
				close(flight)
			}()
			// The vetting before this one may have reached a verdict.
			if verdict, ok := v.known(name); ok {
				return verdict, verdict.Report.err()
			}
			return v.decide(ctx, name, module)
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return Verdict{}, waited(ctx)
		}
	}
}

// known returns an earlier verdict.
func (v *Vetter) known(name key) (Verdict, bool) {
	v.mu.Lock()
	report, ok := v.refused[name]
	v.mu.Unlock()
	if ok {
		return Verdict{Report: report, key: name}, true
	}
	verdict, ok, err := v.entries.load(name)
	if err != nil {
		v.cfg.Logger.Warn("unusable compilation cache entry, vetting again", "error", err)
	}
	return verdict, ok
}

// decide scans a module in this process, then has a child compile it.
func (v *Vetter) decide(ctx context.Context, name key, module spec.Artifact) (Verdict, error) {
	verdict := Verdict{Report: newReport(module), key: name}
	seen, err := prescan.Scan(module.Wasm(), v.cfg.Prescan)
	verdict.Report.scanned(seen, v.cfg.Prescan, err)
	if err := verdict.Report.err(); err != nil {
		return verdict, err
	}
	ticket := v.queue.enter(module.Size(), v.stops(name).preempted, time.Now())
	defer ticket.leave()
	for {
		within, err := ticket.wait(ctx)
		if err != nil {
			return Verdict{}, err
		}
		done, err := v.try(within, &verdict, module.Wasm())
		preempted := errors.Is(context.Cause(within), errPreempted) && ctx.Err() == nil && (err != nil || !done)
		switch {
		case preempted:
			v.countStop(name, stops{preempted: 1})
		case err != nil:
			return Verdict{}, err
		case done:
			v.clearStops(name)
			return verdict, verdict.Report.err()
		default:
			v.countStop(name, stops{starved: 1})
			v.cfg.Logger.Info("waiting for processor: vetting again with more time", "sha256", verdict.Report.SHA256, "size",
				module.Size(), "wall", v.wall(name))
		}
		ticket.requeue(preempted)
	}
}

// try has one child vet a module, and stores its verdict. done is false if the child
// got too little CPU time.
func (v *Vetter) try(ctx context.Context, verdict *Verdict, wasm []byte) (done bool, err error) {
	dir, remove, err := v.entries.begin()
	if err != nil {
		return false, fault.Disk("vet", err)
	}
	defer remove()
	started := time.Now()
	report, err := v.child(ctx, verdict.key, dir, wasm, verdict.Report)
	if errors.Is(err, errStarved) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v.cfg.Logger.Debug("module vetted", "sha256", report.SHA256, "duration", time.Since(started), "refused", report.Error)
	if report.Error != nil {
		verdict.Report = report
		v.refuse(verdict.key, report)
		return true, nil
	}
	kept, err := v.quota.add(v.entries, verdict.key, dir, report)
	if err != nil {
		return false, fault.Disk("compilation cache", err)
	}
	*verdict = kept
	return true, nil
}

// refuse remembers a refusal, in place of any other if there are too many.
func (v *Vetter) refuse(name key, r Report) {
	v.mu.Lock()
	defer v.mu.Unlock()
	evictOne(v.refused)
	v.refused[name] = r
}

// wall returns the wall time of a module's next child.
func (v *Vetter) wall(name key) time.Duration {
	return v.cfg.Wall << min(v.stops(name).starved, 3)
}

// stops returns how many children of a module ended without a verdict.
func (v *Vetter) stops(name key) stops {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stopped[name]
}

// countStop counts one more.
func (v *Vetter) countStop(name key, one stops) {
	v.mu.Lock()
	defer v.mu.Unlock()
	had, known := v.stopped[name]
	if !known {
		evictOne(v.stopped)
	}
	v.stopped[name] = stops{had.starved + one.starved, had.preempted + one.preempted}
}

// clearStops deletes the count, because there is a verdict.
func (v *Vetter) clearStops(name key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.stopped, name)
}

func evictOne[V any](m map[key]V) {
	if len(m) < maxRefused {
		return
	}
	for other := range m {
		delete(m, other)
		return
	}
}

// Forget removes the cache entry of a module that passed but whose code does not load.
// The next Vet compiles it again.
func (v *Vetter) Forget(verdict Verdict) error { return v.entries.remove(verdict.key) }

func waited(ctx context.Context) error {
	return fault.New(fault.Unavailable, "waiting to be vetted: %w", context.Cause(ctx))
}
