package kv

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// memory is a file with a transaction.
type memory struct {
	committed, open map[Key][]byte
}

func newMemory() *memory { return &memory{committed: map[Key][]byte{}, open: map[Key][]byte{}} }

func (m *memory) Value(key Key) ([]byte, bool, error) {
	v, found := m.open[key]
	return v, found, nil
}

func (m *memory) Usage(plugin string) (int64, error) { return usage(m.open, plugin), nil }

func (m *memory) Clear(plugin string) error {
	maps.DeleteFunc(m.open, func(k Key, _ []byte) bool { return k.Plugin == plugin })
	return nil
}

func (m *memory) Delete(key Key) error { delete(m.open, key); return nil }

func (m *memory) Set(list []Entry) error {
	for _, e := range list {
		m.open[e.Key] = e.Value
	}
	return nil
}

func (m *memory) commit()   { m.committed = maps.Clone(m.open) }
func (m *memory) rollback() { m.open = maps.Clone(m.committed) }

func usage(values map[Key][]byte, plugin string) (n int64) {
	for k, v := range values {
		if k.Plugin == plugin {
			n += int64(len(k.Name)+len(v)) + spec.KVEntry
		}
	}
	return n
}

// modelQuota is exceeded by a third value of 20 bytes.
const modelQuota = 2*(spec.KVEntry+1) + 50

// model explores the interleavings of the writer's steps with those of readers.
type model struct {
	file  *memory
	cache *Cache
	batch *Batch

	want    map[Key][]byte // after the writes of the batch
	flushed bool

	// A reader that begins now must not be behind what a reader before it has returned,
	// or a writer that has returned has written: seen is the number of the commit.
	commits  []map[Key][]byte
	seen     map[Key]int
	reads    []*reading
	replaced bool // the commit in flight is in the file
}

// reading is a reader between two of its steps.
type reading struct {
	key    Key
	oldest int // the first commit that it may return
	add    func([]byte, bool)
	value  []byte // of the file
	found  bool
	asked  bool
}

func newModel(cacheBytes int64) *model {
	m := &model{file: newMemory(), cache: NewCache(cacheBytes), want: map[Key][]byte{}, seen: map[Key]int{},
		commits: []map[Key][]byte{{}}}
	m.batch = NewBatch(m.cache, modelQuota)
	return m
}

var modelKeys = []Key{{"p", "a"}, {"p", "b"}, {"p", "c"}, {"q", "a"}}

func drawKey(t *rapid.T) Key { return rapid.SampledFrom(modelKeys).Draw(t, "key") }

func drawValue(t *rapid.T) []byte {
	return bytes.Repeat([]byte{byte(rapid.IntRange('x', 'z').Draw(t, "letter"))}, rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "size"))
}

// write applies a write and compares its result with the sequential one.
func (m *model) write(t *rapid.T) {
	if m.flushed {
		t.Skip("the group is closed")
	}
	w := &Write{Kind: rapid.SampledFrom([]Kind{Set, Set, CompareAndSet, CompareAndSet, Delete, Clear}).Draw(t, "kind"), Key: drawKey(t)}
	if w.Kind == Set || w.Kind == CompareAndSet {
		w.Value = drawValue(t)
	}
	present, found := m.want[w.Key]
	if w.Kind == CompareAndSet {
		switch rapid.SampledFrom([]string{"present", "another", "none"}).Draw(t, "old") {
		case "present":
			w.Old = present
		case "another":
			w.Old = drawValue(t)
		}
	}
	var code fault.Code
	next := maps.Clone(m.want)
	switch {
	case w.Kind == Clear:
		maps.DeleteFunc(next, func(k Key, _ []byte) bool { return k.Plugin == w.Key.Plugin })
	case w.Kind == Delete:
		delete(next, w.Key)
	case w.Kind == CompareAndSet && (found != (w.Old != nil) || !bytes.Equal(present, w.Old)):
		code = fault.Conflict
	default:
		next[w.Key] = w.Value
		if after := usage(next, w.Key.Plugin); after > modelQuota && after > usage(m.want, w.Key.Plugin) {
			code = fault.Exhausted
		}
	}
	refused, err := m.batch.Apply(w, m.file)
	if err != nil || code == "" && refused != nil || code != "" && !fault.Is(refused, code) {
		t.Fatalf("%+v: got %v, %v, want %q", w, refused, err, code)
	}
	if code == "" {
		m.want = next
	}
}

func (m *model) flush(t *rapid.T) {
	if m.flushed {
		t.Skip("flushed")
	}
	if err := m.batch.Flush(m.file); err != nil {
		t.Fatal(err)
	}
	m.flushed = true
	if !maps.EqualFunc(m.file.open, m.want, bytes.Equal) {
		t.Fatalf("the transaction has %v, want %v", m.file.open, m.want)
	}
}

// commit commits the file alone: the writer has not published it.
func (m *model) commit(t *rapid.T) {
	if !m.flushed || m.replaced {
		t.Skip("not flushed, or committed")
	}
	m.file.commit()
	m.commits = append(m.commits, m.file.committed)
	m.replaced = true
}

func (m *model) publish(t *rapid.T) {
	if !m.replaced {
		t.Skip("not committed")
	}
	m.batch.Commit()
	for _, key := range modelKeys { // the writers have returned
		m.seen[key] = len(m.commits) - 1
	}
	m.flushed, m.replaced = false, false
}

// abort fails the group at any step; one that is in the file remains there.
func (m *model) abort(*rapid.T) {
	m.file.rollback()
	m.batch.Abort()
	m.want = maps.Clone(m.file.committed)
	m.flushed, m.replaced = false, false
}

// beginRead asks the cache.
func (m *model) beginRead(t *rapid.T) {
	key := drawKey(t)
	r := &reading{key: key, oldest: m.seen[key]}
	value, found, ok, add := m.cache.Get(key)
	if ok {
		m.check(t, r, value, found)
		return
	}
	r.add = add
	m.reads = append(m.reads, r)
}

// goOnReading asks the file, or completes a read.
func (m *model) goOnReading(t *rapid.T) {
	if len(m.reads) == 0 {
		t.Skip("no reader")
	}
	i := rapid.IntRange(0, len(m.reads)-1).Draw(t, "reader")
	r := m.reads[i]
	if !r.asked {
		r.value, r.found = m.file.committed[r.key]
		r.asked = true
		return
	}
	r.add(r.value, r.found)
	m.reads = append(m.reads[:i], m.reads[i+1:]...)
	m.check(t, r, r.value, r.found)
}

// check checks that a read returned committed contents, and none older than those that
// a reader before it has returned.
func (m *model) check(t *rapid.T, r *reading, value []byte, found bool) {
	for n := r.oldest; n < len(m.commits); n++ {
		if v, there := m.commits[n][r.key]; there == found && bytes.Equal(v, value) {
			m.seen[r.key] = max(m.seen[r.key], n)
			return
		}
	}
	t.Fatalf("%v: got %q, %v, which no commit since %d has: %v", r.key, value, found, r.oldest, m.commits)
}

// quiet checks, while no commit is under way, that the cache has what the file has.
func (m *model) quiet(t *rapid.T) {
	if m.flushed {
		return
	}
	for _, key := range modelKeys {
		want, there := m.file.committed[key]
		if value, found, ok, _ := m.cache.Get(key); ok && (found != there || !bytes.Equal(value, want)) {
			t.Fatalf("%v: the cache has %q, %v, the file %q, %v", key, value, found, want, there)
		}
	}
}

// TestModel compares a batch with sequential writes, and its readers with the commits, in
// random interleavings, with a cache for all values and one for hardly any.
func TestModel(t *testing.T) {
	for _, size := range []int64{1 << 20, shards * 300} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(size)
				t.Repeat(map[string]func(*rapid.T){
					"write": m.write, "another write": m.write, "flush": m.flush, "commit": m.commit, "publish": m.publish, "abort": m.abort,
					"read": m.beginRead, "another read": m.beginRead, "go on reading": m.goOnReading, "": m.quiet,
				})
			})
		})
	}
}

// broken is a file that fails.
type broken struct{ *memory }

var errBroken = errors.New("broken")

func (broken) Value(Key) ([]byte, bool, error) { return nil, false, errBroken }
func (broken) Usage(string) (int64, error)     { return 0, errBroken }

// TestFailedReadChangesNothing: a batch whose file cannot be read has the writes before.
func TestFailedReadChangesNothing(t *testing.T) {
	file := newMemory()
	b := NewBatch(NewCache(1<<20), modelQuota)
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
	if want := map[Key][]byte{{"p", "a"}: []byte("1")}; !maps.EqualFunc(file.open, want, bytes.Equal) {
		t.Errorf("got %v, want %v", file.open, want)
	}
}

// TestCacheIsBounded: a cache uses no more memory than its limit.
func TestCacheIsBounded(t *testing.T) {
	const limit = 1 << 20
	c := NewCache(limit)
	for i := range 20_000 {
		c.add(Key{"p", fmt.Sprint(i)}, value{make([]byte, i%5000), true})
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
	c.add(Key{"p", "large"}, value{make([]byte, maxCached+1), true})
	if _, cached := c.peek(Key{"p", "large"}); cached {
		t.Error("a value that is too large is in the cache")
	}
}
