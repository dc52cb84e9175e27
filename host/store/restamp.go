package store

import (
	"context"
	"math"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// restamp gives events that bear a time of the future the present one: the clock
// was far ahead when they were appended, and was set back. appended_at never goes
// back along the log, so what is appended bears such a time as well until then,
// and no retention would take any of it.
//
// It goes from the oldest of them to the newest, a step in each group, and so the
// order holds meanwhile and after a crash. The steps become larger while publishers
// append about as much as one mends.
func (s *Store) restamp(ctx context.Context) error {
	var newest, restamped int64
	if err := s.read.newestAt.QueryRowContext(ctx).Scan(&newest); err != nil {
		return s.coded("trim the log", err)
	}
	if newest <= s.now().Add(event.ClockSlack).UnixNano() {
		return nil
	}
	step, left := uint64(trimStep), uint64(math.MaxUint64)
	for {
		now := s.now()
		// Outside of the group: until it is done the place only moves up by this loop.
		from, err := s.SeqAt(ctx, now.Add(1))
		if err != nil {
			return err
		}
		before := left
		if left = s.Last() + 1 - from; left+step/2 > before { // it gained less than half of a step
			step *= 2
		}
		n, limit := int64(0), int64(step)
		o := &op{events: int(step), run: func(g *group) (err error) {
			if n, err = g.exec(s.trim.restamp, now.UnixNano(), datafile.Seq(from), limit); err == nil && n < limit {
				g.at, g.restamped = now.UnixNano(), true
			}
			return err
		}}
		if err := s.submit(ctx, "mend times of the future", o); err != nil {
			return err
		}
		if restamped += n; n < limit {
			break
		}
	}
	if restamped > 0 {
		s.log.Warn("the clock was set back: events bore times of the future, and bear the present one now",
			"events", restamped, "time", s.now().UTC().Format(time.RFC3339))
	}
	return nil
}
