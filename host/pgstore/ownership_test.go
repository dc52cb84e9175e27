package pgstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/ledger"
	"github.com/berth-host/berth/host/pgstore/pgtest"
	"github.com/berth-host/berth/host/spec"
)

// dispatchers are the hosts of a test: each has a store, a dispatcher with the handler h, and two
// instances of it.
type dispatchers struct {
	stores []*pgstore.Store
	list   []*delivery.Dispatcher
	ledger *ledger.Ledger
	epoch  uint64
	owner  int
}

// log is the log of a host.
type log struct {
	*bus.Bus
	*pgstore.Store
}

func (l log) Subscribe(from uint64) delivery.Reader { return l.Bus.Subscribe(from) }
func (l log) Last() uint64                          { return l.Store.Last() }
func (l log) Close() error                          { return nil }

// tenure is a Tenure of a test.
type tenure struct {
	fence spec.Fence
	done  chan struct{}
}

func (t tenure) Fence() spec.Fence     { return t.fence }
func (t tenure) Valid() bool           { return true }
func (t tenure) Done() <-chan struct{} { return t.done }
func (t tenure) Until() uint64         { return 0 }

// take gives h to a host. Its former owner, if it is another one, does not know.
func (d *dispatchers) take(t *testing.T, host int) tenure {
	t.Helper()
	if err := d.ledger.Leave(t.Context(), fmt.Sprint("host-", d.owner)); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprint("host-", host)
	if _, err := d.ledger.Beat(t.Context(), spec.Beating{Member: spec.Member{ID: id, Name: id}, Beat: d.epoch + 1}); err != nil {
		t.Fatal(err)
	}
	epoch, err := d.ledger.Take(t.Context(), "h", spec.Unit{Name: "h", Epoch: d.epoch}, id)
	if err != nil {
		t.Fatal(err)
	}
	d.epoch, d.owner = epoch, host
	return tenure{spec.Fence{Unit: "h", Epoch: epoch}, make(chan struct{})}
}

// work takes attempts until stop is closed. Each success has a child whose content is of this
// attempt: when two of them were stored, the second one would be refused.
func work(x *delivery.Lease, host int, stop <-chan struct{}) {
	defer x.Close()
	for n := 0; ; n++ {
		taken, ok := x.NextBuffered()
		if !ok {
			if taken, ok = x.Next(stop, nil); !ok {
				return
			}
		}
		f, _ := spec.FenceOf(x.Context())
		child, err := event.New(event.Draft{Type: "child", IdempotencyKey: "of " + string(taken.Event.ID()),
			Data: json.RawMessage(fmt.Sprintf(`{"host":%d,"epoch":%d,"n":%d}`, host, f.Epoch, n))})
		o := event.Outcome{Children: []*event.Event{child}}
		switch {
		case x.Context().Err() != nil:
			o = event.Outcome{Verdict: event.Failed, Class: event.ClassCancelled}
		case err != nil:
			o = event.Outcome{Verdict: event.Reject, Class: event.ClassRejected, Message: err.Error()}
		case taken.Number < 3 && rand.IntN(8) == 0:
			o = event.Outcome{Verdict: event.Retry, Class: event.ClassRetry}
		}
		x.Done(&o)
	}
}

// TestSeizedHandlerStoresEachOutcomeOnce takes a handler from hosts that go on, and from hosts that
// give it up: each event succeeds, and has one child. A second outcome of an event would be a
// dead letter, because its child has other content.
func TestSeizedHandlerStoresEachOutcomeOnce(t *testing.T) {
	const parents, moves = 400, 14
	d, stop := startDispatchers(t, 3)
	defer stop()
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range parents {
			ev, err := event.New(event.Draft{Type: "parent", Subject: fmt.Sprint("k", i%9), Data: json.RawMessage(`{}`)})
			if err == nil {
				_, err = d.stores[i%3].Append(context.Background(), []*event.Event{ev})
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	for n := range moves {
		to := n % 3
		if n%3 == 1 {
			if err := d.list[d.owner].Disown(t.Context(), "h"); err != nil {
				t.Error(err)
			}
		}
		taken := d.take(t, to)
		if err := d.list[to].Own(t.Context(), "h", taken); err != nil {
			t.Fatal(err)
		}
		want := min((n+1)*parents/moves/2, parents)
		d.await(t, want)
	}
	publishing.Wait()
	d.await(t, parents)
	list, _, err := d.stores[0].DeadLetters(t.Context(), event.DeadFilter{}, "", 10)
	if err != nil || len(list) > 0 {
		t.Errorf("dead letters: %+v, %v", list, err)
	}
	records, err := d.stores[0].Read(t.Context(), 1, 3*parents)
	if err != nil || len(records) != 2*parents {
		t.Errorf("%d events, want %d; %v", len(records), 2*parents, err)
	}
}

// startDispatchers returns hosts over one schema, and a function that stops them.
func startDispatchers(t *testing.T, n int) (d *dispatchers, stop func()) {
	t.Helper()
	d = &dispatchers{owner: -1}
	schema, end := pgtest.Schema(t), make(chan struct{})
	var working sync.WaitGroup
	var buses []*bus.Bus
	for i := range n {
		window := bus.NewWindow(bus.WindowConfig{})
		s := openWith(t, pgstore.Config{Schema: schema, Window: window})
		b, err := bus.New(bus.Config{Log: s, Window: window})
		if err != nil {
			t.Fatal(err)
		}
		host := delivery.New(delivery.Config{Store: s, Log: log{b, s}, Shared: true, Claim: func(ctx context.Context, c event.Cursor) error {
			return s.Claim(ctx, c.Handler(), "shards", c.Seq, func([]byte) ([]string, error) { return []string{c.Handler()}, nil })
		}})
		h, err := host.Open(t.Context(), "h", "", delivery.Policy{Key: (*event.Event).Subject, Takes: func(ev *event.Event) bool { return ev.Type() == "parent" },
			Retry: spec.RetryPolicy{MaxAttempts: 3, Backoff: time.Millisecond, MaxBackoff: time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			working.Go(func() { work(h.Lease(), i, end) })
		}
		d.stores, d.list, buses = append(d.stores, s), append(d.list, host), append(buses, b)
	}
	var err error
	if d.ledger, err = d.stores[0].Ledger(); err != nil {
		t.Fatal(err)
	}
	return d, func() {
		close(end)
		working.Wait()
		for i, host := range d.list {
			if err := host.Close(context.Background()); err != nil {
				t.Error(err)
			}
			buses[i].Close()
		}
		d.ledger.Close()
	}
}

// await waits until so many parents have succeeded.
func (d *dispatchers) await(t *testing.T, want int) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(time.Minute); ; <-look.C {
		children := 0
		records, err := d.stores[0].Read(t.Context(), 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if rec.Event.Type() == "child" {
				children++
			}
		}
		if children >= want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d events have succeeded", children, want)
		}
	}
}
