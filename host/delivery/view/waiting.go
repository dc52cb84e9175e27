package view

import (
	"time"

	"github.com/berth-host/berth/host/wire"
)

// The kinds of wire.WaitingFor.
const (
	Key      = "key"
	Breaker  = "breaker"
	Pause    = "pause"
	Stuck    = "stuck"
	Instance = "instance"
	Retry    = "retry"
	Backlog  = "backlog"
	Disabled = "disabled"
	Standby  = "standby"
)

// Paused is the reason of a handler that was paused at a time.
func Paused(at time.Time) *wire.WaitingFor {
	return &wire.WaitingFor{Kind: Pause, Reason: "the handler was paused at " + at.UTC().Format(time.RFC3339)}
}

// Behind is the reason of an event behind another one of its key. id is "" when that one is
// not known.
func Behind(id string) *wire.WaitingFor {
	return &wire.WaitingFor{Kind: Key, EventID: id, Reason: "an earlier event of its key is not final"}
}

// DueAt is the reason of an event whose next attempt is due at a time.
func DueAt(at time.Time) *wire.WaitingFor {
	return &wire.WaitingFor{Kind: Retry, Until: &at, Reason: "its next attempt is due then"}
}

// Breaking is a breaker that is open.
type Breaking interface {
	Failed() string                    // the failures that opened it
	Waits(now time.Time) time.Duration // until it probes; 0 when it may now
}

// BreakerOpen is the reason of a handler whose breaker is open.
func BreakerOpen(b Breaking, now time.Time) *wire.WaitingFor {
	w := &wire.WaitingFor{Kind: Breaker, Reason: b.Failed()}
	if after := b.Waits(now); after > 0 {
		until := now.Add(after)
		w.Until = &until
	}
	return w
}

// Busy is the reason of an event that no instance takes: all are at work unless one of these
// holds. replay: a replay is being started. unwritten: too many outcomes are not written.
func Busy(replay, unwritten bool) *wire.WaitingFor {
	w := &wire.WaitingFor{Kind: Instance, Reason: "all instances are at work, or one is being started"}
	switch {
	case replay:
		w.Reason = "a replay is being started"
	case unwritten:
		w.Reason = "no attempt starts until outcomes of earlier events are written"
	}
	return w
}

// Unread is the reason of an event that the handler has not read, stuck with a reason or "".
func Unread(stuck string) *wire.WaitingFor {
	if stuck != "" {
		return &wire.WaitingFor{Kind: Stuck, Reason: stuck}
	}
	return &wire.WaitingFor{Kind: Backlog, Reason: "the handler has not read it yet"}
}

// Ahead is the reason of an event that the handler reads later, or with others leaves to the
// shards that replace it.
func Ahead(others bool) *wire.WaitingFor {
	if others {
		return &wire.WaitingFor{Kind: Backlog, Reason: "the shards of the handler are being changed: the new ones deliver it"}
	}
	return Unread("")
}
