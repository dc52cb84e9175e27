package outcomes

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/berth-host/berth/host/event"
)

// columns are the columns of the table deliveries that represent an event.Delivery.
const columns = `d.handler, d.seq, d.status, d.attempts, d.result, d.error_class, d.error_message, d.duration, d.fuel, d.at, d.due, d.first_at, d.digest`

// Deliveries are rows of the table deliveries as arrays, one for each column: one statement
// stores them. The zero value is empty.
type Deliveries struct {
	handler, status, class, digest                []string
	seq, attempts, duration, fuel, at, due, first []int64
	result, message                               [][]byte
	bytes                                         int
}

func (l *Deliveries) add(d *event.Delivery) {
	l.handler, l.seq, l.status = append(l.handler, d.Handler), append(l.seq, seqOf(d.Seq)), append(l.status, string(d.Status))
	l.attempts, l.result = append(l.attempts, int64(d.Attempts)), append(l.result, []byte(d.Result))
	l.class, l.message = append(l.class, string(d.ErrorClass)), append(l.message, []byte(d.ErrorMessage))
	l.duration, l.fuel = append(l.duration, int64(d.Duration)), append(l.fuel, int64(d.Fuel))
	l.at, l.due, l.first = append(l.at, unixNano(d.At)), append(l.due, unixNano(d.Due)), append(l.first, unixNano(d.FirstAttempt))
	l.digest = append(l.digest, d.SHA256)
	l.bytes += len(d.Result) + len(d.ErrorMessage)
}

func (l *Deliveries) full() bool { return len(l.seq) >= maxRows || l.bytes >= maxBytes }

const (
	insertDeliveries = `INSERT INTO deliveries AS d (handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due,
		first_at, digest) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::bytea[],
		$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[]) ON CONFLICT (handler, seq) DO `
	replaceDeliveries = insertDeliveries + `UPDATE SET status = excluded.status, attempts = excluded.attempts, result = excluded.result,
		error_class = excluded.error_class, error_message = excluded.error_message, duration = excluded.duration, fuel = excluded.fuel,
		at = excluded.at, due = excluded.due, first_at = excluded.first_at, digest = excluded.digest, purged = false`
	keepDeliveries = insertDeliveries + `NOTHING`
)

// args are the arguments of replaceDeliveries and keepDeliveries.
func (l *Deliveries) args() []any {
	return []any{l.handler, l.seq, l.status, l.attempts, l.result, l.class, l.message, l.duration, l.fuel, l.at, l.due, l.first, l.digest}
}

// scanned is a row of columns as it is scanned.
type scanned struct {
	d                                   event.Delivery
	seq, duration, fuel, at, due, first int64
	status, class                       string
	result, message                     []byte
}

func (s *scanned) dest(more ...any) []any {
	return append([]any{&s.d.Handler, &s.seq, &s.status, &s.d.Attempts, &s.result, &s.class, &s.message, &s.duration, &s.fuel, &s.at, &s.due,
		&s.first, &s.d.SHA256}, more...)
}

func (s *scanned) delivery() event.Delivery {
	d := s.d
	d.Seq, d.Status, d.ErrorClass = uint64(s.seq), event.Status(s.status), event.Class(s.class)
	d.Result, d.ErrorMessage = string(s.result), string(s.message)
	d.Duration, d.Fuel = time.Duration(s.duration), uint64(s.fuel)
	d.At, d.Due, d.FirstAttempt = timeOf(s.at), timeOf(s.due), timeOf(s.first)
	return d
}

// list reads the deliveries of a query for columns.
func list(ctx context.Context, tx pgx.Tx, query string, args ...any) (list []event.Delivery, err error) {
	var s scanned
	rows, err := tx.Query(ctx, query, args...)
	err = each(rows, err, func() { list = append(list, s.delivery()) }, s.dest()...)
	return list, err
}

// seqOf is a Seq as the database stores it. No Seq of a log is above the maximum.
func seqOf(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

func seqsOf(list []uint64) []int64 {
	seqs := make([]int64, len(list))
	for i, seq := range list {
		seqs[i] = seqOf(seq)
	}
	return seqs
}

// unixNano returns a time as it is stored; see timeOf.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// timeOf returns a time that is stored in Unix nanoseconds; 0 is the zero time.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
