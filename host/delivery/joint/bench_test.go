package joint_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/event"
)

// BenchmarkShards measures one event, from the log to the outcome, with one worker that does
// nothing, and all shards on one host: each of them reads the whole log.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(shards), func(b *testing.B) {
			c, stop := newCluster(b)
			defer stop()
			for i := range b.N {
				c.publish(b, fmt.Sprint("k", i))
			}
			d := c.host(delivery.Config{})
			defer d.Close(context.Background())
			b.ReportAllocs()
			b.ResetTimer()
			s := open(b, d, shards, delivery.Policy{})
			x := s.Lease()
			defer x.Close()
			for range b.N {
				if _, ok := x.NextBuffered(); !ok {
					x.Next(nil, nil)
				}
				x.Done(&event.Outcome{})
			}
			b.StopTimer()
		})
	}
}
