package joint_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/host/delivery"
	"github.com/berth-host/berth/host/delivery/joint"
	"github.com/berth-host/berth/host/event"
)

// publishAtOnce publishes events without order keys in one write.
func (c *cluster) publishAtOnce(t fatal, n int) {
	t.Helper()
	list := make([]*event.Event, n)
	for i := range list {
		ev, err := event.New(event.Draft{Type: "t"})
		if err != nil {
			t.Fatal(err)
		}
		list[i] = ev
	}
	if _, err := c.Append(context.Background(), list); err != nil {
		t.Fatal(err)
	}
}

// take takes one attempt, alone or in a batch, and ends it when its time has come.
func take(x *joint.Lease, batch int, stop, retire <-chan struct{}, begun func()) bool {
	if batch > 0 {
		list, ok := x.NextBatch(batch, 0, stop, retire)
		if ok {
			begun()
			x.DoneBatch(make([]event.Outcome, len(list)))
		}
		return ok
	}
	_, ok := x.Next(stop, retire)
	if ok {
		x.Flush() // its attempt takes long
		begun()
		x.Done(&event.Outcome{})
	}
	return ok
}

// pause pauses all shards, or has them go on at once.
func pause(s *joint.Source, paused bool) {
	s.Update(func(p *delivery.Policy) { p.Paused = paused })
}

// TestEachWaitingInstanceGetsAnAttempt has as many events ready at once as instances wait, several
// of each shard: all attempts begin, though none has ended.
func TestEachWaitingInstanceGetsAnAttempt(t *testing.T) {
	const shards, instances, rounds = 4, 12, 30
	for _, batch := range []int{0, 1} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			c, d := alone(t, delivery.Config{})
			s := open(t, d, shards, delivery.Policy{})
			for round := range rounds {
				var all, begun sync.WaitGroup
				begun.Add(instances)
				for range instances {
					all.Go(func() {
						x := s.Lease()
						defer x.Close()
						take(x, batch, nil, nil, func() {
							begun.Done()
							begun.Wait()
						})
					})
				}
				if round%2 == 0 {
					await(t, "all wait", func() bool { return s.Waiting() == instances })
				}
				pause(s, true)
				c.publishAtOnce(t, instances)
				await(t, "all are read", func() bool { return s.Stats().Open == instances })
				pause(s, false)
				await(t, "all attempts", func() bool { return s.Stats().Delivered == uint64((round+1)*instances) })
				all.Wait()
			}
		})
	}
}

// TestDemandAfterAnInstanceWasRetired retires the only instance that waits while an event gets
// ready: either it gets an attempt, or there is demand for another one.
func TestDemandAfterAnInstanceWasRetired(t *testing.T) {
	const rounds = 100
	c, d := alone(t, delivery.Config{})
	s := open(t, d, 4, delivery.Policy{})
	retired := 0
	for range rounds {
		retire := make(chan struct{})
		got := make(chan bool)
		go func() {
			x := s.Lease()
			defer x.Close()
			got <- take(x, 0, nil, retire, func() {})
		}()
		await(t, "it waits", func() bool { return s.Waiting() == 1 })
		select {
		case <-s.Demand(): // of a former round
		default:
		}
		pause(s, true)
		c.publish(t, "")
		await(t, "it is read", func() bool { return s.Stats().Open == 1 })
		close(retire)
		pause(s, false)
		if <-got {
			continue
		}
		retired++
		select {
		case <-s.Demand():
		case <-time.After(testTimeout):
			t.Fatal("an event is ready, no instance waits, and there is no demand")
		}
		x := s.Lease()
		take(x, 0, nil, nil, func() {})
		x.Close()
	}
	t.Log(retired, "of", rounds, "instances were retired")
}

// TestOtherShardsHaveMore: an instance that takes from one shard says that others have attempts.
func TestOtherShardsHaveMore(t *testing.T) {
	_, _, s := filled(t, 3, 1, delivery.Policy{})
	x := s.Lease()
	defer x.Close()
	for i := range 3 {
		if taken, ok := x.Next(nil, nil); !ok || taken.More != (i < 2) {
			t.Errorf("attempt %d: got more %v, %v", i, taken.More, ok)
		}
		x.Done(&event.Outcome{})
	}
}

// TestDemandAfterABatch: a batch is of one shard, and others have events.
func TestDemandAfterABatch(t *testing.T) {
	_, _, s := filled(t, 3, 1, delivery.Policy{})
	x := s.Lease()
	defer x.Close()
	for i := range 3 {
		select {
		case <-s.Demand(): // of the arrivals, or of the batch before
		default:
			t.Errorf("there is no demand before batch %d", i)
		}
		list, _ := x.NextBatch(2, 0, nil, nil)
		x.DoneBatch(make([]event.Outcome, len(list)))
	}
	select {
	case <-s.Demand():
		t.Error("there is demand for nothing")
	default:
	}
}
