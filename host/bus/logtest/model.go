package logtest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/bus"
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
}

type modelKey struct {
	handler string
	seq     uint64
}

type modelDelivery struct {
	status event.Status
	at     time.Time
	purged bool
}

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

func (m *model) newest(h string) (seq uint64) {
	for k := range m.deliveries {
		if k.handler == h {
			seq = max(seq, k.seq)
		}
	}
	return seq
}

// againstModel makes the same random calls to an engine and to a model, and compares
// every result.
func againstModel(t *testing.T, open func(t *testing.T, now func() time.Time) bus.Engine, reopen func(*testing.T, bus.Engine) bus.Engine) {
	s := open(t, time.Now) // one for all runs, each of which empties it
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		defer func() {
			for _, h := range []string{"a", "b"} {
				if err := s.ForgetHandler(ctx, h); err != nil {
					rt.Errorf("ForgetHandler: %v", err)
				}
			}
			if _, err := s.Trim(ctx, math.MaxUint64); err != nil {
				rt.Errorf("Trim: %v", err)
			}
		}()
		base := s.Last()
		m := &model{last: base, cursors: make(map[string]uint64), deliveries: make(map[modelKey]modelDelivery),
			replays: make(map[string]*event.Replay)}
		seqs := rapid.Map(rapid.Uint64Range(0, 40), func(n uint64) uint64 { return n + base })
		handlers := rapid.SampledFrom([]string{"a", "b"})
		seconds := int64(1 << 20)
		// filter draws a filter that the model implements: a handler, an event, or both.
		filter := func(rt *rapid.T) (f event.DeadFilter, keys []modelKey) {
			f.Handler = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "of")
			keys = m.dead(f.Handler)
			if len(keys) > 0 && rapid.Bool().Draw(rt, "one") {
				k := rapid.SampledFrom(keys).Draw(rt, "letter")
				i, _ := slices.BinarySearchFunc(m.log, k.seq, func(r event.Record, seq uint64) int { return int(r.Seq) - int(seq) })
				f.EventID = m.log[i].Event.ID()
				keys = slices.DeleteFunc(keys, func(o modelKey) bool { return o.seq != k.seq })
			}
			return f, keys
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				var events []*event.Event
				for range rapid.IntRange(1, 5).Draw(rt, "events") {
					events = append(events, Make(t, event.Draft{
						IdempotencyKey: fmt.Sprint("key-", rapid.IntRange(0, 9).Draw(rt, "key")),
						Data:           fmt.Appendf(nil, "%d", rapid.IntRange(0, 1).Draw(rt, "content")),
					}))
				}
				receipts, err := s.Append(ctx, events)
				if err != nil {
					rt.Fatalf("Append: %v", err)
				}
				for i, ev := range events {
					key, r := ev.Metadata().IdempotencyKey, receipts[i]
					first, found := m.byKey(key)
					same := found && first.Event.Data() == ev.Data()
					if !found {
						if r.Seq <= m.last {
							rt.Fatalf("Seq %d was given after %d", r.Seq, m.last)
						}
						first = event.Record{Seq: r.Seq, Event: ev}
						m.log, m.last = append(m.log, first), r.Seq
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
			},
			"trim": func(rt *rapid.T) {
				before := seqs.Draw(rt, "before")
				want := m.trim(before)
				if n, err := s.Trim(ctx, before); n != want || err != nil {
					rt.Fatalf("Trim(%d): got %d, %v, want %d", before, n, err, want)
				}
			},
			"save": func(rt *rapid.T) {
				if len(m.log) == 0 {
					rt.Skip("the log is empty")
				}
				h, seq := handlers.Draw(rt, "handler"), rapid.SampledFrom(m.log).Draw(rt, "record").Seq
				st := rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status")
				cursor := seqs.Draw(rt, "cursor")
				seconds++
				_, _, err := s.SaveDeliveries(ctx, nil, []event.Delivery{{Handler: h, Seq: seq, Status: st, At: at(seconds)}},
					[]event.Cursor{{Name: "handler/" + h, Seq: cursor}})
				if err != nil {
					rt.Fatalf("SaveDeliveries: %v", err)
				}
				m.deliveries[modelKey{h, seq}], m.cursors[h] = modelDelivery{status: st, at: at(seconds)}, cursor
			},
			"redrive": func(rt *rapid.T) {
				f, keys := filter(rt)
				if n, err := s.Redrive(ctx, f); n != len(keys) || err != nil {
					rt.Fatalf("Redrive(%+v): got %d, %v, want %d", f, n, err, len(keys))
				}
				for _, k := range keys {
					m.deliveries[k] = modelDelivery{status: event.StatusPending}
				}
			},
			"purge": func(rt *rapid.T) {
				f, keys := filter(rt)
				if n, err := s.Purge(ctx, f); n != len(keys) || err != nil {
					rt.Fatalf("Purge(%+v): got %d, %v, want %d", f, n, err, len(keys))
				}
				for _, k := range keys {
					d := m.deliveries[k]
					d.purged = true
					m.deliveries[k] = d
				}
			},
			"replay": func(rt *rapid.T) {
				h := handlers.Draw(rt, "handler")
				from := max(1, seqs.Draw(rt, "from"))
				to := from + rapid.Uint64Range(0, 20).Draw(rt, "length")
				seconds++
				if rapid.IntRange(0, 3).Draw(rt, "set back") == 0 {
					seconds -= 20
				}
				err := s.StartReplay(ctx, h, from, to, at(seconds))
				if found, _, _, _ := m.backlog(h); !found {
					if !fault.Is(err, fault.NotFound) {
						rt.Fatalf("StartReplay of an unknown handler: got %v", err)
					}
					return
				}
				if err != nil {
					rt.Fatalf("StartReplay: %v", err)
				}
				m.replay(h, from, to, at(seconds))
			},
			"reopen": func(rt *rapid.T) {
				if reopen == nil || rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
					rt.Skip("not now")
				}
				s = reopen(t, s)
			},
			"forget": func(rt *rapid.T) {
				h := handlers.Draw(rt, "handler")
				if err := s.ForgetHandler(ctx, h); err != nil {
					rt.Fatalf("ForgetHandler: %v", err)
				}
				delete(m.cursors, h)
				delete(m.replays, h)
				for seq := base; seq <= m.last; seq++ {
					delete(m.deliveries, modelKey{h, seq})
				}
			},
			"": func(rt *rapid.T) {
				if got := s.Last(); got != m.last {
					rt.Fatalf("Last: got %d, want %d", got, m.last)
				}
				status := event.LogStatus{LastSeq: m.last, Events: int64(len(m.log))}
				for i, r := range m.log {
					if status.Bytes += r.Event.Size(); i == 0 {
						status.FirstSeq = r.Seq
					}
				}
				got, err := s.Status(ctx)
				if got.OldestAt = (time.Time{}); got != status || err != nil {
					rt.Fatalf("Status: got %+v, %v, want %+v", got, err, status)
				}
				from := seqs.Draw(rt, "from")
				records, err := s.Read(ctx, from, math.MaxInt)
				if err != nil {
					rt.Fatalf("Read: %v", err)
				}
				var want []event.Record
				for _, r := range m.log {
					if r.Seq >= from {
						want = append(want, r)
					}
				}
				if !slices.EqualFunc(records, want, func(a, b event.Record) bool {
					return a.Seq == b.Seq && a.Event.Envelope() == b.Event.Envelope()
				}) {
					rt.Fatalf("Read(%d): got %d records, want %d", from, len(records), len(want))
				}
				h := handlers.Draw(rt, "handler")
				b, err := s.LoadBacklog(ctx, h)
				if err != nil {
					rt.Fatalf("LoadBacklog: %v", err)
				}
				found, openSeqs, done, pendingSeqs := m.backlog(h)
				if b.Found != found || b.Cursor != m.cursors[h] || !slices.Equal(b.Done, done) || len(b.Open) != len(openSeqs) {
					rt.Fatalf("LoadBacklog(%s): got %+v, want found %v, cursor %d, open %v, done %v", h, b, found, m.cursors[h],
						openSeqs, done)
				}
				if b.Newest != m.newest(h) {
					rt.Fatalf("LoadBacklog(%s): newest %d, want %d", h, b.Newest, m.newest(h))
				}
				for i, d := range b.Open {
					if d.Seq != openSeqs[i] {
						rt.Fatalf("LoadBacklog(%s): open %d, want %d", h, d.Seq, openSeqs[i])
					}
				}
				redriven, err := s.Redriven(ctx, h, 0, 1000)
				if err != nil || !slices.EqualFunc(redriven, pendingSeqs, func(d event.Delivery, seq uint64) bool { return d.Seq == seq }) {
					rt.Fatalf("Redriven(%s): got %+v, %v, want %v", h, redriven, err, pendingSeqs)
				}
				for i, seq := range pendingSeqs { // up to seq, from seq on, and beside it
					for _, c := range []struct {
						from, to uint64
						want     int
					}{{0, seq, i + 1}, {seq, math.MaxInt64, len(pendingSeqs) - i}, {seq + 1, seq, 0}, {0, seq - 1, i}} {
						if n, err := s.CountRedriven(ctx, h, c.from, c.to); err != nil || n != c.want {
							rt.Fatalf("CountRedriven(%s, %d, %d): got %d, %v, want %d", h, c.from, c.to, n, err, c.want)
						}
					}
				}
				list, _, err := s.DeadLetters(ctx, event.DeadFilter{}, "", 1000)
				if err != nil || !slices.EqualFunc(list, m.dead(""),
					func(l event.DeadLetter, k modelKey) bool { return l.Seq == k.seq && l.Handler == k.handler }) {
					rt.Fatalf("DeadLetters: got %s, %v, want %v", names(list), err, m.dead(""))
				}
				counts, err := s.DeadCounts(ctx)
				wantCounts := map[string]uint64{}
				for _, k := range m.dead("") {
					wantCounts[k.handler]++
				}
				if err != nil || !maps.Equal(counts, wantCounts) {
					rt.Fatalf("DeadCounts: got %v, %v, want %v", counts, err, wantCounts)
				}
			},
		})
	})
}
