package pgstore_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

const benchPublishers = 64

// benchEvent is an event of about 450 bytes.
func benchEvent(b *testing.B, n int64) *event.Event {
	return logtest.Make(b, event.Draft{Subject: fmt.Sprint("order-", n%1000), Data: []byte(`{"text":"` + strings.Repeat("x", 120) + `"}`)})
}

// spread runs fn b.N times by so many callers, and returns the rate per second.
func spread(b *testing.B, callers int, fn func(n int64)) float64 {
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	b.ResetTimer()
	for range callers {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				fn(n)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	return float64(b.N) / time.Since(began).Seconds()
}

// BenchmarkPublish appends single events from many publishers.
func BenchmarkPublish(b *testing.B) {
	s := openWith(b, pgstore.Config{})
	rate := spread(b, benchPublishers, func(n int64) {
		if _, err := s.Append(b.Context(), []*event.Event{benchEvent(b, n)}); err != nil {
			b.Error(err)
		}
	})
	b.ReportMetric(rate, "events/s")
}

// BenchmarkPublishBare does the same statements in a loop over one connection, with groups of
// as many events as there are publishers, which are made by as many goroutines meanwhile.
func BenchmarkPublishBare(b *testing.B) {
	bare := newBare(b)
	events := make(chan *event.Event, benchPublishers)
	go func() {
		defer close(events)
		for n := range int64(b.N) {
			events <- benchEvent(b, n)
		}
	}()
	began := time.Now()
	b.ResetTimer()
	for left := b.N; left > 0; {
		group := make([]*event.Event, 0, benchPublishers)
		for range min(left, benchPublishers) {
			group = append(group, <-events)
		}
		bare.append(b, group)
		left -= len(group)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "events/s")
}

// BenchmarkPublishBareWaiting does so for as many publishers as BenchmarkPublish has, each of which
// waits until its event is stored before it makes the next one. A group is all that wait.
func BenchmarkPublishBareWaiting(b *testing.B) {
	bare := newBare(b)
	type call struct {
		ev     *event.Event
		stored chan struct{}
	}
	calls := make(chan call, benchPublishers)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for first := range calls {
			group := []call{first}
			for more := true; more; {
				runtime.Gosched() // those that were told a moment ago make their events
				select {
				case next, open := <-calls:
					if more = open; open {
						group = append(group, next)
					}
				default:
					more = false
				}
			}
			events := make([]*event.Event, len(group))
			for i, c := range group {
				events[i] = c.ev
			}
			bare.append(b, events)
			for _, c := range group {
				close(c.stored)
			}
		}
	}()
	rate := spread(b, benchPublishers, func(n int64) {
		c := call{benchEvent(b, n), make(chan struct{})}
		calls <- c
		<-c.stored
	})
	close(calls)
	<-stopped
	b.ReportMetric(rate, "events/s")
}

// bare is a connection without anything of the engine.
type bare struct{ *pgx.Conn }

func newBare(b *testing.B) bare {
	schema := pgtest.Schema(b)
	openWith(b, pgstore.Config{Schema: schema}).Close() //nolint:errcheck // it makes the tables
	ctx := context.Background()
	c, err := pgx.Connect(ctx, pgtest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(ctx) }) //nolint:errcheck // everything is committed
	if _, err := c.Exec(ctx, `SET search_path = `+schema); err != nil {
		b.Fatal(err)
	}
	return bare{c}
}

// append stores events in one statement.
func (c bare) append(b *testing.B, group []*event.Event) {
	var keys, subjects, envelopes [][]byte
	var types []string
	var size int64
	for _, ev := range group {
		keys, types = append(keys, []byte(ev.ID())), append(types, string(ev.Type()))
		subjects, envelopes = append(subjects, []byte(ev.Subject())), append(envelopes, []byte(ev.Envelope()))
		size += ev.Size()
	}
	if _, err := c.Exec(context.Background(), `WITH h AS (UPDATE head SET seq = seq + $1::bigint, events = events + $1::bigint, bytes = bytes + $2::bigint
		RETURNING seq - $1::bigint AS base)
		INSERT INTO events (seq, idempotency_key, type, subject, appended_at, envelope, origin)
		SELECT h.base + e.n, e.key, e.type, e.subject, 0, e.envelope, '' FROM h,
		unnest($3::bytea[], $4::text[], $5::bytea[], $6::bytea[]) WITH ORDINALITY AS e (key, type, subject, envelope, n)
		ON CONFLICT (idempotency_key) DO NOTHING`, int64(len(keys)), size, keys, types, subjects, envelopes); err != nil {
		b.Error(err)
	}
}

// BenchmarkOutcomes stores plain successes of one handler under a fence, in groups as a recorder
// makes them.
func BenchmarkOutcomes(b *testing.B) {
	const group = 512
	schema := pgtest.Schema(b)
	s := openWith(b, pgstore.Config{Schema: schema, Window: bus.NewWindow(bus.WindowConfig{})})
	exec(b, `INSERT INTO `+schema+`.units VALUES ('h', 'host', 1)`)
	fences := []spec.Fence{{Unit: "h", Epoch: 1}}
	for from := 0; from < b.N; from += 1000 {
		if _, err := s.Append(b.Context(), logtest.Numbered(b, fmt.Sprint(from), min(1000, b.N-from))); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	b.ResetTimer()
	for seq := uint64(1); seq <= uint64(b.N); {
		of := event.Successes{Handler: "h"}
		for range group {
			if seq <= uint64(b.N) {
				of.Append(seq, event.Success{At: began, Duration: time.Millisecond}, []byte(`{"ok":true}`))
				seq++
			}
		}
		_, fenced, err := s.SaveDeliveries(b.Context(), fences, []event.Successes{of}, nil, []event.Cursor{{Name: "handler/h", Seq: seq - 1}})
		if err != nil || len(fenced) > 0 {
			b.Fatal(fenced, err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "outcomes/s")
}
