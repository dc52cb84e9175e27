package traffic

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Open is an open loop: requests arrive at times that are drawn beforehand (a Poisson
// process), however long the answers take. A response time is counted from the arrival, so
// that the wait for a free connection counts: no coordinated omission.
type Open struct {
	Rate        float64 // arrivals a second
	Window      time.Duration
	Connections int // requests under way at once, at most
	First       int // number of the first event
}

// Latencies are the observations of an open loop, in the order of the arrivals.
type Latencies struct {
	Arrivals  []time.Time
	Responses []time.Duration // from the arrival to the whole answer
	Late      []time.Duration // by how much the generator itself was late, which the response times include
}

// arrivals draws the times of the window, from its begin on.
func (o Open) arrivals() (at []time.Duration) {
	draw := rand.New(rand.NewPCG(uint64(o.First), 1))
	for t := 0.0; ; {
		t += draw.ExpFloat64() / o.Rate
		if d := time.Duration(t * float64(time.Second)); d < o.Window {
			at = append(at, d)
		} else {
			return at
		}
	}
}

// Run publishes single events, with keys and their arrivals as times.
func (o Open) Run(ctx context.Context, s Server) (Latencies, error) {
	// The thread that waits for the next arrival must not take a processor from the connections.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1))
	at := o.arrivals()
	l := Latencies{Arrivals: make([]time.Time, len(at)), Responses: make([]time.Duration, len(at)), Late: make([]time.Duration, len(at))}
	due := make(chan int, len(at))
	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{}, o.Connections)
	for range o.Connections {
		group.Go(func() error {
			conn, err := s.dial(ctx)
			ready <- struct{}{}
			if err != nil {
				return err
			}
			defer conn.Close()
			var body []byte
			for i := range due {
				body = Event{Number: o.First + i, Subject: -1, Keyed: true, Time: l.Arrivals[i]}.Append(body[:0])
				if err := conn.publish(body); err != nil {
					return err
				}
				l.Responses[i] = time.Since(l.Arrivals[i])
			}
			return nil
		})
	}
	for range o.Connections {
		<-ready
	}
	began := time.Now()
	for i := range at {
		l.Arrivals[i] = began.Add(at[i])
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i, arrival := range l.Arrivals {
		for d := time.Until(arrival); d > 0 && ctx.Err() == nil; d = time.Until(arrival) {
			pause(d)
		}
		l.Late[i] = time.Since(arrival)
		due <- i
	}
	close(due)
	return l, group.Wait()
}

// Quantile returns the q-quantile of durations, by the nearest rank: exact, since all of
// them are kept. It is 0 for none.
func Quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
