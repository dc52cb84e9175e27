package outcomes

import (
	"context"
	"database/sql"
	"errors"

	"github.com/berth-host/berth/host/event/pack"
	"github.com/berth-host/berth/host/store/datafile"
)

// Check reads every block of a data file of the latest schema and returns those that
// cannot be read, at most limit.
func Check(ctx context.Context, db *sql.DB, limit int) (bad []*Unreadable, err error) {
	frames, err := listFrames(db.QueryContext(ctx, `SELECT `+frameColumns+` FROM outcome_blocks AS b ORDER BY handler, first_seq`))
	if err != nil && !datafile.Damaged(err) {
		return nil, err // otherwise frames has those before the damage, which the check of the pages reports
	}
	content, err := db.PrepareContext(ctx, `SELECT block FROM outcome_blocks WHERE id = ?`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	var list []pack.Outcome
	for i := range frames {
		f := &frames[i]
		var text []byte
		err := content.QueryRowContext(ctx, f.id).Scan(&text)
		block, err := f.open(text, err)
		if err == nil {
			if list, err = block.AppendTo(list[:0]); err != nil {
				err = f.unreadable(err)
			}
		}
		var unreadable *Unreadable
		switch {
		case err == nil:
		case !errors.As(err, &unreadable):
			return bad, err
		default:
			if bad = append(bad, unreadable); len(bad) == limit {
				return bad, nil
			}
		}
	}
	return bad, nil
}
