package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/store/keys"
)

// collide is a hash with many collisions, among ids and other keys.
func collide(text string) int64 {
	if event.IsID(text) {
		return int64(text[len(text)-1] % 4)
	}
	return -int64(len(text)%2) - 1
}

// keyModel is what a store has to know about keys: the content of each, and its event.
type keyModel struct {
	t     *rapid.T
	dir   string
	fail  faults
	armed *trigger
	s     *Store

	content map[string]string // of the events in the log, by key
	seqs    map[string]uint64
	ids     []event.Record // all events that were stored, trimmed or not
	gone    map[uint64]bool
	kept    map[uint64]bool // by a dead letter
	trimmed uint64
}

func (m *keyModel) open() {
	var err error
	if m.s, err = open(m.t.Context(), Config{Window: newWindow(), Path: filepath.Join(m.dir, "berth.db")}, m.fail); err != nil {
		m.t.Fatal(err)
	}
}

// draw returns an event with one of the keys, or with its id as the key.
func (m *keyModel) draw(t *rapid.T) (ev *event.Event, data string) {
	key := rapid.SampledFrom([]string{"", "a", "b", "cc", "ddd", "eeee", "ffff"}).Draw(t, "key")
	data = rapid.SampledFrom([]string{"1", "2"}).Draw(t, "data")
	ev, err := event.New(event.Draft{Type: "t", Data: []byte(data), IdempotencyKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return ev, data
}

func (m *keyModel) add(rec event.Record, data string) {
	key := rec.Event.Metadata().IdempotencyKey
	m.content[key], m.seqs[key], m.ids = data, rec.Seq, append(m.ids, rec)
}

func (m *keyModel) append(t *rapid.T) {
	var events []*event.Event
	var contents []string
	for range rapid.IntRange(1, 12).Draw(t, "events") {
		ev, data := m.draw(t)
		events, contents = append(events, ev), append(contents, data)
	}
	receipts, err := m.s.Append(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range receipts {
		key := events[i].Metadata().IdempotencyKey
		before, known := m.content[key]
		switch {
		case !known:
			if r.Duplicate || r.Err != nil || r.EventID != events[i].ID() {
				t.Fatalf("new key %s: got %+v", key, r)
			}
			m.add(event.Record{Seq: r.Seq, Event: events[i]}, contents[i])
		case before == contents[i] && !r.Duplicate || before != contents[i] && !fault.Is(r.Err, fault.Conflict) || r.Seq != m.seqs[key]:
			t.Fatalf("key %s again, content %s after %s: got %+v", key, contents[i], before, r)
		}
	}
}

// appendFails fails a step of the transaction; nothing is stored, or everything.
func (m *keyModel) appendFails(t *rapid.T) {
	ev, data := m.draw(t)
	m.armed.fail(1)
	if _, err := m.s.Append(t.Context(), []*event.Event{ev}); !errors.Is(err, errInjected) {
		t.Fatalf("got %v", err)
	}
	key := ev.Metadata().IdempotencyKey
	if _, known := m.content[key]; m.fail.committed == nil || known {
		return
	}
	rec, err := m.s.Event(t.Context(), ev.ID())
	if err != nil {
		t.Fatal(err)
	}
	m.add(rec, data)
}

// writeFails rolls one write back, with the events in it.
func (m *keyModel) writeFails(t *rapid.T) {
	one, _ := m.draw(t)
	two, err := event.New(event.Draft{Type: "t", Data: []byte("3"), IdempotencyKey: "a"})
	three, err2 := event.New(event.Draft{Type: "t", Data: []byte("4"), IdempotencyKey: "a"})
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if _, err := m.s.Write(t.Context(), func(*sql.Tx) ([]*event.Event, error) {
		return []*event.Event{one, two, three}, nil
	}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
}

func (m *keyModel) trim(t *rapid.T) {
	before := rapid.Uint64Range(m.trimmed, m.s.Last()+1).Draw(t, "before")
	if _, err := m.s.Trim(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	m.trimmed = before
	for key, seq := range m.seqs {
		if seq < before && !m.kept[seq] {
			m.gone[seq] = true
			delete(m.content, key)
			delete(m.seqs, key)
		}
	}
}

func (m *keyModel) merge(t *rapid.T) {
	m.s.urgent = rapid.SampledFrom([]int{0, mergeUrgent}).Draw(t, "keys from which on it is urgent")
	if err := m.s.mergeKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.s.keys.Len() != 0 {
		t.Fatalf("%d keys are still in memory", m.s.keys.Len())
	}
}

func (m *keyModel) sweep(t *rapid.T) {
	m.s.sweep.step = rapid.IntRange(1, 8).Draw(t, "entries examined by the first step")
	if err := m.s.sweepKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead := deadEntries(t, m.s); dead != 0 {
		t.Fatalf("the index has %d entries of trimmed events", dead)
	}
	if removed, _ := m.s.counts(); m.s.keys.Due(removed+keys.SweepMin-1, 0) || !m.s.keys.Due(removed+keys.SweepMin, 0) {
		t.Fatalf("the sweep of %d removed events is not noted", removed)
	}
}

// maintenanceFails fails a step of a merge or a sweep.
func (m *keyModel) maintenanceFails(t *rapid.T) {
	m.s.sweep.step, m.s.merge.step = 1, 1
	run := rapid.SampledFrom([]func(context.Context) error{m.s.mergeKeys, m.s.sweepKeys}).Draw(t, "merge or sweep")
	m.armed.fail(rapid.IntRange(1, 6).Draw(t, "step"))
	if err := run(t.Context()); err != nil && !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	m.armed.fail(0)
}

// purge ends what keeps one of the leftovers; the next trim removes it.
func (m *keyModel) purge(t *rapid.T) {
	if len(m.kept) == 0 {
		return
	}
	seq := rapid.SampledFrom(slices.Sorted(maps.Keys(m.kept))).Draw(t, "kept event")
	if _, _, err := m.s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "h", Seq: seq, Status: event.StatusOK, Attempts: 2}}, nil); err != nil {
		t.Fatal(err)
	}
	delete(m.kept, seq)
}

// keep makes an event one that Trim leaves in the log.
func (m *keyModel) keep(t *rapid.T) {
	if len(m.seqs) == 0 {
		return
	}
	seq := rapid.SampledFrom(slices.Sorted(maps.Values(m.seqs))).Draw(t, "event")
	if _, _, err := m.s.SaveDeliveries(t.Context(), nil, nil, []event.Delivery{{Handler: "h", Seq: seq, Status: event.StatusDead, Attempts: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	m.kept[seq] = true
}

// deadEntries returns the number of entries in the file whose events are not in the log.
func deadEntries(t rapid.TB, s *Store) (n int) {
	t.Helper()
	if err := s.reader.QueryRow(`SELECT count(*) FROM event_keys WHERE seq NOT IN (SELECT seq FROM events)`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (m *keyModel) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
}

// check looks keys and ids up.
func (m *keyModel) check(t *rapid.T) {
	for _, key := range []string{"a", "b", "cc", "ddd", "eeee", "ffff"} {
		list, err := m.s.Events(t.Context(), event.Query{Key: key, Limit: 2})
		seq, there := m.seqs[key]
		if err != nil || there != (len(list) == 1) || there && (list[0].Seq != seq || list[0].Event.Data() != m.content[key]) {
			t.Fatalf("key %s: got %+v, %v, want Seq %d, %v", key, list, err, seq, there)
		}
	}
	for range min(5, len(m.ids)) {
		want := m.ids[rapid.IntRange(0, len(m.ids)-1).Draw(t, "event")]
		rec, err := m.s.Event(t.Context(), want.Event.ID())
		if there := !m.gone[want.Seq]; there && (err != nil || rec.Seq != want.Seq) || !there && !fault.Is(err, fault.NotFound) {
			t.Fatalf("event %d, in the log: %v: got %+v, %v", want.Seq, there, rec, err)
		}
	}
	var merged int
	if err := m.s.reader.QueryRow(`SELECT merged FROM key_index`).Scan(&merged); err != nil || uint64(merged) > m.s.Last() {
		t.Fatalf("merged up to %d, %v", merged, err)
	}
}

// TestKeys compares a store with a model of its keys, over failed writes, merges and
// restarts; with hashes that collide, too.
func TestKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		armed := &trigger{}
		step := rapid.SampledFrom([]string{"commit", "committed"}).Draw(rt, "step that fails")
		m := &keyModel{t: rt, dir: t.TempDir(), fail: armed.at(step), armed: armed,
			content: make(map[string]string), seqs: make(map[string]uint64), gone: make(map[uint64]bool), kept: make(map[uint64]bool)}
		if m.fail.chunk = 8; rapid.Bool().Draw(rt, "collisions") {
			m.fail.hash = collide
		}
		m.open()
		defer func() { m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "again": m.append, "append fails": m.appendFails, "write fails": m.writeFails,
			"trim": m.trim, "keep": m.keep, "purge": m.purge, "merge": m.merge, "sweep": m.sweep,
			"maintenance fails": m.maintenanceFails, "reopen": m.reopen, "": m.check,
		})
	})
}

// TestMergeFaults fails each step of a merge: every key is found before and after a
// restart, and a later merge succeeds.
func TestMergeFaults(t *testing.T) {
	const events = 3 * paceStart // several steps
	for _, tt := range faultSteps {
		for nth := 1; nth <= 4; nth++ {
			t.Run(fmt.Sprint(tt.step, " ", nth), func(t *testing.T) {
				ctx := t.Context()
				cfg := Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")}
				var armed trigger
				s, err := open(ctx, cfg, armed.at(tt.step))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { s.Close() }()
				all := make([]*event.Event, events)
				for i := range all {
					all[i] = makeEvent(t, fmt.Sprint("key-", i))
				}
				if _, err := s.Append(ctx, all); err != nil {
					t.Fatal(err)
				}
				s.merge.step, s.merge.max = paceStart, paceStart // two entries an event: six steps
				armed.fail(nth)
				if err := s.mergeKeys(ctx); !errors.Is(err, errInjected) {
					t.Fatalf("got %v", err)
				}
				known := func() {
					t.Helper()
					receipts, err := s.Append(ctx, all)
					if err != nil {
						t.Fatal(err)
					}
					for i, r := range receipts {
						if !r.Duplicate || r.Seq != uint64(i)+1 {
							t.Fatalf("event %d: got %+v", i, r)
						}
					}
				}
				known()
				if _, err := s.Trim(ctx, 11); err != nil { // some of them are merged
					t.Fatal(err)
				}
				all = all[10:]
				reopen := func() {
					t.Helper()
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if s, err = open(ctx, cfg, faults{}); err != nil {
						t.Fatal(err)
					}
				}
				again := func() {
					t.Helper()
					receipts, err := s.Append(ctx, all)
					if err != nil || !receipts[0].Duplicate || receipts[0].Seq != 11 || !receipts[len(all)-1].Duplicate {
						t.Fatalf("got %+v, %v", receipts, err)
					}
				}
				again()
				reopen()
				again()
				if err := s.mergeKeys(ctx); err != nil || s.keys.Len() != 0 {
					t.Fatalf("got %v, %d keys in memory", err, s.keys.Len())
				}
				again()
				if err := s.sweepKeys(ctx); err != nil {
					t.Fatal(err)
				}
				reopen()
				again()
				var entries int
				if err := s.reader.QueryRow(`SELECT count(*) FROM event_keys`).Scan(&entries); err != nil || entries != 2*len(all) {
					t.Errorf("%d entries, want %d: %v", entries, 2*len(all), err)
				}
			})
		}
	}
}

// TestKeeperMergesKeys: the keeper merges when there are many keys, while publishers go on.
func TestKeeperMergesKeys(t *testing.T) {
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := 0; s.keys.Len() < mergeAt; i++ {
		list := make([]*event.Event, 256)
		for k := range list {
			list[k] = makeEvent(t, fmt.Sprint(i, "-", k))
		}
		if _, err := s.Append(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; s.keys.Len() >= mergeAt; i++ { // ends with the test's own limit if the keeper does not
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint("later ", i))}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"0-0", "3-255", "later 0"} {
		if receipts, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)}); err != nil || !receipts[0].Duplicate {
			t.Errorf("%s: got %+v, %v", key, receipts, err)
		}
	}
}

// warnings passes the texts of warnings on.
type warnings struct {
	slog.Handler
	texts chan string
}

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.texts <- r.Message
	}
	return nil
}

// TestFailedMergeIsReportedOnce: while keys cannot be merged, they use memory. A warning says
// so, events are appended nevertheless, and a later merge succeeds.
func TestFailedMergeIsReportedOnce(t *testing.T) {
	w := warnings{slog.NewTextHandler(io.Discard, nil), make(chan string, 64)}
	s, err := Open(t.Context(), Config{Window: newWindow(), Path: filepath.Join(t.TempDir(), "berth.db"), Logger: slog.New(w)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.writer.Exec(`CREATE TRIGGER full BEFORE INSERT ON event_keys BEGIN SELECT RAISE(ABORT, 'no page'); END`); err != nil {
		t.Fatal(err)
	}
	for i := 0; s.keys.Len() < mergeAt; i++ {
		list := make([]*event.Event, 512)
		for k := range list {
			list[k] = makeEvent(t, fmt.Sprint(i, "-", k))
		}
		if _, err := s.Append(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	if text := <-w.texts; !strings.Contains(text, "remain in memory") {
		t.Errorf("got the warning %q", text)
	}
	if _, err := s.writer.Exec(`DROP TRIGGER full`); err != nil {
		t.Fatal(err)
	}
	for i := 0; s.keys.Len() >= mergeAt; i++ { // ends with the test's own limit if the keeper does not
		if _, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint("later ", i))}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.texts) > 0 {
		t.Errorf("another warning: %q", <-w.texts)
	}
	for _, key := range []string{"0-0", "3-255", "later 0"} {
		if receipts, err := s.Append(t.Context(), []*event.Event{makeEvent(t, key)}); err != nil || !receipts[0].Duplicate {
			t.Errorf("%s: got %+v, %v", key, receipts, err)
		}
	}
}

// TestKeysBesideDamagedEvents: the keys of the events around a damaged page are found,
// whether they were merged before or not. Those on it are unknown unless they were.
func TestKeysBesideDamagedEvents(t *testing.T) {
	s := damagedStore(t, Config{}, func(content []byte) {
		page := at(t, content, 20) / 4096 * 4096
		clear(content[page : page+4096])
	})
	bad, err := s.Unreadable(t.Context(), 1)
	if err != nil || bad == nil {
		t.Fatalf("got %v, %v", bad, err)
	}
	for merged := range 2 {
		for n := uint64(1); n <= 40; n++ {
			if bad.Seq <= n && n <= bad.To {
				continue
			}
			receipts, err := s.Append(t.Context(), []*event.Event{makeEvent(t, fmt.Sprint(n))})
			if err != nil || receipts[0].Seq != n || !fault.Is(receipts[0].Err, fault.Conflict) {
				t.Errorf("key %d, %d merges before: got %+v, %v", n, merged, receipts, err)
			}
		}
		if err := s.mergeKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	receipts, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "20")})
	if err != nil || receipts[0].Seq != 41 || receipts[0].Err != nil {
		t.Errorf("a damaged event's key: got %+v, %v", receipts, err)
	}
}

// TestKeysBesideDamagedEventsAreMerged: a start does not keep the keys of a long log in memory
// because some of its events are damaged.
func TestKeysBesideDamagedEventsAreMerged(t *testing.T) {
	s := damagedStore(t, Config{}, func(content []byte) {
		page := at(t, content, 10) / 4096 * 4096
		clear(content[page : page+4096])
	})
	const chunk, more = 8, 600
	all := make([]*event.Event, more)
	for i := range all {
		all[i] = makeEvent(t, fmt.Sprint("more-", i))
	}
	if _, err := s.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), Config{Window: newWindow(), Path: path}, faults{chunk: chunk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.keys.Len(); n > 4*chunk {
		t.Errorf("%d keys are in memory", n)
	}
	receipts, err := s.Append(t.Context(), []*event.Event{makeEvent(t, "40"), makeEvent(t, "25"), all[0], all[more-1]})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{40, 25, 41, 40 + more} {
		if receipts[i].Seq != want {
			t.Errorf("got %+v, want Seq %d", receipts[i], want)
		}
	}
}
