package traffic

import (
	"strconv"
	"time"
)

// Event is an event to publish, of about 300 bytes.
type Event struct {
	Number  int       // data.number
	Size    int       // data.size
	Subject int       // metadata.subject is s-SUBJECT; negative: none
	Keyed   bool      // metadata.idempotency_key is Key(Number)
	Time    time.Time // metadata.time; zero: the host's
}

// Status is data.status of every event.
const Status = "shipped"

// Key returns the idempotency key of the keyed event of a number.
func Key(number int) string { return "n-" + strconv.Itoa(number) }

// Append appends the event's JSON.
func (e Event) Append(b []byte) []byte {
	b = append(b, `{"event_type":"load","data":{"number":`...)
	b = strconv.AppendInt(b, int64(e.Number), 10)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, int64(e.Size), 10)
	b = append(b, `,"status":"`+Status+`","currency":"EUR","items":[{"sku":"TEAPOT","quantity":1,"unit_price_cents":2490},`+
		`{"sku":"CUP","quantity":4,"unit_price_cents":890}],"total_cents":6050},"metadata":{"source":"load"`...)
	if e.Subject >= 0 {
		b = append(b, `,"subject":"s-`...)
		b = strconv.AppendInt(b, int64(e.Subject), 10)
		b = append(b, '"')
	}
	if e.Keyed {
		b = append(b, `,"idempotency_key":"n-`...)
		b = strconv.AppendInt(b, int64(e.Number), 10)
		b = append(b, '"')
	}
	if !e.Time.IsZero() {
		b = append(b, `,"time":"`...)
		b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	return append(b, "}}"...)
}
