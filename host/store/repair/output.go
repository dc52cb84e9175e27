package repair

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/store/pages"
)

// batchSize is the number of entries of one transaction.
const batchSize = 4096

// output is the new store while it is filled.
type output struct {
	ctx     context.Context
	db      *sql.DB
	tx      *sql.Tx
	stmts   map[string]*sql.Stmt // by text
	pending int
}

// The entries that an index of the damaged file has and its table may not have; and those
// of pages that can be of several tables.
const temporary = `
	CREATE TEMP TABLE missing_events (seq INTEGER PRIMARY KEY) STRICT;
	CREATE TEMP TABLE indexed_events (seq INTEGER PRIMARY KEY) STRICT; -- missing, or trimmed
	CREATE TEMP TABLE missing_deliveries (handler TEXT, seq INTEGER, status TEXT, kept INTEGER NOT NULL,
		PRIMARY KEY (handler, seq)) STRICT, WITHOUT ROWID;
	CREATE TEMP TABLE missing_blocks (handler TEXT, seq INTEGER, PRIMARY KEY (handler, seq)) STRICT, WITHOUT ROWID;
	CREATE TEMP TABLE missing_kv (plugin TEXT, key TEXT, PRIMARY KEY (plugin, key)) STRICT, WITHOUT ROWID;
	CREATE TEMP TABLE missing_orders (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
	CREATE TEMP TABLE uncertain (seq INTEGER PRIMARY KEY) STRICT; -- events, from pages that may be free
	CREATE TEMP TABLE ambiguous (tree INTEGER, name TEXT, seq INTEGER, PRIMARY KEY (tree, name)) STRICT, WITHOUT ROWID;`

func newOutput(ctx context.Context, db *sql.DB, c *catalog) (*output, error) {
	if _, err := db.ExecContext(ctx, temporary); err != nil {
		return nil, err
	}
	if c.table("identity") != nil { // a migration has made one; the store has its own
		if _, err := db.ExecContext(ctx, `DELETE FROM identity`); err != nil {
			return nil, err
		}
	}
	return &output{ctx: ctx, db: db, stmts: make(map[string]*sql.Stmt)}, nil
}

// exec runs a statement in the present batch and returns the number of changed entries.
func (o *output) exec(text string, args ...any) (n int64, err error) {
	if o.tx == nil {
		if o.tx, err = o.db.BeginTx(o.ctx, nil); err != nil {
			return 0, err
		}
	}
	stmt := o.stmts[text]
	if stmt == nil {
		if stmt, err = o.tx.PrepareContext(o.ctx, text); err != nil {
			return 0, err
		}
		o.stmts[text] = stmt
	}
	result, err := stmt.ExecContext(o.ctx, args...)
	if err != nil {
		return 0, err
	}
	if n, err = result.RowsAffected(); err != nil {
		return n, err
	}
	if o.pending++; o.pending >= batchSize {
		err = o.commit()
	}
	return n, err
}

// commit ends the present batch.
func (o *output) commit() error {
	if o.tx == nil {
		return nil
	}
	tx := o.tx
	o.tx, o.pending = nil, 0
	clear(o.stmts) // they end with the transaction
	return tx.Commit()
}

// insert adds an entry to a table, and reports whether the table did not have it.
func (o *output) insert(t *table, e pages.Entry) (bool, error) {
	args, columns := t.arguments(e)
	n, err := o.exec(fmt.Sprintf(`INSERT OR IGNORE INTO %s (%s) VALUES (?%s)`, t.name, columns, strings.Repeat(", ?", len(args)-1)), args...)
	return n > 0, err
}
