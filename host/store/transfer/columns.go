package transfer

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/event/transfer"
)

// converted are the columns that the file stores in another form: how it reads and writes
// them. ?N is the number of the column in the row.
var converted = map[string]struct{ read, write string }{
	"events.event_id": {`coalesce(event_id, idempotency_key)`, `nullif(?2, ?3)`},
	"kv.until":        {`coalesce(until, 0)`, `nullif(?4, 0)`},
	"orders.position": {`rowid`, `?1`},
}

// tables are the names of what a kind is read from, where it is not a table of its name.
var tables = map[string]string{
	"head": `(SELECT store, max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM marks)) AS last,
		coalesce((SELECT seq FROM marks WHERE name = 'trimmed'), 0) AS trimmed FROM identity)`,
}

// table returns what a kind is read from.
func table(k *transfer.Kind) string {
	if name := tables[k.Name]; name != "" {
		return name
	}
	return k.Name
}

// readable are the expressions of the first n columns of a kind.
func readable(k *transfer.Kind, n int) string {
	list := make([]string, n)
	for i, c := range k.Columns[:n] {
		list[i] = c.Name
		if other, ok := converted[k.Name+"."+c.Name]; ok {
			list[i] = other.read
		}
	}
	return strings.Join(list, ", ")
}

// insertion is the statement that inserts a row of a kind.
func insertion(k *transfer.Kind) string {
	names, values := make([]string, len(k.Columns)), make([]string, len(k.Columns))
	for i, c := range k.Columns {
		names[i], values[i] = c.Name, fmt.Sprintf("?%d", i+1)
		if other, ok := converted[k.Name+"."+c.Name]; ok {
			values[i] = other.write
		}
		if names[i] == "position" {
			names[i] = "rowid"
		}
	}
	return fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, k.Name, strings.Join(names, ", "), strings.Join(values, ", "))
}

// reader reads rows of a data file.
type reader struct{ db *sql.DB }

// Store implements transfer.Source.
func (r reader) Store(ctx context.Context) (id string, err error) {
	return id, r.db.QueryRowContext(ctx, `SELECT store FROM identity`).Scan(&id)
}

// Count implements transfer.Source.
func (r reader) Count(ctx context.Context, k *transfer.Kind) (n int64, err error) {
	return n, r.db.QueryRowContext(ctx, `SELECT count(*) FROM `+table(k)).Scan(&n)
}

// Page implements transfer.Source.
func (r reader) Page(ctx context.Context, k *transfer.Kind, after transfer.Row) ([]transfer.Row, error) {
	key := readable(k, k.Key)
	query := `SELECT ` + readable(k, len(k.Columns)) + ` FROM ` + table(k)
	if after != nil {
		query += ` WHERE (` + key + `) > (?` + strings.Repeat(`, ?`, k.Key-1) + `)`
	}
	rows, err := r.db.QueryContext(ctx, query+` ORDER BY `+key+fmt.Sprintf(` LIMIT %d`, transfer.MaxRows), arguments(k, after)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page transfer.Page
	numbers, contents := make([]int64, len(k.Columns)), make([]sql.RawBytes, len(k.Columns))
	dest := make([]any, len(k.Columns))
	for i, c := range k.Columns {
		dest[i] = &contents[i]
		if c.Type == transfer.Int {
			dest[i] = &numbers[i]
		}
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		row := make(transfer.Row, len(k.Columns))
		for i, c := range k.Columns {
			if c.Type == transfer.Int {
				row[i] = numbers[i]
			} else {
				row[i] = slices.Clone([]byte(contents[i]))
			}
		}
		if page.Add(row) {
			break
		}
	}
	return page.Rows, rows.Err()
}

// arguments are the values of a row, or of its first columns, for SQLite, whose strict tables
// distinguish texts from bytes.
func arguments(k *transfer.Kind, row transfer.Row) []any {
	list := make([]any, len(row))
	for i, v := range row {
		list[i] = v
		if b, ok := v.([]byte); ok && k.Columns[i].Type == transfer.Text {
			list[i] = string(b)
		} else if ok && b == nil {
			list[i] = []byte{} // nil would be NULL
		}
	}
	return list
}
