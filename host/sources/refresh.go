package sources

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/marketplace/index"
)

// minDelay is the time from a start or a change of the marketplace's configuration
// to the refresh of an outdated list. A start waits for no network.
const minDelay = time.Minute

// Reconfigure applies a change of the configuration: the revocations of the stored
// list take effect at once, and the next refresh is scheduled anew.
func (s *Sources) Reconfigure(former, now config.Marketplace) {
	if reflect.DeepEqual(former, now) {
		return
	}
	s.Load()
	select {
	case s.reconfigured <- struct{}{}:
	default: // a wake-up is pending
	}
}

// Run refreshes the marketplace's list at the configured interval until ctx ends, so
// that revocations arrive without a request by a client. It makes no request while
// the marketplace is disabled or marketplace.refresh is 0s.
func (s *Sources) Run(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		client, wait := s.nextRefresh(failed)
		var fired <-chan time.Time
		stop := func() bool { return false }
		if client != nil {
			fired, stop = s.NewTimer(wait)
		}
		select {
		case <-fired:
		case <-s.reconfigured:
			stop()
			failed = false
			continue
		case <-ctx.Done():
			stop()
			return
		}
		err := client.Refresh(ctx)
		if now, _ := s.marketplace(); ctx.Err() != nil || now != client {
			continue // the error is of a client that was closed
		}
		switch { // log changes only: the list has the state too
		case err != nil && !failed:
			s.Logger.Warn("marketplace list not refreshed; new revocations are unknown", "error", err)
		case err == nil && failed:
			s.Logger.Info("marketplace list refreshed again")
		}
		if failed = err != nil; failed {
			s.failures.Add(1)
		}
	}
}

// nextRefresh returns the client to refresh, nil for none, and the time until then,
// with 10 % of jitter so that hosts started together do not refresh together.
func (s *Sources) nextRefresh(failed bool) (*index.Client, time.Duration) {
	cfg := s.Settings()
	if !cfg.Enabled || cfg.Refresh == 0 {
		return nil, 0
	}
	client, err := s.marketplace()
	if err != nil {
		return nil, 0 // logged by Load
	}
	earliest := min(minDelay, cfg.Refresh)
	if failed {
		earliest = max(earliest, cfg.Refresh/8)
	}
	wait := earliest
	if age := time.Since(client.Fetched()); age >= 0 { // negative after a step of the clock
		wait = max(cfg.Refresh-age, earliest)
	}
	return client, wait - wait/10 + rand.N(wait/5+1)
}
