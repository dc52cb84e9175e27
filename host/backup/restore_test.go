package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/backup"
	"github.com/berth-host/berth/host/backup/archive"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// TestAlteredBackupRestoresNothing alters bytes all over a backup, and cuts it: Restore
// refuses it, and there is no directory.
func TestAlteredBackupRestoresNothing(t *testing.T) {
	s := newSite(t)
	s.publish("a", "b")
	whole := s.archived()
	dir := filepath.Join(t.TempDir(), "new")
	refused := func(what string, text []byte) {
		t.Helper()
		if _, err := backup.Restore(t.Context(), bytes.NewReader(text), dir, storeFile); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", what, err)
		}
		missing(t, dir)
	}
	for at := 0; at < len(whole); at += 4999 {
		altered := bytes.Clone(whole)
		altered[at] ^= 0x10
		refused(fmt.Sprint("byte ", at), altered)
		refused(fmt.Sprint("cut at ", at), whole[:at])
	}
	refused("a byte follows", append(bytes.Clone(whole), 0))
	if _, err := backup.Restore(t.Context(), bytes.NewReader(whole), dir, storeFile); err != nil {
		t.Error(err)
	}
}

// forged is the archive of a backup with a changed manifest or other files.
func (s *site) forged(change func(m *archive.Manifest, files map[string][]byte)) []byte {
	s.t.Helper()
	made, err := s.made.Make(s.t.Context())
	check(s.t, err)
	defer made.Close()
	files := make(map[string][]byte)
	for _, f := range made.Files {
		files[f.Name], err = os.ReadFile(filepath.Join(s.data, ".backup", filepath.FromSlash(f.Name)))
		check(s.t, err)
	}
	m := made.Manifest
	change(&m, files)
	m.Files = nil
	for name, content := range files {
		m.Files = append(m.Files, archive.File{Name: name, Size: int64(len(content)), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))})
	}
	w, err := archive.NewWriter(m)
	check(s.t, err)
	var out bytes.Buffer
	check(s.t, w.Write(&out, func(name string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files[name])), nil }))
	return out.Bytes()
}

// TestForgedBackupRestoresNothing: a backup with valid digests whose content is not a data
// directory's is refused.
func TestForgedBackupRestoresNothing(t *testing.T) {
	s := newSite(t)
	s.publish("a", "b")
	dir := filepath.Join(t.TempDir(), "new")
	for want, change := range map[string]func(m *archive.Manifest, files map[string][]byte){
		`"admin.token", which no`:        func(_ *archive.Manifest, f map[string][]byte) { f["admin.token"] = []byte("token") },
		`"secrets/api", which no`:        func(_ *archive.Manifest, f map[string][]byte) { f["secrets/api"] = nil },
		`"cache/x", which no`:            func(_ *archive.Manifest, f map[string][]byte) { f["cache/x"] = nil },
		`"watched/1/x/y.wasm", which no`: func(_ *archive.Manifest, f map[string][]byte) { f["watched/1/x/y.wasm"] = nil },
		"with another digest": func(_ *archive.Manifest, f map[string][]byte) {
			f[".store/sha256/"+strings.Repeat("0", 64)+".wasm"] = []byte("other")
		},
		"has no store":             func(_ *archive.Manifest, f map[string][]byte) { delete(f, storeFile) },
		"by a newer Berth":         func(m *archive.Manifest, _ map[string][]byte) { m.Store.Schema = 1000 },
		"position of the manifest": func(m *archive.Manifest, _ map[string][]byte) { m.Store.Seq++ },
		"is damaged: ":             func(_ *archive.Manifest, f map[string][]byte) { f[storeFile] = bytes.Repeat([]byte("x"), 8192) },
		"the store in the backup": func(_ *archive.Manifest, f map[string][]byte) {
			for i := len(f[storeFile]) - 3*4096; i < len(f[storeFile]); i++ {
				f[storeFile][i] ^= 0x55
			}
		},
	} {
		if _, err := backup.Restore(t.Context(), bytes.NewReader(s.forged(change)), dir, storeFile); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		missing(t, dir)
	}
}

// TestUnreadableEventsAreReported: a store in which an event and a block of the history are
// not readable is backed up and restored, and Restore says which.
func TestUnreadableEventsAreReported(t *testing.T) {
	s := newSite(t)
	s.publish("a", "b", "c")
	outcomes := event.Successes{Handler: "h"}
	outcomes.Append(1, event.Success{At: time.Now()}, []byte(`"marker of the result"`))
	_, _, err := s.store.SaveDeliveries(t.Context(), nil, []event.Successes{outcomes}, nil, nil)
	check(t, err)
	whole := s.forged(func(_ *archive.Manifest, f map[string][]byte) {
		for _, text := range []string{`"idempotency_key":"b"`, "marker of the result"} {
			at := bytes.Index(f[storeFile], []byte(text))
			if at < 0 {
				t.Fatalf("%s is not in the copy", text)
			}
			f[storeFile][at] = 'x'
		}
	})
	restored, err := backup.Restore(t.Context(), bytes.NewReader(whole), filepath.Join(t.TempDir(), "new"), storeFile)
	if err != nil || !slices.Equal(restored.Unreadable, []backup.Range{{From: 2, To: 2}}) {
		t.Errorf("got %+v, %v", restored.Unreadable, err)
	}
	if len(restored.Outcomes) != 1 || !strings.Contains(restored.Outcomes[0], "the handler h for events 1 to 1") {
		t.Errorf("got %q", restored.Outcomes)
	}
}

// TestRestoreReplacesNothing: the target must be missing or an empty directory; one restore
// at a time makes it, and what a killed one has left is removed.
func TestRestoreReplacesNothing(t *testing.T) {
	s := newSite(t)
	s.publish("a")
	whole := s.archived()
	dir := filepath.Join(t.TempDir(), "new")
	restore := func() error {
		_, err := backup.Restore(t.Context(), bytes.NewReader(whole), dir, storeFile)
		return err
	}
	check(t, os.WriteFile(dir, nil, 0o600))
	if err := restore(); !fault.Is(err, fault.Conflict) {
		t.Errorf("a file: got %v", err)
	}
	check(t, os.Remove(dir))
	check(t, os.MkdirAll(filepath.Join(dir, "x"), 0o700))
	if err := restore(); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a directory that is not empty: got %v", err)
	}
	check(t, os.Remove(filepath.Join(dir, "x")))
	left := filepath.Join(filepath.Dir(dir), ".new.restore")
	check(t, os.MkdirAll(filepath.Join(left, "tokens"), 0o700))
	var nested error
	during := readerFunc(func(p []byte) (int, error) { nested = restore(); return 0, io.ErrUnexpectedEOF })
	if _, err := backup.Restore(t.Context(), during, dir, storeFile); err == nil {
		t.Error("half a backup was restored")
	}
	if !fault.Is(nested, fault.Conflict) {
		t.Errorf("another restore under way: got %v", nested)
	}
	check(t, os.MkdirAll(filepath.Join(left, "tokens"), 0o700))
	check(t, restore())
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", left, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	other := filepath.Join(t.TempDir(), "other")
	if _, err := backup.Restore(canceled, bytes.NewReader(whole), other, storeFile); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	missing(t, other)
}
