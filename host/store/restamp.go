package store

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/event"
)

// restamp gives events that bear a time of the future the present one: the clock
// was far ahead when they were appended, and was set back. appended_at never goes
// back along the log, so what is appended bears such a time as well until then,
// and no retention would take any of it.
//
// It goes from the oldest of them to the newest, a step in each group, and so the
// order holds meanwhile and after a crash.
func (s *Store) restamp(ctx context.Context) error {
	if s.closed() {
		return s.coded("trim the log", errClosed())
	}
	var newest, mended int64
	if err := s.read.newestAt.QueryRowContext(ctx).Scan(&newest); err != nil {
		return s.coded("trim the log", err)
	}
	if newest <= s.now().Add(event.ClockSlack).UnixNano() {
		return nil
	}
	for {
		now := s.now()
		// Outside of the group: until it is done the place only moves up by this loop.
		from, err := s.SeqAt(ctx, now.Add(1))
		if err != nil {
			return err
		}
		n := int64(0)
		o := &op{events: trimStep, run: func(g *group) (err error) {
			if n, err = g.exec(s.trim.restamp, now.UnixNano(), sqlSeq(from), trimStep); err == nil && n < trimStep {
				g.at, g.restamped = now.UnixNano(), true
			}
			return err
		}}
		if err := s.submit(ctx, "mend times of the future", o); err != nil {
			return err
		}
		if mended += n; n < trimStep {
			break
		}
	}
	if mended > 0 {
		s.log.Warn("the clock was set back: events bore times of the future, and bear the present one now",
			"events", mended, "time", s.now().UTC().Format(time.RFC3339))
	}
	return nil
}
