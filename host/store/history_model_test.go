package store

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/outcomes"
)

// historyModel is the history as a map.
type historyModel struct {
	first, last uint64 // of the events of this run
	trimmed     uint64
	gone        map[uint64]bool // removed events
	deliveries  map[string]map[uint64]event.Delivery
	purged      map[string]map[uint64]bool
}

// keeps reports whether a delivery keeps the event in the log.
func (m *historyModel) keeps(seq uint64) bool {
	for handler, of := range m.deliveries {
		if d, found := of[seq]; found && d.Status != event.StatusOK && !m.purged[handler][seq] {
			return true
		}
	}
	return false
}

func (m *historyModel) trim(before uint64) {
	for seq := m.first; seq < min(before, m.last+1); seq++ {
		if m.trimmed = max(m.trimmed, seq); !m.gone[seq] && !m.keeps(seq) {
			m.gone[seq] = true
			for _, of := range m.deliveries {
				delete(of, seq)
			}
		}
	}
}

// historyRun is one random run of a store and a model.
type historyRun struct {
	t     *testing.T
	s     *Store
	m     *historyModel
	clock int64 // the time of the last outcome, in seconds

	failing *atomic.Bool // commits fail
}

var historyHandlers = [...]string{"a", "b", "ab"}

// TestHistoryAgainstModel saves random plain successes and other deliveries, trims,
// redrives, purges and reopens, and compares every delivery with a model.
func TestHistoryAgainstModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "berth.db")
	var failing atomic.Bool
	fail := faults{commit: func() error {
		if failing.Load() {
			return errInjected
		}
		return nil
	}}
	openStore := func() *Store {
		s, err := open(t.Context(), Config{Window: newWindow(), Path: path}, fail)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := openStore()
	defer func() { s.Close() }()
	rapid.Check(t, func(rt *rapid.T) {
		run := &historyRun{t: t, s: s, clock: 1 << 20, failing: &failing}
		run.begin(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"dense": run.saveDense, "scattered": run.saveScattered, "one": run.saveOne, "mixed": run.saveMixed,
			"trim": run.trim, "purge": run.purge, "redrive": run.redrive, "requeue": run.requeue, "forget": run.forget,
			"old rows": run.saveOld, "convert": run.convert, "": run.compare,
			"reopen": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "really") > 0 {
					rt.Skip("not now")
				}
				if err := run.s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = openStore()
				run.s = s
			},
		})
		run.compareAll(rt)
		run.end(rt)
	})
}

// historyEvents is the minimum number of events of a run: more than a block has.
const historyEvents = 700

// begin starts with the events that earlier runs have not trimmed, and without outcomes.
func (run *historyRun) begin(rt *rapid.T) {
	trimmed := run.s.trimmed.Load()
	if run.s.Last()-trimmed < historyEvents {
		events := make([]*event.Event, historyEvents)
		for i := range events {
			events[i] = makeEvent(run.t, fmt.Sprint(run.s.Last(), "-", i))
		}
		if _, err := run.s.Append(run.t.Context(), events); err != nil {
			rt.Fatal(err)
		}
	}
	run.m = &historyModel{first: trimmed + 1, last: run.s.Last(), trimmed: trimmed, gone: make(map[uint64]bool),
		deliveries: make(map[string]map[uint64]event.Delivery), purged: make(map[string]map[uint64]bool)}
	for _, h := range historyHandlers {
		run.m.deliveries[h], run.m.purged[h] = make(map[uint64]event.Delivery), make(map[uint64]bool)
	}
}

// end removes all outcomes.
func (run *historyRun) end(rt *rapid.T) {
	for _, h := range historyHandlers {
		if err := run.s.ForgetHandler(run.t.Context(), h); err != nil {
			rt.Fatal(err)
		}
	}
	var left int
	if err := run.s.reader.QueryRow(`SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM outcome_blocks)`).Scan(&left); err != nil || left != 0 {
		rt.Fatalf("%d deliveries and blocks remain, %v", left, err)
	}
}

func (run *historyRun) handler(rt *rapid.T) string {
	return rapid.SampledFrom(historyHandlers[:]).Draw(rt, "handler")
}

func (run *historyRun) seq(rt *rapid.T) uint64 {
	return rapid.Uint64Range(run.m.first, run.m.last).Draw(rt, "seq")
}

// success returns a plain success with values of its own.
func (run *historyRun) success(rt *rapid.T) (event.Success, []byte) {
	run.clock++
	var result []byte
	switch rapid.IntRange(0, 3).Draw(rt, "result") {
	case 1:
		result = []byte(`{"ok":true}`)
	case 2:
		result = fmt.Appendf(nil, `{"n":%d,"text":%q}`, run.clock, strings.Repeat("x", int(run.clock%90)))
	case 3:
		result = []byte(strings.Repeat(fmt.Sprint(run.clock), 2000))
	}
	return event.Success{At: time.Unix(run.clock, run.clock%1000).UTC(), Duration: time.Duration(run.clock % 5000), Fuel: uint64(run.clock) % 300}, result
}

func (run *historyRun) digest(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"", strings.Repeat("a1", 32), strings.Repeat("b2", 32)}).Draw(rt, "digest")
}

func (run *historyRun) save(rt *rapid.T, successes []event.Successes, deliveries []event.Delivery) {
	if rapid.IntRange(0, 5).Draw(rt, "fails before") == 0 {
		run.failing.Store(true)
		_, _, err := run.s.SaveDeliveries(run.t.Context(), nil, successes, deliveries, nil)
		run.failing.Store(false)
		if !errors.Is(err, errInjected) && len(successes)+len(deliveries) > 0 {
			rt.Fatalf("SaveDeliveries with a failing commit: %v", err)
		}
		run.compareSeq(rt, run.seq(rt))
	}
	saved, fenced, err := run.s.SaveDeliveries(run.t.Context(), nil, successes, deliveries, nil)
	if err != nil || saved.Refused != nil || fenced != nil {
		rt.Fatalf("SaveDeliveries: %v, %v, %v", saved, fenced, err)
	}
	keep := func(d event.Delivery) {
		if !run.m.gone[d.Seq] {
			run.m.deliveries[d.Handler][d.Seq] = d
			delete(run.m.purged[d.Handler], d.Seq)
		}
	}
	for i := range successes {
		for j := range successes[i].List {
			keep(successes[i].Delivery(j))
		}
		clear(successes[i].Results) // the caller uses it again
		clear(successes[i].List)
	}
	for _, d := range deliveries {
		keep(d)
	}
}

// list returns the successes of some Seqs, in a random order.
func (run *historyRun) list(rt *rapid.T, seqs []uint64) event.Successes {
	s := event.Successes{Handler: run.handler(rt), Digest: run.digest(rt)}
	if rapid.Bool().Draw(rt, "shuffled") {
		seqs = rapid.Permutation(seqs).Draw(rt, "order")
	}
	for _, seq := range seqs {
		of, result := run.success(rt)
		s.Append(seq, of, result)
	}
	return s
}

func (run *historyRun) saveDense(rt *rapid.T) {
	from := run.seq(rt)
	n := rapid.Uint64Range(1, 700).Draw(rt, "length")
	var seqs []uint64
	for seq := from; seq <= min(run.m.last, from+n); seq++ {
		seqs = append(seqs, seq)
	}
	run.save(rt, []event.Successes{run.list(rt, seqs)}, nil)
}

func (run *historyRun) saveScattered(rt *rapid.T) {
	seqs := rapid.SliceOfNDistinct(rapid.Uint64Range(run.m.first, run.m.last), 1, 40, rapid.ID).Draw(rt, "seqs")
	run.save(rt, []event.Successes{run.list(rt, seqs)}, nil)
}

func (run *historyRun) saveOne(rt *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(rt, "calls") {
		run.save(rt, []event.Successes{run.list(rt, []uint64{run.seq(rt)})}, nil)
	}
}

// delivery returns a delivery of any status.
func (run *historyRun) delivery(rt *rapid.T, handler string, seq uint64) event.Delivery {
	of, result := run.success(rt)
	d := of.Delivery(handler, seq, run.digest(rt), string(result))
	switch d.Status = rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status"); d.Status {
	case event.StatusOK:
		if rapid.Bool().Draw(rt, "after a retry") {
			d.Attempts = 2
		}
	case event.StatusRetrying:
		d.Due, d.Result, d.ErrorClass = d.At.Add(time.Second), "", event.ClassTrap
	default:
		d.Result, d.ErrorClass = "", event.ClassRejected
	}
	return d
}

// saveMixed saves successes and deliveries of the same Seqs in one call.
func (run *historyRun) saveMixed(rt *rapid.T) {
	near := func() uint64 {
		return min(run.m.last, run.m.first+rapid.Uint64Range(0, 20).Draw(rt, "near")+run.clock2()%900)
	}
	seqs := make(map[uint64]bool)
	for range rapid.IntRange(0, 10).Draw(rt, "successes") {
		seqs[near()] = true
	}
	var sorted []uint64
	for seq := range seqs {
		sorted = append(sorted, seq)
	}
	slices.Sort(sorted)
	var successes []event.Successes
	if len(sorted) > 0 {
		successes = append(successes, run.list(rt, sorted), run.list(rt, sorted[:1]))
	}
	var deliveries []event.Delivery
	for range rapid.IntRange(0, 10).Draw(rt, "deliveries") {
		deliveries = append(deliveries, run.delivery(rt, run.handler(rt), near()))
	}
	run.save(rt, successes, deliveries)
}

// saveOld stores deliveries as a version without blocks has stored them.
func (run *historyRun) saveOld(rt *rapid.T) {
	h, from := run.handler(rt), max(run.seq(rt), run.m.trimmed+1)
	var list []event.Delivery
	for seq := from; seq <= min(run.m.last, from+rapid.Uint64Range(0, 200).Draw(rt, "length")); seq += rapid.Uint64Range(1, 9).Draw(rt, "gap") {
		list = append(list, run.delivery(rt, h, seq))
	}
	_, err := run.s.Write(run.t.Context(), func(tx *sql.Tx) ([]*event.Event, error) {
		for i := range list {
			if _, err := tx.Exec(`INSERT OR REPLACE INTO deliveries (`+outcomes.Columns+`) VALUES (`+outcomes.Parameters+`)`, outcomes.Values(&list[i])...); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	for _, d := range list {
		run.m.deliveries[h][d.Seq] = d
		delete(run.m.purged[h], d.Seq)
	}
}

// convert moves plain successes among them into blocks.
func (run *historyRun) convert(rt *rapid.T) {
	if err := run.s.convert(run.t.Context(), new(conversion)); err != nil {
		rt.Fatal(err)
	}
}

// clock2 changes slowly, so that saveMixed meets the same Seqs again.
func (run *historyRun) clock2() uint64 { return uint64(run.clock) >> 9 }

func (run *historyRun) trim(rt *rapid.T) {
	before := run.seq(rt)
	if rapid.IntRange(0, 4).Draw(rt, "far") > 0 {
		before = min(before, run.m.trimmed+rapid.Uint64Range(0, 300).Draw(rt, "step"))
	}
	mark := run.s.trimmed.Load()
	if _, err := run.s.Trim(run.t.Context(), before); err != nil {
		rt.Fatal(err)
	}
	run.m.trim(before)
	if run.s.trimmed.Load() == mark {
		return
	}
	var below int
	if err := run.s.reader.QueryRow(`SELECT count(*) FROM outcome_blocks WHERE last_seq <= ?`, run.s.trimmed.Load()).Scan(&below); err != nil || below != 0 {
		rt.Fatalf("after a trim to %d, %d blocks are below it, %v", before, below, err)
	}
}

func (run *historyRun) purge(rt *rapid.T) {
	h := run.handler(rt)
	if _, err := run.s.Purge(run.t.Context(), event.DeadFilter{Handler: h}); err != nil {
		rt.Fatal(err)
	}
	for seq, d := range run.m.deliveries[h] {
		if d.Status == event.StatusDead {
			run.m.purged[h][seq] = true
		}
	}
}

func (run *historyRun) redrive(rt *rapid.T) {
	h := run.handler(rt)
	if _, err := run.s.Redrive(run.t.Context(), event.DeadFilter{Handler: h}); err != nil {
		rt.Fatal(err)
	}
	for seq, d := range run.m.deliveries[h] {
		if d.Status == event.StatusDead && !run.m.purged[h][seq] {
			run.m.deliveries[h][seq] = event.Delivery{Handler: h, Seq: seq, Status: event.StatusPending}
		}
	}
}

// requeue requeues deliveries with an outcome in either form: the handlers have no cursor, so
// others are not theirs yet.
func (run *historyRun) requeue(rt *rapid.T) {
	h := run.handler(rt)
	seqs := rapid.SliceOfN(rapid.Uint64Range(run.m.first, run.m.last), 1, 30).Draw(rt, "seqs")
	if rapid.IntRange(0, 4).Draw(rt, "dense") == 0 {
		for seq := seqs[0]; seq <= min(run.m.last, seqs[0]+600); seq++ {
			seqs = append(seqs, seq)
		}
	}
	want := 0
	for _, seq := range seqs {
		if d, found := run.m.deliveries[h][seq]; found && d.Status.Final() {
			run.m.deliveries[h][seq] = event.Delivery{Handler: h, Seq: seq, Status: event.StatusPending}
			delete(run.m.purged[h], seq)
			want++
		}
	}
	if n, err := run.s.Requeue(run.t.Context(), h, seqs); n != want || err != nil {
		rt.Fatalf("Requeue: got %d, %v, want %d", n, err, want)
	}
}

func (run *historyRun) forget(rt *rapid.T) {
	h := run.handler(rt)
	if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
		rt.Skip("not now")
	}
	if err := run.s.ForgetHandler(run.t.Context(), h); err != nil {
		rt.Fatal(err)
	}
	clear(run.m.deliveries[h])
	clear(run.m.purged[h])
}

// compare compares a sample of the deliveries, and what a handler is loaded with.
func (run *historyRun) compare(rt *rapid.T) {
	for range 5 {
		run.compareSeq(rt, run.seq(rt))
	}
	run.compareBacklog(rt, run.handler(rt))
	run.checkBlocks(rt)
}

func (run *historyRun) compareAll(rt *rapid.T) {
	const stride = 20
	for seq := run.m.first + rapid.Uint64Range(0, stride-1).Draw(rt, "from"); seq <= run.m.last; seq += stride {
		run.compareSeq(rt, seq)
	}
}

func (run *historyRun) compareSeq(rt *rapid.T, seq uint64) {
	got, err := run.s.Deliveries(run.t.Context(), seq)
	if err != nil {
		rt.Fatal(err)
	}
	var want []event.Delivery
	for _, h := range []string{"a", "ab", "b"} {
		if d, found := run.m.deliveries[h][seq]; found {
			want = append(want, d)
		}
	}
	for i := range got {
		if got[i].Status == event.StatusPending {
			got[i].At = time.Time{} // of the redrive
		}
	}
	if !slices.EqualFunc(got, want, func(a, b event.Delivery) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }) {
		rt.Fatalf("event %d: got %+v, want %+v", seq, got, want)
	}
}

func (run *historyRun) compareBacklog(rt *rapid.T, h string) {
	b, err := run.s.LoadBacklog(run.t.Context(), h)
	if err != nil {
		rt.Fatal(err)
	}
	var done, open []uint64
	found := len(run.m.deliveries[h]) > 0
	from, to := run.seq(rt), run.seq(rt)
	latest := int64(0)
	for seq, d := range run.m.deliveries[h] {
		switch {
		case d.Status.Final():
			if done = append(done, seq); seq >= from && seq <= to {
				latest = max(latest, d.At.UnixNano())
			}
		case d.Status == event.StatusRetrying:
			open = append(open, seq)
		}
	}
	slices.Sort(done)
	slices.Sort(open)
	var gotOpen []uint64
	for _, d := range b.Open {
		gotOpen = append(gotOpen, d.Seq)
	}
	if b.Found != found || !slices.Equal(gotOpen, open) || b.Found && !slices.Equal(b.Done, done) {
		rt.Fatalf("LoadBacklog(%s): found %v, want %v; open %v, want %v; done %v, want %v", h, b.Found, found, gotOpen, open, b.Done, done)
	}
	if from <= to {
		if got, err := run.s.newestFinal(run.t.Context(), h, from, to); err != nil || got != latest {
			rt.Fatalf("the newest outcome of %s from %d to %d: got %d, %v, want %d", h, from, to, got, err, latest)
		}
	}
}

// checkBlocks checks that blocks do not overlap and are described by their columns. A block
// may be below the mark "trimmed" until the next trim; see TestSplitBelowMark.
func (run *historyRun) checkBlocks(rt *rapid.T) {
	rows, err := run.s.reader.Query(`SELECT handler, first_seq, last_seq, newest_at, outcomes, block FROM outcome_blocks ORDER BY handler, first_seq`)
	if err != nil {
		rt.Fatal(err)
	}
	defer rows.Close()
	before, end := "", uint64(0)
	for rows.Next() {
		var handler string
		var first, last uint64
		var newest int64
		var n int
		var content []byte
		if err := rows.Scan(&handler, &first, &last, &newest, &n, &content); err != nil {
			rt.Fatal(err)
		}
		b, err := pack.Open(content)
		if err != nil {
			rt.Fatal(err)
		}
		list, err := b.AppendTo(nil)
		if err != nil {
			rt.Fatal(err)
		}
		at := slices.MaxFunc(list, func(a, b pack.Outcome) int { return int(a.At - b.At) }).At
		if len(list) != n || list[0].Seq != first || list[n-1].Seq != last || at != newest || handler == before && first <= end {
			rt.Fatalf("a block of %s, %d to %d with %d outcomes, after one of %s to %d", handler, first, last, n, before, end)
		}
		before, end = handler, last
	}
	if err := rows.Err(); err != nil {
		rt.Fatal(err)
	}
}
