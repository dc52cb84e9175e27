package kv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/berth-host/berth/host/spec"
)

// TestFailedReadChangesNothing: a batch whose file cannot be read has the writes before.
func TestFailedReadChangesNothing(t *testing.T) {
	file := newMemory()
	b := NewBatch(NewCache(1<<20, modelQuota, time.Now))
	apply := func(w *Write, r Reader, want error) {
		t.Helper()
		if refused, err := b.Apply(w, r); refused != nil || !errors.Is(err, want) {
			t.Errorf("%+v: got %v, %v, want %v", w, refused, err, want)
		}
	}
	apply(&Write{Kind: Set, Key: Key{"p", "a"}, Value: []byte("1")}, file, nil)
	apply(&Write{Kind: Set, Key: Key{"p", "b"}, Value: []byte("2")}, broken{file}, errBroken)
	apply(&Write{Kind: Delete, Key: Key{"q", "a"}}, broken{file}, errBroken)
	if err := b.Flush(file); err != nil {
		t.Fatal(err)
	}
	if want := (contents{{"p", "a"}: {[]byte("1"), 0, true}}); !maps.EqualFunc(file.open, want, sameStored) {
		t.Errorf("got %v, want %v", file.open, want)
	}
}

// TestCacheIsBounded: a cache uses no more memory than its limit.
func TestCacheIsBounded(t *testing.T) {
	const limit = 1 << 20
	c := NewCache(limit, modelQuota, time.Now)
	for i := range 20_000 {
		c.add(Key{"p", fmt.Sprint(i)}, value{make([]byte, i%5000), true, 0})
	}
	total, entries := int64(0), 0
	for i := range c.shards {
		s := &c.shards[i]
		sum := int64(0)
		for _, el := range s.entries {
			sum += el.Value.(*entry).cost()
		}
		if sum != s.bytes || len(s.entries) != s.recent.Len() {
			t.Errorf("shard %d: %d bytes, but counted %d; %d entries of %d", i, sum, s.bytes, s.recent.Len(), len(s.entries))
		}
		total, entries = total+s.bytes, entries+len(s.entries)
	}
	if total > limit || total < limit/2 || entries == 0 {
		t.Errorf("%d bytes in %d entries, want at most %d and at least half of that", total, entries, limit)
	}
	c.add(Key{"p", "large"}, value{make([]byte, maxCached+1), true, 0})
	if _, cached := c.peek(Key{"p", "large"}); cached {
		t.Error("a value that is too large is in the cache")
	}
}

// TestSuspendHidesQueuedValues: while a write of a plugin is enqueued beside Enqueue, no
// value of its queued writes can be read, since that write may replace it.
func TestSuspendHidesQueuedValues(t *testing.T) {
	c := NewCache(1<<20, 1<<20, time.Now)
	c.account("p").known.Store(true)
	key := Key{"p", "k"}
	enqueue := func(value string, readable bool) *Queued {
		t.Helper()
		q, sent := c.Enqueue(&Write{Kind: Set, Key: key, Value: []byte(value)}, func() bool { return true })
		if !sent || (q != nil) != readable {
			t.Errorf("%s: got %v, sent %v, want it readable: %v", value, q, sent, readable)
		}
		if v, found, ok, newest := c.Newest(key); (newest == q && ok && found && string(v) == value) != readable || newest != q {
			t.Errorf("%s: got %q, %v, %v of %v", value, v, found, ok, newest)
		}
		return q
	}
	before := enqueue("1", true)
	resume, again := c.Suspend("p"), c.Suspend("p")
	if _, _, ok, q := c.Newest(key); ok || q != nil {
		t.Errorf("suspended: got %v, %v", ok, q)
	}
	enqueue("2", false)
	resume()
	enqueue("3", false)
	again()
	after := enqueue("4", true)
	c.Resolve(before, nil)
	if _, _, _, q := c.Newest(key); q != after {
		t.Errorf("after an older write has returned: got %v, want %v", q, after)
	}
	c.Resolve(after, nil)
	if _, _, ok, q := c.Newest(key); ok || q != nil {
		t.Errorf("after all have returned: got %v, %v", ok, q)
	}
}

// TestReplacedQueuedValueIsNotReadable: once a write is queued whose value cannot be read, no
// value that it replaces can be read, although the caller of the older write returns last.
func TestReplacedQueuedValueIsNotReadable(t *testing.T) {
	key := Key{"p", "k"}
	for name, newest := range map[string]*Write{
		"too large for the cache":   {Kind: Set, Key: key, Value: make([]byte, maxCached+1)},
		"a swap, also too large":    {Kind: Set, Key: key, Compare: true, Old: []byte("1"), Value: make([]byte, maxCached+1)},
		"over the quota, if others": {Kind: Set, Key: key, Value: make([]byte, 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			file := newMemory()
			c := NewCache(shards<<20, 1<<20, time.Now)
			b := NewBatch(c)
			c.account("p").known.Store(true)
			older := &Write{Kind: Set, Key: key, Value: []byte("1")}
			before, _ := c.Enqueue(older, func() bool { return true })
			if before == nil {
				t.Fatal("the older value is not readable")
			}
			c.account("p").queued.Add(1<<20 - spec.KVEntry - 500) // by writes of other keys, which will fail
			if q, sent := c.Enqueue(newest, func() bool { return true }); q != nil || !sent {
				t.Fatalf("the newest write: got %v, %v", q, sent)
			}
			for _, w := range []*Write{older, newest} {
				if refused, err := b.Apply(w, file); refused != nil || err != nil {
					t.Fatal(refused, err)
				}
			}
			if err := b.Flush(file); err != nil {
				t.Fatal(err)
			}
			file.commit()
			b.Commit() // the caller of the newest write returns
			if value, found, ok, q := c.Newest(key); q != nil || ok && !(found && bytes.Equal(value, newest.Value)) {
				t.Errorf("got %d bytes, %v, %v of %v", len(value), found, ok, q)
			}
			c.Resolve(before, nil)
		})
	}
}

// TestValueThatQuotaMayRefuseIsNotReadable: a queued value is readable only if the quota
// allows it together with those before it, as far as is known.
func TestValueThatQuotaMayRefuseIsNotReadable(t *testing.T) {
	file := newMemory()
	c := NewCache(1<<20, 3*(spec.KVEntry+2), time.Now)
	b := NewBatch(c)
	enqueue := func(name string, size int, readable bool) *Queued {
		t.Helper()
		q, sent := c.Enqueue(&Write{Kind: Set, Key: Key{"p", name}, Value: make([]byte, size)}, func() bool { return true })
		if !sent || (q != nil) != readable {
			t.Errorf("%s of %d bytes: got %v, %v, want it readable: %v", name, size, q, sent, readable)
		}
		return q
	}
	enqueue("a", 1, false) // how much there is is not known
	if refused, err := b.Apply(&Write{Kind: Set, Key: Key{"p", "a"}, Value: []byte("1")}, file); refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	if err := b.Flush(file); err != nil {
		t.Fatal(err)
	}
	file.commit()
	b.Commit()
	first := enqueue("b", 1, true)
	enqueue("c", 2, false)
	second := enqueue("c", 1, true)
	enqueue("d", 0, false)
	enqueue("a", 1, true) // as large as before
	enqueue("a", 2, false)
	c.Resolve(first, errBroken)
	enqueue("c", 100, true)
	enqueue("b", 100, false)
	c.Resolve(second, nil)
	b.Abort()
	if refused, err := b.Apply(&Write{Kind: Delete, Key: Key{"p", "a"}}, file); refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	b.Abort()
	enqueue("e", 0, false) // what is committed is not known
}
