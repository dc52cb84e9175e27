package bus_test

import (
	"context"
	"fmt"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
)

func Example() {
	log := bus.NewMemory(bus.MemoryConfig{})
	defer log.Close() //nolint:errcheck // it is memory
	b, err := bus.New(bus.Config{Log: log, Window: log.Window()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	ctx := context.Background()
	sub := b.Subscribe(b.Last() + 1)
	defer sub.Close()

	draft := event.Draft{Type: "stock_low", IdempotencyKey: "tea-1", Data: []byte(`{"sku":"tea"}`)}
	for range 2 {
		receipt, err := b.Publish(ctx, draft)
		fmt.Println(receipt.Seq, receipt.Duplicate, err)
	}
	buf := make([]event.Record, 16)
	n, err := sub.Next(ctx, buf)
	fmt.Println(n, buf[0].Event.Data(), err)
	// Output:
	// 1 false <nil>
	// 1 true <nil>
	// 1 {"sku":"tea"} <nil>
}
