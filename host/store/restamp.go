package store

import (
	"context"
	"math"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// restamp replaces future timestamps by the present one: the clock was far ahead when
// these events were appended, and was set back. appended_at never decreases along the
// log, so new events would get such a timestamp as well until then, and no retention
// would remove any of them.
//
// It goes from the oldest to the newest, a step in each group, so that the order holds
// meanwhile and after a crash. The steps grow while publishers append about as much as
// one step restamps.
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
		// Outside the group: only this loop moves the position up.
		from, err := s.SeqAt(ctx, now.Add(1))
		if err != nil {
			return err
		}
		before := left
		if left = s.Last() + 1 - from; left+step/2 > before { // the publishers appended more than half of a step
			step *= 2
		}
		n, limit := int64(0), int64(step)
		o := &op{events: int(step), run: func(g *group) (err error) {
			if n, err = g.exec(s.trim.restamp, now.UnixNano(), datafile.Seq(from), limit); err == nil && n < limit {
				g.at, g.restamped = now.UnixNano(), true
			}
			return err
		}}
		if err := s.submit(ctx, "replace future timestamps", o); err != nil {
			return err
		}
		if restamped += n; n < limit {
			break
		}
	}
	if restamped > 0 {
		s.log.Warn("future timestamps replaced: the clock was set back",
			"events", restamped, "time", s.now().UTC().Format(time.RFC3339))
	}
	return nil
}
