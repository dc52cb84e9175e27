package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/schema"
)

func TestInspect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if _, err := datafile.Inspect(t.Context(), path); !fault.Is(err, fault.NotFound) {
		t.Errorf("no file: got %v", err)
	}
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	found, err := datafile.Inspect(t.Context(), path)
	if err != nil || !found.InUse || found.PID != fmt.Sprint(os.Getpid()) {
		t.Errorf("in use: got %+v, %v", found, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	found, err = datafile.Inspect(t.Context(), path)
	if want := (datafile.Inspection{Schema: schema.Latest(), Latest: schema.Latest()}); err != nil || found != want {
		t.Errorf("got %+v, %v, want %+v", found, err, want)
	}

	// A file of a newer program, and a text file.
	if s, err = Open(t.Context(), Config{Window: newWindow(), Path: path}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.Exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := datafile.Inspect(t.Context(), path); !fault.Is(err, fault.Invalid) {
		t.Errorf("a newer one: got %v", err)
	}
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte("this is not a database, but a text of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := datafile.Inspect(t.Context(), text); !fault.Is(err, fault.Internal) {
		t.Errorf("a text: got %v", err)
	}
}
