package delivery

import (
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// maxReason bounds the part of a breaker's reason that quotes the last failure, in bytes.
const maxReason = 200

// countsAgainst reports whether an attempt of this class counts against the handler.
// Every other class, ok included, is an answer of the guest.
func countsAgainst(c event.Class) bool {
	switch c {
	case event.ClassTrap, event.ClassTimeout, event.ClassFuel, event.ClassMemory, event.ClassStack, event.ClassExit:
		return true
	}
	return false
}

// breaker is the state of a handler's breaker: closed, open, or open with a probe in
// flight. It has neither a lock nor a clock of its own.
type breaker struct {
	cfg      spec.BreakerPolicy
	failures int    // in a row
	first    uint64 // the event of the first of them
	several  bool   // they are of more than one event

	open      bool
	since     time.Time     // when it opened
	probeAt   time.Time     // when the next probe may start
	cooldown  time.Duration // after the next failure
	probe     uint64        // the event that is tried; 0: none
	immediate bool          // probeNow was called during a probe
	reason    string
}

// configure changes the policy. An open breaker stays open, unless the policy is none.
func (b *breaker) configure(cfg spec.BreakerPolicy) {
	b.cfg = cfg.WithDefaults()
	if !b.open || b.cfg.Failures <= 0 {
		*b = breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown, failures: b.failures, first: b.first, several: b.several}
	}
	b.cooldown = min(b.cooldown, b.cfg.MaxCooldown)
}

// waits returns how long the cooldown still keeps attempts from starting.
func (b *breaker) waits(now time.Time) time.Duration {
	if !b.open {
		return 0
	}
	return max(b.probeAt.Sub(now), 0)
}

// start notes that an attempt starts, which waits has allowed.
func (b *breaker) start(seq uint64) {
	if b.open {
		b.probe = seq
	}
}

// cancel notes that an attempt ended without an outcome.
func (b *breaker) cancel(seq uint64) {
	if b.open && b.probe == seq {
		b.probe, b.immediate = 0, false
	}
}

// complete notes the outcome of an attempt. It returns true if that has opened the
// breaker, for the first time or again, or closed it. Attempts that started before it
// opened change nothing.
func (b *breaker) complete(seq uint64, class event.Class, message string, now time.Time) (changed bool) {
	against := countsAgainst(class)
	switch {
	case b.open && b.probe != seq:
		return false
	case !against && b.failures == 0:
		return false
	case !against:
		closed := b.open
		*b = breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown}
		return closed
	case b.failures == 0:
		b.first = seq
	case b.first != seq:
		b.several = true
	}
	b.failures++
	if b.cfg.Failures <= 0 || b.failures < b.cfg.Failures || !b.several {
		return false
	}
	if !b.open {
		b.open, b.since = true, now
	}
	b.probe, b.probeAt = 0, now
	if !b.immediate {
		b.probeAt = now.Add(b.cooldown)
		b.cooldown = min(2*b.cooldown, b.cfg.MaxCooldown)
	}
	b.immediate = false
	b.reason = fmt.Sprintf("%d attempts in a row failed, the last with %s: %s; one event is tried again at %s",
		b.failures, class, event.Headline(message, maxReason), b.probeAt.UTC().Format(time.RFC3339))
	return true
}

// probeNow lets the next probe start now, because it may end differently than the last.
func (b *breaker) probeNow(now time.Time) {
	if b.open {
		b.cooldown = b.cfg.Cooldown
		b.probeAt = now
		b.immediate = b.probe != 0
	}
}
