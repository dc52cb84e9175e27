package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Ask stores a command for the owner of its unit; one of the same ID is stored once.
func (l *Ledger) Ask(ctx context.Context, c spec.ClusterCommand) error {
	if err := l.removeOld(ctx); err != nil {
		return err
	}
	err := l.db.Write(ctx, "store a command for another host", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO commands (id, unit, method, body) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
			c.ID, c.Unit, c.Method, noNil(c.Body))
		return err
	})
	if err == nil {
		l.db.Notify(conn.Cluster)
	}
	return err
}

// Asked returns the unanswered commands for units, ascending by the time of Ask. It omits those
// that are older than a caller awaits an answer: what it has reported as perhaps not done must not
// be done later.
func (l *Ledger) Asked(ctx context.Context, units []string) ([]spec.ClusterCommand, error) {
	if err := l.removeOld(ctx); err != nil {
		return nil, err
	}
	var list []spec.ClusterCommand
	err := l.db.Query(ctx, "read commands of other hosts", `SELECT id, unit, method, body FROM commands
		WHERE answered_at IS NULL AND unit = ANY ($1) AND asked_at > clock_timestamp() - `+await+` ORDER BY asked_at, id`, []any{append([]string{}, units...)},
		func(rows pgx.Rows) error {
			list = nil
			var c spec.ClusterCommand
			_, err := pgx.ForEachRow(rows, []any{&c.ID, &c.Unit, &c.Method, &c.Body}, func() error {
				list = append(list, c)
				return nil
			})
			return err
		})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Answer stores what came of a command: a body, or a failure, which is not "".
func (l *Ledger) Answer(ctx context.Context, id string, body []byte, failure string) error {
	err := l.db.Write(ctx, "store the answer to a command", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE commands SET answered_at = clock_timestamp(), answer = $2, failure = $3
			WHERE id = $1 AND answered_at IS NULL`, id, noNil(body), []byte(failure))
		return err
	})
	if err == nil {
		l.db.Notify(conn.Cluster)
	}
	return err
}

// Answered returns what Answer stored, and whether anything was.
func (l *Ledger) Answered(ctx context.Context, id string) (body []byte, failure string, done bool, err error) {
	err = l.db.Query(ctx, "read the answer to a command",
		`SELECT answer, failure FROM commands WHERE id = $1 AND answered_at IS NOT NULL`, []any{id},
		func(rows pgx.Rows) (err error) {
			body, failure = nil, ""
			var text []byte
			if done = rows.Next(); done {
				err = rows.Scan(&body, &text)
				failure = string(text)
			}
			return err
		})
	if err != nil {
		return nil, "", false, err
	}
	return body, failure, done, nil
}

// noNil returns bytes that are not NULL for the database.
func noNil(bytes []byte) []byte {
	if bytes == nil {
		return []byte{}
	}
	return bytes
}

const (
	// await is how long the caller of a command awaits its answer; see cluster.Do.
	await = `interval '30 seconds'`
	// keep is how long commands and answers are kept, by the clock of the database.
	keep        = `interval '75 seconds'`
	removeEvery = 30 * time.Second
)

// remover says when old commands are removed.
type remover struct {
	mu   sync.Mutex
	last time.Time
}

// due reports whether it is time, and then counts from now.
func (r *remover) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < removeEvery {
		return false
	}
	r.last = time.Now()
	return true
}

// removeOld removes commands and answers that are old, if it is time.
func (l *Ledger) removeOld(ctx context.Context) error {
	if !l.remove.due() {
		return nil
	}
	return l.db.Pipeline(ctx, "remove old commands", func(b *pgx.Batch) {
		b.Queue(`DELETE FROM commands WHERE coalesce(answered_at, asked_at) < clock_timestamp() - ` + keep)
	})
}
