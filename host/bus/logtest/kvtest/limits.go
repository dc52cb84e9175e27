package kvtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// Clock is the clock of an engine under test. The zero value is at Unix second 1000.
type Clock struct{ passed atomic.Int64 }

// Now returns the time.
func (c *Clock) Now() time.Time { return time.Unix(1000, c.passed.Load()) }

// Pass lets time pass.
func (c *Clock) Pass(d time.Duration) { c.passed.Add(int64(d)) }

// RunLimits runs the tests of lists of keys and of time limits. open returns an empty
// engine with this quota for each plugin (0 for the default) and this clock, and closes it
// when the test ends.
func RunLimits(t *testing.T, open func(t *testing.T, quota int64, now func() time.Time) bus.Engine) {
	tests := []struct {
		name  string
		quota int64
		run   func(*testing.T, bus.Engine, *Clock)
	}{
		{"lists", 0, lists},
		{"limits", 0, limits},
		{"quota and expired keys", 3 * (entry + 11), expiredQuota},
		{"model with limits", 2*(entry+1) + 30, limitsModel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clock := new(Clock)
			tt.run(t, open(t, tt.quota, clock.Now), clock)
		})
	}
}

func list(t testing.TB, s bus.Engine, prefix, after string, limit int) (names []string) {
	t.Helper()
	items, err := s.KVList(t.Context(), "p", prefix, after, limit)
	if err != nil {
		t.Fatalf("KVList: %v", err)
	}
	for _, item := range items {
		names = append(names, item.Key)
	}
	return names
}

func lists(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	keys := []string{"\x00", "a", "a\x00", "ab", "a\xff", "a\xff\xff", "b", "ba", "é", "\xff", "\xff\xff"}
	slices.Sort(keys)
	for i, key := range keys {
		logtest.WantCode(t, "set", s.KVSet(ctx, "p", key, make([]byte, i)), "")
		logtest.WantCode(t, "set of another plugin", s.KVSet(ctx, "q", key+"q", nil), "")
	}
	for _, prefix := range []string{"", "a", "a\xff", "b", "\xff", "\xff\xff", "c", "é", "\x00"} {
		var want []string
		for _, key := range keys {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				want = append(want, key)
			}
		}
		for page := 1; page <= len(keys)+1; page++ {
			var got []string
			for after := ""; ; after = got[len(got)-1] {
				part := list(t, s, prefix, after, page)
				if got = append(got, part...); len(part) < page {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("prefix %q in pages of %d: got %q, want %q", prefix, page, got, want)
			}
		}
	}
	if got := list(t, s, "a", "aa", 10); !slices.Equal(got, []string{"ab", "a\xff", "a\xff\xff"}) {
		t.Errorf("after a key that is not there: got %q", got)
	}
	if got := list(t, s, "b", "", 10); !slices.Equal(got, []string{"b", "ba"}) || len(list(t, s, "b", "c", 10)) > 0 || len(list(t, s, "b", "a", 10)) != 2 {
		t.Errorf("after a key outside of the prefix: got %q", got)
	}
	until := clock.Now().Add(time.Minute)
	logtest.WantCode(t, "expire", s.KVExpire(ctx, "p", "ab", until), "")
	items, err := s.KVList(ctx, "p", "ab", "", 1)
	if err != nil || len(items) != 1 || items[0].Size != slices.Index(keys, "ab") || !items[0].Until.Equal(until) {
		t.Errorf("got %+v, %v", items, err)
	}
	for _, limit := range []int{0, -1, spec.MaxKVPage + 1} {
		_, err := s.KVList(ctx, "p", "", "", limit)
		logtest.WantCode(t, fmt.Sprint("a list of ", limit), err, fault.Invalid)
	}
	used, size, err := s.KVUsage(ctx, "p")
	want := int64(0)
	for i, key := range keys {
		want += int64(len(key)+i) + entry
	}
	if err != nil || used != want || size < want {
		t.Errorf("usage: got %d of %d, %v, want %d", used, size, err, want)
	}
}

func limits(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	absent := func(key string) {
		t.Helper()
		value(t, s, "p", key, "", false)
		if v, found, ok := s.KVCached("p", key); ok && found {
			t.Errorf("%s: the cache has %q", key, v)
		}
		if v, found, ok, _ := s.KVNewest("p", key); ok && found {
			t.Errorf("%s: the newest value is %q", key, v)
		}
		logtest.WantCode(t, "expire an absent key", s.KVExpire(ctx, "p", key, clock.Now().Add(time.Hour)), fault.NotFound)
		logtest.WantCode(t, "cas of an absent key", s.KVCAS(ctx, "p", key, []byte(key), nil), fault.Conflict)
		if names := list(t, s, key, "", 5); slices.Contains(names, key) {
			t.Errorf("%s is in the list %q", key, names)
		}
	}
	limited := func(key string, d time.Duration) {
		t.Helper()
		logtest.WantCode(t, "set", s.KVSet(ctx, "p", key, []byte(key)), "")
		logtest.WantCode(t, "expire", s.KVExpire(ctx, "p", key, clock.Now().Add(d)), "")
	}
	for _, key := range []string{"gone", "removed", "set", "swapped", "later"} {
		limited(key, time.Second)
		value(t, s, "p", key, key, true)
	}
	logtest.WantCode(t, "remove the limit", s.KVExpire(ctx, "p", "removed", time.Time{}), "")
	logtest.WantCode(t, "set", s.KVSet(ctx, "p", "set", []byte("set")), "") // the same value
	logtest.WantCode(t, "swap", s.KVCAS(ctx, "p", "swapped", []byte("swapped"), []byte("new")), "")
	logtest.WantCode(t, "a later limit", s.KVExpire(ctx, "p", "later", clock.Now().Add(time.Minute)), "")
	clock.Pass(time.Second - 1)
	value(t, s, "p", "gone", "gone", true)
	clock.Pass(1)
	absent("gone")
	absent("swapped")
	for key, want := range map[string]string{"removed": "removed", "set": "set", "later": "later"} {
		value(t, s, "p", key, want, true)
	}
	logtest.WantCode(t, "create in place of an expired key", s.KVCAS(ctx, "p", "gone", nil, []byte("again")), "")
	clock.Pass(time.Hour)
	value(t, s, "p", "gone", "again", true)
	absent("later")
	limited("past", -time.Second)
	absent("past")
	limited("far", 1<<63-1)
	logtest.WantCode(t, "a limit that no clock reaches", s.KVExpire(ctx, "p", "far", time.Unix(1<<40, 0)), "")
	value(t, s, "p", "far", "far", true)
}

// expiredQuota fills the quota with values that expire: their bytes are free then, for a new
// key and for one that had a value.
func expiredQuota(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	set := func(key string, want fault.Code) {
		t.Helper()
		logtest.WantCode(t, "set "+key, s.KVSet(ctx, "p", key, make([]byte, 10)), want)
	}
	for _, key := range []string{"a", "b", "c"} {
		set(key, "")
	}
	set("d", fault.Exhausted)
	for _, key := range []string{"a", "b"} {
		logtest.WantCode(t, "expire", s.KVExpire(ctx, "p", key, clock.Now().Add(time.Second)), "")
	}
	set("d", fault.Exhausted)
	clock.Pass(time.Second)
	if used, _, err := s.KVUsage(ctx, "p"); err != nil || used != entry+11 {
		t.Errorf("usage: got %d, %v, want %d", used, err, entry+11)
	}
	set("b", "")
	set("d", "")
	set("a", fault.Exhausted)
	if got := list(t, s, "", "", 9); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("got %q", got)
	}
}

// limited is a value of the model.
type limited struct {
	value []byte
	until time.Time
}

// limitsModel makes random calls to an engine and to a model, and compares every result.
func limitsModel(t *testing.T, s bus.Engine, clock *Clock) {
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		logtest.WantCode(t, "clear", s.KVClear(ctx, "p"), "")
		model := map[string]limited{}
		quota := int64(2*(entry+1) + 30)
		expire := func() {
			maps.DeleteFunc(model, func(_ string, v limited) bool { return !v.until.IsZero() && !v.until.After(clock.Now()) })
		}
		drawKey := func() string { return rapid.SampledFrom([]string{"a", "ab", "b"}).Draw(rt, "key") }
		drawValue := func() []byte {
			return bytes.Repeat([]byte("v"), rapid.SampledFrom([]int{0, 1, 20}).Draw(rt, "size"))
		}
		drawUntil := func() time.Time {
			if n := rapid.IntRange(-1, 3).Draw(rt, "until"); n >= 0 {
				return clock.Now().Add(time.Duration(n))
			}
			return time.Time{}
		}
		usage := func(of map[string]limited) (n int64) {
			for k, v := range of {
				n += int64(len(k)+len(v.value)) + entry
			}
			return n
		}
		put := func(key string, v limited) fault.Code {
			next := maps.Clone(model)
			if next[key] = v; usage(next) > quota {
				return fault.Exhausted
			}
			model = next
			return ""
		}
		check := func(what string, err error, want fault.Code) {
			if err == nil != (want == "") || want != "" && !fault.Is(err, want) {
				rt.Fatalf("%s: got %v, want %q", what, err, want)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(*rapid.T) {
				key, v := drawKey(), drawValue()
				check("KVSet", s.KVSet(ctx, "p", key, v), put(key, limited{value: v}))
			},
			"cas": func(*rapid.T) {
				key, v := drawKey(), drawValue()
				present, found := model[key]
				old, want := drawValue(), fault.Conflict
				if rapid.Bool().Draw(rt, "none") {
					old = nil
				}
				if found == (old != nil) && bytes.Equal(present.value, old) {
					want = put(key, limited{v, present.until})
				}
				check("KVCAS", s.KVCAS(ctx, "p", key, old, v), want)
			},
			"delete": func(*rapid.T) {
				key := drawKey()
				delete(model, key)
				check("KVDelete", s.KVDelete(ctx, "p", key), "")
			},
			"expire": func(*rapid.T) {
				key, until := drawKey(), drawUntil()
				v, found := model[key]
				want := fault.NotFound
				if found {
					want = ""
					model[key] = limited{v.value, until}
				}
				check("KVExpire", s.KVExpire(ctx, "p", key, until), want)
			},
			"let time pass": func(*rapid.T) { clock.Pass(1) },
			"": func(*rapid.T) {
				expire()
				for _, key := range []string{"a", "ab", "b"} {
					want, there := model[key]
					if v, found, err := s.KVGet(ctx, "p", key); err != nil || found != there || !bytes.Equal(v, want.value) {
						rt.Fatalf("%s: got %q, %v, %v, want %q, %v", key, v, found, err, want.value, there)
					}
				}
				items, err := s.KVList(ctx, "p", "", "", 10)
				if err != nil || len(items) != len(model) {
					rt.Fatalf("got the keys %+v, %v, want %v", items, err, model)
				}
				for _, item := range items {
					if v := model[item.Key]; item.Size != len(v.value) || !item.Until.Equal(v.until) {
						rt.Fatalf("got the key %+v, want %v", item, v)
					}
				}
				if used, _, err := s.KVUsage(ctx, "p"); err != nil || used != usage(model) {
					rt.Fatalf("usage: got %d, %v, want %d", used, err, usage(model))
				}
			},
		})
	})
}
