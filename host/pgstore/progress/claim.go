package progress

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/pgstore/outcomes"
)

// Claim stores the first position of a handler unless there is one: of several hosts that do so at
// once, one decides. See delivery.Config.Claim.
func (s *State) Claim(ctx context.Context, first event.Cursor) error {
	return s.cfg.DB.Write(ctx, "claim a position in the log", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := outcomes.Lock(ctx, tx, first.Handler()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO cursors (name, seq) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, first.Name, int64(first.Seq))
		return err
	})
}
