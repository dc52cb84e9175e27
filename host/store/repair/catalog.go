package repair

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/store/datafile"
	"github.com/berth-host/berth/host/store/pages"
)

// derived are the tables that are made again from the others.
var derived = []string{"attempt_logs", "event_keys", "key_index", "kv_usage", "log_size", "released", "stretches"}

// catalog is the schema of a store.
type catalog struct {
	tables  []*table
	indexes []*index
}

// table is a table, with how its entries are stored.
type table struct {
	name    string
	columns []column // in the order of an entry's values
	keyed   bool     // it has rowids
	alias   int      // the column that is the rowid; -1 for none
}

type column struct {
	name, kind string
	required   bool // not null
	original   bool // it has no default, so every entry has it
	key        int  // its position in the primary key, from 1; 0 for none
}

// index is an index, with the columns of its entries: those of the index and then the key
// of the table; "rowid" is the rowid and "" an expression.
type index struct {
	name    string
	table   *table
	columns []string
}

func readCatalog(ctx context.Context, db *sql.DB) (*catalog, error) {
	c := new(catalog)
	var name string
	var without bool
	found, err := db.QueryContext(ctx, `SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
		AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	if err := datafile.Each(found, err, func() {
		c.tables = append(c.tables, &table{name: name, keyed: !without, alias: -1})
	}, &name, &without); err != nil {
		return nil, err
	}
	// The derived ones last: what they have is compared with the others.
	slices.SortStableFunc(c.tables, func(a, b *table) int {
		order := func(t *table) int {
			if slices.Contains(derived, t.name) {
				return 1
			}
			return 0
		}
		return order(a) - order(b)
	})
	for _, t := range c.tables {
		if err := t.readColumns(ctx, db); err != nil {
			return nil, err
		}
		if err := c.readIndexes(ctx, db, t); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (t *table) readColumns(ctx context.Context, db *sql.DB) error {
	var c column
	found, err := db.QueryContext(ctx, `SELECT name, type, "notnull" OR pk > 0, dflt_value IS NULL, pk FROM pragma_table_info(?) ORDER BY cid`,
		t.name)
	if err := datafile.Each(found, err, func() { t.columns = append(t.columns, c) }, &c.name, &c.kind, &c.required, &c.original, &c.key); err != nil {
		return err
	}
	if !t.keyed { // the columns of the key come first
		slices.SortStableFunc(t.columns, func(a, b column) int {
			const last = 1 << 16
			rank := func(c column) int {
				if c.key == 0 {
					return last
				}
				return c.key
			}
			return rank(a) - rank(b)
		})
		return nil
	}
	key := slices.IndexFunc(t.columns, func(c column) bool { return c.key > 0 })
	if key >= 0 && t.columns[key].kind == "INTEGER" {
		t.alias = key
	}
	return nil
}

func (c *catalog) readIndexes(ctx context.Context, db *sql.DB, t *table) error {
	var name, origin string
	var names []string
	found, err := db.QueryContext(ctx, `SELECT name, origin FROM pragma_index_list(?) ORDER BY name`, t.name)
	if err := datafile.Each(found, err, func() {
		if t.keyed || origin != "pk" { // the key of a table without rowids is the table
			names = append(names, name)
		}
	}, &name, &origin); err != nil {
		return err
	}
	for _, name := range names {
		ix := &index{name: name, table: t}
		var part string
		found, err := db.QueryContext(ctx, `SELECT CASE cid WHEN -1 THEN 'rowid' WHEN -2 THEN '' ELSE name END
			FROM pragma_index_xinfo(?) ORDER BY seqno`, name)
		if err := datafile.Each(found, err, func() { ix.columns = append(ix.columns, part) }, &part); err != nil {
			return err
		}
		c.indexes = append(c.indexes, ix)
	}
	return nil
}

func (c *catalog) table(name string) *table {
	for _, t := range c.tables {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (c *catalog) index(name string) *index {
	for _, ix := range c.indexes {
		if ix.name == name {
			return ix
		}
	}
	return nil
}

// has reports whether values have the types of the table's columns.
func (t *table) has(values []any) bool {
	if len(values) == 0 || len(values) > len(t.columns) {
		return false
	}
	for i, c := range t.columns {
		if i >= len(values) {
			if c.original {
				return false
			}
			continue
		}
		v := values[i]
		if i == t.alias {
			if v != nil {
				return false
			}
			continue
		}
		if !c.takes(v) {
			return false
		}
	}
	return true
}

func (c column) takes(v any) bool {
	switch v.(type) {
	case nil:
		return !c.required
	case int64:
		return c.kind == "INTEGER" || c.kind == "INT"
	case float64:
		return c.kind == "REAL"
	case string:
		return c.kind == "TEXT"
	}
	return c.kind == "BLOB"
}

// has reports whether values have the types of the index's columns.
func (ix *index) has(values []any) bool {
	if len(values) != len(ix.columns) {
		return false
	}
	for i, name := range ix.columns {
		switch {
		case name == "":
		case name == "rowid":
			if _, ok := values[i].(int64); !ok {
				return false
			}
		default:
			at := ix.table.position(name)
			if at < 0 || !ix.table.columns[at].takes(values[i]) {
				return false
			}
		}
	}
	return true
}

// position returns where in an entry a column is, or -1.
func (t *table) position(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
}

// value returns a column of an entry; nil when the entry does not have it.
func (t *table) value(e pages.Entry, name string) any {
	at := t.position(name)
	switch {
	case at < 0 || at >= len(e.Values):
		return nil
	case at == t.alias:
		return e.Key
	}
	return e.Values[at]
}

func (t *table) text(e pages.Entry, name string) string {
	s, _ := t.value(e, name).(string)
	return s
}

func (t *table) integer(e pages.Entry, name string) int64 {
	n, _ := t.value(e, name).(int64)
	return n
}

// arguments returns the arguments of an entry's INSERT, and the names of its columns.
func (t *table) arguments(e pages.Entry) (args []any, columns string) {
	var names []string
	if t.keyed && t.alias < 0 {
		names, args = append(names, "rowid"), append(args, e.Key)
	}
	for i, v := range e.Values {
		if i == t.alias {
			v = e.Key
		}
		names, args = append(names, fmt.Sprintf("%q", t.columns[i].name)), append(args, v)
	}
	return args, strings.Join(names, ", ")
}
