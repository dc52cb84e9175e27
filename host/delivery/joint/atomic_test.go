package joint_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// slow is an engine whose writes take time, as those of a database do.
type slow struct{ *cluster }

func (c slow) SaveDeliveries(ctx context.Context, fences []spec.Fence, successes []event.Successes, list []event.Delivery, cursors []event.Cursor) (
	event.Saved, []spec.Fence, error) {
	<-time.After(2 * time.Millisecond) // by the clock of the bubble
	return c.cluster.SaveDeliveries(ctx, fences, successes, list, cursors)
}

// increment is an attempt that adds one to a key of the plugin.
func increment(t *testing.T, c *cluster, x *joint.Lease, key string) event.Outcome {
	var value []byte
	var found bool
	if w, pending := x.Pending(key); pending {
		value, found = w.Value, true
	} else {
		var err error
		if value, found, err = c.KVGet(context.Background(), "p", key); err != nil {
			t.Error(err)
		}
	}
	read := event.EffectRead{Key: key, Found: found}
	if found {
		read.Sum = sha256.Sum256(value)
	}
	e := &event.Effects{Plugin: "p", Reads: []event.EffectRead{read}}
	n, _ := strconv.Atoi(string(value))
	e.Writes = []event.EffectWrite{{Key: key, Value: strconv.AppendInt(nil, int64(n+1), 10)}}
	return event.Outcome{Effects: e}
}

// TestShardsWriteOneKey has the events of all shards add to one key. The store finds the conflicts
// between shards, so that each event counts once. None of these is a failed attempt.
func TestShardsWriteOneKey(t *testing.T) {
	for _, shards := range []int{1, 4, 16} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { writeOneKey(t, shards) }) })
	}
}

func writeOneKey(t *testing.T, shards int) {
	const events = 500
	c, stop := newCluster(t)
	defer stop()
	d := delivery.New(delivery.Config{Store: slow{c}, Log: c, Claim: c.claim, Start: func(context.Context, string) (uint64, error) { return 0, nil }})
	defer func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for i := range events {
		c.publish(t, fmt.Sprint("s", i%100))
	}
	s := open(t, d, shards, delivery.Policy{Atomic: true, Retry: spec.RetryPolicy{MaxAttempts: 1}})
	var running sync.WaitGroup
	end := make(chan struct{})
	defer running.Wait()
	defer close(end)
	for range 16 {
		running.Go(func() { incrementAll(t, c, s, end) })
	}
	for ok := uint64(0); ok < events; {
		<-time.After(time.Second) // likewise
		if v := d.Measure("p").Versions; len(v) == 1 {
			if ok = v[0].Counts.OK; v[0].Counts.Dead > 0 {
				t.Fatalf("%d events failed", v[0].Counts.Dead)
			}
		}
	}
	if value, _, err := c.KVGet(t.Context(), "p", "total"); string(value) != fmt.Sprint(events) || err != nil {
		t.Errorf("got %s, %v", value, err)
	}
}

// incrementAll is an instance of the handler, until end is closed.
func incrementAll(t *testing.T, c *cluster, s *joint.Source, end <-chan struct{}) {
	x := s.Lease()
	defer x.Close()
	for {
		_, ok := x.NextBuffered()
		if !ok {
			_, ok = x.Next(end, nil)
		}
		if !ok {
			return
		}
		o := increment(t, c, x, "total")
		<-time.After(200 * time.Microsecond) // the guest, likewise
		x.Done(&o)
	}
}
