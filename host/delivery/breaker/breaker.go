// Package breaker decides when the attempts of a failing handler wait.
package breaker

import (
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// maxReason bounds the part of a breaker's reason that quotes the last failure, in bytes.
const maxReason = 200

// CountsAgainst reports whether an attempt of this class counts against the handler.
// Every other class, ok included, is an answer of the guest.
func CountsAgainst(c event.Class) bool {
	switch c {
	case event.ClassTrap, event.ClassTimeout, event.ClassFuel, event.ClassMemory, event.ClassStack, event.ClassExit:
		return true
	}
	return false
}

// Breaker is closed, open, or open with a probe in flight. It has neither a lock nor a
// clock of its own. The zero value never opens.
type Breaker struct {
	cfg      spec.BreakerPolicy
	failures int    // in a row
	first    uint64 // the event of the first of them
	several  bool   // they are of more than one event

	open      bool
	since     time.Time     // when it opened
	probeAt   time.Time     // when the next probe may start
	cooldown  time.Duration // after the next failure
	probe     uint64        // the event that is tried; 0: none
	immediate bool          // ProbeNow was called during a probe
	failed    string        // the failures that opened it
	reason    string        // failed, and when an event is tried
}

// Configure changes the policy. An open breaker stays open, unless the policy is none.
func (b *Breaker) Configure(cfg spec.BreakerPolicy) {
	b.cfg = cfg.WithDefaults()
	if !b.open || b.cfg.Failures <= 0 {
		*b = Breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown, failures: b.failures, first: b.first, several: b.several}
	}
	b.cooldown = min(b.cooldown, b.cfg.MaxCooldown)
}

// Reset closes the breaker and forgets the failures.
func (b *Breaker) Reset() { *b = Breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown} }

// Waits returns how long the cooldown still keeps attempts from starting.
func (b *Breaker) Waits(now time.Time) time.Duration {
	if !b.open {
		return 0
	}
	return max(b.probeAt.Sub(now), 0)
}

// MayStart reports whether an attempt may start.
func (b *Breaker) MayStart(now time.Time) bool {
	return !b.open || b.probe == 0 && b.Waits(now) == 0
}

// Failing reports whether the next outcome may open or close the breaker.
func (b *Breaker) Failing() bool { return b.open || b.failures > 0 }

// Open reports whether the breaker is open.
func (b *Breaker) Open() bool { return b.open }

// Reason returns since when and why the breaker is open.
func (b *Breaker) Reason() (since time.Time, reason string) { return b.since, b.reason }

// Failed returns why it is open, without the time of the next attempt.
func (b *Breaker) Failed() string { return b.failed }

// Start notes that an attempt starts, which MayStart has allowed.
func (b *Breaker) Start(seq uint64) {
	if b.open {
		b.probe = seq
	}
}

// Cancel notes that an attempt ended without an outcome.
func (b *Breaker) Cancel(seq uint64) {
	if b.open && b.probe == seq {
		b.probe, b.immediate = 0, false
	}
}

// Complete notes the outcome of an attempt. It returns true if that has opened the
// breaker, for the first time or again, or closed it. Attempts that started before it
// opened change nothing.
func (b *Breaker) Complete(seq uint64, class event.Class, message string, now time.Time) (changed bool) {
	against := CountsAgainst(class)
	switch {
	case b.open && b.probe != seq:
		return false
	case !against && b.failures == 0:
		return false
	case !against:
		closed := b.open
		*b = Breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown}
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
	b.failed = fmt.Sprintf("%d attempts in a row failed, the last with %s: %s", b.failures, class, event.Headline(message, maxReason))
	b.reason = b.failed + "; one event is tried again at " + b.probeAt.UTC().Format(time.RFC3339)
	return true
}

// ProbeNow lets the next probe start now, because it may end differently than the last.
func (b *Breaker) ProbeNow(now time.Time) {
	if b.open {
		b.cooldown = b.cfg.Cooldown
		b.probeAt = now
		b.immediate = b.probe != 0
		b.reason = b.failed + "; the next event is tried immediately"
	}
}
