package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// Versions before the packed history stored a plain success as a delivery. The keeper
// moves these into blocks, in paced steps after each start, and so reclaims their pages.
// It is not needed for anything: a delivery that was not moved is shown like one that was.

const (
	convertStep  = 512 // deliveries of one group, at most
	convertSteps = 16  // of one call of convert
)

// conversion is the progress of moving plain successes into blocks.
type conversion struct {
	after deliveryKey // all up to here were examined
	done  bool
	moved int
	pace
}

// keepConverting moves the next plain successes into blocks. Only the keeper calls it.
func (s *Store) keepConverting() {
	c := &s.converting
	if c.done {
		return
	}
	err := s.convert(context.Background(), c)
	switch {
	case err == nil && c.done && c.moved > 0:
		s.log.Info("successes of an older version moved into blocks", "outcomes", c.moved)
	case err == nil || s.closed():
	case datafile.Damaged(err):
		c.done = true
		s.log.Error("successes of an older version remain as they are: the store is damaged", "error", err)
	default: // a second later again; other writes report the cause
		s.log.Debug("successes of an older version not moved into blocks", "error", err)
	}
}

// convert moves plain successes of events above the mark "trimmed" into blocks, in at
// most convertSteps groups.
func (s *Store) convert(ctx context.Context, c *conversion) error {
	const doing = "move successes into blocks"
	if c.max == 0 {
		c.pace = *newPace(convertStep)
	}
	for range convertSteps {
		var handler string
		var seq int64
		err := s.read.nextPlain.QueryRowContext(ctx, c.after.handler, datafile.Seq(c.after.seq), datafile.Seq(s.trimmed.Load())).Scan(&handler, &seq)
		if errors.Is(err, sql.ErrNoRows) {
			c.done = true
			return nil
		}
		if err != nil {
			return s.coded(doing, err)
		}
		var last deliveryKey
		moved := 0
		err = s.paced(ctx, doing, &c.pace, func(g *group) (err error) {
			last, moved, err = g.convert(deliveryKey{handler, uint64(seq)}, c.step)
			return err
		})
		if err != nil {
			return err
		}
		c.after, c.moved = last, c.moved+moved
		if err := s.pause(ctx, doing, &c.pace); err != nil {
			return err
		}
	}
	return nil
}

// convert moves the plain successes among the next deliveries of one handler, and returns
// the last of these deliveries. Events at or below the mark "trimmed" keep theirs.
func (g *group) convert(from deliveryKey, limit int) (last deliveryKey, moved int, err error) {
	rows, err := g.bind(g.s.write.deliveriesFrom).Query(from.handler, datafile.Seq(from.seq), limit)
	list, err := outcomes.ScanDeliveries(rows, err)
	if err != nil {
		return from, 0, err
	}
	last = from // it may have been removed meanwhile
	var packed pack.Runs
	for i := range list {
		d := &list[i]
		last.seq = d.Seq
		if o, ok := pack.FromDelivery(d); ok && d.Seq > g.trimmedTo() {
			packed.Add(d.Handler, o)
			moved++
		}
	}
	return last, moved, g.saveRuns(&packed)
}

// isPlain is the condition of deliveries that pack.FromDelivery takes, or nearly so.
const isPlain = `status = '` + string(event.StatusOK) + `' AND attempts = 1 AND error_class = '' AND error_message = '' AND due = 0
	AND at <> 0 AND first_at = at - duration`
