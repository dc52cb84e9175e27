package outcomes

import (
	"database/sql"
	"time"

	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/store/datafile"
)

// Columns are the columns of the table deliveries that represent an event.Delivery.
const Columns = `handler, seq, status, attempts, result, error_class, error_message, duration, fuel, at, due, first_at, digest`

// Parameters are parameters of a statement for the values of Columns.
const Parameters = `?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`

// Values returns a delivery as the values of Columns.
func Values(d *event.Delivery) []any {
	return []any{d.Handler, datafile.Seq(d.Seq), string(d.Status), d.Attempts, d.Result, string(d.ErrorClass), d.ErrorMessage,
		int64(d.Duration), int64(d.Fuel), UnixNano(d.At), UnixNano(d.Due), UnixNano(d.FirstAttempt), d.SHA256}
}

// ScanDelivery scans Columns, and the columns after them into more.
func ScanDelivery(rows *sql.Rows, d *event.Delivery, more ...any) error {
	var seq, duration, fuel, at, due, first int64
	err := rows.Scan(append([]any{&d.Handler, &seq, &d.Status, &d.Attempts, &d.Result, &d.ErrorClass, &d.ErrorMessage,
		&duration, &fuel, &at, &due, &first, &d.SHA256}, more...)...)
	d.Seq, d.Duration, d.Fuel = uint64(seq), time.Duration(duration), uint64(fuel)
	d.At, d.Due, d.FirstAttempt = Time(at), Time(due), Time(first)
	return err
}

// ScanDeliveries reads the rows of a query for Columns. rows and err are its results.
func ScanDeliveries(rows *sql.Rows, err error) ([]event.Delivery, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []event.Delivery
	for rows.Next() {
		var d event.Delivery
		if err := ScanDelivery(rows, &d); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// UnixNano returns a time as it is stored; see Time.
func UnixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Time returns a time that is stored in unix nanoseconds; 0 is the zero time.
func Time(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
