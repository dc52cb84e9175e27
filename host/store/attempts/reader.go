package attempts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/outcomes"
)

// Reader reads attempts. It is safe for concurrent use.
type Reader struct{ of *sql.Stmt }

// NewReader prepares the statements of a Reader.
func NewReader(ctx context.Context, db *sql.DB) (*Reader, error) {
	r := &Reader{}
	return r, datafile.Prepare(ctx, db, datafile.Statements{
		&r.of: handlers + `SELECT a.` + strings.ReplaceAll(columns, `, `, `, a.`) + ` FROM named CROSS JOIN attempts AS a INDEXED BY attempts_by_event
			WHERE a.handler = named.handler AND a.seq = ? ORDER BY a.handler, a.id`,
	})
}

// Of returns the attempts of an event, by handler and in the order in which they ended.
func (r *Reader) Of(ctx context.Context, seq uint64) ([]event.PastAttempt, error) {
	var list []event.PastAttempt
	var a event.PastAttempt
	var id, size, at, duration, fuel int64
	var text string
	var failed error
	found, err := r.of.QueryContext(ctx, datafile.Seq(seq))
	err = datafile.Each(found, err, func() {
		a.At, a.Duration, a.Fuel = outcomes.Time(at), time.Duration(duration), uint64(fuel)
		lines, bad := decode(text)
		if bad != nil {
			failed = fmt.Errorf("the logs of attempt %d of %s: %w", a.Number, a.Handler, bad)
		}
		a.Logs = lines
		list = append(list, a)
	}, &id, &a.Handler, &a.Seq, &a.Number, &at, &a.Status, &a.Class, &a.Message, &duration, &fuel, &a.SHA256, &a.Instance, &size, &text)
	return list, errors.Join(err, failed)
}
