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
)

// Config says how to vet. CacheDir is required.
type Config struct {
	// CacheDir keeps verdicts and compiled code between starts. The code is
	// executed, so it must be writable by this user only; it is created with
	// mode 0700. Entries not used for 30 days are removed by New.
	CacheDir string
	// CacheBytes is the most that the entries may have together; the ones that
	// were not used for longest make room. 0: 4 GiB, which are some 300 Go guests.
	CacheBytes int64
	// Version of the program: another version vets again.
	Version string
	// Prescan holds the limits of the pre-scan; each zero field means its default.
	Prescan prescan.Limits

	// The child's limits.
	Memory int64         // private memory in bytes. 0: 1 GiB
	CPU    time.Duration // rounded up to seconds. 0: 5s
	// Wall bounds a child's life. A child that has not used up its CPU time by then
	// lacked a processor: that is no verdict, and another one begins with twice as
	// long, up to eight times. 0: 8s
	Wall time.Duration
	Nice int // priority, 0 to 19. 0: 5

	// Children is how many run at a time. 0: 2
	Children int

	Logger *slog.Logger // default nowhere

	// Program is the file executed as the child, with the argument vet: a build of
	// this very program, or what it compiles is not found. Default: this process's
	// own file, which for a test binary means that TestMain calls RunIfChild.
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

// Vetter vets modules. Make it with New. It is safe for concurrent use, and has
// nothing to close: a child lives only while a Vet waits for it.
type Vetter struct {
	cfg      Config
	entries  entries
	room     room
	identity []byte // of the program, its limits and the machine, as far as a verdict depends on them
	queue    queue

	mu      sync.Mutex
	flights map[key]chan struct{} // closed when the verdict is there
	refused map[key]Report        // what a child refused; at most maxRefused
	stopped map[key]without       // its children that gave no verdict; at most maxRefused
}

// without counts the children of a module that were stopped without a verdict.
type without struct {
	starved int // for want of a processor
	others  int // for the sake of other modules
}

// key names a verdict: the module's bytes and the identity of the Vetter.
type key [sha256.Size]byte

const maxRefused = 1000

// New returns a Vetter and tidies up its directory.
func New(cfg Config) (*Vetter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	entries, err := openEntries(cfg.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("compilation cache: %w", err)
	}
	v := &Vetter{cfg: cfg, entries: entries, room: room{limit: cfg.CacheBytes}, queue: queue{slots: cfg.Children},
		flights: make(map[key]chan struct{}), refused: make(map[key]Report), stopped: make(map[key]without)}
	if v.identity, err = v.identify(); err != nil {
		return nil, fmt.Errorf("vet: %w", err)
	}
	entries.tidy(time.Now())
	v.room.fit(entries)
	if weak != "" {
		cfg.Logger.Info("modules are vetted under weaker limits on this system", "system", runtime.GOOS, "weaker", weak)
	}
	return v, nil
}

// identify is what a verdict depends on besides the module: a program that was
// built anew or rewrites modules otherwise, other limits and another processor vet again.
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

// Verdict is what came of vetting a module.
type Verdict struct {
	Report Report
	// Metered is the module as it was compiled, if it passed, and CodeDir where
	// its compiled code is, both for Compile. CodeDir may be "".
	Metered []byte
	CodeDir string
	key     key
}

// Vet judges a module. It does not keep wasm, which must not change meanwhile.
// The error of a refused module is fault.Invalid, with a *Refusal in its chain
// and the Report in the Verdict; any other error is no verdict, and Vet may be
// called again later.
func (v *Vetter) Vet(ctx context.Context, wasm []byte) (Verdict, error) {
	name := key(sha256.Sum256(fmt.Appendf(v.identity[:len(v.identity):len(v.identity)], " %s", digest(wasm))))
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
			// The flight before this one may have brought it about.
			if verdict, ok := v.known(name); ok {
				return verdict, verdict.Report.err()
			}
			return v.judge(ctx, name, wasm)
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return Verdict{}, waited(ctx)
		}
	}
}

// known finds a verdict that was given before.
func (v *Vetter) known(name key) (Verdict, bool) {
	v.mu.Lock()
	report, ok := v.refused[name]
	v.mu.Unlock()
	if ok {
		return Verdict{Report: report, key: name}, true
	}
	verdict, ok, err := v.entries.load(name)
	if err != nil {
		// Whoever makes it anew replaces it.
		v.cfg.Logger.Warn("an entry of the compilation cache is of no use; it is made anew", "error", err)
	}
	return verdict, ok
}

// judge scans a module here, and has a child do the rest.
func (v *Vetter) judge(ctx context.Context, name key, wasm []byte) (Verdict, error) {
	verdict := Verdict{Report: newReport(wasm), key: name}
	seen, err := prescan.Scan(wasm, v.cfg.Prescan)
	verdict.Report.scanned(seen, v.cfg.Prescan, err)
	if err := verdict.Report.err(); err != nil {
		return verdict, err
	}
	turn := v.queue.enter(len(wasm), v.had(name).others, time.Now())
	defer turn.leave()
	for {
		within, err := turn.wait(ctx)
		if err != nil {
			return Verdict{}, err
		}
		done, err := v.try(within, &verdict, wasm)
		stopped := errors.Is(context.Cause(within), errStopped) && ctx.Err() == nil && (err != nil || !done)
		switch {
		case stopped:
			v.note(name, without{others: 1})
		case err != nil:
			return Verdict{}, err
		case done:
			v.forget(name)
			return verdict, verdict.Report.err()
		default:
			v.note(name, without{starved: 1})
			v.cfg.Logger.Info("waiting for processor: a module is vetted once more, with more time", "sha256", verdict.Report.SHA256, "size", len(wasm), "wall", v.wall(name))
		}
		turn.again(stopped)
	}
}

// try has one child vet a module, and keeps its verdict. It answers false when
// the child lacked a processor.
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
	v.cfg.Logger.Debug("a module was vetted", "sha256", report.SHA256, "duration", time.Since(started), "refused", report.Error)
	if report.Error != nil {
		verdict.Report = report
		v.refuse(verdict.key, report)
		return true, nil
	}
	kept, err := v.room.add(v.entries, verdict.key, dir, report)
	if err != nil {
		return false, fault.Disk("compilation cache", err)
	}
	*verdict = kept
	return true, nil
}

// refuse remembers a refusal. When there are too many, any other is forgotten.
func (v *Vetter) refuse(name key, r Report) {
	v.mu.Lock()
	defer v.mu.Unlock()
	makeRoom(v.refused)
	v.refused[name] = r
}

// wall is how long a module's child may live.
func (v *Vetter) wall(name key) time.Duration {
	return v.cfg.Wall << min(v.had(name).starved, 3)
}

// had is how many children of a module gave no verdict.
func (v *Vetter) had(name key) without {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stopped[name]
}

// note counts one more.
func (v *Vetter) note(name key, one without) {
	v.mu.Lock()
	defer v.mu.Unlock()
	had, known := v.stopped[name]
	if !known {
		makeRoom(v.stopped)
	}
	v.stopped[name] = without{had.starved + one.starved, had.others + one.others}
}

// forget drops the count: there is a verdict.
func (v *Vetter) forget(name key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.stopped, name)
}

func makeRoom[V any](m map[key]V) {
	if len(m) < maxRefused {
		return
	}
	for other := range m {
		delete(m, other)
		return
	}
}

// Forget drops what is kept of a module that passed, for when its compiled code
// turns out to be of no use: Vet makes it anew.
func (v *Vetter) Forget(verdict Verdict) error { return v.entries.drop(verdict.key) }

func waited(ctx context.Context) error {
	return fault.New(fault.Unavailable, "waiting to be vetted: %w", context.Cause(ctx))
}
