package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/check"
)

// Load publishes events of several keys: of each key one after the other, each of them to any
// host until one acknowledges it.
type Load struct {
	fleet   *Fleet
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	acked []check.Event
	err   error // of a publisher that a host refused
}

// Publish starts publishers for a number of keys, each of which waits for pause after an event.
// Every tenth event asks for a retry.
func (f *Fleet) Publish(ctx context.Context, keys int, pause time.Duration) *Load {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{fleet: f, cancel: cancel}
	for k := range keys {
		l.running.Go(func() { l.publish(ctx, fmt.Sprintf("key-%d", k), k, pause) })
	}
	return l
}

// publish publishes events of a key until ctx ends, which interrupts no request.
func (l *Load) publish(ctx context.Context, key string, host int, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 1; ; n++ {
		event := map[string]any{"event_type": EventType, "data": map[string]any{"n": n, "fail": failures(n)},
			"metadata": map[string]any{"subject": key, "idempotency_key": fmt.Sprintf("%s:%d", key, n)}}
		for {
			err := l.fleet.Hosts[host%len(l.fleet.Hosts)].Call(context.WithoutCancel(ctx), http.MethodPost, "/api/v1/events", event, nil)
			if err == nil {
				break
			}
			if refused := (StatusError{}); errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
				l.fail(fmt.Errorf("publish event %d of %s: %w", n, key, err))
				return
			}
			host++ // another one may take it, under the same key
			select {
			case <-tick.C:
			case <-ctx.Done():
				return // it was not acknowledged
			}
		}
		l.mu.Lock()
		l.acked = append(l.acked, check.Event{Key: key, N: n})
		l.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func failures(n int) int {
	if n%10 == 0 {
		return 1
	}
	return 0
}

// Count returns the number of events that were acknowledged.
func (l *Load) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// AwaitMore returns when n more events were acknowledged.
func (l *Load) AwaitMore(ctx context.Context, n int) error {
	want := l.Count() + n
	return until(ctx, func() error {
		l.mu.Lock()
		got, err := len(l.acked), l.err
		l.mu.Unlock()
		if err != nil {
			return permanent{err}
		}
		if got < want {
			return fmt.Errorf("%d of %d events are acknowledged", got, want)
		}
		return nil
	})
}

// Stop ends the publishers and returns the acknowledged events.
func (l *Load) Stop() ([]check.Event, error) {
	l.cancel()
	l.running.Wait()
	return l.acked, l.err
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

// shown is an event as the API shows it.
type shown struct {
	Seq        uint64 `json:"seq"`
	Deliveries []struct {
		Plugin string `json:"plugin"`
		Status string `json:"status"`
	} `json:"deliveries"`
}

// Outcomes asks the hosts for the outcomes of events until all are final or ctx ends, and
// returns them as they are then.
func (f *Fleet) Outcomes(ctx context.Context, events []check.Event) (acked []check.Acknowledged, finals []check.Final, err error) {
	const askers = 8
	acked = make([]check.Acknowledged, len(events))
	answers := make([]shown, len(events))
	var running sync.WaitGroup
	errs := make([]error, askers)
	for a := range askers {
		running.Go(func() {
			for i := a; i < len(events); i += askers {
				if err := f.outcome(ctx, a, events[i], &answers[i]); err != nil {
					errs[a] = fmt.Errorf("event %v: %w", events[i], err)
					if answers[i].Seq == 0 {
						return
					}
				}
			}
		})
	}
	running.Wait()
	for i, ev := range events {
		acked[i] = check.Acknowledged{Event: ev, Seq: answers[i].Seq}
		for _, d := range answers[i].Deliveries {
			finals = append(finals, check.Final{Event: ev, Handler: d.Plugin, Status: d.Status})
		}
	}
	return acked, finals, errors.Join(errs...)
}

// outcome asks for one event until every handler has a final outcome.
func (f *Fleet) outcome(ctx context.Context, host int, ev check.Event, answer *shown) error {
	path := fmt.Sprintf("/api/v1/events/%s:%d", ev.Key, ev.N)
	return until(ctx, func() error {
		*answer = shown{}
		h := f.Hosts[host%len(f.Hosts)]
		host++
		if err := h.Call(ctx, http.MethodGet, path, nil, answer); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		final := 0
		for _, d := range answer.Deliveries {
			if d.Status == "ok" || d.Status == "dead" {
				final++
			}
		}
		if final < f.cfg.Handlers {
			return fmt.Errorf("%d of %d handlers have an outcome", final, f.cfg.Handlers)
		}
		return nil
	})
}
