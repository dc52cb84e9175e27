package event

import "time"

// Replay is the durable state of a handler that receives a range of the log again. It
// is under way while the handler's cursor is below To. Until then the handler
// receives, from its cursor on and in order, every event up to To; then the events
// above Resume, and none between the two.
type Replay struct {
	From, To  uint64    // the Seqs to be delivered again, both included
	Resume    uint64    // the cursor before: all events up to it were done, or open
	StartedAt time.Time // outcomes of From to To that are not younger precede the replay
}

// BeginReplay returns the new replay of a handler at cursor, with its last replay if
// any, and the cursor from which it starts. It replaces the rest of a replay under
// way; events that had not been delivered before that one began are still delivered.
func BeginReplay(cursor uint64, last *Replay, from, to uint64, at time.Time) (r Replay, back uint64) {
	r = Replay{From: from, To: to, Resume: cursor, StartedAt: at.UTC()}
	if last != nil && cursor < last.To {
		r.Resume = max(cursor, last.Resume)
	}
	return r, min(from-1, r.Resume)
}

// Done reports whether a final delivery of this time counts: its event need not be
// delivered (again). Without a replay every one counts.
func (r *Replay) Done(seq uint64, at time.Time) bool {
	return r == nil || seq < r.From || seq > r.To || at.After(r.StartedAt)
}

// Since is the time up to which a final delivery of the event precedes the replay; zero for none.
func (r *Replay) Since(seq uint64) (t time.Time) {
	if r != nil && seq >= r.From && seq <= r.To {
		return r.StartedAt
	}
	return t
}

// Skips reports whether the event is skipped because it was done before.
func (r *Replay) Skips(seq uint64) bool { return r != nil && seq > r.To && seq <= r.Resume }

// Unread returns how many events a reader at readTo has yet to read until the log's end, last,
// without those that it skips, and without the given number of those that are done.
func (r *Replay) Unread(readTo, last uint64, done int) uint64 {
	if last <= readTo {
		return 0
	}
	n := last - readTo
	if r != nil && readTo < r.Resume && r.To < r.Resume {
		n -= r.Resume - max(r.To, readTo)
	}
	return n - min(n, uint64(done))
}

// Requeues reports whether a handler whose cursor is at cursor has had the event of a Seq,
// so that it does not come again unless the delivery is made pending. final says that the
// delivery has ended, at this time; an event that the handler did not take has none. r is
// the replay under way, or nil.
func (r *Replay) Requeues(cursor, seq uint64, final bool, at time.Time) bool {
	switch {
	case seq <= cursor:
		return true
	case final:
		return r.Done(seq, at)
	}
	return r.Skips(seq)
}
