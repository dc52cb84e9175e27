package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/fleet"
)

// The target of several hosts: what they deliver of a handler with shards that computes, in
// relation to one host.
const (
	scaleShards = 16
	scaleHosts  = 3
	scaleTarget = 2.4

	processors   = 0.5  // of each host
	computeFor   = 1500 // rounds of the guest for an event: some milliseconds of a processor
	backlog      = 5000 // events for each host: more than it delivers in the time
	scaleKeys    = 512
	warmFor      = 5 * time.Second
	measureFor   = 20 * time.Second
	spreadLimit  = 3 * time.Minute // a host keeps what it has taken for a while
	computerPath = "/api/v1/events/plugins/" + fleet.Computer
)

// rate is what hosts have delivered.
type rate struct {
	hosts  int
	events float64   // a second
	used   []float64 // processors, by host
}

// scale measures one host, then three, and fails unless the three deliver as much more as the
// target says.
func scale(ctx context.Context, o options, stdout io.Writer) error {
	o.shards = cmp.Or(o.shards, scaleShards)
	var rates []rate
	for _, n := range []int{1, scaleHosts} {
		fmt.Fprintf(stdout, "Starting PostgreSQL and %d of %d hosts.\n", n, scaleHosts)
		r, err := measureRate(ctx, o, n)
		if err != nil {
			return fmt.Errorf("with %d hosts: %w", n, err)
		}
		fmt.Fprintln(stdout, r)
		rates = append(rates, r)
	}
	ratio := rates[1].events / rates[0].events
	fmt.Fprintf(stdout, "\n%d hosts deliver %.2f times as much as one (target: %.1f)\n", scaleHosts, ratio, scaleTarget)
	if ratio < scaleTarget {
		return fmt.Errorf("%.2f times is below the target of %.1f; if hosts used less than %.2g processors, the machine was busy", ratio, scaleTarget, processors)
	}
	return nil
}

// String is a line for a person.
func (r rate) String() string {
	used, sum := make([]string, len(r.used)), 0.0
	for i, n := range r.used {
		used[i] = fmt.Sprintf("%.2f", n)
		sum += n
	}
	return fmt.Sprintf("%d × %.2g processors: %.1f events/s; processors used: %s; for a second of a processor: %.1f events", r.hosts, processors, r.events,
		strings.Join(used, ", "), r.events/sum)
}

// measureRate has hosts deliver a backlog, each with its share of a processor.
func measureRate(ctx context.Context, o options, hosts int) (r rate, err error) {
	f, err := fleet.New(fleet.Config{Berth: o.berth, Hosts: hosts, Computing: filepath.Join(filepath.Dir(o.guest), "slow.wasm"),
		Layout: fleet.Layout{Shards: o.shards}})
	if err != nil {
		return r, err
	}
	var quotas []*fleet.Quota
	defer func() {
		err = errors.Join(err, f.Close()) // the groups must be empty
		for _, q := range quotas {
			err = errors.Join(err, q.Close())
		}
	}()
	for _, h := range f.Hosts {
		q, err := fleet.NewQuota(fmt.Sprintf("berth-%d-%s", os.Getpid(), h.Name), processors)
		if err != nil {
			return r, err
		}
		quotas = append(quotas, q)
	}
	if err := f.StartAll(ctx); err != nil {
		return r, err
	}
	if err := awaitSpread(ctx, f, o.shards); err != nil {
		return r, err
	}
	if err := f.Hosts[0].Call(ctx, http.MethodPost, computerPath+"/pause", nil, nil); err != nil {
		return r, err
	}
	if err := publishBacklog(ctx, f, backlog*hosts); err != nil {
		return r, err
	}
	for i, h := range f.Hosts {
		if err := quotas[i].Add(h); err != nil {
			return r, err
		}
	}
	if err := f.Hosts[0].Call(ctx, http.MethodPost, computerPath+"/resume", nil, nil); err != nil {
		return r, err
	}
	if err := wait(ctx, warmFor); err != nil {
		return r, err
	}
	before, err := progress(ctx, f)
	if err == nil {
		err = wait(ctx, measureFor)
	}
	if err != nil {
		return r, err
	}
	after, err := progress(ctx, f)
	switch {
	case err != nil:
		return r, err
	case after.lag == 0:
		return r, errors.New("the backlog was too small: all events were delivered before the end")
	}
	elapsed := (after.at - before.at).Seconds()
	r = rate{hosts: hosts, events: float64(after.delivered-before.delivered) / elapsed}
	for i := range f.Hosts {
		r.used = append(r.used, (after.used[i]-before.used[i]).Seconds()/elapsed)
	}
	return r, nil
}

// awaitSpread returns when the units of the handler are spread evenly over the hosts.
func awaitSpread(ctx context.Context, f *fleet.Fleet, shards int) error {
	return fleet.Until(ctx, spreadLimit, func(ctx context.Context) error {
		v, err := view(ctx, f.Hosts[0])
		if err != nil {
			return err
		}
		units, owned := 0, make(map[string]int)
		for unit, host := range v.owners() {
			if name, _, _ := strings.Cut(unit, "/"); name == fleet.Computer {
				units++
				owned[host]++
			}
		}
		if units != shards {
			return fmt.Errorf("the handler has %d units, not %d", units, shards)
		}
		for _, h := range f.Hosts {
			if owned[h.Name] < shards/len(f.Hosts) {
				return fmt.Errorf("%s runs %d of %d shards", h.Name, owned[h.Name], shards)
			}
		}
		return nil
	})
}

// publishBacklog publishes events that the handler computes for.
func publishBacklog(ctx context.Context, f *fleet.Fleet, events int) error {
	const publishers = 16
	var next atomic.Int64
	var running sync.WaitGroup
	errs := make([]error, publishers)
	for p := range publishers {
		running.Go(func() {
			for errs[p] == nil {
				n := int(next.Add(1))
				if n > events {
					return
				}
				errs[p] = f.Hosts[n%len(f.Hosts)].Call(ctx, http.MethodPost, "/api/v1/events", map[string]any{"event_type": fleet.EventType,
					"data": map[string]any{"rounds": computeFor}, "metadata": map[string]any{"subject": fmt.Sprint("key-", n%scaleKeys)}}, nil)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// reading is how far the handler is at a moment.
type reading struct {
	at             time.Duration
	delivered, lag uint64
	used           []time.Duration // by host
}

// progress adds up what each host says of itself.
func progress(ctx context.Context, f *fleet.Fleet) (r reading, err error) {
	for _, h := range f.Hosts {
		var p struct {
			Delivered uint64 `json:"delivered"`
			Lag       uint64 `json:"lag"`
		}
		used, err := h.ProcessorTime()
		if err == nil {
			err = h.Call(ctx, http.MethodGet, computerPath, nil, &p)
		}
		if err != nil {
			return r, err
		}
		r.used, r.delivered, r.lag = append(r.used, used), r.delivered+p.Delivered, p.Lag
	}
	r.at = f.Clock()
	return r, nil
}
