package shelf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/fault"
)

const (
	partSize = 1 << 20
	// unused is how old a module must be for RemoveModules: a host that installs a plugin
	// uploads its module first, and names it in a document then.
	unused = `interval '1 hour'`
)

// PutModule stores a module under its SHA-256, in hex; fault.Invalid when it is another one's.
// One that is there is marked as new.
func (s *Shelf) PutModule(ctx context.Context, sum string, content []byte) error {
	const doing = "store a module"
	if got := digest(content); got != sum {
		return fault.New(fault.Invalid, "%s: its SHA-256 is %s, not %s", doing, got, sum)
	}
	return s.db.Write(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		part := 0
		for p := range slices.Chunk(content, partSize) {
			if _, err := tx.Exec(ctx, `INSERT INTO modules (sha256, part, content, stored_at) VALUES ($1, $2, $3, now())
				ON CONFLICT (sha256, part) DO UPDATE SET stored_at = excluded.stored_at`, sum, part, p); err != nil {
				return err
			}
			part++
		}
		return nil
	})
}

// Module returns the module with this SHA-256, in hex, and whether it is there. fault.Internal
// when the database has another content under it.
func (s *Shelf) Module(ctx context.Context, sum string) (content []byte, found bool, err error) {
	const doing = "read a module"
	err = s.db.Read(ctx, doing, func(ctx context.Context, tx pgx.Tx) error {
		content = nil
		for part, more := 0, true; more; part++ {
			var p []byte
			rows, err := tx.Query(ctx, `SELECT content FROM modules WHERE sha256 = $1 AND part = $2`, sum, part)
			if err != nil {
				return err
			}
			if more, err = one(rows, &p); err != nil {
				return err
			}
			content = append(content, p...)
		}
		return nil
	})
	if err != nil || content == nil {
		return nil, false, err
	}
	if got := digest(content); got != sum {
		return nil, false, fault.New(fault.Internal, "%s: the database has a module with the SHA-256 %s under %s: install the plugin again, "+
			"and examine the database", doing, got, sum)
	}
	return content, true, nil
}

// one scans the only row, if there is one.
func one(rows pgx.Rows, dest ...any) (found bool, err error) {
	defer rows.Close()
	if found = rows.Next(); found {
		err = rows.Scan(dest...)
	}
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	return found, err
}

// RemoveModules removes the modules except those with these SHA-256, and except those that were
// stored within the last hour by the clock of the database.
func (s *Shelf) RemoveModules(ctx context.Context, keep []string) error {
	return s.db.Write(ctx, "remove modules", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM modules WHERE sha256 <> ALL ($1) AND stored_at < now() - `+unused, append([]string{}, keep...))
		return err
	})
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
