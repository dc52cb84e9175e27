package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// TestWatermarkIsNeverAhead compares the watermark with the store at each step of a
// write that fails, and of one whose result is lost.
func TestWatermarkIsNeverAhead(t *testing.T) {
	for _, tt := range faultSteps {
		t.Run(tt.step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "berth.db")
			var armed trigger
			armed.seen = func() {
				if p, _, err := datafile.ReadWatermark(path); err != nil || p.Seq != 1 || p.Writes != 1 {
					t.Errorf("during the write: got %+v, %v, want event 1", p, err)
				}
			}
			s, err := open(t.Context(), Config{Window: newWindow(), Path: path}, armed.at(tt.step))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			appendOne := func(key string) error {
				_, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)})
				return err
			}
			if err := appendOne("1"); err != nil {
				t.Fatal(err)
			}
			armed.fail(1)
			if err := appendOne("2"); err == nil {
				t.Fatal("the fault did not happen")
			}
			if err := appendOne("3"); err != nil {
				t.Fatal(err)
			}
			p, _, err := datafile.ReadWatermark(path)
			if err != nil || p.Seq != s.Last() || p.Writes != s.writes || p.Store != s.id {
				t.Errorf("after the write: got %+v, %v, want event %d, write %d", p, err, s.Last(), s.writes)
			}
			var writes uint64
			if err := s.reader.QueryRow(`SELECT writes FROM log_size`).Scan(&writes); err != nil || writes != p.Writes {
				t.Errorf("the file counts %d writes, %v, want %d", writes, err, p.Writes)
			}
		})
	}
}

// TestGroupWithoutChangeIsNoWrite commits duplicates and refused writes: their commit
// needs no flush.
func TestGroupWithoutChangeIsNoWrite(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ev := makeEvent(t, "1")
	if _, err := s.Append(ctx, []*event.Event{ev}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Append(ctx, []*event.Event{ev}); err != nil || !r[0].Duplicate {
		t.Errorf("got %+v, %v, want a duplicate", r, err)
	}
	if err := s.KVCAS(ctx, "p", "k", []byte("old"), []byte("new")); err == nil {
		t.Error("a value that is not there was replaced")
	}
	if err := s.KVDelete(ctx, "p", "k"); err != nil {
		t.Error(err)
	}
	if s.writes != 1 {
		t.Errorf("%d writes were counted, want 1", s.writes)
	}
}

// TestUnwritableWatermarkFailsNoWrite checks that it is logged once, and created again.
func TestUnwritableWatermarkFailsNoWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	if err := os.Mkdir(path+datafile.WatermarkSuffix, 0o700); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path, AcceptDataLoss: true, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"1", "2"} {
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path + datafile.WatermarkSuffix); err != nil {
		t.Fatal(err)
	}
	s.file.Keep()
	if p, found, err := datafile.ReadWatermark(path); err != nil || !found || p.Seq != 2 {
		t.Errorf("got %+v, %v, %v, want event 2", p, found, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "watermark not written"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &logged)
	}
	if !strings.Contains(logged.String(), "watermark written again") {
		t.Errorf("the recovery was not logged:\n%s", &logged)
	}
}

// TestWatermarkIsCreatedAgain deletes and replaces the watermark of a running store.
func TestWatermarkIsCreatedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, damage := range []func() error{
		func() error { return os.Remove(path + datafile.WatermarkSuffix) },
		func() error { return os.Rename(path+datafile.WatermarkSuffix, path+"-elsewhere") },
		func() error {
			if err := os.WriteFile(path+"-new", bytes.Repeat([]byte("x"), 1000), 0o600); err != nil {
				return err
			}
			return os.Rename(path+"-new", path+datafile.WatermarkSuffix)
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, strings.Repeat("k", i+1))}); err != nil {
			t.Fatal(err)
		}
		s.file.Keep()
		if p, _, err := datafile.ReadWatermark(path); err != nil || p.Seq != uint64(i+1) {
			t.Errorf("%d: got %+v, %v", i, p, err)
		}
	}
}
