package pglog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/outcomes"
)

// trimStep is the maximum number of events that one transaction of Trim examines or restamps:
// publishers wait for it.
const trimStep = 512

// Trim implements bus.Log. It removes events with their deliveries and attempts, oldest first,
// except those of which a delivery is a dead letter or not final. It runs in small
// transactions; on an error, what was removed stays removed.
//
// Every event is examined once. Head.Trimmed is the position that was reached: the events that
// remain up to there are leftovers, each with a delivery that keeps it. The transaction that
// ends the last such delivery adds the event's Seq to the table released, and the next Trim
// examines it again.
//
// Trim replaces times of the future, which a clock gave that was set back: see
// event.ClockSlack.
func (l *Log) Trim(ctx context.Context, before uint64) (total int, err error) {
	const doing = "trim the log"
	if err := l.usable(ctx, doing); err != nil {
		return 0, err
	}
	if err := l.restamp(ctx); err != nil {
		return 0, err
	}
	for {
		var s step
		err := l.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) (err error) {
			s = step{ctx: ctx, tx: tx, before: signed(before)}
			return s.run()
		})
		if err != nil {
			return total, err
		}
		total += s.removed
		if s.examined < trimStep {
			break
		}
	}
	return total, l.CatchUp(ctx)
}

// step is one transaction of Trim.
type step struct {
	ctx               context.Context //nolint:containedctx // of the transaction, which ends with it
	tx                pgx.Tx
	before            int64
	examined, removed int
}

// edge returns the number of the Seqs that a query selects, and the highest of them.
func (s *step) edge(text string, args ...any) (n int, edge int64, err error) {
	err = s.tx.QueryRow(s.ctx, `SELECT count(*), coalesce(max(seq), 0) FROM (`+text+`) AS selected`, args...).Scan(&n, &edge)
	return n, edge, err
}

const (
	// remove deletes the events of a condition that no delivery keeps, and returns their number
	// and sizes.
	remove = `WITH gone AS (DELETE FROM events WHERE %s AND ` + outcomes.NotKept + `
		RETURNING octet_length(envelope) + octet_length(idempotency_key) + octet_length(type) + octet_length(subject) + 64 AS size)
		SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone`
	inRange    = `seq > $1 AND seq <= $2`
	inReleased = `seq = ANY ($1::bigint[])`
)

func (s *step) run() error {
	if err := outcomes.LockTrim(s.ctx, s.tx); err != nil {
		return err
	}
	h, err := LockHead(s.ctx, s.tx)
	if err != nil {
		return err
	}
	if err := s.released(h); err != nil {
		return err
	}
	if err := s.sweep(h); err != nil {
		return err
	}
	if s.examined == 0 {
		return nil
	}
	return h.Save(s.ctx, s.tx)
}

// released removes leftovers that no delivery keeps any more.
func (s *step) released(h *Head) error {
	seqs, err := outcomes.Released(s.ctx, s.tx, uint64(s.before), trimStep)
	if err != nil || len(seqs) == 0 {
		return err
	}
	s.examined = len(seqs)
	if err := s.remove(h, inReleased, seqs); err != nil {
		return err
	}
	return outcomes.Freed(s.ctx, s.tx, seqs)
}

// sweep goes on from Head.Trimmed.
func (s *step) sweep(h *Head) error {
	from := h.Trimmed
	n, edge, err := s.edge(`SELECT seq FROM events WHERE seq > $1 AND seq < $2 ORDER BY seq LIMIT $3`, signed(from), s.before, trimStep)
	if err != nil || n == 0 {
		return err
	}
	s.examined = max(s.examined, n)
	if err := s.remove(h, inRange, signed(from), edge); err != nil {
		return err
	}
	h.Trimmed = uint64(edge)
	return outcomes.Swept(s.ctx, s.tx, from, h.Trimmed)
}

// remove removes the events of a condition that no delivery keeps.
func (s *step) remove(h *Head, condition string, args ...any) error {
	var events, bytes int64
	if err := s.tx.QueryRow(s.ctx, fmt.Sprintf(remove, condition), args...).Scan(&events, &bytes); err != nil {
		return err
	}
	s.removed += int(events)
	h.Events, h.Bytes = h.Events-events, h.Bytes-bytes
	return nil
}

// restamp replaces future times of appends by the present one, from the oldest to the newest,
// so that the order holds meanwhile. New events get the time of the last one until the end.
func (l *Log) restamp(ctx context.Context) error {
	restamped := 0
	for done := false; !done; {
		n := 0
		err := l.db.Write(ctx, "replace future timestamps", func(ctx context.Context, tx pgx.Tx) error {
			n, done = 0, true
			h, err := ReadHead(ctx, tx) // without its lock, since there is hardly ever anything to do
			if err != nil || h.At <= l.now().Add(event.ClockSlack).UnixNano() {
				return err
			}
			if h, err = LockHead(ctx, tx); err != nil {
				return err
			}
			now := l.now()
			from, err := seqAt(ctx, tx, h, now.Add(1))
			if err != nil {
				return err
			}
			// A step is larger than what publishers append between two.
			tag, err := tx.Exec(ctx, `UPDATE events SET appended_at = $1 WHERE seq IN (SELECT seq FROM events WHERE seq >= $2 ORDER BY seq
				LIMIT $3)`, now.UnixNano(), signed(from), 8*trimStep)
			if err != nil {
				return err
			}
			if n = int(tag.RowsAffected()); n < 8*trimStep {
				h.At = now.UnixNano()
				return h.Save(ctx, tx)
			}
			done = false
			return nil
		})
		if err != nil {
			return err
		}
		restamped += n
	}
	if restamped > 0 {
		l.log.Warn("future timestamps replaced: the clock was set back", "events", restamped, "time", l.now().UTC().Format(time.RFC3339))
	}
	return nil
}
