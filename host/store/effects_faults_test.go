package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// TestEffectsFaults fails every step of the transaction of an atomic delivery: its writes,
// child, outcome and cursor are stored together or not at all, as this process and the next
// one read them, and a repeated call applies the writes once.
func TestEffectsFaults(t *testing.T) {
	for _, tt := range faultSteps {
		t.Run(tt.step, func(t *testing.T) {
			ctx := t.Context()
			cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
			var armed trigger
			s, err := open(ctx, cfg, armed.at(tt.step))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { s.Close() }()
			if _, err := s.Append(ctx, []*event.Event{makeEvent(t, "parent")}); err != nil {
				t.Fatal(err)
			}
			if err := s.KVSet(ctx, "p", "removed", []byte("1")); err != nil {
				t.Fatal(err)
			}
			at := time.Unix(5, 0)
			d := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: at, FirstAttempt: at,
				Children: []*event.Event{makeEvent(t, "child")},
				Effects: &event.Effects{Plugin: "p", Reads: []event.EffectRead{{Key: "n"}}, Writes: []event.EffectWrite{
					{Key: "n", Value: []byte("1")}, {Key: "limited", Value: []byte("2"), Until: time.Now().Add(time.Hour)},
					{Kind: event.EffectDelete, Key: "removed"}}}}
			cursors := []event.Cursor{{Name: "handler/h", Seq: 1}}
			armed.fail(1)
			if _, _, err = s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, cursors); !errors.Is(err, errInjected) {
				t.Fatalf("got %v, want the injected error", err)
			}
			checkEffects(t, s, tt.persisted)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			cfg.Window = newWindow()
			if s, err = open(ctx, cfg, faults{}); err != nil {
				t.Fatal(err)
			}
			checkEffects(t, s, tt.persisted)
			saved, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, cursors)
			if err != nil || len(saved.Refused)+len(saved.Conflicts) > 0 {
				t.Errorf("again: got %+v, %v", saved, err)
			}
			checkEffects(t, s, true)
		})
	}
}

// checkEffects checks that all of the delivery of TestEffectsFaults is stored, or nothing.
func checkEffects(t *testing.T, s *Store, stored bool) {
	t.Helper()
	ctx := t.Context()
	want, last := []string{"removed"}, uint64(1)
	if stored {
		want, last = []string{"limited", "n"}, 2
	}
	var names []string
	items, err := s.KVList(ctx, "p", "", "", 9)
	for _, item := range items {
		names = append(names, item.Key)
		if _, found, err := s.KVGet(ctx, "p", item.Key); !found || err != nil {
			t.Errorf("%s: got %v, %v", item.Key, found, err)
		}
	}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("got the keys %q, %v, want %q", names, err, want)
	}
	for _, key := range []string{"limited", "n", "removed"} {
		if _, found, ok := s.KVCached("p", key); ok && found != slices.Contains(want, key) {
			t.Errorf("the cache has %s: %v", key, found)
		}
	}
	deliveries, err := s.Deliveries(ctx, 1)
	if err != nil || (len(deliveries) == 1) != stored {
		t.Errorf("got the deliveries %+v, %v, want one: %v", deliveries, err, stored)
	}
	if seq, _, err := s.Cursor(ctx, "handler/h"); err != nil || (seq == 1) != stored {
		t.Errorf("got the cursor %d, %v", seq, err)
	}
	if s.Last() != last {
		t.Errorf("the log ends at %d, want %d", s.Last(), last)
	}
}

// TestSnapshotHasEffects restores a copy of a store: values, time limits and outcomes of
// atomic deliveries are in it, and so a repeated call applies nothing.
func TestSnapshotHasEffects(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(dir, "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	until := time.Now().Add(time.Hour).Round(0)
	d := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: time.Unix(1, 0), FirstAttempt: time.Unix(1, 0),
		Effects: &event.Effects{Plugin: "p", Reads: []event.EffectRead{{Key: "n"}}, Writes: []event.EffectWrite{{Key: "n", Value: []byte("1"), Until: until}}}}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(ctx, path); err != nil {
		t.Fatal(err)
	}
	restored, err := open(ctx, Config{Window: newWindow(), Path: path}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	saved, _, err := restored.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil)
	if err != nil || len(saved.Conflicts) > 0 {
		t.Errorf("again: got %+v, %v", saved, err)
	}
	items, err := restored.KVList(ctx, "p", "", "", 5)
	if err != nil || len(items) != 1 || items[0].Key != "n" || !items[0].Until.Equal(until) {
		t.Errorf("got %+v, %v, want n until %v", items, err, until)
	}
}

// TestDirectWriteInGroupOfEffects has a direct write, an atomic delivery and another direct
// write of one key in one group: each sees the one before it.
func TestDirectWriteInGroupOfEffects(t *testing.T) {
	ctx := t.Context()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	errs := make(chan error, 2*sequences)
	var saved [sequences]event.Saved
	for n := range sequences {
		key := strconv.Itoa(n)
		go func() { errs <- s.KVSet(ctx, "p", key, []byte("direct")) }()
		go func() {
			d := event.Delivery{Handler: "h", Seq: uint64(n + 1), Status: event.StatusOK, Attempts: 1, At: time.Unix(1, 0), FirstAttempt: time.Unix(1, 0),
				Effects: &event.Effects{Plugin: "p", Reads: []event.EffectRead{{Key: key}}, Writes: []event.EffectWrite{{Key: key, Value: []byte("atomic")}}}}
			var err error
			saved[n], _, err = s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil)
			errs <- err
		}()
	}
	for range 2 * sequences {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for n := range sequences { // the direct write is blind, and so it is last, or the delivery is in conflict with it
		v, found, err := s.KVGet(ctx, "p", strconv.Itoa(n))
		if err != nil || !found || string(v) != "direct" {
			t.Errorf("%d: got %q, %v, %v; conflicts %v", n, v, found, err, saved[n].Conflicts)
		}
	}
}

const sequences = 200

// TestSweepRemovesExpiredKeys: the keeper's round removes keys whose time is over from the
// file, more than it removes at once, and leaves those that were written again.
func TestSweepRemovesExpiredKeys(t *testing.T) {
	ctx := t.Context()
	var passed time.Duration
	began := time.Now()
	s, err := open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db"), Now: func() time.Time { return began.Add(passed) }}, faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	const keys = 300
	e := &event.Effects{Plugin: "p"}
	for n := range keys {
		e.Writes = append(e.Writes, event.EffectWrite{Key: strconv.Itoa(n), Value: []byte("v"), Until: began.Add(time.Minute)})
	}
	d := event.Delivery{Handler: "h", Seq: 1, Status: event.StatusOK, Attempts: 1, At: began, FirstAttempt: began, Effects: e}
	if _, _, err := s.SaveDeliveries(ctx, nil, nil, []event.Delivery{d}, nil); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		if err := s.reader.QueryRow(`SELECT count(*) FROM kv`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	s.RemoveExpired(ctx)
	if n := count(); n != keys {
		t.Errorf("got %d of %d keys before their time is over", n, keys)
	}
	if err := s.Close(); err != nil { // the keeper reads the clock
		t.Fatal(err)
	}
	passed = time.Minute
	if s, err = open(ctx, Config{Window: newWindow(), Path: s.path, Now: func() time.Time { return began.Add(passed) }}, faults{}); err != nil {
		t.Fatal(err)
	}
	if err := s.KVSet(ctx, "p", "7", []byte("again")); err != nil {
		t.Fatal(err)
	}
	s.RemoveExpired(ctx)
	if n := count(); n != 1 {
		t.Errorf("%d keys remain in the file, want 1", n)
	}
	if err := s.KVExpire(ctx, "p", "8", time.Time{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an expired key: got %v", err)
	}
	var usage int
	if err := s.reader.QueryRow(`SELECT bytes FROM kv_usage WHERE plugin = 'p'`).Scan(&usage); err != nil || usage != 1+5+128 {
		t.Errorf("usage: got %d, %v", usage, err)
	}
}
