package transfer

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event/transfer"
)

// converted are the columns that the tables store in another form or under another name.
var converted = map[string]struct{ name, read string }{
	"head.last":       {"seq", `seq`},
	"events.event_id": {"event_id", `coalesce(event_id, idempotency_key)`},
}

// types are the types of the columns of all tables, by TABLE.COLUMN.
type types map[string]string

func readTypes(ctx context.Context, c *pgx.Conn, schema string) (types, error) {
	t := make(types)
	var table, column, typ string
	rows, err := c.Query(ctx, `SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = $1`, schema)
	if err != nil {
		return nil, err
	}
	_, err = pgx.ForEachRow(rows, []any{&table, &column, &typ}, func() error {
		t[table+"."+column] = typ
		return nil
	})
	return t, err
}

// names are the columns of a kind as the table has them.
func names(k *transfer.Kind) []string {
	list := make([]string, len(k.Columns))
	for i, c := range k.Columns {
		list[i] = c.Name
		if other, ok := converted[k.Name+"."+c.Name]; ok {
			list[i] = other.name
		}
	}
	return list
}

// readable are the expressions of the first n columns of a kind.
func (t types) readable(k *transfer.Kind, n int) string {
	list := names(k)[:n]
	for i, c := range k.Columns[:n] {
		switch other, ok := converted[k.Name+"."+c.Name]; {
		case ok:
			list[i] = other.read
		case t[k.Name+"."+list[i]] == "boolean":
			list[i] += `::integer`
		}
	}
	return strings.Join(list, ", ")
}

// value is the value of a column of a row as the table takes it.
func (t types) value(k *transfer.Kind, row transfer.Row, i int) any {
	v := row[i]
	switch t[k.Name+"."+names(k)[i]] {
	case "boolean":
		return v.(int64) != 0
	case "text":
		return string(v.([]byte))
	}
	b, isBytes := v.([]byte)
	switch {
	case isBytes && k.Name == "events" && i == 1 && string(b) == string(row[2].([]byte)):
		return nil // the id is the key
	case isBytes && b == nil:
		return []byte{} // nil would be NULL
	}
	return v
}

// reader reads rows of a schema.
type reader struct {
	c *pgx.Conn
	types
}

// Store implements transfer.Source.
func (r *reader) Store(ctx context.Context) (id string, err error) {
	return id, r.c.QueryRow(ctx, `SELECT store FROM head`).Scan(&id)
}

// Count implements transfer.Source.
func (r *reader) Count(ctx context.Context, k *transfer.Kind) (n int64, err error) {
	return n, r.c.QueryRow(ctx, `SELECT count(*) FROM `+k.Name).Scan(&n)
}

// Page implements transfer.Source.
func (r *reader) Page(ctx context.Context, k *transfer.Kind, after transfer.Row) ([]transfer.Row, error) {
	key := strings.Join(names(k)[:k.Key], ", ")
	query := `SELECT ` + r.readable(k, len(k.Columns)) + ` FROM ` + k.Name
	args := make([]any, len(after))
	for i := range after {
		args[i] = r.value(k, after, i)
	}
	if after != nil {
		parameters := make([]string, k.Key)
		for i := range parameters {
			parameters[i] = fmt.Sprintf("$%d", i+1)
		}
		query += ` WHERE (` + key + `) > (` + strings.Join(parameters, ", ") + `)`
	}
	found, err := r.c.Query(ctx, query+` ORDER BY `+key+fmt.Sprintf(` LIMIT %d`, transfer.MaxRows), args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var page transfer.Page
	numbers, contents := make([]int64, len(k.Columns)), make([][]byte, len(k.Columns))
	dest := make([]any, len(k.Columns))
	for i, c := range k.Columns {
		dest[i] = &contents[i]
		if c.Type == transfer.Int {
			dest[i] = &numbers[i]
		}
	}
	for found.Next() {
		if err := found.Scan(dest...); err != nil {
			return nil, err
		}
		row := make(transfer.Row, len(k.Columns))
		for i, c := range k.Columns {
			if c.Type == transfer.Int {
				row[i] = numbers[i]
			} else {
				row[i], contents[i] = contents[i], nil
			}
		}
		if page.Add(row) {
			break
		}
	}
	found.Close()
	return page.Rows, found.Err()
}
