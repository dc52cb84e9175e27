// Package kvtest tests the key-value state of engines. For tests only.
package kvtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Run runs the tests of an engine's key-value state. open returns an empty engine
// with this quota for each plugin, in bytes (0 for the default), and closes it when
// the test ends.
func Run(t *testing.T, open func(t *testing.T, quota int64) bus.Engine) {
	t.Run("entries", func(t *testing.T) { entries(t, open(t, 0)) })
	t.Run("changes", func(t *testing.T) { changes(t, open(t, 1000+entry)) })
	t.Run("quota", func(t *testing.T) { quota(t, open(t, 1000+2*entry)) })
	t.Run("values are the caller's", func(t *testing.T) { copies(t, open(t, 0)) })
	t.Run("compare and set has one winner", func(t *testing.T) { oneWinner(t, open(t, 0)) })
	t.Run("linearizable", func(t *testing.T) { linearizable(t, open(t, 0)) })
	t.Run("newest values", func(t *testing.T) { newest(t, open(t, 0)) })
	t.Run("quota under concurrency", func(t *testing.T) { quotaShared(t, open(t, 20*(2+100+entry))) })
	t.Run("ended and closed", func(t *testing.T) { ended(t, open(t, 0)) })
}

func value(t *testing.T, s bus.Engine, plugin, key, want string, wantFound bool) {
	t.Helper()
	if v, found, err := s.KVGet(t.Context(), plugin, key); string(v) != want || found != wantFound || err != nil {
		t.Errorf("KVGet(%s, %q): got %q, %v, %v, want %q, %v", plugin, key, v, found, err, want, wantFound)
	}
}

func entries(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	value(t, s, "p", "k", "", false)
	logtest.WantCode(t, "set", s.KVSet(ctx, "p", "k", []byte("a\x00b")), "")
	logtest.WantCode(t, "set empty", s.KVSet(ctx, "p", "empty", nil), "")
	keys := []string{"k\x00", "K", "\xff\xfe", "\x00", "kk", strings.Repeat("k", 256), "é", "e\u0301"}
	for _, key := range keys {
		logtest.WantCode(t, "set any bytes", s.KVSet(ctx, "p", key, []byte(key)), "")
	}
	value(t, s, "p", "k", "a\x00b", true)
	for _, key := range keys {
		value(t, s, "p", key, key, true)
	}
	value(t, s, "p", "empty", "", true)
	value(t, s, "q", "k", "", false)
	logtest.WantCode(t, "cas, there is one", s.KVCAS(ctx, "p", "k", nil, []byte("x")), fault.Conflict)
	logtest.WantCode(t, "cas, another", s.KVCAS(ctx, "p", "k", []byte("a"), []byte("x")), fault.Conflict)
	logtest.WantCode(t, "cas", s.KVCAS(ctx, "p", "k", []byte("a\x00b"), []byte("x")), "")
	logtest.WantCode(t, "cas of an empty one", s.KVCAS(ctx, "p", "empty", []byte{}, []byte("y")), "")
	logtest.WantCode(t, "cas of none", s.KVCAS(ctx, "p", "none", []byte{}, []byte("y")), fault.Conflict)
	logtest.WantCode(t, "cas, absent", s.KVCAS(ctx, "p", "new", nil, []byte("n")), "")
	value(t, s, "p", "k", "x", true)
	value(t, s, "p", "empty", "y", true)
	value(t, s, "p", "new", "n", true)
	logtest.WantCode(t, "delete", s.KVDelete(ctx, "p", "k"), "")
	logtest.WantCode(t, "delete again", s.KVDelete(ctx, "p", "k"), "")
	value(t, s, "p", "k", "", false)
	for _, key := range []string{"", strings.Repeat("k", 257)} {
		logtest.WantCode(t, "set a wrong key", s.KVSet(ctx, "p", key, nil), fault.Invalid)
		logtest.WantCode(t, "cas a wrong key", s.KVCAS(ctx, "p", key, nil, nil), fault.Invalid)
		logtest.WantCode(t, "delete a wrong key", s.KVDelete(ctx, "p", key), fault.Invalid)
		_, _, err := s.KVGet(ctx, "p", key)
		logtest.WantCode(t, "get a wrong key", err, fault.Invalid)
	}
	logtest.WantCode(t, "long value", s.KVSet(ctx, "p", "k", make([]byte, 1<<20+1)), fault.Exhausted)
	logtest.WantCode(t, "longest value", s.KVSet(ctx, "p", "k", make([]byte, 1<<20)), "")
}

// changes checks writes of value and time limit at once, and removals, with and without a
// comparison.
func changes(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	soon, later := time.Now().Add(time.Hour).UTC(), time.Now().Add(2*time.Hour).UTC()
	for i, tt := range []struct {
		change spec.KVChange
		code   fault.Code
		want   string    // "" for none
		until  time.Time // of the value
	}{
		{spec.KVChange{Value: []byte("a"), Until: soon}, "", "a", soon},
		{spec.KVChange{Value: []byte("b")}, "", "b", time.Time{}},
		{spec.KVChange{Value: []byte("c"), Until: soon, Compare: true, Old: []byte("a")}, fault.Conflict, "b", time.Time{}},
		{spec.KVChange{Value: []byte("c"), Until: soon, Compare: true}, fault.Conflict, "b", time.Time{}},
		{spec.KVChange{Value: []byte("c"), Until: soon, Compare: true, Old: []byte("b")}, "", "c", soon},
		{spec.KVChange{Value: []byte("d"), Compare: true, Old: []byte("c")}, "", "d", soon},
		{spec.KVChange{Value: []byte("e"), Until: later, Compare: true, Old: []byte("d")}, "", "e", later},
		{spec.KVChange{Value: make([]byte, 1001), Compare: true, Old: []byte("e")}, fault.Exhausted, "e", later},
		{spec.KVChange{Compare: true, Old: []byte("d")}, fault.Conflict, "e", later},
		{spec.KVChange{Compare: true, Old: []byte("e")}, "", "", time.Time{}},
		{spec.KVChange{Compare: true, Old: []byte("e")}, fault.Conflict, "", time.Time{}},
		{spec.KVChange{Compare: true}, "", "", time.Time{}},
		{spec.KVChange{}, "", "", time.Time{}},
		{spec.KVChange{Value: []byte("f"), Until: soon, Compare: true}, "", "f", soon},
		{spec.KVChange{}, "", "", time.Time{}},
		{spec.KVChange{Value: []byte("g"), Until: time.Unix(1, 0)}, "", "", time.Time{}},        // its time is over
		{spec.KVChange{Value: make([]byte, 1001), Until: time.Unix(1, 0)}, "", "", time.Time{}}, // it takes nothing of the quota
		{spec.KVChange{Value: []byte("h"), Compare: true}, "", "h", time.Time{}},
	} {
		what := fmt.Sprintf("change %d", i)
		tt.change.Key = "k"
		logtest.WantCode(t, what, s.KVChange(ctx, "p", tt.change), tt.code)
		value(t, s, "p", "k", tt.want, tt.want != "")
		list, err := s.KVList(ctx, "p", "k", "", 10)
		if err != nil || len(list) != min(len(tt.want), 1) || len(list) == 1 && !list[0].Until.Equal(tt.until) {
			t.Errorf("%s: got %+v, %v, want the limit %v", what, list, err, tt.until)
		}
	}
	given := []byte("abc")
	logtest.WantCode(t, "change", s.KVChange(ctx, "p", spec.KVChange{Key: "k", Value: given}), "")
	given[0] = 'x'
	value(t, s, "p", "k", "abc", true)
	logtest.WantCode(t, "an empty value", s.KVChange(ctx, "p", spec.KVChange{Key: "k", Value: []byte{}}), "")
	value(t, s, "p", "k", "", true)
	logtest.WantCode(t, "a wrong key", s.KVChange(ctx, "p", spec.KVChange{Value: given}), fault.Invalid)
}

// entry is the size of an entry besides its key and value, in bytes.
const entry = 128

// kvQuota checks that the bound is per plugin and exact, and that freed capacity can be
// used again. The error names the value, which distinguishes it from a full disk.
func quota(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	over := func(what string, err error) {
		t.Helper()
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.Exhausted || f.Field != "value" {
			t.Errorf("%s: got %v, want %s in value", what, err, fault.Exhausted)
		}
	}
	logtest.WantCode(t, "some", s.KVSet(ctx, "p", "k", make([]byte, 500)), "")
	logtest.WantCode(t, "clear", s.KVClear(ctx, "p"), "")
	logtest.WantCode(t, "fill", s.KVSet(ctx, "p", "0123456789", make([]byte, 990+entry)), "")
	over("one more", s.KVSet(ctx, "p", "k", nil))
	logtest.WantCode(t, "another plugin", s.KVSet(ctx, "q", "k", make([]byte, 900)), "")
	over("larger", s.KVSet(ctx, "p", "0123456789", make([]byte, 991+entry)))
	logtest.WantCode(t, "smaller", s.KVSet(ctx, "p", "0123456789", make([]byte, 89)), "")
	logtest.WantCode(t, "again", s.KVSet(ctx, "p", "k", make([]byte, 900)), "")
	logtest.WantCode(t, "delete", s.KVDelete(ctx, "p", "k"), "")
	over("cas over", s.KVCAS(ctx, "p", "k", nil, make([]byte, 901)))
	logtest.WantCode(t, "after all", s.KVSet(ctx, "p", "k", make([]byte, 900)), "")

	logtest.WantCode(t, "clear again", s.KVClear(ctx, "p"), "")
	for _, key := range "abcdefghi" { // 129 each
		logtest.WantCode(t, "small ones", s.KVSet(ctx, "p", string(key), nil), "")
	}
	over("a small one too many", s.KVSet(ctx, "p", "j", nil))
	logtest.WantCode(t, "delete a small one", s.KVDelete(ctx, "p", "a"), "")
	logtest.WantCode(t, "another small one", s.KVSet(ctx, "p", "j", nil), "")
}

func copies(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	given := []byte("abc")
	logtest.WantCode(t, "set", s.KVSet(ctx, "p", "k", given), "")
	given[0] = 'x'
	value(t, s, "p", "k", "abc", true)
	got, _, _ := s.KVGet(ctx, "p", "k")
	got[0] = 'y'
	value(t, s, "p", "k", "abc", true)
}

func oneWinner(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	logtest.WantCode(t, "set", s.KVSet(ctx, "p", "n", []byte{0}), "")
	var wg sync.WaitGroup
	const adders, each = 4, 10
	for range adders {
		wg.Go(func() {
			for range each {
				for {
					old, _, err := s.KVGet(ctx, "p", "n")
					if err == nil {
						err = s.KVCAS(ctx, "p", "n", old, []byte{old[0] + 1})
					}
					if err == nil {
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	value(t, s, "p", "n", string([]byte{adders * each}), true)
}

// kvLinearizable counts with compare and set in several keys while readers look: each
// value has one winner, and no reader returns a value that is older than one that was
// written or read before it began, or that no writer has begun to write.
func linearizable(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	const keys, adders, readers, each = 3, 6, 4, 25
	var begun, done [keys]atomic.Int64 // the highest value that was begun, and that was returned
	raise := func(n *atomic.Int64, to int64) {
		for present := n.Load(); present < to && !n.CompareAndSwap(present, to); present = n.Load() {
		}
	}
	name := func(k int) string { return string(rune('a' + k)) }
	read := func(k, reader int) (value []byte, n int64, ok bool) {
		after := done[k].Load()
		value, found, ok := s.KVCached("p", name(k))
		if !ok || reader%2 == 0 {
			var err error
			if value, found, err = s.KVGet(ctx, "p", name(k)); err != nil {
				t.Errorf("KVGet: %v", err)
				return nil, 0, false
			}
		}
		if found {
			n = int64(binary.BigEndian.Uint32(value))
		}
		if upTo := begun[k].Load(); n < after || n > upTo {
			t.Errorf("key %d: read %d, want between %d and %d", k, n, after, upTo)
			return nil, 0, false
		}
		raise(&done[k], n)
		return value, n, true
	}
	var wins [keys][adders*each + 1]atomic.Int32
	var adding, reading sync.WaitGroup
	for a := range adders {
		adding.Go(func() {
			for i := range each {
				k := (a + i) % keys
				for {
					old, n, ok := read(k, a)
					if !ok {
						return
					}
					raise(&begun[k], n+1)
					err := s.KVCAS(ctx, "p", name(k), old, binary.BigEndian.AppendUint32(nil, uint32(n+1)))
					if err == nil {
						raise(&done[k], n+1)
						wins[k][n+1].Add(1)
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Errorf("KVCAS: %v", err)
						return
					}
				}
			}
		})
	}
	stop := make(chan struct{})
	for r := range readers {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, ok := read(i%keys, r); !ok {
					return
				}
				runtime.Gosched()
			}
		})
	}
	adding.Wait()
	close(stop)
	reading.Wait()
	total := int64(0)
	for k := range keys {
		last := done[k].Load()
		total += last
		value(t, s, "p", name(k), string(binary.BigEndian.AppendUint32(nil, uint32(last))), true)
		for n := int64(1); n <= last; n++ {
			if w := wins[k][n].Load(); w != 1 {
				t.Errorf("key %d: %d was written by %d", k, n, w)
			}
		}
	}
	if total != adders*each {
		t.Errorf("counted %d, want %d", total, adders*each)
	}
}

// kvNewest counts in one key, reading the newest value: each number has one winner, and a
// value that is stored is never behind one that was written or read before.
func newest(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	const adders, each = 8, 40
	logtest.WantCode(t, "set", s.KVSet(ctx, "p", "n", []byte{0, 0}), "")
	var wins [adders*each + 1]atomic.Int32
	var done atomic.Int64
	var wg sync.WaitGroup
	for range adders {
		wg.Go(func() {
			for i := 0; i < each; {
				after := done.Load()
				old, found, ok, stored := s.KVNewest("p", "n")
				if !ok {
					var err error
					if old, found, err = s.KVGet(ctx, "p", "n"); err != nil {
						t.Error(err)
						return
					}
				}
				n := int64(binary.BigEndian.Uint16(old))
				if !found || n < after {
					t.Errorf("got %d, %v, but %d was written", n, found, after)
					return
				}
				err := s.KVCAS(ctx, "p", "n", old, binary.BigEndian.AppendUint16(nil, uint16(n+1)))
				switch {
				case err == nil:
					for present := done.Load(); present < n+1 && !done.CompareAndSwap(present, n+1); present = done.Load() {
					}
					wins[n+1].Add(1)
					i++
				case !fault.Is(err, fault.Conflict):
					t.Error(err)
					return
				}
				if stored != nil { // no write of this test fails but by a conflict, which is never readable
					if err := stored(ctx); err != nil {
						t.Errorf("the value %d was readable and is not stored: %v", n, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	value(t, s, "p", "n", string(binary.BigEndian.AppendUint16(nil, adders*each)), true)
	for n := 1; n <= adders*each; n++ {
		if w := wins[n].Load(); w != 1 {
			t.Errorf("%d was written by %d", n, w)
		}
	}
	if _, _, ok, stored := s.KVNewest("p", "n"); ok && stored != nil {
		t.Error("a value is not stored when all writes have returned")
	}
}

// kvQuotaShared sets more keys at once than the quota allows, twice, with all of them
// deleted between: exactly as many as the quota allows are set.
func quotaShared(t *testing.T, s bus.Engine) {
	ctx := t.Context()
	const allowed, writers = 20, 33
	for round := range 2 {
		var set atomic.Int32
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				key := string([]byte{'k', byte('A' + w)})
				switch err := s.KVSet(ctx, "p", key, bytes.Repeat([]byte{'v'}, 100)); {
				case err == nil:
					set.Add(1)
				case !fault.Is(err, fault.Exhausted):
					t.Errorf("KVSet: %v", err)
				}
			})
		}
		wg.Wait()
		if got := set.Load(); got != allowed {
			t.Errorf("round %d: %d of %d were set, want %d", round, got, writers, allowed)
		}
		for w := range writers {
			wg.Go(func() {
				if err := s.KVDelete(ctx, "p", string([]byte{'k', byte('A' + w)})); err != nil {
					t.Errorf("KVDelete: %v", err)
				}
			})
		}
		wg.Wait()
	}
	logtest.WantCode(t, "as large as all of them", s.KVSet(ctx, "p", "kA", make([]byte, allowed*(2+100+entry)-2-entry)), "")
}

func ended(t *testing.T, s bus.Engine) {
	calls := map[string]func(context.Context) error{
		"KVGet":    func(ctx context.Context) error { _, _, err := s.KVGet(ctx, "p", "k"); return err },
		"KVSet":    func(ctx context.Context) error { return s.KVSet(ctx, "p", "k", nil) },
		"KVCAS":    func(ctx context.Context) error { return s.KVCAS(ctx, "p", "k", nil, nil) },
		"KVDelete": func(ctx context.Context) error { return s.KVDelete(ctx, "p", "k") },
		"KVClear":  func(ctx context.Context) error { return s.KVClear(ctx, "p") },
		"KVExpire": func(ctx context.Context) error { return s.KVExpire(ctx, "p", "k", time.Time{}) },
		"KVList":   func(ctx context.Context) error { _, err := s.KVList(ctx, "p", "", "", 1); return err },
		"KVUsage":  func(ctx context.Context) error { _, _, err := s.KVUsage(ctx, "p"); return err },
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, call := range calls {
		logtest.WantCode(t, name+" after the deadline", call(late), fault.Timeout)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.KVCached("p", "k"); ok {
		t.Error("KVCached answers when closed")
	}
	if _, _, ok, stored := s.KVNewest("p", "k"); ok || stored != nil {
		t.Error("KVNewest answers when closed")
	}
	for name, call := range calls {
		logtest.WantCode(t, name+" when closed", call(t.Context()), fault.Unavailable)
	}
}
