// Package logwrite inserts events into the log of a store's data file; package logread
// reads them. Keys and Seqs are the caller's.
package logwrite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// Conn runs prepared statements in the transaction of the store's writer.
type Conn interface {
	Exec(stmt *sql.Stmt, args ...any) (changed int64, err error)
}

// columns are the columns of an event. Seq and time are known when the event is inserted.
// Events without an origin are inserted without the last one.
const (
	columns      = `seq, event_id, idempotency_key, type, subject, appended_at, envelope, origin`
	columnCount  = 8
	seqColumn    = 0
	timeColumn   = 5
	originColumn = columnCount - 1
)

// sizes are how many events the statements insert: the largest that is full is used,
// because running a statement costs a third of what an insert does.
var sizes = [...]int{16, 4, 1}

// Writer inserts events. It is not safe for concurrent use.
type Writer struct{ insert, insertOrigins [len(sizes)]*sql.Stmt }

// Prepare prepares the statements on the writer's connection.
func (w *Writer) Prepare(ctx context.Context, db *sql.DB) error {
	insert := func(names string, count, n int) string {
		one := `(?` + strings.Repeat(`, ?`, count-1) + `)`
		return `INSERT INTO events (` + names + `) VALUES ` + one + strings.Repeat(`, `+one, n-1)
	}
	list := make(datafile.Statements)
	for i, n := range sizes {
		list[&w.insert[i]] = insert(strings.TrimSuffix(columns, `, origin`), originColumn, n)
		list[&w.insertOrigins[i]] = insert(columns, columnCount, n)
	}
	return datafile.Prepare(ctx, db, list)
}

// Values are the values of an event's columns but its Seq and time. Callers of the store
// make them, because every write waits for the writer.
type Values struct {
	values [columnCount]any
	origin bool // there is one
}

// NewValues returns the values of an event.
func NewValues(ev *event.Event) Values {
	m := ev.Metadata()
	var id any // NULL when it is the key
	if m.EventID != m.IdempotencyKey {
		id = m.EventID
	}
	origin := ev.Origin().Encode()
	return Values{[columnCount]any{nil, id, m.IdempotencyKey, string(ev.Type()), m.Subject, nil, ev.Envelope(), origin}, origin != ""}
}

// Insert inserts events with the Seqs of their records. at is the time of the append, in
// unix nanoseconds.
func (w *Writer) Insert(c Conn, list []*Values, records []event.Record, at int64) error {
	args := make([]any, 0, min(len(list), sizes[0])*columnCount)
	appended := any(at)
	for len(list) > 0 {
		size := 0
		for sizes[size] > len(list) {
			size++
		}
		n := sizes[size]
		stmt, count := w.insert[size], originColumn
		if slices.ContainsFunc(list[:n], func(v *Values) bool { return v.origin }) {
			stmt, count = w.insertOrigins[size], columnCount
		}
		args = args[:0]
		for i, v := range list[:n] {
			from := len(args)
			args = append(args, v.values[:count]...)
			args[from+seqColumn], args[from+timeColumn] = int64(records[i].Seq), appended
		}
		if _, err := c.Exec(stmt, args...); err != nil {
			return err
		}
		list, records = list[n:], records[n:]
	}
	return nil
}
