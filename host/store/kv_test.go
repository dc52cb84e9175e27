package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-host/berth/host/fault"
)

// TestKVBounds checks the bounds as numbers.
func TestKVBounds(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, quota, err := s.KVUsage(ctx, "p"); err != nil || quota != 67_108_864 {
		t.Errorf("the default quota is %d, %v, want 67108864", quota, err)
	}
	for _, tt := range []struct {
		key, value int
		want       fault.Code
	}{
		{0, 0, fault.Invalid}, {1, 0, ""}, {256, 0, ""}, {257, 0, fault.Invalid},
		{1, 1_048_576, ""}, {1, 1_048_577, fault.Exhausted},
	} {
		err := s.KVSet(ctx, "p", string(make([]byte, tt.key)), make([]byte, tt.value))
		if (tt.want == "") != (err == nil) || tt.want != "" && !fault.Is(err, tt.want) {
			t.Errorf("a key of %d and a value of %d bytes: got %v, want %q", tt.key, tt.value, err, tt.want)
		}
	}
}

// TestKVOverALoweredQuota opens a store with a smaller quota than a plugin uses: it
// accepts writes that do not grow the state, to the byte.
func TestKVOverALoweredQuota(t *testing.T) {
	ctx := t.Context()
	cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db"), KVBytes: 1229} // 1 + 1100 + 128
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KVSet(ctx, "p", "k", make([]byte, 1101)); !fault.Is(err, fault.Exhausted) {
		t.Errorf("1230 of 1229 bytes: got %v", err)
	}
	if err := s.KVSet(ctx, "p", "k", make([]byte, 1100)); err != nil {
		t.Errorf("1229 of 1229 bytes: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.KVBytes = 1000
	if s, err = Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tt := range []struct {
		what  string
		key   string
		value int
		taken bool
	}{
		{"one byte more", "k", 1101, false},
		{"as large", "k", 1100, true},
		{"one byte less", "k", 1099, true},
		{"another key", "l", 0, false},
		{"one byte over the quota, and less than before", "k", 872, true},
		{"again one byte more than there is", "k", 873, false},
		{"exactly the quota", "k", 871, true},
		{"one byte over the quota", "k", 872, false},
	} {
		if err := s.KVSet(ctx, "p", tt.key, make([]byte, tt.value)); (err == nil) != tt.taken || err != nil && !fault.Is(err, fault.Exhausted) {
			t.Errorf("%s: got %v, want it taken: %v", tt.what, err, tt.taken)
		}
	}
}

// TestLimitOfEmptyValueFromFile sets the time limit of an empty value that is not in memory:
// SQLite's driver reads an empty value as NULL's equal.
func TestLimitOfEmptyValueFromFile(t *testing.T) {
	ctx := t.Context()
	cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KVSet(ctx, "p", "k", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Window = newWindow()
	if s, err = Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.KVExpire(ctx, "p", "k", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if v, found, err := s.KVGet(ctx, "p", "k"); len(v) > 0 || !found || err != nil {
		t.Errorf("got %q, %v, %v", v, found, err)
	}
}
