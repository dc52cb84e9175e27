package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/member/feed"
	"github.com/berth-host/berth/host/wire"
)

// hub carries messages from each host to the others that receive.
type hub struct {
	mu        sync.Mutex
	receivers map[*port]func(string)
	sent      []string
	err       error
}

type port struct{ *hub }

func (p *port) Broadcast(_ context.Context, messages []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, messages...)
	for to, take := range p.receivers {
		if to != p {
			for _, m := range messages {
				take(m)
			}
		}
	}
	return p.err
}

func (p *port) Receive(ctx context.Context, take func(string)) error {
	p.mu.Lock()
	p.receivers[p] = take
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.receivers, p)
	return ctx.Err()
}

// setup runs two hosts, and waits for them at its end.
func setup(t *testing.T, limit int, test func(h *hub, a, b *feed.Feed, ofB *stream.Feed, watch func() <-chan wire.Activity)) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{receivers: make(map[*port]func(string))}
		locals := [2]*stream.Feed{stream.NewFeed(0), stream.NewFeed(0)}
		var feeds [2]*feed.Feed
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range feeds {
			feeds[i] = feed.New(feed.Config{Local: locals[i], Messages: &port{h}, Limit: limit, Watched: locals[1-i].Watched,
				Logger: slog.New(slog.DiscardHandler)})
			running.Go(func() { feeds[i].Run(ctx) })
		}
		test(h, feeds[0], feeds[1], locals[1], func() <-chan wire.Activity { return locals[1].Subscribe(ctx) })
		cancel()
		running.Wait()
	})
}

func delivery(seq uint64, result string) wire.Activity {
	return wire.Activity{Kind: "delivery", Delivery: &wire.DeliveryOfEvent{EventID: fmt.Sprint("e", seq), Seq: seq,
		Delivery: wire.Delivery{Plugin: "mail", Status: "ok", Result: json.RawMessage(result)}}}
}

func TestStreamHasTheDeliveriesOfAllHosts(t *testing.T) {
	setup(t, 1000, func(h *hub, a, b *feed.Feed, _ *stream.Feed, watch func() <-chan wire.Activity) {
		a.Publish(delivery(1, `1`)) // nobody looks
		if a.Watched() {
			t.Error("it is watched")
		}
		got := watch()
		time.Sleep(time.Second) // of the test's own clock
		if !a.Watched() || !b.Watched() {
			t.Error("the others do not know of the client")
		}
		b.Publish(delivery(2, `2`))
		for seq := uint64(3); seq < 40; seq++ {
			a.Publish(delivery(seq, `{"n":1}`))
		}
		for seq := uint64(2); seq < 40; seq++ {
			if one := <-got; one.Delivery.Seq != seq {
				t.Fatalf("got %d, want %d", one.Delivery.Seq, seq)
			}
		}
		for _, m := range h.sent {
			if len(m) > 1000 {
				t.Errorf("a message has %d bytes", len(m))
			}
		}
		if n := len(h.sent); n < 2 || n > 12 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestLargeDeliveryIsSentWithoutItsResult(t *testing.T) {
	setup(t, 1000, func(_ *hub, a, _ *feed.Feed, _ *stream.Feed, watch func() <-chan wire.Activity) {
		got := watch()
		time.Sleep(time.Second) // of the test's own clock
		huge := delivery(1, `1`)
		huge.Delivery.Plugin = strings.Repeat("x", 2000) // dropped
		a.Publish(huge)
		a.Publish(delivery(2, `"`+strings.Repeat("x", 2000)+`"`))
		a.Publish(delivery(3, `3`))
		if one := <-got; one.Delivery.Seq != 2 || string(one.Delivery.Result) != "null" && one.Delivery.Result != nil {
			t.Errorf("got %+v", one.Delivery)
		}
		if one := <-got; one.Delivery.Seq != 3 || string(one.Delivery.Result) != "3" {
			t.Errorf("got %+v", one.Delivery)
		}
	})
}

func TestDatabaseThatFailsDelaysNothing(t *testing.T) {
	setup(t, 1000, func(h *hub, a, _ *feed.Feed, _ *stream.Feed, watch func() <-chan wire.Activity) {
		got := watch()
		time.Sleep(time.Second) // of the test's own clock
		h.mu.Lock()
		h.err = errors.New("away")
		h.mu.Unlock()
		for seq := range uint64(5000) { // more than wait
			a.Publish(delivery(seq, `1`))
		}
		time.Sleep(time.Second) // of the test's own clock
		var n atomic.Int64
		for len(got) > 0 {
			<-got
			n.Add(1)
		}
		if n.Load() == 0 || n.Load() > 2000 {
			t.Errorf("got %d", n.Load())
		}
	})
}
