package stream_test

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/api/stream"
	"github.com/berth-host/berth/host/wire"
)

func ExampleFeed() {
	feed := stream.NewFeed(1)
	ctx, cancel := context.WithCancel(context.Background())
	activities := feed.Subscribe(ctx)
	feed.Publish(wire.Activity{Kind: "plugin", Plugin: &wire.Plugin{Name: "echo", State: wire.Active}})
	a := <-activities
	fmt.Println(a.Plugin.Name, a.Plugin.State)
	cancel()
	_, open := <-activities
	fmt.Println(open)
	// Output:
	// echo active
	// false
}
