package store

import (
	"bytes"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
)

// storeFiles are the files of a store and their content.
type storeFiles map[string][]byte

// filesOf reads the files of a store.
func filesOf(t *testing.T, path string) storeFiles {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	files := make(storeFiles)
	for _, e := range entries {
		files[e.Name()] = mustRead(t, filepath.Join(filepath.Dir(path), e.Name()))
	}
	return files
}

// put writes the files into a new directory and returns the data file's path.
func (f storeFiles) put(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range f {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "berth.db")
}

// killedStore returns the files of a store whose process was killed after event 7
// was acknowledged, and copies of it that were made in order after events 0 and 3.
func killedStore(t *testing.T) (killed, empty, older storeFiles) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.db")
	appendTo := func(from, to int) (s *Store) {
		s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for i := from; i <= to; i++ {
			if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint(i))}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	closed := func(s *Store) storeFiles {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return filesOf(t, path)
	}
	empty = closed(appendTo(1, 0))
	older = closed(appendTo(1, 3))
	s := appendTo(4, 7)
	if err := s.SetCursor(t.Context(), event.Cursor{Name: "c", Seq: 7}); err != nil {
		t.Fatal(err)
	}
	killed = filesOf(t, path)
	closed(s)
	return killed, empty, older
}

// lossCase is a way in which a killed store loses files.
type lossCase struct {
	name   string
	damage func(storeFiles)
	want   string // in the error; "" opens
	last   uint64 // after the loss was accepted
}

func TestOpenRefusesLostData(t *testing.T) {
	killed, empty, older := killedStore(t)
	for _, tt := range lossCases(t, empty, older) {
		t.Run(tt.name, func(t *testing.T) { testLoss(t, killed, tt) })
	}
}

// lossCases are cases of a store that was killed after event 7; empty and older are
// copies from after events 0 and 3.
func lossCases(t *testing.T, emptyStore, older storeFiles) []lossCase {
	const mark = "berth.db" + datafile.WatermarkSuffix
	otherDir := t.TempDir()
	other, err := Open(t.Context(), Config{Window: newWindow(), Path: filepath.Join(otherDir, "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	return []lossCase{
		{"nothing", func(storeFiles) {}, "", 7},
		{"the data file deleted", func(f storeFiles) { delete(f, "berth.db") }, "berth.db is missing, but a store was in use here: the events up to 7 were acknowledged", 7},
		{"the data file truncated to 0", func(f storeFiles) { f["berth.db"] = nil }, "berth.db is empty, but a store was in use here: the events up to 7 were acknowledged", 7},
		{"the data file and the watermark deleted", func(f storeFiles) {
			delete(f, "berth.db")
			delete(f, mark)
		}, "(found berth.db.lock, berth.db-wal, berth.db-shm)", 0},
		{"all but the lock file deleted", func(f storeFiles) {
			for name := range f {
				if name != "berth.db.lock" {
					delete(f, name)
				}
			}
		}, "(found berth.db.lock)", 0},
		{"all but the shm file deleted", func(f storeFiles) {
			for name := range f {
				if name != "berth.db-shm" {
					delete(f, name)
				}
			}
		}, "(found berth.db-shm)", 0},
		{"all but other evidence deleted", func(f storeFiles) {
			clear(f)
			f["plugins.lock.yaml"] = []byte("x")
		}, "(found plugins.lock.yaml)", 0},
		{"an empty database in its place", func(f storeFiles) {
			delete(f, "berth.db-wal")
			delete(f, "berth.db-shm")
			f["berth.db"] = emptyDatabase(t)
		}, "berth.db is empty, but", 7},
		{"the WAL deleted", func(f storeFiles) { delete(f, "berth.db-wal") }, "ends at event 3, but event 7 was acknowledged: the events 4 to 7 are missing", 7},
		{"the WAL and the shm file deleted", func(f storeFiles) { delete(f, "berth.db-wal"); delete(f, "berth.db-shm") }, "the events 4 to 7 are missing", 7},
		{"the WAL truncated to 0", func(f storeFiles) { f["berth.db-wal"] = nil }, "the events 4 to 7 are missing", 7},
		{"the last write cut off the WAL", func(f storeFiles) {
			f["berth.db-wal"] = f["berth.db-wal"][:len(f["berth.db-wal"])-2000]
		}, "has every event, but lacks the last 1 of ", 7},
		{"an older copy", func(f storeFiles) {
			delete(f, "berth.db-wal")
			delete(f, "berth.db-shm")
			f["berth.db"] = older["berth.db"]
		}, "the events 4 to 7 are missing", 7},
		{"a copy from before the first event", func(f storeFiles) {
			delete(f, "berth.db-wal")
			delete(f, "berth.db-shm")
			f["berth.db"] = emptyStore["berth.db"]
		}, "the events 1 to 7 are missing", 7},
		{"an older copy with its watermark", func(f storeFiles) {
			clear(f)
			for name, content := range older {
				f[name] = content
			}
		}, "", 3},
		{"another store", func(f storeFiles) {
			delete(f, "berth.db-wal")
			delete(f, "berth.db-shm")
			f["berth.db"] = mustRead(t, filepath.Join(otherDir, "berth.db"))
		}, "berth.db is another store (id ", 7},
		{"the watermark deleted", func(f storeFiles) { delete(f, mark) }, "", 7},
		{"the watermark damaged", func(f storeFiles) { f[mark] = []byte("berth-watermark-1 x") }, "", 7},
		{"the watermark damaged and the data file deleted", func(f storeFiles) {
			f[mark] = []byte("x")
			delete(f, "berth.db")
		}, "(found " + mark, 0},
		{"the watermark behind, as after a power failure", func(f storeFiles) { f[mark] = older[mark] }, "", 7},
		{"a first start that was killed", func(f storeFiles) {
			clear(f)
			f["berth.db.lock"], f["berth.db"], f["berth.db-wal"], f["berth.db-shm"] = nil, emptyDatabase(t), nil, make([]byte, 32768)
		}, "", 0},
		{"a first start that was killed before the file was made", func(f storeFiles) {
			clear(f)
			f["berth.db.lock"] = nil
		}, "", 0},
	}
}

func testLoss(t *testing.T, killed storeFiles, tt lossCase) {
	files := make(storeFiles)
	for name, content := range killed {
		files[name] = content
	}
	tt.damage(files)
	path := files.put(t)
	var logged bytes.Buffer
	cfg := Config{Window: newWindow(), Path: path, Logger: slog.New(slog.NewTextHandler(&logged, nil)), Evidence: []string{filepath.Join(filepath.Dir(path), "plugins.lock.yaml")}}
	_, found := datafile.Inspect(t.Context(), path, cfg.Evidence...)
	if tt.want != "" && (!fault.Is(found, fault.Conflict) || !strings.Contains(found.Error(), tt.want)) {
		t.Errorf("Inspect: got %v, want %q", found, tt.want)
	}
	s, err := Open(t.Context(), cfg)
	if tt.want != "" {
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--accept-data-loss") {
			t.Fatalf("got %v, want %q", err, tt.want)
		}
		unchanged(t, path, files)
		cfg.AcceptDataLoss = true
		if s, err = Open(t.Context(), cfg); err == nil && !strings.Contains(logged.String(), "level=ERROR") {
			t.Errorf("the loss was accepted without an error in the log:\n%s", &logged)
		}
		cfg.AcceptDataLoss = false
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.Last() != tt.last {
		t.Errorf("Last: got %d, want %d", s.Last(), tt.last)
	}
	// A Seq is not used twice, and the next start finds everything in order.
	r, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "next")})
	if err != nil || r[0].Seq <= tt.last {
		t.Errorf("got %+v, %v, want a Seq above %d", r, err, tt.last)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// emptyDatabase is an SQLite file in WAL mode without a table.
func emptyDatabase(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA journal_mode = wal"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return mustRead(t, path)
}

// unchanged requires that a refused start has not changed the files from which the
// events can be recovered: the data file and its WAL.
func unchanged(t *testing.T, path string, want storeFiles) {
	t.Helper()
	got := filesOf(t, path)
	for _, name := range []string{"berth.db", "berth.db-wal", "berth.db" + datafile.WatermarkSuffix} {
		_, had := want[name]
		if _, has := got[name]; name == "berth.db-wal" && !had && has {
			continue // SQLite made an empty one
		}
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s was changed by a start that was refused: %d bytes, were %d", name, len(got[name]), len(want[name]))
		}
	}
}

// TestRefusedStartKeepsWAL moves the WAL away and back: the start in between is
// refused and loses nothing.
func TestRefusedStartKeepsWAL(t *testing.T) {
	killed, _, _ := killedStore(t)
	path := killed.put(t)
	if err := os.Rename(path+"-wal", path+"-moved"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Window: newWindow(), Path: path}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if err := os.Rename(path+"-moved", path+"-wal"); err != nil {
		t.Fatal(err)
	}
	if keys := keysIn(t, path); len(keys) != 7 {
		t.Errorf("%d events are there, want 7", len(keys))
	}
}

// TestAcceptedLossSetsFilesAside keeps the WAL of a missing data file: it may be all
// that remains of it.
func TestAcceptedLossSetsFilesAside(t *testing.T) {
	killed, _, _ := killedStore(t)
	wal := killed["berth.db-wal"]
	delete(killed, "berth.db")
	path := killed.put(t)
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path, AcceptDataLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	aside, err := filepath.Glob(path + "-wal.lost-*")
	if err != nil || len(aside) != 1 || !bytes.Equal(mustRead(t, aside[0]), wal) {
		t.Errorf("got %v, %v, want the former WAL", aside, err)
	}
}

// TestLostKVWriteIsDetected loses a write without an event.
func TestLostKVWriteIsDetected(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, path)
	if err := s.KVSet(t.Context(), "p", "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	before["berth.db"+datafile.WatermarkSuffix] = mustRead(t, path+datafile.WatermarkSuffix)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Window: newWindow(), Path: before.put(t)}); err == nil || !strings.Contains(err.Error(), "lacks the last 1 of 1 acknowledged writes") {
		t.Errorf("got %v", err)
	}
}
