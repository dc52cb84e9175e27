package host

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/berth-host/berth/host/config"
	"github.com/berth-host/berth/host/marketplace/index"
)

// soon is how long after a start, or after the marketplace was configured, a list that
// is too old is fetched. A start itself waits for no network.
const soon = time.Minute

// startRefresh has the marketplace's list fetched now and then, so that what it
// revokes is heard of although nobody looks at the list. Without a marketplace, and
// with marketplace.refresh 0s, nothing is asked.
func (h *Host) startRefresh() {
	if h.newTimer == nil {
		h.newTimer = func(d time.Duration) (<-chan time.Time, func() bool) {
			t := time.NewTimer(d)
			return t.C, t.Stop
		}
	}
	h.background("the marketplace's refresh", h.market.keepFresh)
}

// reconfigure takes over a configuration, if it has changed: what the kept list has
// revoked counts at once, and the next refresh is due at another time.
func (m *market) reconfigure(former, now config.Marketplace) {
	if reflect.DeepEqual(former, now) {
		return
	}
	if now.Enabled {
		m.h.startRevoked()
	} else {
		_, _ = m.index() // which ends the client, and what it fetches; that it is disabled is no error
	}
	select {
	case m.changed <- struct{}{}:
	default: // it is awake already
	}
}

// keepFresh refreshes the list until ctx ends.
func (m *market) keepFresh(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		client, wait := m.due(failed)
		var fired <-chan time.Time // for ever silent
		stop := func() bool { return false }
		if client != nil {
			fired, stop = m.h.newTimer(wait)
		}
		select {
		case <-fired:
		case <-m.changed:
			stop()
			failed = false
			continue
		case <-ctx.Done():
			stop()
			return
		}
		err := client.Refresh(ctx)
		if now, _ := m.index(); ctx.Err() != nil || now != client {
			continue // the error is of a client that was ended
		}
		switch { // once each: the list says so as well
		case err != nil && !failed:
			m.h.logger.Warn("the marketplace's list cannot be refreshed; what it revokes is not heard of", "error", err)
		case err == nil && failed:
			m.h.logger.Info("the marketplace's list is refreshed again")
		}
		failed = err != nil
	}
}

// due is the client whose list is to be refreshed, nil for none, and when. Hosts that
// were started together do not ask together.
func (m *market) due(failed bool) (*index.Client, time.Duration) {
	cfg := m.h.current.Load().Marketplace
	if !cfg.Enabled || cfg.Refresh == 0 {
		return nil, 0
	}
	client, err := m.index()
	if err != nil {
		return nil, 0 // as startRevoked has said
	}
	earliest := min(soon, cfg.Refresh)
	if failed {
		earliest = max(earliest, cfg.Refresh/8)
	}
	wait := earliest
	if age := time.Since(client.Fetched()); age >= 0 { // or the clock was ahead
		wait = max(cfg.Refresh-age, earliest)
	}
	return client, wait - wait/10 + rand.N(wait/5+1)
}
