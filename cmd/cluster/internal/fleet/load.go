package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	later map[int]int // refusals by status that said when to try again
	never int         // and those with a status from 500 that did not
	err   error       // of a publisher that a host refused
}

// Publish starts publishers for a number of keys with a prefix, each of which waits for pause after an event.
// Every tenth event asks for a retry.
func (f *Fleet) Publish(ctx context.Context, prefix string, keys int, pause time.Duration) *Load {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{fleet: f, cancel: cancel, later: make(map[int]int)}
	for k := range keys {
		l.running.Go(func() { l.publish(ctx, fmt.Sprintf("%s-%d", prefix, k), k, pause) })
	}
	return l
}

// publish publishes events of a key until ctx ends, which interrupts no request.
func (l *Load) publish(ctx context.Context, key string, host int, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for n := 1; ; n++ {
		for {
			err := l.fleet.Hosts[host%len(l.fleet.Hosts)].Publish(context.WithoutCancel(ctx), check.Event{Key: key, N: n})
			if err == nil {
				break
			}
			if refused := (StatusError{}); errors.As(err, &refused) {
				if refused.Status < 500 && refused.Status != http.StatusTooManyRequests {
					l.fail(fmt.Errorf("publish event %d of %s: %w", n, key, err))
					return
				}
				l.refused(refused)
			}
			host++ // another one may take it, under the same key
			select {
			case <-tick.C:
			case <-ctx.Done():
				return // it was not acknowledged
			}
		}
		l.Add(check.Event{Key: key, N: n})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// group returns the group of a key, one of three.
func group(key string) string { return fmt.Sprintf("group-%d", key[len(key)-1]%3) }

func failures(n int) int {
	if n%10 == 0 {
		return 1
	}
	return 0
}

// Publish publishes an event that is the nth of its key.
func (h *Host) Publish(ctx context.Context, ev check.Event) error {
	return h.Call(ctx, http.MethodPost, "/api/v1/events", map[string]any{
		"event_type": EventType, "data": map[string]any{"n": ev.N, "fail": failures(ev.N), "group": group(ev.Key)},
		"metadata": map[string]any{"subject": ev.Key, "idempotency_key": fmt.Sprintf("%s:%d", ev.Key, ev.N)}}, nil)
}

// Add adds an event that somebody else has published.
func (l *Load) Add(ev check.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, ev)
}

// Acknowledged returns the events that are acknowledged until now.
func (l *Load) Acknowledged() []check.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked)
}

func (l *Load) refused(e StatusError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Later {
		l.later[e.Status]++
	} else {
		l.never++
	}
}

// Refused returns how often publishers were refused, by the status of the answer, and how many
// of the answers with a status from 500 did not say when to try again.
func (l *Load) Refused() (later map[int]int, never int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.later), l.never
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
	return l.Acknowledged(), l.err
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

// Shown is an event as the API shows it.
type Shown struct {
	Seq      uint64 `json:"seq"`
	Metadata struct {
		EventID string `json:"event_id"`
	} `json:"metadata"`
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
	answers := make([]Shown, len(events))
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

// Show asks a host for an event.
func (h *Host) Show(ctx context.Context, ev check.Event, answer *Shown) error {
	return h.Call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/events/%s:%d", ev.Key, ev.N), nil, answer)
}

// outcome asks for one event until every handler has a final outcome.
func (f *Fleet) outcome(ctx context.Context, host int, ev check.Event, answer *Shown) error {
	return until(ctx, func() error {
		*answer = Shown{}
		h := f.Hosts[host%len(f.Hosts)]
		host++
		if err := h.Show(ctx, ev, answer); err != nil {
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
