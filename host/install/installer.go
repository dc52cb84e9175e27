package install

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/berth-host/berth/abi"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Names in the data directory.
const (
	LockFile    = "plugins.lock.yaml"
	lastFile    = "plugins.lock.yaml.last" // a copy, in case the lock is lost
	journalFile = "install.journal"
	flockFile   = "install.lock"
)

// LockHeader is the first line of LockFile.
const LockHeader = "Written by berth: the plugins that are installed. Do not edit it; keep it with the configuration."

const (
	maxLock   = 8 << 20               // bytes
	flockPoll = 50 * time.Millisecond // between attempts to lock flockFile
)

// Config configures an Installer. Fields without a default are required.
type Config struct {
	Dir      string // the data directory; must exist
	Source   Source
	Vetter   Vetter
	Plugins  Plugins
	Settings Settings
	State    State
	Codec    Codec
	Shared   Shared // nil: this host alone has the installed plugins

	// MinimumAge is the minimum age of a marketplace's release. nil: 0.
	MinimumAge func() time.Duration
	// Revoked says why the module with a digest must not be installed, from any source, or
	// rolled back to; "" if it may. nil: none is revoked.
	Revoked func(sha256 string) string
	Now     func() time.Time // nil: time.Now
	MaxSize int64            // of a module, in bytes. 0: 64 MiB
	Backoff time.Duration    // before a download is resumed; doubles. 0: 250ms
	Logger  *slog.Logger     // nil: discard
}

// Installer installs plugins. Its methods are safe for concurrent use; one
// transaction runs at a time, and the others wait for it.
type Installer struct {
	cfg         Config
	store       store
	transaction chan struct{}                     // contains a token during a transaction
	current     atomic.Pointer[map[string]string] // the digests of the lock, by name

	// transaction guards both.
	shared sharedLock
	pinned map[string]string // the digests of the installed plugins that run, by name

	// fault, in tests, is called before (done false) and after each step; its error becomes
	// the step's.
	fault func(step string, done bool) error
}

// New opens the data directory. Call Recover, then Pins, before anything else.
func New(cfg Config) (*Installer, error) {
	if cfg.Source == nil || cfg.Vetter == nil || cfg.Plugins == nil || cfg.Settings == nil || cfg.State == nil || cfg.Codec == nil {
		return nil, fault.New(fault.Internal, "install.New: a required part is not set")
	}
	if cfg.MinimumAge == nil {
		cfg.MinimumAge = func() time.Duration { return 0 }
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string) string { return "" }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxSize <= 0 {
		cfg.MaxSize = 64 << 20
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 250 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the data directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the data directory: %w", err)
	}
	return &Installer{cfg: cfg, store: newStore(root, dir), transaction: make(chan struct{}, 1), pinned: make(map[string]string),
		fault: func(string, bool) error { return nil }}, nil
}

// Close closes the data directory. No method may be called after it.
func (i *Installer) Close() error { return i.store.root.Close() }

// Recover finishes or undoes a transaction that a crash has interrupted. After an error it
// is retried before the next transaction.
func (i *Installer) Recover(ctx context.Context) error {
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	i.dropOldParts("")
	if err := i.store.dropTemps(LockFile, journalFile); err != nil {
		i.cfg.Logger.Warn("temporary files of a crash not removed", "error", err)
	}
	return nil
}

// Quiesce waits until no transaction is under way, after it has recovered an interrupted
// one, and excludes others until resume is called: until then the lock and the stored
// modules do not change.
func (i *Installer) Quiesce(ctx context.Context) (resume func(), err error) { return i.begin(ctx) }

// begin begins a transaction, after it has recovered an interrupted one.
func (i *Installer) begin(ctx context.Context) (done func(), err error) {
	done, err = i.lock(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.recover(context.WithoutCancel(ctx)); err != nil {
		done()
		return nil, fault.New(fault.CodeOf(err), "recover an interrupted installation (%s): %w", filepath.Join(i.store.dir,
			journalFile), err)
	}
	if err := i.follow(ctx); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// lock excludes other transactions, in this process and in others.
func (i *Installer) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case i.transaction <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.New(fault.Timeout, "another installation is under way: %w", ctx.Err())
	}
	defer func() {
		if err != nil {
			<-i.transaction
		}
	}()
	lock := flock.New(filepath.Join(i.store.dir, flockFile), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, flockPoll); err != nil {
		if ctx.Err() != nil {
			return nil, fault.New(fault.Timeout, "another process is installing: %w", err)
		}
		return nil, coded(err)
	}
	return func() {
		if err := lock.Close(); err != nil {
			i.cfg.Logger.Warn("installation lock not released", "error", err)
		}
		<-i.transaction
	}, nil
}

// Pins returns the installed plugins of the lock. If the lock cannot be read, it returns
// those of its last copy, or else of the stored modules with a name, with a Refusal.
func (i *Installer) Pins() []spec.Pin {
	var pins []spec.Pin
	lock, raw, err := i.readLock()
	if err == nil {
		i.keepLast(raw)
		for _, name := range slices.Sorted(maps.Keys(lock.Plugins)) {
			pins = append(pins, i.pinOf(name, lock.Plugins[name].SHA256))
		}
		if len(i.pinned) == 0 {
			for name, e := range lock.Plugins {
				i.pinned[name] = e.SHA256
			}
		}
		return pins
	}
	refusal := err.Error()
	installed := map[string]string{} // digests, by name
	if last, err := i.readLast(); err == nil {
		refusal += fmt.Sprintf(" (its last copy is %s)", filepath.Join(i.store.dir, lastFile))
		for name, e := range last.Plugins {
			installed[name] = e.SHA256
		}
	} else {
		installed = i.named()
	}
	i.cfg.Logger.Error("installed plugins not run", "error", refusal, "plugins", len(installed))
	for _, name := range slices.Sorted(maps.Keys(installed)) {
		p := i.pinOf(name, installed[name])
		p.Refusal = fault.Public(refusal, err)
		pins = append(pins, p)
	}
	return pins
}

// named returns the digests of the stored modules, by the name in their manifest.
func (i *Installer) named() map[string]string {
	names := map[string]string{}
	digests, _ := i.store.digests()
	slices.Sort(digests)
	for _, digest := range digests {
		wasm, err := i.store.read(storePath(digest), i.cfg.MaxSize)
		if err != nil {
			continue
		}
		if name, _, err := nameOf(spec.NewArtifact(wasm), ""); err == nil && names[name] == "" {
			names[name] = digest
		}
	}
	return names
}

// keepLast remembers what is installed, and copies the lock, in case it is lost. A failure is
// only logged.
func (i *Installer) keepLast(raw []byte) {
	if raw == nil {
		return // there is none yet
	}
	var lock Lock
	if i.cfg.Codec.Unmarshal(raw, &lock) == nil {
		digests := make(map[string]string)
		for name, e := range lock.Plugins {
			digests[name] = e.SHA256
		}
		i.current.Store(&digests)
	}
	if last, err := i.store.read(lastFile, maxLock); err == nil && bytes.Equal(last, raw) {
		return
	}
	if err := i.store.write(lastFile, raw); err != nil {
		i.cfg.Logger.Warn("lock of the installed plugins not copied", "error", err)
	}
}

func (i *Installer) readLast() (last Lock, err error) {
	raw, err := i.store.read(lastFile, maxLock)
	if err == nil {
		err = i.cfg.Codec.Unmarshal(raw, &last)
	}
	if err == nil {
		err = last.check()
	}
	return last, err
}

// Repaired returns nil once the lock can be read, after it has called use with the lock's
// pins, outside of any transaction. The caller repeats it while the lock cannot be read.
func (i *Installer) Repaired(ctx context.Context, use func([]spec.Pin) error) error {
	if _, _, err := i.readLock(); err != nil {
		return err
	}
	done, err := i.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if _, _, err := i.readLock(); err != nil {
		return err
	}
	return use(i.Pins())
}

func (i *Installer) pinOf(name, digest string) spec.Pin {
	return spec.Pin{Name: name, Path: i.store.file(digest), SHA256: digest}
}

// Current returns the digest of the installed version of a plugin; "" for none.
func (i *Installer) Current(name string) string {
	if digests := i.current.Load(); digests != nil {
		return (*digests)[name]
	}
	return ""
}

// Installed returns the installed plugins by name.
func (i *Installer) Installed() (map[string]Entry, error) {
	lock, _, err := i.readLock()
	return lock.Plugins, err
}

// readLock reads the lock; raw is nil if there is none. fault.Conflict if its contents
// cannot be from this host.
func (i *Installer) readLock() (lock Lock, raw []byte, err error) {
	path := filepath.Join(i.store.dir, LockFile)
	raw, err = i.store.read(LockFile, maxLock)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		digests, err := i.store.digests()
		if err == nil && len(digests) > 0 {
			err = fault.New(fault.Conflict,
				"%s is missing although plugins are installed: put it back from a copy, or remove %s to begin anew", path,
				filepath.Join(i.store.dir, filepath.FromSlash(storeDir)))
		}
		return Lock{}.clone(), nil, coded(err)
	case err != nil:
		return Lock{}, nil, coded(fmt.Errorf("read %s: %w", path, err))
	}
	if err = i.cfg.Codec.Unmarshal(raw, &lock); err == nil {
		err = lock.check()
	}
	if err != nil {
		return Lock{}, nil, fault.New(fault.Conflict, "%s is broken: %w; put it back from a copy", path, err)
	}
	return lock, raw, nil
}

// step does one step of a transaction.
func (i *Installer) step(name string, do func() error) error {
	err := i.fault(name, false)
	if err == nil {
		err = do()
	}
	if err == nil {
		err = i.fault(name, true)
	}
	return err
}

// sweep removes stored modules that no version refers to.
func (i *Installer) sweep() {
	lock, raw, err := i.readLock()
	if err != nil || raw == nil {
		return
	}
	digests, err := i.store.digests()
	for _, digest := range digests {
		if !lock.refers(digest) {
			err = errors.Join(err, i.store.remove(storePath(digest)))
		}
	}
	if err != nil {
		i.cfg.Logger.Warn("unused modules not removed", "error", err)
	}
}

// Verify hashes every stored version of every installed plugin. It changes nothing, and
// works also while an interrupted transaction cannot be recovered.
func (i *Installer) Verify(ctx context.Context) ([]wire.Stored, error) {
	done, err := i.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return i.verifyAll(ctx)
}

// Check is Verify for a data directory without a running host.
func Check(ctx context.Context, dir string, codec Codec) ([]wire.Stored, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the data directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the data directory: %w", err)
	}
	defer root.Close()
	i := &Installer{cfg: Config{Codec: codec}, store: newStore(root, dir)}
	return i.verifyAll(ctx)
}

// verifyAll is Verify without the lock.
func (i *Installer) verifyAll(ctx context.Context) ([]wire.Stored, error) {
	lock, _, err := i.readLock()
	if err != nil {
		return nil, err
	}
	list := []wire.Stored{}
	for _, name := range slices.Sorted(maps.Keys(lock.Plugins)) {
		e := lock.Plugins[name]
		for n, v := range append([]Version{e.Version}, e.Former...) {
			if ctx.Err() != nil {
				return nil, fault.New(fault.Timeout, "verify: %w", ctx.Err())
			}
			s := wire.Stored{Plugin: name, Version: v.Version, SHA256: v.SHA256, Source: v.Source, SignedBy: v.SignedBy,
				Current: n == 0, OK: true}
			if err := i.store.verify(v.SHA256); err != nil {
				s.OK, s.Problem = false, err.Error()
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// nameOf returns the name that a module is installed under, and the manifest inside it:
// the name of that manifest, otherwise want. fault.Invalid when it is no whole module,
// when the two differ, and when there is neither; the field is then name.
func nameOf(module spec.Artifact, want string) (string, abi.Manifest, error) {
	m, _, err := module.Manifest()
	switch {
	case err != nil:
		return "", m, fault.New(fault.Invalid, "the module: %w", err)
	case m.Name == "" && want == "":
		return "", m, fault.Field("name", "is required: the module has no manifest that names it")
	case m.Name == "":
		return want, m, checkName(want)
	case want != "" && want != m.Name:
		return "", m, fault.Field("name", "the module's manifest names it %s; leave the name out, or give that one", m.Name)
	}
	return m.Name, m, nil
}

// checkName refuses an invalid plugin name.
func checkName(name string) error {
	if err := abi.CheckName(name); err != nil {
		return fault.Field("name", "%s", err)
	}
	return nil
}

// lowerDigest returns a digest in lower case; ok is false if it is no SHA-256.
func lowerDigest(s string) (string, bool) {
	raw, err := hex.DecodeString(s)
	return hex.EncodeToString(raw), err == nil && len(raw) == 32
}
