package logtest

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
)

// model is the simplest log there can be.
type model struct {
	log     []event.Record
	last    uint64
	cursors map[string]uint64
	status  map[string]event.Status // by "handler/seq"
}

func (m *model) byKey(key string) (event.Record, bool) {
	for _, r := range m.log {
		if r.Event.Metadata().IdempotencyKey == key {
			return r, true
		}
	}
	return event.Record{}, false
}

// againstModel does the same random things to an engine and to a model, and
// compares every answer.
func againstModel(t *testing.T, open func(t *testing.T, now func() time.Time) State) {
	s := open(t, time.Now) // one for all runs, which each leave it empty
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		defer func() {
			if _, err := s.Trim(ctx, math.MaxUint64); err != nil {
				rt.Errorf("Trim: %v", err)
			}
			for _, h := range []string{"a", "b"} {
				if err := s.ForgetHandler(ctx, h); err != nil {
					rt.Errorf("ForgetHandler: %v", err)
				}
			}
		}()
		base := s.Last()
		m := &model{last: base, cursors: make(map[string]uint64), status: make(map[string]event.Status)}
		seqs := rapid.Map(rapid.Uint64Range(0, 40), func(n uint64) uint64 { return n + base })
		handlers := rapid.SampledFrom([]string{"a", "b"})
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
				i, _ := slices.BinarySearchFunc(m.log, before, func(r event.Record, seq uint64) int { return int(r.Seq) - int(seq) })
				if n, err := s.Trim(ctx, before); n != i || err != nil {
					rt.Fatalf("Trim(%d): got %d, %v, want %d", before, n, err, i)
				}
				for _, r := range m.log[:i] {
					for _, h := range []string{"a", "b"} {
						delete(m.status, fmt.Sprint(h, "/", r.Seq))
					}
				}
				m.log = m.log[i:]
			},
			"save": func(rt *rapid.T) {
				if len(m.log) == 0 {
					rt.Skip("the log is empty")
				}
				h, seq := handlers.Draw(rt, "handler"), rapid.SampledFrom(m.log).Draw(rt, "record").Seq
				st := rapid.SampledFrom([]event.Status{event.StatusOK, event.StatusDead, event.StatusRetrying}).Draw(rt, "status")
				cursor := seqs.Draw(rt, "cursor")
				_, err := s.SaveDeliveries(ctx, []event.Delivery{{Handler: h, Seq: seq, Status: st, At: time.Unix(1, 0)}},
					[]event.Cursor{{Name: "handler/" + h, Seq: cursor}})
				if err != nil {
					rt.Fatalf("SaveDeliveries: %v", err)
				}
				m.status[fmt.Sprint(h, "/", seq)], m.cursors[h] = st, cursor
			},
			"forget": func(rt *rapid.T) {
				h := handlers.Draw(rt, "handler")
				if err := s.ForgetHandler(ctx, h); err != nil {
					rt.Fatalf("ForgetHandler: %v", err)
				}
				delete(m.cursors, h)
				for seq := base; seq <= m.last; seq++ {
					delete(m.status, fmt.Sprint(h, "/", seq))
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
				var openSeqs, done []uint64
				rows := 0
				for _, r := range m.log {
					st, found := m.status[fmt.Sprint(h, "/", r.Seq)]
					switch {
					case !found:
						continue
					case !st.Final():
						openSeqs = append(openSeqs, r.Seq)
					case r.Seq > m.cursors[h]:
						done = append(done, r.Seq)
					}
					rows++
				}
				_, found := m.cursors[h]
				if b.Found != (found || rows > 0) || b.Cursor != m.cursors[h] || !slices.Equal(b.Done, done) || len(b.Open) != len(openSeqs) {
					rt.Fatalf("LoadBacklog(%s): got %+v, want found %v, cursor %d, open %v, done %v", h, b, found || rows > 0, m.cursors[h], openSeqs, done)
				}
				for i, d := range b.Open {
					if d.Seq != openSeqs[i] {
						rt.Fatalf("LoadBacklog(%s): open %d, want %d", h, d.Seq, openSeqs[i])
					}
				}
			},
		})
	})
}
