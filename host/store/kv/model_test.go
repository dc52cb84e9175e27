package kv

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

// modelQuota is exceeded by a second value of 20 bytes.
const modelQuota = 2*(spec.KVEntry+1) + 30

// model explores the interleavings of the steps of writers, of the writer goroutine and of
// readers.
type model struct {
	file  *memory
	cache *Cache
	batch *Batch

	blocked  []*writing // cannot be enqueued yet
	queue    []*writing
	group    []*writing // applied
	answered []*writing // whose callers have not returned
	want     contents   // after the writes of the batch, without values whose time is over
	flushed  bool
	replaced bool // the commit in flight is in the file

	// A reader that begins now must not be behind what a reader before it has returned,
	// or a writer that has returned has written.
	clock   int64 // Unix ns
	commits []commit
	seen    map[Key]int // the number of a commit
	newest  map[Key]int // the number of a write
	applied int         // writes

	reads       []*reading
	provisional []*provisional
}

// commit is the contents of the file and, for each key, the number of its last write.
type commit struct {
	values contents
	writes map[Key]int
}

// writing is a write between two of its steps.
type writing struct {
	*Write
	effects *event.Effects // in place of a Write; its key is the one that they write
	q       *Queued
	resume  func() // of a Suspend
	number  int    // in the order of the writer
	err     error
	commit  int // the commit that has it
}

// reading is a reader between two of its steps.
type reading struct {
	key    Key
	oldest int // the first commit that it may return
	add    func(Stored) ([]byte, bool)
	value  Stored // of the file
	asked  bool
}

// provisional is a reader that waits for the write whose value it has.
type provisional struct {
	key    Key
	q      *Queued
	oldest int // the first write that it may have read
}

func newModel(cacheBytes int64) *model {
	m := &model{file: newMemory(), clock: 1, want: contents{}, seen: map[Key]int{}, newest: map[Key]int{},
		commits: []commit{{contents{}, map[Key]int{}}}}
	m.cache = NewCache(cacheBytes, modelQuota, func() time.Time { return time.Unix(0, m.clock) })
	m.batch = NewBatch(m.cache)
	return m
}

var modelKeys = []Key{{"p", "a"}, {"p", "b"}, {"q", "a"}}

func drawKey(t *rapid.T) Key { return rapid.SampledFrom(modelKeys).Draw(t, "key") }

func drawValue(t *rapid.T) []byte {
	return bytes.Repeat([]byte{byte(rapid.IntRange('x', 'z').Draw(t, "letter"))}, rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "size"))
}

// enqueue begins a write: it is refused at once, enqueued, or blocked because the queue
// is full.
func (m *model) enqueue(t *rapid.T) {
	w := &writing{Write: &Write{Kind: rapid.SampledFrom([]Kind{Set, Set, Set, Set, Delete, Delete, Expire, Expire, Clear, Sweep}).Draw(t, "kind"), Key: drawKey(t)}}
	if w.Kind == Set {
		w.Value = drawValue(t)
		if rapid.IntRange(0, 3).Draw(t, "limited") == 0 {
			w.Until = m.drawUntil(t)
		}
	}
	if w.Kind == Set || w.Kind == Delete {
		w.Compare = rapid.Bool().Draw(t, "compare")
	}
	if w.Compare {
		switch rapid.SampledFrom([]string{"newest", "newest", "another", "none"}).Draw(t, "old") {
		case "newest":
			if value, found, _, _ := m.cache.Newest(w.Key); found {
				w.Old = value
			}
		case "another":
			w.Old = drawValue(t)
		}
	}
	if w.Kind == Expire {
		w.Until = m.drawUntil(t)
	}
	if w.Compare && m.cache.Refuses(w.Write) {
		if v := m.alive(m.file.committed[w.Key]); matches(v, w.Old) {
			t.Fatalf("%+v is refused, but the file has %+v", w.Write, v)
		}
		return
	}
	if w.Kind == Set && !w.Compare && w.Until == 0 && rapid.Bool().Draw(t, "effects") {
		w.effects = m.drawEffects(t, w.Key)
		w.resume = m.cache.Suspend(w.Key.Plugin)
	}
	if w.Kind == Sweep || w.effects != nil {
		m.queue = append(m.queue, w)
		return
	}
	full := rapid.IntRange(0, 2).Draw(t, "full") == 0
	if w.Kind != Clear {
		var sent bool
		w.q, sent = m.cache.Enqueue(w.Write, func() bool { return !full })
		if sent == full || full && w.q != nil {
			t.Fatalf("Enqueue with a full queue, %v: got %v, %v", full, sent, w.q)
		}
	}
	if full || w.Kind == Clear {
		w.resume = m.cache.Suspend(w.Key.Plugin)
	}
	if full {
		m.blocked = append(m.blocked, w)
	} else {
		m.queue = append(m.queue, w)
	}
}

// unblock enqueues a write that was blocked.
func (m *model) unblock(t *rapid.T) {
	if len(m.blocked) == 0 {
		t.Skip("none")
	}
	m.queue = append(m.queue, m.blocked[0])
	m.blocked = m.blocked[1:]
}

// apply applies the next write and compares its result with the sequential one.
func (m *model) apply(t *rapid.T) {
	if m.flushed || len(m.queue) == 0 {
		t.Skip("the group is closed, or no write waits")
	}
	w := m.queue[0]
	m.queue = m.queue[1:]
	m.applied++
	w.number = m.applied
	present := m.alive(m.want[w.Key])
	var code fault.Code
	next := maps.Clone(m.want)
	switch {
	case w.effects != nil:
		m.applyEffects(t, w, next)
		return
	case w.Kind == Sweep:
	case w.Kind == Expire && !present.found:
		code = fault.NotFound
	case w.Kind == Expire:
		next[w.Key] = Stored{present.bytes, w.Until, true}
	case w.Kind == Clear:
		maps.DeleteFunc(next, func(k Key, _ Stored) bool { return k.Plugin == w.Key.Plugin })
	case w.Compare && !matches(present, w.Old):
		code = fault.Conflict
	case w.Kind == Delete:
		delete(next, w.Key)
	default:
		if next[w.Key] = (Stored{w.Value, w.Until, true}); w.Compare && w.Until == 0 {
			next[w.Key] = Stored{w.Value, present.until, true}
		}
		if m.exceeds(next, w.Key.Plugin) {
			code = fault.Exhausted
		}
	}
	refused, err := m.batch.Apply(w.Write, m.file)
	if err != nil || code == "" && refused != nil || code != "" && !fault.Is(refused, code) {
		t.Fatalf("%+v: got %v, %v, want %q", w.Write, refused, err, code)
	}
	if w.err = refused; code == "" {
		m.want = next
	}
	m.group = append(m.group, w)
}

func (m *model) flush(t *rapid.T) {
	if m.flushed {
		t.Skip("flushed")
	}
	if err := m.batch.Flush(m.file); err != nil {
		t.Fatal(err)
	}
	m.flushed = true
	if got, want := m.allAlive(m.file.open), m.allAlive(m.want); !maps.EqualFunc(got, want, sameStored) {
		t.Fatalf("the transaction has %v, want %v", got, want)
	}
}

// commit commits the file alone: the writer has not published it.
func (m *model) commit(t *rapid.T) {
	if !m.flushed || m.replaced {
		t.Skip("not flushed, or committed")
	}
	m.file.commit()
	writes := maps.Clone(m.commits[len(m.commits)-1].writes)
	for _, w := range m.group {
		w.commit = len(m.commits)
		for _, key := range modelKeys {
			if w.err == nil && w.changes(key) {
				writes[key] = w.number
			}
		}
	}
	m.commits = append(m.commits, commit{m.file.committed, writes})
	m.replaced = true
}

func (m *model) publish(t *rapid.T) {
	if !m.replaced {
		t.Skip("not committed")
	}
	m.batch.Commit()
	m.endGroup()
}

// abort fails the group at any step; one that is in the file remains there.
func (m *model) abort(*rapid.T) {
	m.file.rollback()
	m.batch.Abort()
	m.want = maps.Clone(m.file.committed)
	for _, w := range m.group {
		w.err = errBroken
	}
	m.endGroup()
}

// complete applies and commits everything that waits.
func (m *model) complete(t *rapid.T) {
	for !m.flushed && len(m.queue) > 0 {
		m.apply(t)
	}
	if !m.flushed {
		m.flush(t)
	}
	if !m.replaced {
		m.commit(t)
	}
	m.publish(t)
}

func (m *model) endGroup() {
	m.answered = append(m.answered, m.group...)
	m.group, m.flushed, m.replaced = nil, false, false
}

// answer has the caller of a write return.
func (m *model) answer(t *rapid.T) {
	if len(m.answered) == 0 {
		t.Skip("none")
	}
	i := rapid.IntRange(0, len(m.answered)-1).Draw(t, "write")
	w := m.answered[i]
	m.answered = slices.Delete(m.answered, i, i+1)
	if w.q != nil {
		m.cache.Resolve(w.q, w.err)
		m.provisional = slices.DeleteFunc(m.provisional, func(p *provisional) bool {
			if p.q == w.q && w.err == nil && w.number < p.oldest {
				t.Fatalf("%v: read the value of write %d after that of %d was there", p.key, w.number, p.oldest)
			}
			if p.q == w.q && w.err == nil {
				m.saw(w.Key, w)
			}
			return p.q == w.q
		})
	}
	if w.resume != nil {
		w.resume()
	}
	if w.err != nil {
		return
	}
	for _, key := range modelKeys {
		if w.changes(key) {
			m.saw(key, w)
		}
	}
}

// saw notes that a write was returned or read.
func (m *model) saw(key Key, w *writing) {
	m.seen[key] = max(m.seen[key], w.commit)
	m.newest[key] = max(m.newest[key], w.number)
}

// read asks the cache.
func (m *model) read(t *rapid.T) {
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

// readNewest asks the cache for the newest value.
func (m *model) readNewest(t *rapid.T) {
	key := drawKey(t)
	value, found, ok, q := m.cache.Newest(key)
	switch {
	case q != nil:
		if want := q.value.at(m.cache.now); !bytes.Equal(value, want.bytes) || found != want.found {
			t.Fatalf("%v: got %q, %v of a write of %v", key, value, found, q.value)
		}
		m.provisional = append(m.provisional, &provisional{key, q, m.newest[key]})
	case ok:
		m.check(t, &reading{key: key, oldest: m.seen[key]}, value, found)
	}
}

// askFile asks the file, or completes a read.
func (m *model) askFile(t *rapid.T) {
	if len(m.reads) == 0 {
		t.Skip("no reader")
	}
	i := rapid.IntRange(0, len(m.reads)-1).Draw(t, "reader")
	r := m.reads[i]
	if !r.asked {
		r.value = m.file.committed[r.key]
		r.asked = true
		return
	}
	value, found := r.add(r.value)
	m.reads = slices.Delete(m.reads, i, i+1)
	m.check(t, r, value, found)
}

// check checks that a read returned committed contents, and none older than those that
// were returned before it began.
func (m *model) check(t *rapid.T, r *reading, value []byte, found bool) {
	for n := r.oldest; n < len(m.commits); n++ {
		if v := m.alive(m.commits[n].values[r.key]); v.found == found && bytes.Equal(v.bytes, value) {
			m.seen[r.key] = max(m.seen[r.key], n)
			m.newest[r.key] = max(m.newest[r.key], m.commits[n].writes[r.key])
			return
		}
	}
	t.Fatalf("%v: got %q, %v, which no commit since %d has: %v", r.key, value, found, r.oldest, m.commits)
}

// quiet checks, while no commit is under way, that the cache has what the file has, and
// in the end that nothing remains of the writes that have returned.
func (m *model) quiet(t *rapid.T) {
	if m.flushed {
		return
	}
	for _, key := range modelKeys {
		want := m.alive(m.file.committed[key])
		if value, found, ok, _ := m.cache.Get(key); ok && (found != want.found || !bytes.Equal(value, want.bytes)) {
			t.Fatalf("%v: the cache has %q, %v, the file %+v", key, value, found, want)
		}
	}
	if len(m.blocked)+len(m.queue)+len(m.group)+len(m.answered) > 0 {
		return
	}
	for i := range m.cache.shards {
		if s := &m.cache.shards[i]; len(s.queued)+len(s.suspended)+len(s.writing)+len(s.clearing) > 0 {
			t.Fatalf("shard %d: %v, %v, %v, %v remain", i, s.queued, s.suspended, s.writing, s.clearing)
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
					"enqueue": m.enqueue, "enqueue another": m.enqueue, "unblock": m.unblock, "apply": m.apply, "apply another": m.apply,
					"flush": m.flush, "commit": m.commit, "complete": m.complete, "publish": m.publish, "abort": m.abort, "answer": m.answer, "answer another": m.answer,
					"read": m.read, "read newest": m.readNewest, "ask the file": m.askFile, "let time pass": func(*rapid.T) { m.clock++ }, "": m.quiet,
				})
			})
		})
	}
}
