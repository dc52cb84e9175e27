package pack

import (
	"bytes"
	"time"

	"github.com/berth-host/berth/host/event"
)

const (
	// MaxOutcomes is the maximum number of outcomes of one block.
	MaxOutcomes = 512
	// MaxResults is the maximum size of the distinct results of one block in bytes, and so
	// of one result.
	MaxResults = 256 << 10
)

// Outcome is a plain success: the only attempt of a delivery, which ended well.
type Outcome struct {
	Seq      uint64
	At       int64 // when the attempt ended, in unix nanoseconds
	Duration int64 // of the attempt, in nanoseconds
	Fuel     uint64
	Digest   string // the SHA-256 of the module in hexadecimal digits; "" when it is not known
	Result   []byte // JSON, or empty
}

// Delivery returns the outcome as a delivery of a handler.
func (o *Outcome) Delivery(handler string) event.Delivery {
	s := event.Success{At: time.Unix(0, o.At).UTC(), Duration: time.Duration(o.Duration), Fuel: o.Fuel}
	return s.Delivery(handler, o.Seq, o.Digest, string(o.Result))
}

// FromDelivery returns a delivery as an outcome, and whether an outcome represents it
// completely, except for its children.
func FromDelivery(d *event.Delivery) (o Outcome, ok bool) {
	if d.Status != event.StatusOK || d.Attempts != 1 || d.ErrorClass != "" || d.ErrorMessage != "" || !d.Due.IsZero() || d.NotKept ||
		d.At.IsZero() || !d.FirstAttempt.Equal(d.At.Add(-d.Duration)) || len(d.Result) > MaxResults {
		return Outcome{}, false
	}
	return Outcome{Seq: d.Seq, At: d.At.UnixNano(), Duration: int64(d.Duration), Fuel: d.Fuel, Digest: d.SHA256,
		Result: []byte(d.Result)}, true
}

// Cut returns how many of the outcomes at the beginning of a list form one block: at
// most limit, which is at most MaxOutcomes, and no more than MaxResults allows if a
// result equals only the one before it. Each result is at most MaxResults long.
func Cut(list []Outcome, limit int) int {
	size := 0
	for i := range list {
		if i == limit {
			return i
		}
		if i > 0 && bytes.Equal(list[i].Result, list[i-1].Result) {
			continue
		}
		if size += len(list[i].Result); size > MaxResults {
			return i
		}
	}
	return len(list)
}
