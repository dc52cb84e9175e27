// Package modeltest makes the same random calls to an engine and to a model of one, and
// compares every result. For tests only.
package modeltest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// model is the simplest possible engine.
type model struct {
	log        []event.Record
	last       uint64
	cursors    map[string]uint64
	deliveries map[modelKey]modelDelivery
	replays    map[string]*event.Replay
	attempts   map[modelKey][]event.PastAttempt
	documents  map[string]string
}

type modelKey struct {
	handler string
	seq     uint64
}

type modelDelivery struct {
	status event.Status
	at     time.Time
	result string
	fuel   uint64
	purged bool
}

// at returns a time.
func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

func (m *model) byKey(key string) (event.Record, bool) {
	for _, r := range m.log {
		if r.Event.Metadata().IdempotencyKey == key {
			return r, true
		}
	}
	return event.Record{}, false
}

// dead lists the dead letters of a handler, or of all for "", newest first.
func (m *model) dead(handler string) (keys []modelKey) {
	for i := len(m.log) - 1; i >= 0; i-- {
		for _, h := range []string{"b", "a"} {
			k := modelKey{h, m.log[i].Seq}
			if d := m.deliveries[k]; d.status == event.StatusDead && !d.purged && (handler == "" || handler == h) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// trim removes events that no delivery keeps, and returns their number.
func (m *model) trim(before uint64) (removed int) {
	m.log = slices.DeleteFunc(m.log, func(r event.Record) bool {
		gone := r.Seq < before
		for _, h := range []string{"a", "b"} {
			d, found := m.deliveries[modelKey{h, r.Seq}]
			gone = gone && (!found || d.status == event.StatusOK || d.purged)
		}
		if gone {
			removed++
			delete(m.deliveries, modelKey{"a", r.Seq})
			delete(m.deliveries, modelKey{"b", r.Seq})
			delete(m.attempts, modelKey{"a", r.Seq})
			delete(m.attempts, modelKey{"b", r.Seq})
		}
		return gone
	})
	return removed
}

// replay sets a handler back. All events up to frontier are final or open, of those it
// ever had to receive.
func (m *model) replay(h string, from, to uint64, at time.Time) {
	frontier := m.cursors[h]
	if r := m.replays[h]; r != nil && frontier < r.To && r.Resume > frontier {
		frontier = r.Resume
	}
	for k, d := range m.deliveries {
		if k.handler == h && k.seq >= from && k.seq <= to && d.status.Final() && d.at.After(at) {
			at = d.at
		}
	}
	m.replays[h] = &event.Replay{From: from, To: to, Resume: frontier, StartedAt: at}
	m.cursors[h] = min(frontier, from-1)
}

// backlog returns the same as LoadBacklog and Redriven.
func (m *model) backlog(h string) (found bool, open, done, pending []uint64) {
	cursor, found := m.cursors[h]
	r := m.replays[h]
	under := r != nil && cursor < r.To
	for _, rec := range m.log {
		d, there := m.deliveries[modelKey{h, rec.Seq}]
		if !there {
			continue
		}
		found = true
		switch {
		case d.status == event.StatusPending:
			pending = append(pending, rec.Seq)
		case !d.status.Final():
			open = append(open, rec.Seq)
		case rec.Seq <= cursor:
		case !under, rec.Seq < r.From, rec.Seq > max(r.To, r.Resume), rec.Seq <= r.To && d.at.After(r.StartedAt):
			done = append(done, rec.Seq)
		}
	}
	return found, open, done, pending
}

// modelRun is one random run of an engine and a model.
type modelRun struct {
	t        *testing.T
	ctx      context.Context
	s        bus.Engine
	reopen   func(*testing.T, bus.Engine) bus.Engine // nil for an engine that stores nothing
	m        *model
	base     uint64 // Last of the engine before the run
	seconds  int64  // the time of the last outcome
	seqs     *rapid.Generator[uint64]
	handlers *rapid.Generator[string]
}

// Run compares an engine with a model. open returns an empty engine with this clock, and
// closes it when the test ends. reopen closes one and opens it again with what it stored;
// nil for an engine that stores nothing.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Engine,
	reopen func(*testing.T, bus.Engine) bus.Engine) {
	s := open(t, time.Now) // one for all runs, each of which empties it
	rapid.Check(t, func(rt *rapid.T) {
		base := s.Last()
		run := &modelRun{
			t: t, ctx: t.Context(), s: s, reopen: reopen, base: base, seconds: 1 << 20,
			m: &model{last: base, cursors: make(map[string]uint64), deliveries: make(map[modelKey]modelDelivery),
				replays: make(map[string]*event.Replay), attempts: make(map[modelKey][]event.PastAttempt), documents: make(map[string]string)},
			seqs:     rapid.Map(rapid.Uint64Range(0, 40), func(n uint64) uint64 { return n + base }),
			handlers: rapid.SampledFrom([]string{"a", "b"}),
		}
		defer func() {
			s = run.s
			run.empty(rt)
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"append": run.append, "trim": run.trim, "save": run.save, "save all": run.saveAll, "redrive": run.redrive, "purge": run.purge,
			"attempts": run.saveAttempts, "requeue": run.requeue, "documents": run.putDocuments,
			"replay": run.replay, "reopen": run.reopenEngine, "forget": run.forget, "": run.compare,
		})
	})
}

// empty removes everything from the engine.
func (run *modelRun) empty(rt *rapid.T) {
	for _, h := range []string{"a", "b"} {
		if err := run.s.ForgetHandler(run.ctx, h); err != nil {
			rt.Errorf("ForgetHandler: %v", err)
		}
	}
	if _, err := run.s.Trim(run.ctx, math.MaxUint64); err != nil {
		rt.Errorf("Trim: %v", err)
	}
	for _, id := range modelDocuments {
		if err := run.s.PutDocuments(run.ctx, []event.Document{{Kind: "k", ID: id}}); err != nil {
			rt.Errorf("PutDocuments: %v", err)
		}
	}
}

// filter draws a filter that the model implements: a handler, an event, or both. It
// returns the dead letters that the filter selects.
func (run *modelRun) filter(rt *rapid.T) (f event.DeadFilter, keys []modelKey) {
	f.Handler = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "of")
	keys = run.m.dead(f.Handler)
	if len(keys) > 0 && rapid.Bool().Draw(rt, "one") {
		k := rapid.SampledFrom(keys).Draw(rt, "letter")
		i, _ := slices.BinarySearchFunc(run.m.log, k.seq, func(r event.Record, seq uint64) int { return int(r.Seq) - int(seq) })
		f.EventID = run.m.log[i].Event.ID()
		keys = slices.DeleteFunc(keys, func(o modelKey) bool { return o.seq != k.seq })
	}
	return f, keys
}

func (run *modelRun) append(rt *rapid.T) {
	var events []*event.Event
	for range rapid.IntRange(1, 5).Draw(rt, "events") {
		events = append(events, logtest.Make(run.t, event.Draft{
			IdempotencyKey: fmt.Sprint("key-", rapid.IntRange(0, 9).Draw(rt, "key")),
			Data:           fmt.Appendf(nil, "%d", rapid.IntRange(0, 1).Draw(rt, "content")),
		}))
	}
	receipts, err := run.s.Append(run.ctx, events)
	if err != nil {
		rt.Fatalf("Append: %v", err)
	}
	for i, ev := range events {
		key, r := ev.Metadata().IdempotencyKey, receipts[i]
		first, found := run.m.byKey(key)
		same := found && first.Event.Data() == ev.Data()
		if !found {
			if r.Seq <= run.m.last {
				rt.Fatalf("Seq %d was given after %d", r.Seq, run.m.last)
			}
			first = event.Record{Seq: r.Seq, Event: ev}
			run.m.log, run.m.last = append(run.m.log, first), r.Seq
		}
		want := event.Receipt{Seq: first.Seq, EventID: first.Event.ID(), IdempotencyKey: key, Duplicate: same}
		conflict := found && !same
		if fault.Is(r.Err, fault.Conflict) != conflict || r.Err != nil != conflict {
			rt.Fatalf("key %s: got error %v, want a conflict: %v", key, r.Err, conflict)
		}
		r.Err = nil
		if r != want {
			rt.Fatalf("key %s: got %+v, want %+v", key, r, want)
		}
	}
}

func (run *modelRun) trim(rt *rapid.T) {
	before := run.seqs.Draw(rt, "before")
	want := run.m.trim(before)
	if n, err := run.s.Trim(run.ctx, before); n != want || err != nil {
		rt.Fatalf("Trim(%d): got %d, %v, want %d", before, n, err, want)
	}
}

func (run *modelRun) save(rt *rapid.T) {
	if len(run.m.log) == 0 {
		rt.Skip("the log is empty")
	}
	h, seq := run.handlers.Draw(rt, "handler"), rapid.SampledFrom(run.m.log).Draw(rt, "record").Seq
	st := rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status")
	cursor := run.seqs.Draw(rt, "cursor")
	run.seconds++
	_, _, err := run.s.SaveDeliveries(run.ctx, nil, nil, []event.Delivery{{Handler: h, Seq: seq, Status: st, At: at(run.seconds)}},
		[]event.Cursor{{Name: "handler/" + h, Seq: cursor}})
	if err != nil {
		rt.Fatalf("SaveDeliveries: %v", err)
	}
	run.m.deliveries[modelKey{h, seq}], run.m.cursors[h] = modelDelivery{status: st, at: at(run.seconds)}, cursor
}

// saveAll saves successes of several events, and then possibly another outcome of one of
// them.
func (run *modelRun) saveAll(rt *rapid.T) {
	if len(run.m.log) == 0 {
		rt.Skip("the log is empty")
	}
	h := run.handlers.Draw(rt, "handler")
	records := rapid.SliceOfNDistinct(rapid.SampledFrom(run.m.log), 1, len(run.m.log), func(r event.Record) uint64 { return r.Seq }).
		Draw(rt, "records")
	list := event.Successes{Handler: h}
	for _, r := range records {
		run.seconds++
		result := rapid.SampledFrom([]string{"", "1", `{"a":"b"}`}).Draw(rt, "result")
		of := event.Success{At: at(run.seconds), Duration: time.Duration(run.seconds % 7), Fuel: uint64(run.seconds)}
		list.Append(r.Seq, of, []byte(result))
		run.m.deliveries[modelKey{h, r.Seq}] = modelDelivery{status: event.StatusOK, at: of.At, result: result, fuel: of.Fuel}
	}
	var deliveries []event.Delivery
	if rapid.Bool().Draw(rt, "and another") {
		st := rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status")
		run.seconds++
		deliveries = []event.Delivery{{Handler: h, Seq: records[0].Seq, Status: st, At: at(run.seconds)}}
		run.m.deliveries[modelKey{h, records[0].Seq}] = modelDelivery{status: st, at: at(run.seconds)}
	}
	cursor := run.seqs.Draw(rt, "cursor")
	if _, _, err := run.s.SaveDeliveries(run.ctx, nil, []event.Successes{list}, deliveries,
		[]event.Cursor{{Name: "handler/" + h, Seq: cursor}}); err != nil {
		rt.Fatalf("SaveDeliveries: %v", err)
	}
	run.m.cursors[h] = cursor
}

func (run *modelRun) redrive(rt *rapid.T) {
	f, keys := run.filter(rt)
	if n, err := run.s.Redrive(run.ctx, f); n != len(keys) || err != nil {
		rt.Fatalf("Redrive(%+v): got %d, %v, want %d", f, n, err, len(keys))
	}
	for _, k := range keys {
		run.m.deliveries[k] = modelDelivery{status: event.StatusPending}
	}
}

func (run *modelRun) purge(rt *rapid.T) {
	f, keys := run.filter(rt)
	if n, err := run.s.Purge(run.ctx, f); n != len(keys) || err != nil {
		rt.Fatalf("Purge(%+v): got %d, %v, want %d", f, n, err, len(keys))
	}
	for _, k := range keys {
		d := run.m.deliveries[k]
		d.purged = true
		run.m.deliveries[k] = d
	}
}

func (run *modelRun) replay(rt *rapid.T) {
	h := run.handlers.Draw(rt, "handler")
	from := max(1, run.seqs.Draw(rt, "from"))
	to := from + rapid.Uint64Range(0, 20).Draw(rt, "length")
	run.seconds++
	if rapid.IntRange(0, 3).Draw(rt, "set back") == 0 {
		run.seconds -= 20
	}
	err := run.s.StartReplay(run.ctx, h, from, to, at(run.seconds))
	if found, _, _, _ := run.m.backlog(h); !found {
		if !fault.Is(err, fault.NotFound) {
			rt.Fatalf("StartReplay of an unknown handler: got %v", err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("StartReplay: %v", err)
	}
	run.m.replay(h, from, to, at(run.seconds))
}

func (run *modelRun) reopenEngine(rt *rapid.T) {
	if run.reopen == nil || rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
		rt.Skip("not now")
	}
	run.s = run.reopen(run.t, run.s)
}

func (run *modelRun) forget(rt *rapid.T) {
	h := run.handlers.Draw(rt, "handler")
	if err := run.s.ForgetHandler(run.ctx, h); err != nil {
		rt.Fatalf("ForgetHandler: %v", err)
	}
	delete(run.m.cursors, h)
	delete(run.m.replays, h)
	for seq := run.base; seq <= run.m.last; seq++ {
		delete(run.m.deliveries, modelKey{h, seq})
		delete(run.m.attempts, modelKey{h, seq})
	}
}

// compare compares everything that the engine returns with the model.
func (run *modelRun) compare(rt *rapid.T) {
	run.compareLog(rt)
	run.compareBacklog(rt, run.handlers.Draw(rt, "handler"))
	seq := run.seqs.Draw(rt, "seq")
	run.compareDeliveries(rt, seq)
	run.compareAttempts(rt, seq)
	run.compareDocuments(rt)
	run.compareDeadLetters(rt)
}

func (run *modelRun) compareLog(rt *rapid.T) {
	if got := run.s.Last(); got != run.m.last {
		rt.Fatalf("Last: got %d, want %d", got, run.m.last)
	}
	status := event.LogStatus{LastSeq: run.m.last, Events: int64(len(run.m.log))}
	for i, r := range run.m.log {
		if status.Bytes += r.Event.Size(); i == 0 {
			status.FirstSeq = r.Seq
		}
	}
	got, err := run.s.Status(run.ctx)
	if got.OldestAt = (time.Time{}); got != status || err != nil {
		rt.Fatalf("Status: got %+v, %v, want %+v", got, err, status)
	}
	from := run.seqs.Draw(rt, "from")
	records, err := run.s.Read(run.ctx, from, math.MaxInt)
	if err != nil {
		rt.Fatalf("Read: %v", err)
	}
	var want []event.Record
	for _, r := range run.m.log {
		if r.Seq >= from {
			want = append(want, r)
		}
	}
	if !slices.EqualFunc(records, want, func(a, b event.Record) bool {
		return a.Seq == b.Seq && a.Event.Envelope() == b.Event.Envelope()
	}) {
		rt.Fatalf("Read(%d): got %d records, want %d", from, len(records), len(want))
	}
}

func (run *modelRun) compareBacklog(rt *rapid.T, h string) {
	b, err := run.s.LoadBacklog(run.ctx, h)
	if err != nil {
		rt.Fatalf("LoadBacklog: %v", err)
	}
	found, openSeqs, done, pendingSeqs := run.m.backlog(h)
	if b.Found != found || b.Cursor != run.m.cursors[h] || !slices.Equal(b.Done, done) || len(b.Open) != len(openSeqs) {
		rt.Fatalf("LoadBacklog(%s): got %+v, want found %v, cursor %d, open %v, done %v", h, b, found, run.m.cursors[h],
			openSeqs, done)
	}
	for i, d := range b.Open {
		if d.Seq != openSeqs[i] {
			rt.Fatalf("LoadBacklog(%s): open %d, want %d", h, d.Seq, openSeqs[i])
		}
	}
	redriven, err := run.s.Redriven(run.ctx, h, 0, 1000)
	if err != nil || !slices.EqualFunc(redriven, pendingSeqs, func(d event.Delivery, seq uint64) bool { return d.Seq == seq }) {
		rt.Fatalf("Redriven(%s): got %+v, %v, want %v", h, redriven, err, pendingSeqs)
	}
	for i, seq := range pendingSeqs { // up to seq, from seq on, and beside it
		for _, c := range []struct {
			from, to uint64
			want     int
		}{{0, seq, i + 1}, {seq, math.MaxInt64, len(pendingSeqs) - i}, {seq + 1, seq, 0}, {0, seq - 1, i}} {
			if n, err := run.s.CountRedriven(run.ctx, h, c.from, c.to); err != nil || n != c.want {
				rt.Fatalf("CountRedriven(%s, %d, %d): got %d, %v, want %d", h, c.from, c.to, n, err, c.want)
			}
		}
	}
}

// compareDeliveries compares the deliveries of one event.
func (run *modelRun) compareDeliveries(rt *rapid.T, seq uint64) {
	list, err := run.s.Deliveries(run.ctx, seq)
	if err != nil {
		rt.Fatalf("Deliveries: %v", err)
	}
	for _, h := range []string{"a", "b"} {
		want, there := run.m.deliveries[modelKey{h, seq}]
		if !there {
			continue
		}
		if len(list) == 0 {
			rt.Fatalf("Deliveries(%d): none of %s, want %+v", seq, h, want)
		}
		got := list[0]
		list = list[1:]
		sameTime := want.status == event.StatusPending || got.At.Equal(want.at) // an engine's own clock says when it was redriven
		if got.Handler != h || got.Seq != seq || got.Status != want.status || !sameTime || got.Result != want.result || got.Fuel != want.fuel {
			rt.Fatalf("Deliveries(%d): got %+v, want %s with %+v", seq, got, h, want)
		}
	}
	if len(list) > 0 {
		rt.Fatalf("Deliveries(%d): also %+v", seq, list)
	}
}

func (run *modelRun) compareDeadLetters(rt *rapid.T) {
	list, _, err := run.s.DeadLetters(run.ctx, event.DeadFilter{}, "", 1000)
	if err != nil || !slices.EqualFunc(list, run.m.dead(""),
		func(l event.DeadLetter, k modelKey) bool { return l.Seq == k.seq && l.Handler == k.handler }) {
		rt.Fatalf("DeadLetters: got %s, %v, want %v", logtest.Names(list), err, run.m.dead(""))
	}
	counts, err := run.s.DeadCounts(run.ctx)
	wantCounts := map[string]uint64{}
	for _, k := range run.m.dead("") {
		wantCounts[k.handler]++
	}
	if err != nil || !maps.Equal(counts, wantCounts) {
		rt.Fatalf("DeadCounts: got %v, %v, want %v", counts, err, wantCounts)
	}
}
