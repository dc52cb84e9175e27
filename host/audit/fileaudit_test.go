package audit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Records that are added while the log cannot be written stay queued, up to a limit;
// further ones are counted in the first record of the next write.
func TestQueueKeepsRecordsOfFailedWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", File)
	q := NewQueue(New(Config{Path: path}), slog.New(slog.DiscardHandler))
	for i := range maxQueued + 3 {
		q.Add(Record{ID: fmt.Sprint(i)})
	}
	if err := q.flush(); err == nil { // the directory does not exist
		t.Fatal("the write succeeded")
	}
	if n := q.len(); n != maxQueued+3 {
		t.Errorf("%d records are queued or counted, want %d", n, maxQueued+3)
	}
	q.Add(Record{ID: "later"})
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := q.flush(); err != nil {
		t.Fatal(err)
	}
	got := list(t, path)
	if len(got) != maxQueued || got[0].ID != "0" || got[0].Suppressed != 4 || got[1].Suppressed != 0 || got[0].At.IsZero() || q.len() != 0 {
		t.Errorf("%d records, the first is %+v; %d are queued", len(got), got[0], q.len())
	}
}

// Run writes what is queued when its context ends, and logs a failure then.
func TestQueueWritesTheRemainingRecordsAtTheEnd(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	for name, want := range map[string]int{"": 1, "missing": 0} {
		path := filepath.Join(dir, name, File)
		var log bytes.Buffer
		q := NewQueue(New(Config{Path: path}), slog.New(slog.NewTextHandler(&log, nil)))
		q.Add(Record{ID: "1"})
		q.Run(ended)
		if got := list(t, path); len(got) != want {
			t.Errorf("%q: got %v", name, got)
		}
		if missing := strings.Contains(log.String(), "missing in the audit log") && strings.Contains(log.String(), "records=1"); missing != (want == 0) {
			t.Errorf("%q: logged %s", name, &log)
		}
	}
}
