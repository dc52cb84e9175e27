package berthtest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	berth "github.com/berth-host/berth/abi/go"
	"github.com/berth-host/berth/abi/go/berthtest"
)

// handler makes a handler of a function.
func handler(f func() error) berth.Handler {
	return func(*berth.Event) (berth.Result, error) { return berth.OK(), f() }
}

var anEvent = berthtest.Event("order_status_changed", "{}")

func keys(t *testing.T, prefix string) string {
	t.Helper()
	var list []string
	for key, err := range berth.KV.Keys(prefix) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, key)
	}
	return strings.Join(list, " ")
}

// TestAtomicWrites: the event reads its own writes, and they last only if it succeeds.
func TestAtomicWrites(t *testing.T) {
	for _, tt := range []struct {
		name   string
		end    error
		atomic bool
		want   string
	}{
		{"succeeds", nil, true, "a c"},
		{"is a retry", berth.Retry("x"), true, "a b"},
		{"is rejected", berth.Reject("x"), true, "a b"},
		{"is a retry, without atomic", berth.Retry("x"), false, "a c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &berthtest.Host{Atomic: tt.atomic, KV: map[string][]byte{"a": []byte("1"), "b": []byte("2")}}
			h.Deliver(t, handler(func() error {
				err := errors.Join(berth.KV.Set("c", []byte("3")), berth.KV.Delete("b"), berth.KV.CAS("c", []byte("3"), []byte("4")))
				if got := keys(t, ""); got != "a c" {
					t.Errorf("within the event there are %s", got)
				}
				if _, err := berth.KV.Get("b"); !errors.Is(err, berth.ErrNotFound) {
					t.Errorf("the deleted key: %v", err)
				}
				return errors.Join(err, tt.end)
			}), anEvent)
			h.Do(func() {
				if got := keys(t, ""); got != tt.want {
					t.Errorf("there are %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestAtomicLimits: an event writes at most 1,000 keys and 8 MiB.
func TestAtomicLimits(t *testing.T) {
	h := &berthtest.Host{Atomic: true}
	h.Deliver(t, handler(func() error {
		mebibyte := make([]byte, 1<<20)
		for i := range 7 {
			if err := berth.KV.Set(string(rune('a'+i)), mebibyte); err != nil {
				t.Error(err)
			}
		}
		if err := berth.KV.Set("x", mebibyte); !errors.Is(err, berth.ErrTooLarge) {
			t.Errorf("over 8 MiB: %v", err)
		}
		return berth.KV.Set("a", nil)
	}), anEvent)
	h.Deliver(t, handler(func() error {
		for i := range 1000 {
			if err := berth.KV.Set("k"+string(rune('\u4e00'+i)), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := berth.KV.Set("one more", nil); !errors.Is(err, berth.ErrTooLarge) {
			t.Errorf("over 1,000 keys: %v", err)
		}
		return berth.KV.Delete("k\u4e00")
	}), anEvent)
	if len(h.KV) != 7+999 {
		t.Errorf("there are %d keys", len(h.KV))
	}
}

// TestExpiry: Set removes a limit, CAS keeps it, and an expired key is absent everywhere.
func TestExpiry(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, atomic := range []bool{false, true} {
		h := &berthtest.Host{Now: func() time.Time { return now }, Atomic: atomic}
		write := func() error {
			var failed []error
			for _, key := range []string{"cas", "kept", "removed", "set"} {
				failed = append(failed, berth.KV.Set(key, []byte("1")), berth.KV.Expire(key, time.Minute))
			}
			return errors.Join(append(failed, berth.KV.CAS("cas", []byte("1"), []byte("2")), berth.KV.Set("set", nil), berth.KV.Expire("removed", 0))...)
		}
		if out := h.Deliver(t, handler(write), anEvent); out.Status != berthtest.OK {
			t.Fatalf("got %+v", out)
		}
		now = now.Add(59 * time.Second)
		h.Do(func() {
			if got := keys(t, ""); got != "cas kept removed set" {
				t.Errorf("before a minute there are %s", got)
			}
		})
		now = now.Add(time.Second)
		h.Do(func() {
			if got := keys(t, ""); got != "removed set" {
				t.Errorf("after a minute there are %s", got)
			}
			if _, err := berth.KV.Get("kept"); !errors.Is(err, berth.ErrNotFound) {
				t.Errorf("get: %v", err)
			}
			if err := berth.KV.Expire("kept", time.Hour); !errors.Is(err, berth.ErrNotFound) {
				t.Errorf("expire: %v", err)
			}
			if err := berth.KV.CAS("cas", nil, []byte("3")); err != nil {
				t.Errorf("cas: %v", err)
			}
		})
		now = now.Add(time.Hour)
		if string(h.KV["cas"]) != "3" || len(h.Expires) != 1 {
			t.Errorf("the key written anew is %q; the limits are %v", h.KV["cas"], h.Expires)
		}
	}
}

func TestTraceNeedsATracedEvent(t *testing.T) {
	h := new(berthtest.Host)
	h.Do(func() {
		if _, err := berth.Trace(); !errors.Is(err, berth.ErrInvalid) {
			t.Errorf("without an event: %v", err)
		}
	})
	h.Deliver(t, handler(func() error {
		if _, err := berth.Trace(); !errors.Is(err, berth.ErrNotFound) {
			t.Errorf("without tracing: %v", err)
		}
		return nil
	}), anEvent)
}
