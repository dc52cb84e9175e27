package event

import "time"

// Replay is what is durable of a handler that gets a stretch of the log again.
// It is under way while the handler's cursor is below To. Until then the handler
// gets, from its cursor on and in order, every event up to To; then what is
// above Resume, and nothing of what lies between the two.
type Replay struct {
	From, To  uint64    // the Seqs to be delivered again, both included
	Resume    uint64    // the cursor before: all up to it was done, or open, then
	StartedAt time.Time // outcomes of From to To that are not younger are from before
}

// BeginReplay is what starting a replay makes of a handler that stands at
// cursor, with the replay it was given last, if any: the new replay, and the
// cursor it starts from. Of one that is under way the rest is given up; what had
// not been delivered before that one began stays to be delivered.
func BeginReplay(cursor uint64, last *Replay, from, to uint64, at time.Time) (r Replay, back uint64) {
	r = Replay{From: from, To: to, Resume: cursor, StartedAt: at.UTC()}
	if last != nil && cursor < last.To {
		r.Resume = max(cursor, last.Resume)
	}
	return r, min(from-1, r.Resume)
}

// Done says whether a final delivery that was reached at a time counts: its
// event need not be delivered (again). No replay: every one counts.
func (r *Replay) Done(seq uint64, at time.Time) bool {
	return r == nil || seq < r.From || seq > r.To || at.After(r.StartedAt)
}

// Skips says whether the event is passed over because it was done before.
func (r *Replay) Skips(seq uint64) bool { return r != nil && seq > r.To && seq <= r.Resume }
