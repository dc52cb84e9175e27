package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store"
	"github.com/berth-host/berth/host/store/datafile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const storeFile = "berth.db"

// site is a data directory with a store in use.
type site struct {
	t       *testing.T
	data    string
	watched string
	store   *store.Store
	cfg     backup.Config
	made    *backup.Backups
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, data: filepath.Join(dir, "data"), watched: filepath.Join(dir, "plugins")}
	module := []byte("\x00asm module")
	for name, content := range map[string]string{
		"data/plugins.lock.yaml": "lock", "data/plugins.lock.yaml.last": "last", "data/marketplace.json": "{}",
		"data/audit.log": "a\n", "data/audit.log.1": "b\n", "data/tokens.used.json": "{}", "data/tokens/abcdefgh234567ab.json": "{}",
		fmt.Sprintf("data/.store/sha256/%x.wasm", sha256.Sum256(module)): string(module),
		"plugins/echo.wasm": "echo", "plugins/echo.wasm.json": "{}", "event_handlers.yaml": "plugin_directories: [plugins]\n",

		"data/admin.token": "SECRET-token", "data/secrets/api": "SECRET-api", "data/tls.key": "SECRET-key", "data/tokens/note.txt": "SECRET-note",
		"data/.store/sha256/other.wasm": "SECRET-other", "data/cache/code": "SECRET-cache", "data/host.json": "SECRET-host", "data/install.journal": "SECRET-journal",
		"plugins/.hidden.wasm": "SECRET-hidden", "plugins/readme.md": "SECRET-readme", "plugins/name with space.wasm": "SECRET-space",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(path), 0o700))
		check(t, os.WriteFile(path, []byte(content), 0o600))
	}
	var err error
	s.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(s.data, storeFile), Window: bus.NewWindow(bus.WindowConfig{})})
	check(t, err)
	t.Cleanup(func() { s.store.Close() })
	s.cfg = backup.Config{DataDir: s.data, StoreFile: storeFile, Version: "1.2.3", Snapshot: s.store.Snapshot,
		Settings: func() (string, []string) {
			return filepath.Join(dir, "event_handlers.yaml"), []string{filepath.Join(dir, "none"), s.watched}
		},
		Now: func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 5, time.FixedZone("", 7200)) }}
	s.reopen()
	return s
}

// reopen applies a change of cfg.
func (s *site) reopen() {
	s.t.Helper()
	var err error
	s.made, err = backup.New(s.cfg)
	check(s.t, err)
}

func (s *site) publish(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		ev, err := event.New(event.Draft{Type: "t", IdempotencyKey: key})
		check(s.t, err)
		_, err = s.store.Append(s.t.Context(), []*event.Event{ev})
		check(s.t, err)
	}
}

// archived returns a backup.
func (s *site) archived() []byte {
	s.t.Helper()
	made, err := s.made.Make(s.t.Context())
	check(s.t, err)
	var out bytes.Buffer
	check(s.t, made.Write(&out))
	check(s.t, made.Close())
	return out.Bytes()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// missing fails unless no file has the name, and nothing like it is beside it.
func missing(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), filepath.Base(path)) {
			t.Errorf("%s is there", e.Name())
		}
	}
}

// TestBackupHasWhatAHostNeeds restores a backup and compares the data directories: everything
// that is listed is there, byte by byte and private, and nothing else.
func TestBackupHasWhatAHostNeeds(t *testing.T) {
	s := newSite(t)
	s.publish("a", "b", "c")
	check(t, s.store.KVSet(t.Context(), "p", "k", []byte("v")))
	whole := s.archived()
	s.publish("after")
	missing(t, filepath.Join(s.data, ".backup"))
	if bytes.Contains(whole, []byte("SECRET")) {
		t.Error("the backup has something that is not listed")
	}
	dir := filepath.Join(t.TempDir(), "new")
	restored, err := backup.Restore(t.Context(), bytes.NewReader(whole), dir, storeFile)
	check(t, err)
	if restored.Store.Seq != 3 || restored.Berth != "1.2.3" || !restored.CreatedAt.Equal(time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)) || restored.Unreadable != nil {
		t.Errorf("got %+v", restored)
	}
	excluded := []string{"admin.token", "secrets", "tls.key", filepath.Join(s.watched, "name with space.wasm")}
	if !slices.Equal(restored.Excluded, excluded) {
		t.Errorf("excluded is %q, want %q", restored.Excluded, excluded)
	}
	if want := []archive.Watched{{Path: s.watched, Files: "watched/1"}}; !slices.Equal(restored.Watched, want) {
		t.Errorf("watched is %+v, want %+v", restored.Watched, want)
	}
	s.compare(dir)
	again, err := store.Open(t.Context(), store.Config{Path: filepath.Join(dir, storeFile), Window: bus.NewWindow(bus.WindowConfig{})})
	check(t, err)
	defer again.Close()
	if value, found, err := again.KVGet(t.Context(), "p", "k"); again.Last() != 3 || string(value) != "v" || !found || err != nil {
		t.Errorf("the store is at event %d, and has %q, %v, %v", again.Last(), value, found, err)
	}
}

// TestDamagedModuleIsLeftOut: a backup with a module that is damaged can be restored, and says
// that it lacks the module.
func TestDamagedModuleIsLeftOut(t *testing.T) {
	s := newSite(t)
	s.publish("a")
	name := fmt.Sprintf(".store/sha256/%x.wasm", sha256.Sum256([]byte("\x00asm module")))
	check(t, os.WriteFile(filepath.Join(s.data, filepath.FromSlash(name)), []byte("\x00asm modulf"), 0o600))
	dir := filepath.Join(t.TempDir(), "new")
	restored, err := backup.Restore(t.Context(), bytes.NewReader(s.archived()), dir, storeFile)
	check(t, err)
	if !slices.Contains(restored.Excluded, name) || restored.Store.Seq != 1 {
		t.Errorf("excluded is %q, at event %d", restored.Excluded, restored.Store.Seq)
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the module is there: %v", err)
	}
}

// compare compares the files of a restored directory, apart from the store, with the site's.
func (s *site) compare(dir string) {
	s.t.Helper()
	want := map[string]string{"event_handlers.yaml": "../event_handlers.yaml", "watched/1/echo.wasm": "../plugins/echo.wasm",
		"watched/1/echo.wasm.json": "../plugins/echo.wasm.json"}
	for _, name := range []string{"plugins.lock.yaml", "plugins.lock.yaml.last", "marketplace.json", "audit.log", "audit.log.1", "tokens.used.json",
		"tokens/abcdefgh234567ab.json", fmt.Sprintf(".store/sha256/%x.wasm", sha256.Sum256([]byte("\x00asm module")))} {
		want[name] = name
	}
	check(s.t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		check(s.t, err)
		info, err := e.Info()
		check(s.t, err)
		if private := fs.FileMode(0o600); e.IsDir() && info.Mode().Perm() != 0o700 || !e.IsDir() && info.Mode() != private {
			s.t.Errorf("%s has mode %v", path, info.Mode())
		}
		name, err := filepath.Rel(dir, path)
		check(s.t, err)
		if e.IsDir() || strings.HasPrefix(name, storeFile) {
			return nil
		}
		from, listed := want[filepath.ToSlash(name)]
		if !listed {
			s.t.Errorf("%s was restored", name)
			return nil
		}
		delete(want, filepath.ToSlash(name))
		got, err := os.ReadFile(path)
		check(s.t, err)
		original, err := os.ReadFile(filepath.Join(s.data, filepath.FromSlash(from)))
		check(s.t, err)
		if !bytes.Equal(got, original) {
			s.t.Errorf("%s has %q, want %q", name, got, original)
		}
		return nil
	}))
	if len(want) > 0 {
		s.t.Errorf("not restored: %v", want)
	}
}

// TestOneBackupAtATime: a second one is refused until the first is closed; one that the end
// of the process has left is removed.
func TestOneBackupAtATime(t *testing.T) {
	s := newSite(t)
	made, err := s.made.Make(t.Context())
	check(t, err)
	if _, err := s.made.Make(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second backup: got %v", err)
	}
	left := filepath.Join(s.data, ".backup", storeFile)
	if _, err := os.Stat(left); err != nil {
		t.Error(err)
	}
	check(t, made.Close())
	missing(t, filepath.Dir(left))
	check(t, os.MkdirAll(left, 0o700)) // of a killed process
	s.reopen()
	missing(t, filepath.Dir(left))
	s.archived()
}

// TestFullDiskRefusesBackup: too little space before or during the copy is Exhausted, and
// leaves nothing.
func TestFullDiskRefusesBackup(t *testing.T) {
	for name, free := range map[string][]int64{"before": {1 << 20}, "during": {1 << 40, 1 << 20}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			asked := 0
			s.cfg.Free = func(string) (int64, error) {
				n := free[min(asked, len(free)-1)]
				asked++
				return n, nil
			}
			s.cfg.Snapshot = func(ctx context.Context, _ string) (datafile.Snapshot, error) { // a copy that takes long
				<-ctx.Done()
				return datafile.Snapshot{}, ctx.Err()
			}
			s.reopen()
			_, err := s.made.Make(t.Context())
			if !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "free some space") {
				t.Errorf("got %v", err)
			}
			missing(t, filepath.Join(s.data, ".backup"))
			s.cfg.Free, s.cfg.Snapshot = nil, s.store.Snapshot
			s.reopen()
			s.archived()
		})
	}
}

// TestFailedBackupLeavesNothing fails the parts that a backup uses.
func TestFailedBackupLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		change func(s *site)
		code   fault.Code
		want   string
	}{
		"no copy": {func(s *site) { s.cfg.Snapshot, s.cfg.Refusal = nil, "back it up otherwise" }, fault.Conflict, "back it up otherwise"},
		"installation": {func(s *site) {
			s.cfg.Quiesce = func(context.Context) (func(), error) { return nil, fault.New(fault.Timeout, "%w", broken) }
		}, fault.Timeout, "broken"},
		"copy": {func(s *site) {
			s.cfg.Snapshot = func(context.Context, string) (datafile.Snapshot, error) {
				return datafile.Snapshot{}, fault.New(fault.Unavailable, "%w", broken)
			}
		}, fault.Unavailable, "broken"},
		"damaged page": {func(s *site) {
			s.cfg.Snapshot = func(ctx context.Context, target string) (datafile.Snapshot, error) {
				return datafile.Snapshot{}, fault.New(fault.Internal, "%w", broken)
			}
		}, fault.Unavailable, "the store is damaged"},
		"damaged copy": {func(s *site) {
			s.cfg.Snapshot = func(ctx context.Context, target string) (datafile.Snapshot, error) {
				made, err := s.store.Snapshot(ctx, target)
				check(t, err)
				content, err := os.ReadFile(target)
				check(t, err)
				for i := 3 * 4096; i < len(content); i++ {
					content[i] ^= 0x55
				}
				return made, os.WriteFile(target, content, 0o600)
			}
		}, fault.Unavailable, "the store is damaged"},
		"other copy": {func(s *site) {
			s.cfg.Snapshot = func(ctx context.Context, target string) (datafile.Snapshot, error) {
				made, err := s.store.Snapshot(ctx, target)
				made.At.Seq++
				return made, err
			}
		}, fault.Unavailable, "not at event"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.publish("a")
			tt.change(s)
			s.reopen()
			if _, err := s.made.Make(t.Context()); !fault.Is(err, tt.code) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s: %v, want %s: %s", fault.CodeOf(err), err, tt.code, tt.want)
			}
			missing(t, filepath.Join(s.data, ".backup"))
		})
	}
}

// TestInstallationsWaitForBackup: Make excludes installations while it collects files, and
// no longer.
func TestInstallationsWaitForBackup(t *testing.T) {
	s := newSite(t)
	excluded := false
	s.cfg.Quiesce = func(context.Context) (func(), error) {
		excluded = true
		return func() { excluded = false }, nil
	}
	s.cfg.Snapshot = func(ctx context.Context, target string) (datafile.Snapshot, error) {
		if !excluded {
			t.Error("an installation could run during the copy")
		}
		return s.store.Snapshot(ctx, target)
	}
	s.reopen()
	made, err := s.made.Make(t.Context())
	check(t, err)
	if excluded {
		t.Error("installations are excluded while the backup is read")
	}
	check(t, made.Close())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestOfflineBackup makes a backup of a data directory without a host, and refuses one with a
// host, with an interrupted installation, or without a store.
func TestOfflineBackup(t *testing.T) {
	s := newSite(t)
	s.publish("a", "b")
	journal := filepath.Join(s.data, "install.journal")
	if _, err := backup.Offline(t.Context(), s.cfg); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "a host uses") {
		t.Errorf("in use: got %v", err)
	}
	if !backup.InUse(t.Context(), s.data, storeFile) {
		t.Error("the store is not in use")
	}
	check(t, s.store.Close())
	if _, err := backup.Offline(t.Context(), s.cfg); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "installation was interrupted") {
		t.Errorf("an interrupted installation: got %v", err)
	}
	check(t, os.Remove(journal))
	var err error
	s.made, err = backup.Offline(t.Context(), s.cfg)
	check(t, err)
	restored, err := backup.Restore(t.Context(), bytes.NewReader(s.archived()), filepath.Join(t.TempDir(), "new"), storeFile)
	if err != nil || restored.Store.Seq != 2 {
		t.Errorf("got %+v, %v", restored, err)
	}
	s.cfg.DataDir = t.TempDir()
	if _, err := backup.Offline(t.Context(), s.cfg); !fault.Is(err, fault.NotFound) {
		t.Errorf("no store: got %v", err)
	}
}
