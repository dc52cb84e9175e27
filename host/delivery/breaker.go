package delivery

import (
	"fmt"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/spec"
)

// maxReason bounds what a breaker's reason has of the last failure, in bytes.
const maxReason = 200

// speaksAgainst reports whether an attempt of this class speaks against the
// handler. With every other one, ok included, the guest has given an answer.
func speaksAgainst(c event.Class) bool {
	switch c {
	case event.ClassTrap, event.ClassTimeout, event.ClassFuel, event.ClassMemory, event.ClassStack, event.ClassExit:
		return true
	}
	return false
}

// breaker is the state of a handler's breaker: closed, open, or open with a
// probe under way. It has no lock and no clock of its own.
type breaker struct {
	cfg      spec.BreakerPolicy
	failures int    // in a row
	first    uint64 // the event of the first of them
	several  bool   // they are of more than one event

	open     bool
	since    time.Time     // when it opened
	probeAt  time.Time     // from when on one attempt may begin
	cooldown time.Duration // for the next time it opens
	probe    uint64        // the event that is tried; 0: none
	atOnce   bool          // hurry came while one was being tried
	reason   string
}

// configure changes what holds from now on; an open breaker stays open, unless
// there is to be none.
func (b *breaker) configure(cfg spec.BreakerPolicy) {
	b.cfg = cfg.WithDefaults()
	if !b.open || b.cfg.Failures <= 0 {
		*b = breaker{cfg: b.cfg, cooldown: b.cfg.Cooldown, failures: b.failures, first: b.first, several: b.several}
	}
	b.cooldown = min(b.cooldown, b.cfg.MaxCooldown)
}

// waits is how long no attempt may begin by the time alone: 0 if one may.
func (b *breaker) waits(now time.Time) time.Duration {
	if !b.open {
		return 0
	}
	return max(b.probeAt.Sub(now), 0)
}

// begin says that an attempt begins, which waits allowed.
func (b *breaker) begin(seq uint64) {
	if b.open {
		b.probe = seq
	}
}

// cancelled says that an attempt ended without counting as one.
func (b *breaker) cancelled(seq uint64) {
	if b.open && b.probe == seq {
		b.probe, b.atOnce = 0, false
	}
}

// ended says how an attempt ended, and answers whether that has opened the
// breaker, again or for the first time, or closed it. Attempts that began before
// it opened change nothing.
func (b *breaker) ended(seq uint64, class event.Class, message string, now time.Time) (changed bool) {
	against := speaksAgainst(class)
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
	if !b.atOnce {
		b.probeAt = now.Add(b.cooldown)
		b.cooldown = min(2*b.cooldown, b.cfg.MaxCooldown)
	}
	b.atOnce = false
	b.reason = fmt.Sprintf("%d attempts in a row failed, the last with %s: %s; one event is tried again at %s",
		b.failures, class, event.Headline(message, maxReason), b.probeAt.UTC().Format(time.RFC3339))
	return true
}

// hurry lets the next probe go at once: there is reason to think that it will
// end otherwise than the last.
func (b *breaker) hurry(now time.Time) {
	if b.open {
		b.cooldown = b.cfg.Cooldown
		b.probeAt = now
		b.atOnce = b.probe != 0
	}
}
