package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/pgstore/conn"
	"github.com/berth-host/berth/host/spec"
)

// Ledger is a cluster.Ledger. It is safe for concurrent use.
type Ledger struct {
	db *conn.DB
	// beats has connections of its own: a lease must not be lost because writes of handlers, or
	// takes that wait for them, use all others.
	beats  *conn.DB
	remove remover
}

// maxBeats is the number of connections for Beat: one that hangs must not stop the next.
const maxBeats = 2

// New returns the Ledger in a database, to be closed before it.
func New(db *conn.DB) (*Ledger, error) {
	beats, err := db.Apart(maxBeats)
	if err != nil {
		return nil, err
	}
	return &Ledger{db: db, beats: beats}, nil
}

// Close closes the connections of the ledger.
func (l *Ledger) Close() { l.beats.Close() }

// Wake has a token after another host has changed the ledger or a shared document.
func (l *Ledger) Wake() <-chan struct{} { return l.db.Notified(conn.Cluster) }

const (
	// asynchronous has the commit of this transaction wait for neither disk nor standby, and its
	// statements for no lock longer than 1 s: the host learns that the database answers.
	asynchronous = `SELECT set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '1s', true)`
	// lockName lets one member of a name join after the other: of two that write their rows at one
	// moment, neither would read the other's.
	lockName  = `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' member ' || $1::text, 0))`
	writeBeat = `INSERT INTO members (id, beat, body) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, body = excluded.body WHERE members.beat <= excluded.beat`
	readAll = `SELECT 0, id, '', beat, body FROM members
		UNION ALL SELECT 1, name, owner, ` + conn.Epoch + `, NULL FROM units
		UNION ALL SELECT 2, kind, '', revision, NULL FROM revisions
		UNION ALL SELECT 3, '', '', (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint, NULL
		ORDER BY 1, 2`
)

// Beat writes the row of a member, or makes it, unless the row has a higher Beat already, and
// returns everything as of that transaction: the statement that reads begins after the write,
// which may have waited for the deletion of the row. An error of a database that answers is not
// fault.Unavailable.
func (l *Ledger) Beat(ctx context.Context, m spec.Beating) (view spec.ClusterView, err error) {
	const doing = "renew the row of this host"
	body, err := json.Marshal(m.Member)
	if err != nil {
		return view, fmt.Errorf("%s: %w", doing, err)
	}
	err = l.beats.Pipeline(ctx, doing, func(b *pgx.Batch) {
		b.Queue(asynchronous)
		if m.Joining {
			b.Queue(lockName, m.Name)
		}
		b.Queue(writeBeat, m.ID, int64(m.Beat), body)
		b.Queue(readAll).Query(func(rows pgx.Rows) (err error) {
			view, err = scanView(rows)
			return err
		})
	})
	switch conn.State(err) {
	case "40P01", "40001", "55P03", "57014": // it could not be done beside others
		err = fault.New(fault.Conflict, "%w", err)
	}
	if err != nil {
		return spec.ClusterView{}, err
	}
	return view, nil
}

// scanView returns what readAll selects. A member is who its row says: one whose description
// cannot be read, such as that of a newer version, must not end the leases of all others.
func scanView(rows pgx.Rows) (spec.ClusterView, error) {
	view := spec.ClusterView{Revisions: make(map[string]uint64)}
	var what int
	var name, owner string
	var number int64
	var body []byte
	_, err := pgx.ForEachRow(rows, []any{&what, &name, &owner, &number, &body}, func() error {
		switch what {
		case 0:
			var m spec.Member
			if json.Unmarshal(body, &m) != nil {
				m = spec.Member{Name: name}
			}
			m.ID = name
			view.Members = append(view.Members, spec.Beating{Member: m, Beat: uint64(number)})
		case 1:
			view.Units = append(view.Units, spec.Unit{Name: name, Owner: owner, Epoch: uint64(number)})
		case 2:
			view.Revisions[name] = uint64(number)
		case 3:
			view.Now = time.Unix(0, number).UTC()
		}
		return nil
	})
	return view, err
}

// Leave deletes a member and frees its units.
func (l *Ledger) Leave(ctx context.Context, id string) error {
	return l.dismiss(ctx, "leave the cluster", []string{id}, nil)
}

// Expire deletes those of the members whose Beat is still the one that is given, and frees their
// units.
func (l *Ledger) Expire(ctx context.Context, dead []spec.Beating) error {
	if len(dead) == 0 {
		return nil
	}
	ids, beats := make([]string, len(dead)), make([]int64, len(dead))
	for i := range dead {
		ids[i], beats[i] = dead[i].ID, int64(dead[i].Beat)
	}
	return l.dismiss(ctx, "remove hosts that ended", ids, beats)
}

// dismiss deletes members, if beats is nil or has their Beat, and frees their units.
func (l *Ledger) dismiss(ctx context.Context, doing string, ids []string, beats []int64) error {
	removed := false
	err := l.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		// Their units first, in the order of all transactions. A unit that one of them takes until
		// its row is deleted is freed as well.
		if _, err := tx.Exec(ctx, `SELECT FROM units WHERE owner = ANY ($1) ORDER BY name FOR UPDATE`, ids); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `DELETE FROM members USING unnest($1::text[], $2::bigint[]) AS dead (id, beat)
			WHERE members.id = dead.id AND ($2::bigint[] IS NULL OR members.beat = dead.beat) RETURNING members.id`, ids, beats)
		if err != nil {
			return err
		}
		gone, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if removed = len(gone) > 0; err != nil || !removed {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE units SET owner = '' WHERE owner = ANY ($1)`, gone)
		return err
	})
	if err == nil && removed {
		l.db.Notify(conn.Cluster)
	}
	return err
}

// Take makes a member the owner of a unit in its next epoch, which it returns. fault.Conflict
// when the unit is not as seen, or another member's, and when owner is no member.
func (l *Ledger) Take(ctx context.Context, unit string, seen spec.Unit, owner string) (epoch uint64, err error) {
	err = l.db.Write(ctx, "take a unit", func(ctx context.Context, tx pgx.Tx) error {
		changed := func() error {
			return fault.New(fault.Conflict, "unit %s: another host was first", unit)
		}
		if err := conn.LockUnits(ctx, tx, unit); err != nil {
			return err
		}
		var present spec.Unit
		err := tx.QueryRow(ctx, `SELECT owner, `+conn.Epoch+` FROM units WHERE name = $1 FOR UPDATE`, unit).Scan(&present.Owner, &present.Epoch)
		missing := errors.Is(err, pgx.ErrNoRows)
		if err != nil && !missing {
			return err
		}
		if present.Owner != seen.Owner || present.Epoch != seen.Epoch || present.Owner != "" && present.Owner != owner {
			return changed()
		}
		var id string
		// Beats go on beside this lock, but nothing deletes the member until the commit.
		if err = tx.QueryRow(ctx, `SELECT id FROM members WHERE id = $1 FOR KEY SHARE`, owner).Scan(&id); errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.Conflict, "unit %s: this host is no member now: it did not renew its row in time", unit)
		}
		if err != nil {
			return err
		}
		take := `UPDATE units SET owner = $2, epoch = ` + conn.Epoch + ` + 1 WHERE name = $1 RETURNING epoch`
		if missing {
			take = `INSERT INTO units (name, owner, epoch) VALUES ($1, $2, ` + conn.BaseEpoch + ` + 1) ON CONFLICT (name) DO NOTHING RETURNING epoch`
		}
		if err = tx.QueryRow(ctx, take, unit, owner).Scan(&epoch); errors.Is(err, pgx.ErrNoRows) {
			return changed()
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	l.db.Notify(conn.Cluster)
	return epoch, nil
}

// Give frees a unit; its epoch stays. The error wraps spec.ErrFenced when the epoch is not the
// present one.
func (l *Ledger) Give(ctx context.Context, f spec.Fence) error {
	err := l.db.Write(ctx, "give a unit away", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE units SET owner = '' WHERE name = $1 AND `+conn.Epoch+` = $2`, f.Unit, int64(f.Epoch))
		if err != nil || tag.RowsAffected() == 1 {
			return err
		}
		stale, err := conn.Stale(ctx, tx, []spec.Fence{f}) // a unit without a row has epoch 0
		if err == nil && len(stale) > 0 {
			err = fmt.Errorf("unit %s, epoch %d: %w", f.Unit, f.Epoch, spec.ErrFenced)
		}
		return err
	})
	if err == nil {
		l.db.Notify(conn.Cluster)
	}
	return err
}
