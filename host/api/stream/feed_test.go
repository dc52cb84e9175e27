package stream_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/wire"
)

func published(n int) wire.Activity {
	return wire.Activity{Kind: "published", Event: &wire.Event{Seq: uint64(n), EventType: "t", Data: json.RawMessage("{\"text\":\"<a>\"}")}}
}

func TestFeed(t *testing.T) {
	feed := stream.NewFeed(2)
	feed.Publish(published(0)) // without subscribers
	ctx, cancel := context.WithCancel(t.Context())
	slow, quick := feed.Subscribe(t.Context()), feed.Subscribe(ctx)
	for n := range 4 {
		feed.Publish(published(n))
		if a, open := <-quick; !open || a.Event.Seq != uint64(n) {
			t.Fatalf("the quick one got %+v, %v", a, open)
		}
	}
	var got []uint64
	for a := range slow {
		got = append(got, a.Event.Seq)
	}
	if len(got) != 2 || got[1] != 1 {
		t.Errorf("the slow one got %v, want 0 and 1", got)
	}
	cancel()
	if _, open := <-quick; open {
		t.Error("the channel is open after its context ended")
	}
	if feed.Watched() {
		t.Error("the feed still has subscribers")
	}
}

func TestFeedHammer(t *testing.T) {
	feed := stream.NewFeed(4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 500 {
				feed.Publish(published(n))
			}
		})
		wg.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				ch := feed.Subscribe(ctx)
				if n%2 == 0 {
					cancel()
				}
				feed.Publish(published(n))
				<-ch
				cancel()
				for range ch { // until it is closed
				}
			}
		})
	}
	wg.Wait()
	if feed.Watched() {
		t.Error("subscribers are left")
	}
}
