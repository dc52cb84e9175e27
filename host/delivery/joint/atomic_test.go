package joint_test

import (
	"context"
	"crypto/sha256"
	"strconv"
	"sync"
	"testing"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/delivery/measure"
	"github.com/berth-host/berth/host/event"
)

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

// TestShardsWriteOneKey has the events of all shards add to one key: each success counts once,
// because the store finds the conflicts between shards.
func TestShardsWriteOneKey(t *testing.T) {
	const shards, events = 4, 400
	c, d := alone(t, delivery.Config{})
	s := open(t, d, shards, delivery.Policy{Atomic: true, Retry: quickRetry})
	quit := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			x := s.Lease()
			defer x.Close()
			for {
				_, ok := x.NextBuffered()
				if !ok {
					_, ok = x.Next(quit, nil)
				}
				if !ok {
					return
				}
				o := increment(t, c, x, "total")
				x.Done(&o)
			}
		})
	}
	c.publish(t, make([]string, events)...)
	var counts measure.Counts
	await(t, "all have ended", func() bool {
		v := d.Measure("p").Versions
		if len(v) == 1 {
			counts = v[0].Counts
		}
		return counts.OK+counts.Dead == events
	})
	close(quit)
	workers.Wait()
	value, _, err := c.KVGet(t.Context(), "p", "total")
	if got, _ := strconv.ParseUint(string(value), 10, 64); err != nil || got != counts.OK {
		t.Errorf("%d events have succeeded, and the value is %s, %v", counts.OK, value, err)
	}
	t.Log(counts.Conflicts, "conflicts,", counts.Dead, "dead letters")
}
